"""A round of preference optimisation as a user runs it: one config, real vLLM, the shipped weights as the start."""

import json
from itertools import islice
from pathlib import Path

import pytest
import yaml
from embedded import ROOT, WEIGHTS, Embedded

from evaluation.ladder import Split, generate
from evaluation.ladder.problem import digest, split_of
from training import course, settings
from training.records import Pair, Rewarded
from training.running import pipeline
from training.running.ledger import read
from training.running.progress import Progress
from training.stages import evaluate
from training.stages.publish import verify

LIBRARY = ROOT / "services" / "template-store" / "library"
DONE = ["rollouts.1", "rewards.1", "pairs.1", "dpo.1"]


def config_of(embedded: Embedded) -> dict[str, object]:
    """Chains of three, sampled hot: on shorter ones the shipped navigator errs too rarely for pairs."""
    engines = {
        role: {"url": f"{embedded.url(f'{role}_engine')}/v1", "model": f"reasonflux-tiny-{role}"}
        for role in ("navigator", "executor")
    }
    return {
        "start": str(WEIGHTS / "navigator"),
        "executor": str(WEIGHTS / "executor"),
        "engines": engines,
        "problems": {"depths": [3], "count": 8},
        "similar": {"source": "ladder", "count": 2},
        "rollouts": {"samples": 6, "temperature": 1.8},
        "carry": {"calculators": 1},
        "pairs": {"unreadable": True},
        "dpo": {"batch_size": 2, "max_steps": 2, "eval_every": 1, "heldout": 0.3},
    }


@pytest.mark.vllm
def test_a_round_goes_from_rollouts_to_weights_that_load_and_is_not_run_twice(
    embedded: Embedded, tmp_path: Path
) -> None:
    path, folder, log = tmp_path / "round.yaml", tmp_path / "run", tmp_path / "LOG.md"
    path.write_text(yaml.safe_dump(config_of(embedded)))
    told: list[str] = []
    stages = course.Course(settings.load(path), folder, LIBRARY).stages()
    pipeline.run(stages, folder, Progress("round", log, tell=told.append), until="dpo.1")

    rewarded = list(read(folder / "rewards.1" / "rewards.jsonl", Rewarded))
    assert len(rewarded) == 48
    assert max(one.reward for one in rewarded) == 1.0
    pairs = list(read(folder / "pairs.1" / "pairs.jsonl", Pair))
    assert pairs
    assert all(pair.chosen_reward > pair.rejected_reward for pair in pairs)
    verify(folder / "dpo.1" / "weights")
    assert [line.split()[3] for line in log.read_text().splitlines()] == [f"{name}:" for name in DONE]

    told.clear()
    pipeline.run(stages, folder, Progress("round", log, tell=told.append), until="dpo.1")
    assert [line.split()[1:] for line in told] == [[f"{name}:", "done", "before"] for name in DONE]


@pytest.mark.vllm
@pytest.mark.faiss
def test_weights_are_measured_on_ones_own_problems_and_their_neighbours(embedded: Embedded, tmp_path: Path) -> None:
    mine, path, folder = tmp_path / "mine.jsonl", tmp_path / "own.yaml", tmp_path / "run"
    known = [problem for split in Split for problem in islice(generate(split, (1,), seed=7), 20)]
    mine.write_text("".join(json.dumps({"problem": one.text, "answer": one.answer}) + "\n" for one in known))
    own = {
        "problems": {"dataset": str(mine), "count": 8},
        "similar": {"source": "neighbours", "count": 1, "minimum_similarity": -1},
        "evaluate": {"count": 6, "samples": 1, "similar": 1},
    }
    path.write_text(yaml.safe_dump(config_of(embedded) | own))
    running = course.Course(settings.load(path), folder, LIBRARY)
    running.look_ahead(["evaluate.sft"])
    pipeline.run(running.stages(), folder, Progress("own", tmp_path / "LOG.md"), until="evaluate.sft")

    found = evaluate.load(folder / "evaluate.sft" / "evaluation.json")
    texts = {digest(one.text): one.text for one in known}
    assert {split_of(texts[one.problem]) for one in found.outcomes} == {Split.HELDOUT}
    assert len(found.outcomes) == 6
    assert found.success().mean > 0.5, "the shipped weights know problems of this kind"
    assert found.reward.n == 6
