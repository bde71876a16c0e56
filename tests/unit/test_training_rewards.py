"""Rewards: the accuracy of a trajectory on similar problems, each trial carried out once."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from templates import template

from evaluation.ladder.problem import digest
from executor.instantiate import Instantiator
from executor.prompting import Profile
from reasonflux.contracts import Query, Step, Trajectory
from reasonflux.errors import Conflict, EngineUnavailable
from reasonflux.testing.fake_engine import Call, FakeEngine, Replies
from training.carrying import ByName, Carrier, InProcess
from training.records import Exchange, Rewarded, Rollout, TrainingProblem, Trial
from training.running.ledger import read, write
from training.stages import rewards
from training.stages.rewards import Errand, RewardConfig

DOUBLE = template()
RIGHT_GOAL = "Find the very double"
PLAIN = RewardConfig()


def problem(number: int) -> TrainingProblem:
    text = f"What is twice {number}?"
    return TrainingProblem(id=digest(text), text=text, answer=str(2 * number))


def trajectory(goal: str = RIGHT_GOAL) -> Trajectory:
    step = Step(id=1, goal=goal, query=Query(name=DOUBLE.name), uses=("s1",))
    return Trajectory(abstraction="doubling", steps=(step,))


def rollout(own: TrainingProblem, planned: Trajectory | None, sample: int = 0, tokens: int = 0) -> Rollout:
    exchange = Exchange(prompt=(), reply=f"reply {sample}")
    return Rollout(problem=own, sample=sample, exchanges=(exchange,), trajectory=planned, completion_tokens=tokens)


class Following:
    """The next numbers' problems."""

    def __init__(self) -> None:
        self.asked = 0

    async def of(self, problem_: TrainingProblem, count: int) -> tuple[TrainingProblem, ...]:
        self.asked += 1
        number = int(problem_.answer) // 2
        return tuple(problem(number + n) for n in range(1, count + 1))


def doubling(call: Call) -> str:
    """Right where the goal asks for the double, and 1 too many elsewhere."""
    shown = call.messages[-1].content
    number = int(re.findall(r"twice (\d+)", shown)[-1])
    return json.dumps({"fits": True, "reasoning": "", "bindings": {"a": str(number + (RIGHT_GOAL not in shown))}})


def carrier(engine: FakeEngine, model: str = "executor-1") -> Carrier:
    return Carrier(Instantiator(engine, InProcess(), Profile.COMPACT, 0), ByName([DOUBLE]), model)


def quiet(_: str) -> None:
    """Nobody reads the progress."""


async def rewarded(
    folder: Path, sampled: list[Rollout], config: RewardConfig = PLAIN, replies: Replies = doubling
) -> tuple[list[Rewarded], FakeEngine]:
    engine = FakeEngine(replies)
    path = write(folder / "rollouts.jsonl", sampled)
    made = await rewards.run(config, path, Following(), 3, carrier(engine), folder, say=quiet)
    return list(read(made, Rewarded)), engine


async def test_the_reward_is_the_share_of_similar_problems_that_the_trajectory_solves(tmp_path: Path) -> None:
    own = problem(10)
    sampled = [rollout(own, trajectory()), rollout(own, trajectory("Find something"), 1), rollout(own, None, 2)]
    found, _ = await rewarded(tmp_path, sampled)
    assert [one.reward for one in found] == [1.0, 0.0, 0.0]
    assert [len(one.trials) for one in found] == [3, 3, 0]
    assert not any(trial.own for one in found for trial in one.trials)
    assert all(one.low <= one.reward <= one.high for one in found)
    assert found[0].low > 0  # three of three is no proof of 1, but more than nothing


async def test_equal_trajectories_on_a_problem_are_carried_out_once(tmp_path: Path) -> None:
    own = problem(10)
    sampled = [rollout(own, trajectory(), sample) for sample in range(5)]
    again = trajectory().model_copy(update={"abstraction": "said otherwise"})
    found, engine = await rewarded(tmp_path, [*sampled, rollout(own, again, 5)])
    assert len(engine.calls) == 3
    assert {one.reward for one in found} == {1.0}


