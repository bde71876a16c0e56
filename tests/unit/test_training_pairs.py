"""Pairs: never within the interval, always the better one first, few per problem, and balanced in length."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonflux.contracts import Step, Trajectory
from reasonflux.engine_port import Message
from training.records import Exchange, Pair, Rewarded, Rollout, TrainingProblem, Trial
from training.running.ledger import read, write
from training.stages import pairs, rewards
from training.stages.pairs import PairConfig, balanced, candidates, lead, paired, parting, surely_better
from training.stages.rewards import RewardConfig

ASK = (Message(role="user", content="plan all"),)
ON = (Message(role="user", content="plan on"),)


def problem(name: str = "p") -> TrainingProblem:
    return TrainingProblem(id=name, text=f"What is {name}?", answer="1", depth=1)


def rewarded(
    reply: str | tuple[str, ...],
    hits: list[bool],
    *,
    name: str = "p",
    readable: bool = True,
    tokens: int = 0,
    config: RewardConfig | None = None,
) -> Rewarded:
    """A rollout that said `reply` (or a reply a round), with its trials on the same similar problems."""
    replies = (reply,) if isinstance(reply, str) else reply
    exchanges = tuple(Exchange(prompt=prompt, reply=said) for prompt, said in zip((ASK, ON), replies, strict=False))
    planned = Trajectory(abstraction="", steps=(Step(id=1, goal="do"),)) if readable else None
    rollout = Rollout(problem=problem(name), sample=0, exchanges=exchanges, trajectory=planned)
    trials = [Trial(problem=f"{name}-{n}", own=False, right=hit, tokens=tokens) for n, hit in enumerate(hits)]
    return rewards.reward(rollout, trials if readable else [], config or RewardConfig())


RIGHT, WRONG = [True] * 4, [False] * 4


@st.composite
def groups(draw: st.DrawFn) -> list[Rewarded]:
    """The rollouts of some problems, each problem's on the same number of trials."""
    found = []
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1)):
        trials = draw(st.integers(1, 6))
        for _ in range(draw(st.integers(2, 6))):
            hits = draw(st.lists(st.booleans(), min_size=trials, max_size=trials))
            reply = "x" * draw(st.integers(1, 30))
            found.append(rewarded(reply, hits, name=name, readable=draw(st.booleans())))
    return found


@settings(deadline=None)
@given(found=groups(), per_problem=st.integers(1, 3), ratio=st.floats(1, 3), unreadable=st.booleans())
def test_every_pair_is_sure_clear_and_within_the_limits(
    found: list[Rewarded], per_problem: int, ratio: float, unreadable: bool
) -> None:
    config = PairConfig(per_problem=per_problem, longest_ratio=ratio, unreadable=unreadable)
    made, report = paired(found, config)
    assert all(pair.chosen_reward > pair.rejected_reward for pair in made)
    assert all(pair.chosen != pair.rejected for pair in made)
    assert all(count <= per_problem for count in Counter(pair.problem.id for pair in made).values())
    assert all(
        max(len(pair.chosen), len(pair.rejected)) <= ratio * min(len(pair.chosen), len(pair.rejected)) for pair in made
    )
    sides = {(pair.problem.id, pair.chosen, pair.rejected) for pair in made}
    assert not sides & {(problem_id, rejected, chosen) for problem_id, chosen, rejected in sides}
    assert len(sides) == len(made) == report.pairs


@settings(deadline=None)
@given(ours=st.lists(st.booleans(), min_size=2, max_size=10), data=st.data())
def test_no_pair_is_made_within_the_interval_of_the_difference(ours: list[bool], data: st.DataObject) -> None:
    theirs = data.draw(st.lists(st.booleans(), min_size=len(ours), max_size=len(ours)))
    better, worse = rewarded("a", ours), rewarded("b", theirs)
    if surely_better(better, worse, PairConfig()):
        assert sum(ours) > sum(theirs)
        wins = sum(one and not other for one, other in zip(ours, theirs, strict=True))
        assert wins >= 2 or len(ours) == wins
        assert not surely_better(worse, better, PairConfig())


@pytest.mark.parametrize(
    ("ours", "theirs", "sure"),
    [
        ([True, False, False, False], [False] * 4, False),
        ([True, True, False, False], [False] * 4, False),
        ([True, True, True, False], [False] * 4, True),
        ([True] * 4, [False] * 4, True),
        ([True] * 4, [True] * 4, False),
        ([True, True, False, False], [False, False, True, True], False),
    ],
)
def test_a_difference_must_be_beyond_its_interval(ours: list[bool], theirs: list[bool], sure: bool) -> None:
    assert surely_better(rewarded("a", ours), rewarded("b", theirs), PairConfig()) is sure


