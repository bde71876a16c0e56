"""What the navigator needs from the world, as Protocols. Adapters implement them; app.py chooses."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from reasonflux.contracts import (
    Contract,
    Delta,
    Entry,
    Event,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    LibraryInfo,
    Prompt,
    SearchRequest,
    SearchResponse,
    SessionStarted,
    TemplateHistory,
    TemplatePage,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
)


class Claim(Contract):
    """The right to write to one session, until its lease runs out and somebody else claims it."""

    session_id: str
    epoch: int
    """The fence: it grows with every claim, and a write with an older one is refused."""
    owner: str
    attempts: int
    """Claims in a row without a commit in between, this one included."""
    at: datetime
    """When it was given, on the journal's clock."""
    taken_over: bool = False
    """Its last worker fell silent: the lease ran out instead of being given back."""


class Backlog(Contract):
    """What the journal holds at this moment, in the whole deployment."""

    waiting: int
    """Sessions that no worker carries on."""
    working: int
    """Sessions under a worker's lease."""
    oldest_wait: float
    """Seconds that the session which is free the longest has waited for a worker."""
    notices: int
    """Webhooks that are still to be told."""
    memory_used: int = 0
    memory_limit: int = 0
    """Bytes of the store; 0: unknown or without a limit."""


class Notice(Contract):
    """A webhook that is to be called now."""

    session_id: str
    tries: int
    """Calls that were begun, this one included."""


