"""What both journals write by themselves, and what they check before writing."""

from collections.abc import Sequence

from navigator.errors import IdempotencyConflict
from reasonflux.contracts import Event, Failure, FailureKind, Outcome, SessionFinished, StepRestarted

MAX_CLAIMS = 20
"""Claims in a row without progress before a session is given up: it takes its workers down."""


RETENTION_SECONDS = 30 * 86_400.0
"""How long a session is kept after its end, unless the deployment says otherwise."""


def overdue() -> SessionFinished:
    """The end of a session that nobody finished in time: it waited for a worker, or its worker hangs."""
    failure = Failure(
        kind=FailureKind.DEADLINE_EXCEEDED,
        message="the session's deadline passed before an answer was found",
        hint="ask again with a longer deadline (budget.seconds)",
    )
    return SessionFinished(outcome=Outcome.UNSOLVED, explanation=failure.message, failure=failure)


def key_reused() -> IdempotencyConflict:
    return IdempotencyConflict(
        "The idempotency key was used for a different request.", hint="Send a new key with a new request."
    )


def cancelled() -> SessionFinished:
    return SessionFinished(outcome=Outcome.CANCELLED, explanation="The session was cancelled.")


def given_up(claims: int) -> SessionFinished:
    """The end of a session whose workers all vanished before they could commit anything."""
    failure = Failure(
        kind=FailureKind.INTERNAL,
        message=f"{claims} workers in a row started on this session and stopped before they could record a step.",
        hint="Look at the navigator's logs around this session: its problem may crash a worker or outlast its lease.",
    )
    return SessionFinished(outcome=Outcome.FAILED, explanation=failure.message, failure=failure)


def ends_session(events: Sequence[Event]) -> bool:
    """Whether these events end their session. Raises ValueError for a list that no journal may hold."""
    if not events:
        raise ValueError("a commit needs at least one event")
    if any(isinstance(event, SessionFinished) for event in events[:-1]):
        raise ValueError("session.finished must be the last event of a session")
    return isinstance(events[-1], SessionFinished)


def makes_progress(events: Sequence[Event]) -> bool:
    """Whether anything but the takeover itself was committed."""
    return any(not isinstance(event, StepRestarted) for event in events)
