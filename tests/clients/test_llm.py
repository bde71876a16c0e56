"""simonw's llm, unmodified, with an entry in extra-openai-models.yaml: the recipe, and what llm logged of it."""

import json

import pytest
from clients.installed import Workplace, need
from clients.recipes import recipes

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]


def test_llm_answers_goes_on_and_logs_the_usage(request: pytest.FixtureRequest) -> None:
    need("llm")
    workplace: Workplace = request.getfixturevalue("workplace")
    assert recipes()["llm"].run(workplace).splitlines() == [r"The answer is \boxed{820}", r"The answer is \boxed{1000}"]

    logged = json.loads(workplace.run("llm", "logs", "-n", "2", "--json"))
    assert [entry["model"] for entry in logged] == ["reasonflux", "reasonflux"]
    assert len({entry["conversation_id"] for entry in logged}) == 1
    for entry in logged:
        assert entry["input_tokens"] > 0
        assert entry["output_tokens"] > 0
        details = json.loads(entry["token_details"])
        assert details["completion_tokens_details"]["reasoning_tokens"] == entry["output_tokens"]
