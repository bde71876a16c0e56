"""Journals of real sessions as a source: what the navigator said on the way to a right answer.

in    exported journals, JSON lines: pages of `GET /v1/sessions/{id}/events` (EventPage), or single entries as
      `reasonflux trace --json` prints them (an entry with seq 1 begins a session); optionally a file of known answers
out   navigator conversations of the solved sessions, in any profile; why the others were left out, counted

What a solved session did in vain is shown but not learned: a plan that was revised, and a retry of a step that was
given up all the same. A final answer that is a step's result is told as `r3`, as our own weights tell it.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from evaluation.grading import grade
from evaluation.ladder.problem import digest
from navigator import planning
from navigator.errors import JournalCorrupt
from navigator.session import advance, fold
from reasonflux.contracts import (
    Contract,
    Entry,
    EventPage,
    Outcome,
    Phase,
    PlanMade,
    Session,
    SessionStarted,
    StepReviewed,
    Verdict,
)
from reasonflux.engine_port import Message
from reasonflux.errors import InvalidRequest
from training.corpus import lines
from training.corpus.mixture import Conversation, Turn
from training.corpus.sample import Sample, navigator_kind

SOURCE = "sessions"
_NAMED = re.compile(r"(?m)^([sr]\d+): ")
_PAGE_HINT = "a line is a page of GET /v1/sessions/{id}/events, or an entry of `reasonflux trace --json`"
_ANSWER_HINT = 'a line is {"problem": "…", "answer": "…"}'


class LeftOut(StrEnum):
    """Why a journal is not learned from."""

    INCOMPLETE = "entries are missing"
    UNFINISHED = "not finished"
    UNSOLVED = "not solved"
    WRONG = "wrong answer"
    UNTOLD = "a follow-up, which this profile's prompts do not tell"
    UNSEEN = "uses what this profile's prompt does not show"
    NOTHING = "nothing in it to learn"


class Answered(Contract):
    """A problem whose answer is known."""

    problem: str
    answer: str


Journals = Mapping[str, Sequence[Entry]]
"""Sessions by id, each with its entries in order."""


def read_journals(paths: Iterable[Path]) -> Journals:
    """Every journal of these files; pages may overlap and come in any order. Raises InvalidRequest with the file and
    the line that cannot be read."""
    found: dict[str, dict[int, Entry]] = {}
    for path in paths:
        nameless = ""
        for number, line in lines.numbered(path):
            place = f"{path}:{number}"
            if b'"entries"' in line:
                page = lines.parse(line, EventPage, place, _PAGE_HINT)
                found.setdefault(page.session_id, {}).update((entry.seq, entry) for entry in page.entries)
                continue
            entry = lines.parse(line, Entry, place, _PAGE_HINT)
            nameless = place if entry.seq == 1 else nameless
            if not nameless:
                raise InvalidRequest(f"{place}: entry {entry.seq} follows no session.started", hint=_PAGE_HINT)
            found.setdefault(nameless, {})[entry.seq] = entry
    return {session_id: [own[seq] for seq in sorted(own)] for session_id, own in found.items()}


def read_answers(path: Path) -> dict[str, str]:
    """Answers by the digest of their problem. Raises InvalidRequest with the line that cannot be read."""
    return {digest(known.problem): known.answer for known in lines.read(path, Answered, _ANSWER_HINT)}


def session_samples(
    journals: Journals, profile: planning.Profile, answers: Mapping[str, str], left_out: Counter[str]
) -> Iterator[Sample]:
    """The samples of every journal worth learning from; `left_out` counts what gave none, by reason."""
    for session_id, entries in journals.items():
        why = _unfit(session_id, entries, profile, answers)
        if why is not None:
            left_out[why.value] += 1
            continue
        session = fold(session_id, entries)
        began = session.turns[0].problem if session.turns else session.problem.text
        for conversation in conversations_of(session_id, entries, profile, in_vain(session_id, entries)):
            if not any(turn.learn for turn in conversation):
                left_out[LeftOut.NOTHING.value] += 1
            elif not shows_what_is_used(conversation):
                left_out[LeftOut.UNSEEN.value] += 1
            else:
                kind = "follow-up" if session.turns else navigator_kind(conversation)
                yield Sample(began, conversation, SOURCE, kind)


def _unfit(
    session_id: str, entries: Sequence[Entry], profile: planning.Profile, answers: Mapping[str, str]
) -> LeftOut | None:
    """Why nothing of this journal is learned; None: it was solved, and rightly as far as anybody knows."""
    try:
        session = fold(session_id, entries)
    except JournalCorrupt:
        return LeftOut.INCOMPLETE
    if not session.finished:
        return LeftOut.UNFINISHED
    if session.outcome is not Outcome.SOLVED:
        return LeftOut.UNSOLVED
    known = answers.get(digest(session.problem.text))
    if known is not None and not grade(session.answer, known):
        return LeftOut.WRONG
    if session.turns and not _tells_turns(session_id, entries[0], profile):
        return LeftOut.UNTOLD
    return None


def _tells_turns(session_id: str, first: Entry, profile: planning.Profile) -> bool:
    """Whether the prompts of this profile say what was said before."""
    assert isinstance(first.event, SessionStarted)
    alone = first.model_copy(update={"event": first.event.model_copy(update={"turns": ()})})
    return planning.conversation(session_id, [first], profile) != planning.conversation(session_id, [alone], profile)


def conversations_of(
    session_id: str, entries: Sequence[Entry], profile: planning.Profile, unlearned: Collection[int] = ()
) -> list[Conversation]:
    """The navigator's own rendering of a journal; replies whose entry (by seq) is in `unlearned` are shown only.

    One conversation that grows, or a new one for each plan where the profile begins anew with a view of what is left.
    """
    told = [_answer_by_name(session_id, entries, entry) for entry in entries]
    plans = [n for n, entry in enumerate(told) if isinstance(entry.event, PlanMade)]
    parts: list[list[Message]] = []
    for end in (*plans[1:], len(told)):
        part = planning.conversation(session_id, told[:end], profile)
        if parts and part[: len(parts[-1])] == parts[-1]:
            parts.pop()
        parts.append(part)
    replies = (entry.seq for entry in entries if isinstance(entry.event, PlanMade | StepReviewed))
    return [
        tuple(Turn(m.role, m.content, m.role == "assistant" and next(replies) not in unlearned) for m in part)
        for part in parts
    ]


def shows_what_is_used(conversation: Conversation) -> bool:
    """Whether every learned plan points only at statements and results that stand before it, or at its own steps.

    A journal may have been recorded under prompts that showed more than this profile's do."""
    seen: set[str] = set()
    for turn in conversation:
        if turn.role != "assistant":
            seen |= set(_NAMED.findall(turn.content))
            continue
        steps = json.loads(turn.content).get("steps", ())
        seen |= {f"r{step['id']}" for step in steps}
        if turn.learn and not seen.issuperset(use for step in steps for use in step["uses"]):
            return False
    return True


