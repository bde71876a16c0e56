"""What an evaluation says of rewarded rollouts."""

from pathlib import Path

import pytest

from reasonflux.contracts import Failure, FailureKind, Trajectory
from training.records import Rewarded, Rollout, TrainingProblem, Trial
from training.running.ledger import write
from training.stages import evaluate


def rewarded(
    problem: str, sample: int, *, own: bool | None, similar: tuple[bool, ...] = (), depth: int = 1
) -> Rewarded:
    """A rollout with its trials; `own` None: its plan could not be read."""
    asked = TrainingProblem(id=problem, text=f"What is {problem}?", answer="7", depth=depth, families=("sum",))
    failure = None if own is not None else Failure(kind=FailureKind.UNPARSABLE_REPLY, message="no plan")
    rollout = Rollout(
        problem=asked,
        sample=sample,
        exchanges=(),
        trajectory=None if own is None else Trajectory(abstraction=""),
        failure=failure,
        completion_tokens=10,
    )
    tried = (
        [] if own is None else [(problem, True, own), *((f"{problem}{n}", False, one) for n, one in enumerate(similar))]
    )
    trials = tuple(Trial(problem=name, own=mine, right=right, rounds=2, tokens=5) for name, mine, right in tried)
    return Rewarded(rollout=rollout, trials=trials, reward=0, low=0, high=0)


@pytest.fixture
def evaluation(tmp_path: Path) -> evaluate.Evaluation:
    path = write(
        tmp_path / "rewards.jsonl",
        [
            rewarded("a", 0, own=True, similar=(True, False)),
            rewarded("a", 1, own=False),
            rewarded("a", 2, own=True),
            rewarded("b", 0, own=None, depth=2),
            rewarded("b", 1, own=True, depth=2),
        ],
    )
    return evaluate.summarise("sft", path)


def test_the_greedy_trajectory_decides_and_the_others_are_the_sampled_success(
    evaluation: evaluate.Evaluation,
) -> None:
    assert evaluation.greedy.outcomes == {"a": 1.0, "b": 0.0}
    assert evaluation.success(depth=1).mean == 1.0
    assert evaluation.success(depth=2).mean == 0.0
    assert evaluation.sampled.mean == pytest.approx((0.5 + 1.0) / 2)


def test_the_trajectory_reward_is_taken_on_similar_problems_only(evaluation: evaluate.Evaluation) -> None:
    assert [one.reward for one in evaluation.outcomes] == [0.5, 0.0]
    assert evaluation.reward.mean == 0.25


def test_costs_count_the_plan_and_what_was_carried_out(evaluation: evaluate.Evaluation) -> None:
    assert [(one.rounds, one.tokens) for one in evaluation.outcomes] == [(2, 15), (0, 10)]
    assert evaluation.outcomes[1].failure == "unparsable_reply"


def test_an_evaluation_is_read_as_it_was_written(evaluation: evaluate.Evaluation, tmp_path: Path) -> None:
    assert evaluate.load(evaluate.save(evaluation, tmp_path / "evaluation.json")) == evaluation
    assert "greedy 50.0%" in evaluation.told()
