"""A session is the fold of its journal. Pure: no clock, no network, no randomness.

`fold(entries)` reads a journal from its first entry. `advance(session, entry)` adds one entry; it is the only place
where an event changes anything, and it accepts every order of events that the runner can produce.
"""

from collections.abc import Callable, Iterable
from typing import Any

from navigator.errors import JournalCorrupt
from reasonflux.contracts import (
    ActionDropped,
    ActionFailed,
    ActionKind,
    Entry,
    Event,
    Outcome,
    Phase,
    PlanMade,
    Review,
    Session,
    SessionFinished,
    SessionStarted,
    Step,
    StepInstantiated,
    StepRestarted,
    StepRetrieved,
    StepReviewed,
    StepState,
    Usage,
    Verdict,
)

Change = dict[str, Any]


def fold(session_id: str, entries: Iterable[Entry]) -> Session:
    """The session that a journal tells. Raises JournalCorrupt when entries are missing, doubled or out of order."""
    session: Session | None = None
    for entry in entries:
        session = _begin(session_id, entry) if session is None else advance(session, entry)
    if session is None:
        raise JournalCorrupt(f"the journal of session {session_id} is empty")
    return session


def advance(session: Session, entry: Entry) -> Session:
    """The session after one more entry."""
    if entry.seq != session.last_seq + 1:
        raise JournalCorrupt(
            f"session {session.id} is at entry {session.last_seq}, entry {entry.seq} does not follow it"
        )
    if session.finished:
        raise JournalCorrupt(f"session {session.id} is finished; entry {entry.seq} comes too late")
    change = _CHANGES[type(entry.event)](session, entry.event)
    return session.model_copy(update={**change, "last_seq": entry.seq, "updated_at": entry.at})


def action_key(action: ActionKind, step_id: int | None = None) -> str:
    """The name under which failed tries of an action are counted."""
    return action.value if step_id is None else f"{action.value}:{step_id}"


def _begin(session_id: str, entry: Entry) -> Session:
    event = entry.event
    if entry.seq != 1 or not isinstance(event, SessionStarted):
        raise JournalCorrupt(f"the journal of session {session_id} does not begin with session.started")
    return Session(
        id=session_id,
        problem=event.problem,
        options=event.options,
        delivery=event.delivery,
        parent=event.parent,
        turns=event.turns,
        instructions=event.instructions,
        metadata=event.metadata,
        started_at=entry.at,
        updated_at=entry.at,
    )


def _planned(session: Session, event: PlanMade) -> Change:
    fresh = tuple(StepState(step=step, since=session.last_seq + 1) for step in event.trajectory.steps)
    return {
        "abstraction": session.abstraction or event.trajectory.abstraction,
        "steps": session.steps + fresh,
        "done": tuple(dict.fromkeys((*session.done, *event.trajectory.done))),
        "complete": event.trajectory.complete,
        "reply": event.trajectory.reply,
        "usage": session.usage + Usage(navigator=event.usage),
        # Tries are counted up to a success: a deep problem is planned many times.
        "failures": {key: count for key, count in session.failures.items() if key != action_key(ActionKind.PLAN)},
    }


def _retrieved(session: Session, event: StepRetrieved) -> Change:
    return _with_step(session, event.step_id, phase=Phase.RETRIEVED, retrieval=event.retrieval)


def _instantiated(session: Session, event: StepInstantiated) -> Change:
    """Without review a result stands as it is."""
    accepted = not session.options.review and event.instantiation.failure is None
    tries = (*_step(session, event.step_id).instantiations, event.instantiation)
    phase = Phase.DONE if accepted else Phase.INSTANTIATED
    return {
        **_with_step(session, event.step_id, phase=phase, instantiations=tries),
        "rounds": session.rounds + 1,
        "usage": session.usage + Usage(executor=event.instantiation.usage),
    }