async def test_a_stopped_stage_and_a_next_round_carry_nothing_out_twice(tmp_path: Path) -> None:
    own = problem(10)
    sampled = [rollout(own, trajectory())]
    with pytest.raises(EngineUnavailable):
        await rewarded(tmp_path, sampled, RewardConfig(concurrency=1), _two_then_gone())
    found, engine = await rewarded(tmp_path, sampled)
    assert len(engine.calls) == 1
    assert found[0].reward == 1.0
    _, engine = await rewarded(tmp_path, [*sampled, rollout(own, trajectory("Find it"), 1)])
    assert len(engine.calls) == 3


def _two_then_gone() -> Replies:
    seen: list[Call] = []

    def reply(call: Call) -> str | Exception:
        seen.append(call)
        return doubling(call) if len(seen) < 3 else EngineUnavailable("gone")

    return reply


async def test_the_ablation_rewards_the_own_problem_alone(tmp_path: Path) -> None:
    found, engine = await rewarded(tmp_path, [rollout(problem(10), trajectory())], RewardConfig(on="own"))
    assert len(engine.calls) == 1
    assert [(trial.own, trial.right) for trial in found[0].trials] == [(True, True)]
    both, _ = await rewarded(tmp_path, [rollout(problem(10), trajectory())], RewardConfig(include_own=True))
    assert [trial.own for trial in both[0].trials] == [True, False, False, False]


async def test_similar_problems_are_looked_up_once_and_their_number_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "rollouts.jsonl", [rollout(problem(10), trajectory())])
    source, one = Following(), carrier(FakeEngine(doubling))
    for _ in range(2):
        await rewards.run(RewardConfig(), path, source, 3, one, tmp_path, say=quiet)
    assert source.asked == 1
    with pytest.raises(Conflict):
        await rewards.run(RewardConfig(), path, source, 4, one, tmp_path, say=quiet)


async def test_answers_are_graded_by_value(tmp_path: Path) -> None:
    own = problem(10).model_copy(update={"answer": "20.0"})
    found, _ = await rewarded(tmp_path, [rollout(own, trajectory())], RewardConfig(on="own"))
    assert found[0].reward == 1.0


def trial(right: bool, rounds: int = 2, tokens: int = 100, name: str = "p") -> Trial:
    return Trial(problem=name, own=False, right=right, rounds=rounds, tokens=tokens)


def test_rounds_and_tokens_are_paid_for_where_the_config_says_so() -> None:
    config = RewardConfig(cost_per_round=0.01, cost_per_token=0.0001)
    one = rewards.reward(rollout(problem(1), trajectory(), tokens=50), [trial(True), trial(False)], config)
    assert one.reward == pytest.approx(0.5 - 0.02 - 0.015)
    assert one.low < one.reward < one.high


@settings(deadline=None)
@given(hits=st.lists(st.booleans(), min_size=1, max_size=12), cost=st.floats(0, 0.1))
def test_the_reward_lies_in_its_interval(hits: list[bool], cost: float) -> None:
    trials = [trial(hit) for hit in hits]
    one = rewards.reward(rollout(problem(1), trajectory()), trials, RewardConfig(cost_per_round=cost))
    assert one.low <= one.reward <= one.high
    assert one.reward == pytest.approx(sum(hits) / len(hits) - 2 * cost)


@settings(deadline=None)
@given(goal=st.text(min_size=1), other=st.text(min_size=1), number=st.integers(1, 9), model=st.sampled_from(["a", "b"]))
def test_the_content_key_tells_errands_apart_by_everything_that_decides_the_outcome(
    goal: str, other: str, number: int, model: str
) -> None:
    first = Errand(trajectory(goal), problem(1), see_all=False)
    second = Errand(trajectory(other), problem(number), see_all=False)
    assert (first.key("a") == second.key(model)) == (goal == other and number == 1 and model == "a")
    assert first.key("a") != Errand(trajectory(goal), problem(1), see_all=True).key("a")
    said_otherwise = trajectory(goal).model_copy(update={"abstraction": other})
    assert first.key("a") == Errand(said_otherwise, problem(1), see_all=False).key("a")