class Journal(Protocol):
    """Sessions as append-only lists of events, shared by many workers, each session written by one at a time.

    Every method may raise JournalUnavailable. After it, the call may or may not have taken effect: calling again is
    safe, and a commit that did take effect then raises CommitConflict.
    """

    async def create(
        self,
        session_id: str,
        first: SessionStarted,
        *,
        tenant: str = "default",
        idempotency_key: str | None = None,
        fingerprint: str = "",
    ) -> str:
        """Append `first` as entry 1 and make the session runnable; returns the session's id.

        The same tenant, key and fingerprint return the id of the session created earlier, and nothing is written;
        another fingerprint raises IdempotencyConflict. Ids are never used twice: SessionExists.
        """
        ...

    async def claim(self, owner: str, lease_seconds: float) -> Claim | None:
        """Take the session that has been free the longest; None when nothing is free.

        A session that was claimed too often without a commit is finished as failed instead of handed out.
        """
        ...

    async def renew(self, claim: Claim, lease_seconds: float) -> None:
        """Let the lease end `lease_seconds` from now. Raises LeaseLost when the claim is void."""
        ...

    async def commit(self, claim: Claim, expected_next: int, events: Sequence[Event]) -> tuple[Entry, ...]:
        """Append events at seq `expected_next`, all or none. A last `session.finished` ends the session.

        Raises LeaseLost when the claim is void, CommitConflict when the journal does not end right before
        `expected_next`. A lease that ran out but was taken by nobody still writes: nobody else could have written.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Give the session back at once; the claim is void from here on. Nothing happens when it was void already."""
        ...

    async def cancel(self, session_id: str) -> bool:
        """Finish the session as cancelled and fence its worker. False: already finished. Raises SessionNotFound."""
        ...

    async def read(self, session_id: str, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """The entries with seq > `after`, at most `limit`, in order. Raises SessionNotFound."""
        ...

    def follow(self, session_id: str, after: int = 0, *, deltas: bool = False) -> AsyncGenerator[Entry | Delta, None]:
        """Entries with seq > `after` as they are committed, without gap or repeat; ends after `session.finished`.

        With `deltas`, live text in between, best effort: never text of an epoch older than one already seen. Close it
        (`contextlib.aclosing`) when leaving early. Raises SessionNotFound, and CursorExpired when `after` lies beyond
        the journal's end.
        """
        ...

    async def ended(self, session_id: str) -> None:
        """Return once the session has finished or is gone: cheaper than to follow it."""
        ...

    def attending(self, session_id: str) -> AbstractAsyncContextManager[None]:
        """While it is open, a client follows the session, which every replica can know."""
        ...

    async def leave(self, session_id: str) -> int:
        """A client that attends is about to go, and says so once. Returns how many others stay: those of this process,
        and one for each other process that has any."""
        ...

    async def publish(self, session_id: str, delta: Delta) -> bool:
        """Show live text to those who follow now. Never stored, never raises. False: nobody heard it."""
        ...

    async def wake(self, seconds: float = 10.0) -> None:
        """Return once a claim may succeed, at the latest after `seconds`."""
        ...

    async def list(self, tenant: str = "default", limit: int = 50, before: str | None = None) -> tuple[str, ...]:
        """The tenant's session ids, newest first, older than session `before`. Raises CursorExpired when that is
        not one of the tenant's sessions (any more)."""
        ...

    async def started_before(self, tenant: str, idempotency_key: str, fingerprint: str) -> str | None:
        """The id of the session that this key started, if any. Raises IdempotencyConflict as `create` does."""
        ...

    async def tenant_of(self, session_id: str) -> str:
        """Whose session it is. Raises SessionNotFound."""
        ...

    async def delete(self, session_id: str) -> None:
        """Forget the session and fence its worker; its followers get SessionNotFound. Raises SessionNotFound."""
        ...

    async def end_overdue(self, grace: float) -> tuple[str, ...]:
        """Finish every running session whose deadline passed `grace` seconds ago, as unsolved; returns their ids."""
        ...

    async def due_notice(self, lease_seconds: float) -> Notice | None:
        """A finished session whose webhook is due. Unless it is settled it is due again after the lease, which
        doubles with every try."""
        ...

    async def settle_notice(self, session_id: str) -> None:
        """The webhook has been told, or is given up."""
        ...

    async def backlog(self) -> Backlog:
        """How much there is to do."""
        ...

    async def ping(self) -> None:
        """Return when the journal answers."""
        ...

    async def close(self) -> None:
        """Close what the journal opened."""
        ...


class Sessions(Protocol):
    """What a client may do with sessions: the journal as one tenant sees it. Sessions of others are not there."""

    async def create(
        self, session_id: str, first: SessionStarted, *, idempotency_key: str | None = None, fingerprint: str = ""
    ) -> str: ...

    async def cancel(self, session_id: str) -> bool: ...

    async def read(self, session_id: str, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]: ...

    def follow(
        self, session_id: str, after: int = 0, *, deltas: bool = False
    ) -> AsyncGenerator[Entry | Delta, None]: ...

    async def ended(self, session_id: str) -> None: ...

    def attending(self, session_id: str) -> AbstractAsyncContextManager[None]: ...

    async def leave(self, session_id: str) -> int: ...

    async def list(self, *, limit: int = 50, before: str | None = None) -> tuple[str, ...]: ...

    async def delete(self, session_id: str) -> None: ...


class TemplateStore(Protocol):
    """Where thought templates are found (the template-store service)."""

    async def search(self, request: SearchRequest) -> SearchResponse: ...

    async def get(self, template_id: str, *, library: str = "math") -> ThoughtTemplate: ...


class Libraries(Protocol):
    """Template libraries, to read (the template-store service)."""

    async def search(self, request: SearchRequest) -> SearchResponse: ...

    async def get(self, template_id: str, *, library: str = "math", revision: int | None = None) -> ThoughtTemplate: ...

    async def list(
        self,
        *,
        library: str = "math",
        field: str | None = None,
        type: TemplateType | None = None,
        tag: str | None = None,
        status: TemplateStatus | None = None,
        cursor: str = "",
        limit: int = 50,
    ) -> TemplatePage: ...

    async def history(self, template_id: str, *, library: str = "math") -> TemplateHistory: ...

    async def libraries(self) -> tuple[LibraryInfo, ...]: ...


class Executor(Protocol):
    """Who carries steps out (the executor service)."""

    async def instantiate(
        self, request: InstantiateRequest, on_event: Callable[[InstantiateEvent], Awaitable[None]] | None = None
    ) -> Instantiation: ...

    async def prompt(self, request: InstantiateRequest) -> Prompt: ...
