"""What goes on from an earlier answer: as it is learned, so it is served."""

from itertools import islice
from random import Random

from evaluation.ladder import Split, generate
from navigator.view import horizon_for
from reasonflux.contracts import Problem
from training.corpus.follow_ups import follow_ups


def test_every_follow_up_that_is_learned_whole_is_planned_whole_by_the_service() -> None:
    learned = islice(follow_ups(generate(Split.TRAIN, (2,), seed=1), Random(1)), 300)
    asked = [one.started.problem for one in learned]
    assert {horizon_for(problem, goes_on=True) for problem in asked} == {None}
    assert 1 in {horizon_for(problem) for problem in asked}


def test_a_follow_up_that_cannot_be_seen_at_once_is_planned_a_step_at_a_time() -> None:
    long = " ".join(f"Box {n} holds {n} pens." for n in range(1, 8))
    assert horizon_for(Problem(text=long), goes_on=True) == 1
