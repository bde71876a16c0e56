"""EleutherAI's lm-eval, unmodified, with its own `local-chat-completions` model on a generated task of 20 problems."""

import json

import pytest
from clients.installed import Workplace, need
from clients.recipes import recipes

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]


@pytest.mark.timeout(600)
def test_lm_eval_scores_twenty_generated_problems(request: pytest.FixtureRequest) -> None:
    need("lm_eval")
    workplace: Workplace = request.getfixturevalue("workplace")
    printed = recipes()["lm-eval"].run(workplace)

    assert "reasonflux_ladder" in printed
    (path,) = workplace.folder.glob("results/*/results_*.json")
    results = json.loads(path.read_text())
    assert results["n-samples"]["reasonflux_ladder"]["effective"] == 20
    (samples,) = workplace.folder.glob("results/*/samples_*.jsonl")
    asked = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(asked) == 20
    assert all(sample["resps"][0][0] for sample in asked)  # every problem got a reply that can be read
    # The measured rates are in docs/results; this holds that harness and stack understand each other.
    assert results["results"]["reasonflux_ladder"]["exact_match,boxed"] >= 0.75