def _reviewed(session: Session, event: StepReviewed) -> Change:
    review, state = event.review, _step(session, event.step_id)
    phase = {
        Verdict.CONTINUE: Phase.DONE,
        Verdict.FINISH: Phase.DONE,
        Verdict.RETRY: Phase.RETRIEVED,
        # A revision keeps a good result and drops what failed.
        Verdict.REVISE: Phase.DONE if state.instantiations[-1].result is not None else Phase.DROPPED,
    }[review.verdict]
    change = _with_step(session, event.step_id, phase=phase, reviews=(*state.reviews, review))
    change["usage"] = session.usage + Usage(navigator=event.usage)
    if review.verdict is Verdict.REVISE:
        change |= _revised(session, change["steps"], review)
    if review.verdict is Verdict.FINISH:
        change |= {"answer": review.answer, "explanation": review.reason, "complete": True}
    return change


def _revised(session: Session, steps: tuple[StepState, ...], review: Review) -> Change:
    """The remainder takes the place of every step that is not done."""
    assert review.remainder is not None
    kept = tuple(s if s.phase is Phase.DONE else s.model_copy(update={"phase": Phase.DROPPED}) for s in steps)
    fresh = tuple(StepState(step=step, since=session.last_seq + 1) for step in review.remainder.steps)
    return {
        "steps": kept + fresh,
        "complete": review.remainder.complete,
        "revisions": session.revisions + 1,
    }


def _failed(session: Session, event: ActionFailed) -> Change:
    key = action_key(event.action, event.step_id)
    return {
        "failures": {**session.failures, key: session.failures.get(key, 0) + 1},
        "last_failure": event.failure,
        "usage": session.usage + event.usage,
    }


def _dropped(session: Session, event: ActionDropped) -> Change:
    lost = event.usage.all.total if event.ahead else 0
    return {"usage": session.usage + event.usage, "speculated": session.speculated + lost}


def _restarted(session: Session, event: StepRestarted) -> Change:
    return {}


def _finished(session: Session, event: SessionFinished) -> Change:
    return {
        "outcome": event.outcome,
        "answer": event.answer if event.outcome is Outcome.SOLVED else None,
        "explanation": event.explanation or session.explanation,
        "last_failure": event.failure or session.last_failure,
    }


def _refused(session: Session, event: Event) -> Change:
    raise JournalCorrupt(f"session {session.id} was started twice")


_CHANGES: dict[type, Callable[[Session, Any], Change]] = {
    SessionStarted: _refused,
    PlanMade: _planned,
    StepRetrieved: _retrieved,
    StepInstantiated: _instantiated,
    StepReviewed: _reviewed,
    ActionFailed: _failed,
    ActionDropped: _dropped,
    StepRestarted: _restarted,
    SessionFinished: _finished,
}


def _with_step(session: Session, step_id: int, **changes: Any) -> Change:
    """One step changed. A dropped step stays dropped: its work may have been under way when the plan changed."""
    state = _step(session, step_id)
    if state.phase is Phase.DROPPED:
        changes["phase"] = Phase.DROPPED
    changed = state.model_copy(update={**changes, "since": session.last_seq + 1})
    return {"steps": tuple(changed if s is state else s for s in session.steps)}


def _step(session: Session, step_id: int) -> StepState:
    try:
        return session.step(step_id)
    except KeyError as missing:
        raise JournalCorrupt(f"session {session.id} has no step {step_id}") from missing


def next_step_id(session: Session) -> int:
    """The first step id that was never used in this session."""
    return max((state.step.id for state in session.steps), default=0) + 1


def live_steps(session: Session) -> tuple[Step, ...]:
    """The steps of the trajectory as it stands now."""
    return tuple(state.step for state in session.steps if state.phase is not Phase.DROPPED)


def usage_of(event: Event) -> Usage:
    """The tokens that an event adds to its session's usage."""
    match event:
        case PlanMade() | StepReviewed():
            return Usage(navigator=event.usage)
        case StepInstantiated():
            return Usage(executor=event.instantiation.usage)
        case ActionFailed() | ActionDropped():
            return event.usage
    return Usage()
