"""A session told as text: one step speaks at a time, and nothing that is said is lost."""

import json
from datetime import UTC, datetime

import pytest

from navigator.api.narration import Narrator
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Delta,
    Entry,
    Event,
    Failure,
    FailureKind,
    Instantiation,
    Outcome,
    PlanMade,
    Query,
    Retrieval,
    Review,
    SessionFinished,
    Step,
    StepInstantiated,
    StepRestarted,
    StepRetrieved,
    StepReviewed,
    Trajectory,
    Verdict,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = PlanMade(
    trajectory=Trajectory(abstraction="a sum", steps=(Step(id=1, goal="find a"), Step(id=2, goal="find b")))
)


def tell(*items: Event | Delta) -> str:
    narrator = Narrator()
    return "".join(
        narrator.hear(item if isinstance(item, Delta) else Entry(seq=n, at=AT, event=item))
        for n, item in enumerate(items, 1)
    )


def says(step_id: int, text: str, attempt: int = 1) -> Delta:
    return Delta(action=ActionKind.INSTANTIATE, step_id=step_id, attempt=attempt, text=text)


def gives(step_id: int, result: str, attempt: int = 1) -> StepInstantiated:
    done = Instantiation(reasoning=f"It is {result}.", result=result)
    return StepInstantiated(step_id=step_id, attempt=attempt, instantiation=done)


def test_steps_that_run_in_parallel_speak_one_after_the_other() -> None:
    told = tell(
        PLAN, says(1, "one "), says(2, "two "), says(1, "more"), gives(1, "3"), says(2, "and on"), gives(2, "4")
    )
    assert told.splitlines() == [
        "Plan: a sum",
        "  1. find a",
        "  2. find b",
        "Step 1: find a",
        "one more",
        "Step 1 gives 3.",
        "Step 2: find b",
        "two and on",
        "Step 2 gives 4.",
    ]


def test_a_step_that_ends_while_another_speaks_is_told_afterwards() -> None:
    told = tell(PLAN, says(1, "one "), says(2, "two"), gives(2, "4"), says(1, "more"), gives(1, "3"))
    assert told.splitlines()[3:] == [
        "Step 1: find a",
        "one more",
        "Step 1 gives 3.",
        "Step 2: find b",
        "two",
        "Step 2 gives 4.",
    ]


def test_without_live_text_a_step_is_told_whole() -> None:
    assert tell(PLAN, gives(1, "3")).splitlines()[3:] == ["Step 1: find a", "It is 3.", "Step 1 gives 3."]


def test_live_text_is_not_repeated_when_the_step_is_done() -> None:
    assert "It is 3." not in tell(PLAN, says(1, "live"), gives(1, "3"))


def test_a_speaker_that_was_interrupted_goes_on_by_name() -> None:
    found = StepRetrieved(step_id=2, retrieval=Retrieval(query=Query(name="x")))
    assert tell(PLAN, says(1, "one "), found, says(1, "more")).splitlines()[3:] == [
        "Step 1: find a",
        "one ",
        "Step 2 runs without a template: none fits.",
        "Step 1 goes on: more",
    ]


def test_a_retry_says_why_and_starts_on_a_new_line() -> None:
    retry = StepReviewed(step_id=1, attempt=1, review=Review(verdict=Verdict.RETRY, reason="mind the sign"))
    told = tell(PLAN, says(1, "one"), gives(1, "3"), retry, says(1, "again", attempt=2))
    assert told.splitlines()[5:] == [
        "Step 1 gives 3.",
        "Step 1 is tried again: mind the sign",
        "Step 1, attempt 2: find a",
        "again",
    ]


def test_a_takeover_voids_what_was_under_way() -> None:
    told = tell(PLAN, says(1, "half a th"), says(2, "lost"), StepRestarted(epoch=2), says(2, "anew"))
    assert told.splitlines()[3:] == [
        "Step 1: find a",
        "half a th",
        "Another worker took over; what was under way starts again.",
        "Step 2: find b",
        "anew",
    ]