def test_one_trial_has_no_interval_and_asks_for_its_own_difference() -> None:
    better, worse = rewarded("a", [True]), rewarded("b", [False])
    assert surely_better(better, worse, PairConfig(least_difference_alone=1.0))
    assert not surely_better(better, worse, PairConfig(least_difference_alone=1.5))


def test_of_two_that_solve_all_the_cheaper_one_is_preferred_where_rewards_have_costs() -> None:
    paying = RewardConfig(cost_per_token=0.001)
    cheap = rewarded("a", RIGHT, tokens=10, config=paying)
    wasteful = rewarded("b", RIGHT, tokens=100, config=paying)
    assert surely_better(cheap, wasteful, PairConfig())
    assert not surely_better(cheap, wasteful, PairConfig(least_difference=0.2))


def test_an_unreadable_reply_is_rejected_only_where_the_config_says_so() -> None:
    found = [rewarded("good", RIGHT), rewarded("bad", [], readable=False)]
    refused = Counter[str]()
    assert candidates(found, PairConfig(), refused) == []
    assert refused["one reply is unreadable"] == 1
    (pair,) = candidates(found, PairConfig(unreadable=True), Counter())
    assert (pair.chosen, pair.rejected, pair.rejected_reward) == ("good", "bad", 0.0)


def test_the_pair_is_made_where_the_rollouts_part() -> None:
    one, other = rewarded(("same", "left"), RIGHT), rewarded(("same", "right"), WRONG)
    assert parting(one.rollout, other.rollout) == (ON, "left", "right")
    assert parting(one.rollout, one.rollout) is None
    moved = one.rollout.model_copy(update={"exchanges": (Exchange(prompt=ON, reply="left"),)})
    assert parting(one.rollout, moved) is None


def test_a_reply_that_ends_well_here_and_badly_there_is_no_preference() -> None:
    found = [
        rewarded(("start", "well"), RIGHT),
        rewarded(("start", "badly"), WRONG),
        rewarded(("other", "well"), RIGHT),
        rewarded(("other", "badly"), WRONG),
    ]
    made = candidates(found, PairConfig(), Counter())
    assert {(pair.chosen, pair.rejected) for pair in made} == {("well", "badly")}


lengths = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=30)


@settings(deadline=None)
@given(sides=lengths, left_out=st.floats(0, 0.9))
def test_balancing_brings_the_sum_of_length_differences_nearer_to_nothing(
    sides: list[tuple[int, int]], left_out: float
) -> None:
    made = [
        Pair(
            problem=problem(),
            prompt=ASK,
            chosen="c" * chosen,
            rejected="r" * rejected,
            chosen_reward=1,
            rejected_reward=0,
            trials=3,
        )
        for chosen, rejected in sides
    ]
    kept = balanced(made, left_out)
    assert abs(sum(map(lead, kept))) <= abs(sum(map(lead, made)))
    assert len(made) - len(kept) <= left_out * len(made)
    assert balanced(made, 0) == made


def test_of_equally_clear_pairs_those_are_taken_that_balance_lengths() -> None:
    found = [
        rewarded("aaaa", RIGHT, name="a"),
        rewarded("bbb", WRONG, name="a"),
        rewarded("cccc", RIGHT, name="b"),
        rewarded("ddd", WRONG, name="b"),
        rewarded("eeeee", WRONG, name="b"),
    ]
    made, report = paired(found, PairConfig(per_problem=1))
    assert [(pair.chosen, pair.rejected) for pair in made] == [("aaaa", "bbb"), ("cccc", "eeeee")]
    assert report.lengths.difference == 0


def test_the_stage_writes_pairs_and_a_report_with_examples(tmp_path: Path) -> None:
    found = [rewarded("good", RIGHT), rewarded("bad!", WRONG), rewarded("a reply of great length", WRONG)]
    said: list[str] = []
    path = pairs.run(PairConfig(), write(tmp_path / "rewards.jsonl", found), tmp_path, say=said.append)
    (pair,) = read(path, Pair)
    assert (pair.chosen, pair.rejected, pair.trials) == ("good", "bad!", 4)
    report = json.loads((tmp_path / "pairs.json").read_text())
    assert report["refused"] == {"lengths too far apart": 1, "better here, worse there": 0}
    shown = (tmp_path / "pairs.md").read_text()
    assert "| pairs | 1 |" in shown
    assert "`bad!`" in shown
    assert "1 of 1/1 problems" in said[0]
