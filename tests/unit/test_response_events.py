"""The events of a response: numbered by the journal, so that a stream is resumed with nothing else."""

from datetime import UTC, datetime

import pytest

from navigator.api.response_events import LIVE, STRIDE, ResponseTeller, entry_of
from reasonflux.contracts import (
    ActionKind,
    Delta,
    Entry,
    Instantiation,
    Outcome,
    PlanMade,
    Problem,
    SessionFinished,
    SessionStarted,
    Step,
    StepInstantiated,
    Trajectory,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = (
    SessionStarted(problem=Problem(text="What is 3 + 4?")),
    PlanMade(trajectory=Trajectory(abstraction="a sum", steps=(Step(id=1, goal="add"),))),
    StepInstantiated(step_id=1, attempt=1, instantiation=Instantiation(reasoning="3 + 4 = 7", result="7")),
    SessionFinished(outcome=Outcome.SOLVED, answer="7"),
)
ENTRIES = [Entry(seq=n, at=AT, event=event) for n, event in enumerate(EVENTS, 1)]


def live(text: str) -> Delta:
    return Delta(action=ActionKind.INSTANTIATE, step_id=1, text=text)


def numbers(items: list[Entry | Delta], after: int = -1) -> list[int]:
    teller = ResponseTeller("s", after)
    return [event["sequence_number"] for item in items for event in teller.hear(item)]


def test_entries_have_the_same_numbers_whatever_was_said_live_in_between() -> None:
    quiet = numbers(list(ENTRIES))
    loud = numbers([*ENTRIES[:2], live("3 + "), live("4"), *ENTRIES[2:]])

    assert [n for n in loud if n in quiet] == quiet
    assert [n for n in loud if n not in quiet] == [2 * STRIDE + LIVE, 2 * STRIDE + LIVE + 1]
    assert loud == sorted(set(loud))
    assert {entry_of(number) for number in quiet} == {1, 2, 3, 4}


@pytest.mark.parametrize("place", range(12))
def test_a_stream_that_was_resumed_tells_the_rest_of_the_entries(place: int) -> None:
    whole = numbers(list(ENTRIES))
    assert numbers(list(ENTRIES), after=whole[place]) == whole[place + 1 :]


def test_live_text_after_resuming_has_numbers_that_were_not_used_before() -> None:
    before = numbers([*ENTRIES[:2], live("3 "), live("+ "), live("4")])
    after = numbers([*ENTRIES[:2], live("= "), live("7"), *ENTRIES[2:]], after=before[-1])

    assert before + after == sorted({*before, *after})
    assert len(after) == 2 + len([n for n in numbers(list(ENTRIES)) if n >= 3 * STRIDE])


def test_the_summary_in_the_end_is_whole_also_for_who_resumed() -> None:
    texts = []
    for after in (-1, 2 * STRIDE):
        teller = ResponseTeller("s", after)
        told = [event for entry in ENTRIES for event in teller.hear(entry)]
        texts.append([event["text"] for event in told if event["type"] == "response.reasoning_summary_text.done"])

    assert texts[0] == texts[1]
    assert "3 + 4 = 7" in texts[0][0]
