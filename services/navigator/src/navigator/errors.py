"""The navigator's errors, one tree, mapped to an HTTP status once (in `reasonflux.service`).

ReasonFluxError
└── NavigatorError
    ├── SessionNotFound       no such session
    ├── SessionExists         a session of this id has been created before
    ├── IdempotencyConflict   the idempotency key was used for another request
    ├── CursorExpired         the cursor points at nothing that this journal holds
    ├── LeaseLost             the claim is void: another worker, a cancellation or the end came first
    ├── JournalCorrupt        the entries do not tell a session: one is missing, doubled or out of order
    ├── ReplyUnusable         the navigator LLM's reply is no plan or review that can be carried out
    ├── TokensSpent           the last tokens of the budget cut the navigator LLM's reply short
    ├── CommitConflict        the position to append at is taken: read the journal again
    └── JournalUnavailable    Redis does not answer; whether the call took effect is unknown
"""

from reasonflux.contracts import FailureKind
from reasonflux.errors import ReasonFluxError


class NavigatorError(ReasonFluxError):
    """Base of everything that the navigator raises on purpose."""


class SessionNotFound(NavigatorError):
    kind = FailureKind.NOT_FOUND


class SessionExists(NavigatorError):
    kind = FailureKind.CONFLICT


class IdempotencyConflict(NavigatorError):
    kind = FailureKind.CONFLICT


class CursorExpired(NavigatorError):
    kind = FailureKind.EXPIRED


class LeaseLost(NavigatorError):
    """Stop working on the session and write nothing more; never shown to a client."""

    kind = FailureKind.CONFLICT


class CommitConflict(NavigatorError):
    kind = FailureKind.CONFLICT


class JournalUnavailable(NavigatorError):
    kind = FailureKind.SERVICE_UNAVAILABLE
    retryable = True


class JournalCorrupt(NavigatorError):
    kind = FailureKind.INTERNAL


class TokensSpent(NavigatorError):
    kind = FailureKind.BUDGET_EXHAUSTED


class ReplyUnusable(NavigatorError):
    """The message says what is wrong in words that the LLM can act on."""

    kind = FailureKind.UNPARSABLE_REPLY


def no_such_session(session_id: str) -> SessionNotFound:
    """In the same words for one that is another tenant's."""
    hint = "it may have expired, or belong to another key"
    return SessionNotFound(f"There is no session {session_id}.", hint=hint)