def test_a_change_of_plan_is_told_and_silences_the_dropped_steps() -> None:
    remainder = Trajectory(abstraction="a sum", steps=(Step(id=3, goal="find c"),))
    review = Review(verdict=Verdict.REVISE, reason="there is a shorter way", remainder=remainder)
    told = tell(
        PLAN,
        says(1, "x"),
        gives(1, "3"),
        says(2, "dropped"),
        StepReviewed(step_id=1, attempt=1, review=review),
        says(3, "y"),
    )
    assert told.splitlines()[6:] == [
        "Step 2: find b",
        "dropped",
        "The plan changes: there is a shorter way",
        "  3. find c",
        "Step 3: find c",
        "y",
    ]


def test_a_failed_try_lets_the_next_one_speak() -> None:
    down = Failure(kind=FailureKind.ENGINE_UNAVAILABLE, message="the engine is down", retryable=True)
    failed = ActionFailed(action=ActionKind.INSTANTIATE, step_id=1, failure=down)
    told = tell(PLAN, says(1, "one"), says(2, "two"), failed, says(1, "again"), gives(2, "4"), gives(1, "3"))
    assert told.splitlines()[3:] == [
        "Step 1: find a",
        "one",
        "The instantiate of step 1 failed: the engine is down",
        "Step 2: find b",
        "two",
        "Step 2 gives 4.",
        "Step 1: find a",
        "again",
        "Step 1 gives 3.",
    ]


def test_the_end_tells_what_was_still_held_back() -> None:
    told = tell(PLAN, says(1, "one"), says(2, "two"), SessionFinished(outcome=Outcome.CANCELLED))
    assert told.splitlines()[-2:] == ["Step 2: find b", "two"]


def test_plans_and_reviews_in_the_making_are_not_told() -> None:
    assert tell(PLAN, Delta(action=ActionKind.REVIEW, step_id=1, text='{"reason"')) == tell(PLAN)


def writes(text: str, size: int = 3) -> list[Delta]:
    """The navigator LLM's reply, a few characters at a time."""
    parts = [text[place : place + size] for place in range(0, len(text), size)]
    return [Delta(action=ActionKind.PLAN, text=part) for part in parts]


REPLY = json.dumps(
    {
        "abstraction": "a sum",
        "steps": [{"id": 1, "goal": "find a", "template": "Goal", "uses": ["s1"]}, {"id": 2, "goal": "find b"}],
    }
)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_plan_is_told_while_it_is_written_and_reads_like_the_finished_one(size: int) -> None:
    assert tell(*writes(REPLY, size), PLAN) == tell(PLAN) == "Plan: a sum\n  1. find a\n  2. find b\n"
    assert tell(*writes(REPLY[: REPLY.index("find a") + 4], 3)) == "Plan: a sum\n  1. find"


def test_a_plan_that_turned_out_otherwise_is_told_again_whole() -> None:
    broken = '{"abstraction": "nonsense", "steps": ['
    assert tell(*writes(broken), *writes(REPLY), PLAN).splitlines()[-3:] == [
        "Plan: a sum",
        "  1. find a",
        "  2. find b",
    ]


def test_a_plan_that_failed_is_begun_anew() -> None:
    failed = ActionFailed(action=ActionKind.PLAN, failure=Failure(kind=FailureKind.INTERNAL, message="the line broke"))
    told = tell(*writes(REPLY[:18]), failed, *writes(REPLY), PLAN).splitlines()
    assert told == ["Plan: a", "The plan failed: the line broke", "Plan: a sum", "  1. find a", "  2. find b"]


def test_a_plan_past_the_horizon_goes_on_with_the_numbers() -> None:
    more = PlanMade(trajectory=Trajectory(abstraction="a sum", steps=(Step(id=3, goal="add them"),)))
    reply = json.dumps({"abstraction": "a sum", "steps": [{"id": 1, "goal": "add them"}]})
    assert tell(PLAN, *writes(reply), more) == tell(PLAN, more)


def test_a_plan_without_a_name_is_told_all_the_same() -> None:
    nameless = PlanMade(trajectory=Trajectory(abstraction="", steps=PLAN.trajectory.steps))
    assert tell(*writes(REPLY.replace("a sum", "")), nameless) == tell(nameless)