def _answer_by_name(session_id: str, entries: Sequence[Entry], entry: Entry) -> Entry:
    """A finishing review with its answer as `r3` where that is the value of the reviewed step, or else of the latest
    step with this value. The service puts the value there when it reads a reply; the navigator need not copy it."""
    event = entry.event
    if not isinstance(event, StepReviewed) or event.review.verdict is not Verdict.FINISH or event.review.answer is None:
        return entry
    session = fold(session_id, entries[: entry.seq - 1])
    usable = [s for s in session.steps if s.phase is not Phase.DROPPED and s.instantiations]
    same = [s.step.id for s in usable if s.instantiations[-1].result == event.review.answer]
    if not same:
        return entry
    name = f"r{event.step_id if event.step_id in same else same[-1]}"
    review = event.review.model_copy(update={"answer": name})
    return entry.model_copy(update={"event": event.model_copy(update={"review": review})})


def in_vain(session_id: str, entries: Sequence[Entry]) -> set[int]:
    """The entries (by seq) whose plan a revision gave up, and the retries that did not save their step."""
    session = fold(session_id, entries[:1])
    plan, retries = 0, list[tuple[int, int]]()
    planned_at: dict[int, int] = {}
    vain: set[int] = set()
    for entry in entries[1:]:
        after = advance(session, entry)
        match entry.event:
            case StepReviewed(step_id=step_id, review=review) if review.verdict is Verdict.RETRY:
                retries.append((entry.seq, step_id))
            case StepReviewed(review=review) if review.verdict is Verdict.REVISE:
                vain |= {plan, *(planned_at[step_id] for step_id in _dropped(after) - _dropped(session))}
        fresh = {s.step.id for s in after.steps} - planned_at.keys()
        if fresh:
            plan = entry.seq
            planned_at |= dict.fromkeys(fresh, entry.seq)
        session = after
    given_up = _dropped(session)
    return vain | {seq for seq, step_id in retries if step_id in given_up}


def _dropped(session: Session) -> set[int]:
    return {state.step.id for state in session.steps if state.phase is Phase.DROPPED}
