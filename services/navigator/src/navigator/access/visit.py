"""One request's way through the house: who asks, and what they may see and start."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from navigator.access.gate import Gate, refused
from navigator.access.keys import Caller
from navigator.access.limits import Standing, estimated_tokens
from navigator.errors import SessionNotFound, no_such_session
from navigator.ports import Journal
from navigator.session import fold
from reasonflux.contracts import Delta, Entry, SessionStarted


class Visit:
    """A caller at the gate. `standing` is where they stand with their limits, once work has been asked for."""

    def __init__(self, caller: Caller, gate: Gate) -> None:
        self.caller, self._gate = caller, gate
        self.standing = Standing()

    async def enter(self, work_id: str, tokens: int, seconds: float) -> None:
        """Begin work. Raises RateLimited, Overloaded."""
        self.standing, refusal = await self._gate.enter(self.caller, work_id, tokens, seconds)
        if refusal is not None:
            raise refused(refusal)

    async def leave(self, work_id: str, tokens: int) -> None:
        await self._gate.leave(work_id, tokens)

    def left(self, work_id: str, tokens: int) -> None:
        """`leave`, without waiting for it."""
        self._gate.left(work_id, tokens)


class TenantsSessions:
    """A `navigator.ports.Sessions`: the journal as one caller's tenant sees it.

    Endpoints are given this instead of the journal, so that none of them can reach the session of another tenant.
    """

    def __init__(self, journal: Journal, visit: Visit) -> None:
        self._journal, self._visit = journal, visit
        self._tenant = visit.caller.tenant
        self._own: set[str] = set()

    async def create(
        self, session_id: str, first: SessionStarted, *, idempotency_key: str | None = None, fingerprint: str = ""
    ) -> str:
        """Passes the gate first. A repeated request is not work: it is neither counted nor refused."""
        if idempotency_key is not None:
            known = await self._journal.started_before(self._tenant, idempotency_key, fingerprint)
            if known is not None:
                self._own.add(known)
                return known
        await self._visit.enter(session_id, estimated_tokens(first), first.options.budget.seconds)
        created = ""
        try:
            created = await self._journal.create(
                session_id, first, tenant=self._tenant, idempotency_key=idempotency_key, fingerprint=fingerprint
            )
        finally:
            if created != session_id:  # it failed, or a twin of this request was faster
                self._visit.left(session_id, 0)
        self._own.add(created)
        return created

    async def cancel(self, session_id: str) -> bool:
        await self._check(session_id)
        return await self._journal.cancel(session_id)

    async def read(self, session_id: str, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        await self._check(session_id)
        return await self._journal.read(session_id, after, limit)

    async def follow(
        self, session_id: str, after: int = 0, *, deltas: bool = False
    ) -> AsyncGenerator[Entry | Delta, None]:
        await self._check(session_id)
        async with aclosing(self._journal.follow(session_id, after, deltas=deltas)) as items:
            async for item in items:
                yield item

    async def ended(self, session_id: str) -> None:
        await self._check(session_id)
        await self._journal.ended(session_id)

    @asynccontextmanager
    async def attending(self, session_id: str) -> AsyncIterator[None]:
        await self._check(session_id)
        async with self._journal.attending(session_id):
            yield

    async def leave(self, session_id: str) -> int:
        await self._check(session_id)
        return await self._journal.leave(session_id)

    async def list(self, *, limit: int = 50, before: str | None = None) -> tuple[str, ...]:
        return await self._journal.list(self._tenant, limit, before)

    async def delete(self, session_id: str) -> None:
        await self._check(session_id)
        spent = 0
        with suppress(SessionNotFound):  # deleted meanwhile: the deletion below says so
            spent = fold(session_id, await self._journal.read(session_id)).usage.all.total
        await self._journal.delete(session_id)
        await self._visit.leave(session_id, spent)

    async def _check(self, session_id: str) -> None:
        """Raises SessionNotFound, in the same words, for a session of another tenant and for one that is not there."""
        if session_id in self._own:
            return
        if await self._journal.tenant_of(session_id) != self._tenant:
            raise no_such_session(session_id)
        self._own.add(session_id)
