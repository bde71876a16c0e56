"""The gate that work passes before it begins, and passes again when it has ended."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from navigator.access.keys import Caller
from navigator.access.limits import Ask, Limits, Reason, Refusal, Room, Standing
from navigator.access.metrics import AccessMetrics
from navigator.access.ports import Admission, Keys
from navigator.errors import JournalUnavailable
from reasonflux.contracts import Session, Usage
from reasonflux.errors import Overloaded, RateLimited, ReasonFluxError
from reasonflux.observing import logger

SLACK_SECONDS = 5.0
"""After its deadline work has ended, or is being ended: then its place is free whatever happened to its worker."""

LOOKS_AGAIN = (0.05, 0.2)
"""A client learns of a session's end a moment before the place is free; its next session must not be refused."""

_SAYS: dict[Reason, tuple[str, str]] = {
    "requests": ("the limit of requests a minute is reached", "come back after Retry-After"),
    "tokens": ("the limit of tokens a minute is reached", "come back after Retry-After, or ask for less effort"),
    "sessions": ("the limit of sessions at a time is reached", "wait for one to end, or cancel one"),
    "room": ("there is no room for more work now", "come back after Retry-After"),
}


class Gate:
    """Lets work in. `defaults` are the limits of tenants that have none of their own.

    With no limits and `metered` false there is nothing to count, and nothing is asked.
    """

    def __init__(
        self,
        admission: Admission,
        keys: Keys,
        metrics: AccessMetrics,
        *,
        defaults: Limits,
        room: Room,
        metered: bool,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._admission, self._keys, self._metrics = admission, keys, metrics
        self._defaults, self._room, self._sleep = defaults, room, sleep
        self._counts = metered or defaults != Limits() or room != Room()
        self._closing: set[asyncio.Task[None]] = set()

    async def enter(self, caller: Caller, work_id: str, tokens: int, seconds: float) -> tuple[Standing, Refusal | None]:
        """Count the work as begun, or say why not. Raises JournalUnavailable."""
        if not self._counts:
            return Standing(), None
        own = await self._keys.limits(caller.tenant)
        limits = self._defaults if own is None else own.over(self._defaults)
        ask = Ask(id=work_id, tenant=caller.tenant, tokens=tokens, seconds=seconds + SLACK_SECONDS)
        room = self._room.share(limits.priority)
        verdict = await self._admission.admit(ask, limits, room)
        for pause in LOOKS_AGAIN:
            if verdict.refusal is None or verdict.refusal.reason != "sessions":
                break
            await self._sleep(pause)
            verdict = await self._admission.admit(ask, limits, room)
        if verdict.refusal is not None:
            self._metrics.refused(verdict.refusal.reason)
        return verdict.standing, verdict.refusal

    async def leave(self, work_id: str, tokens: int) -> None:
        """Count the work as ended. Never raises: what is not counted here frees its place when its time is over."""
        if not self._counts:
            return
        try:
            closed = await self._admission.close(work_id, tokens)
        except JournalUnavailable as error:
            logger.warning("place not given back", work=work_id, reason=str(error))
            return
        if closed is not None:
            self._metrics.spent(closed)

    async def charge(self, work_id: str, tokens: int) -> None:
        """The work has cost more than `leave` was or will be told. Never raises."""
        try:
            charged = await self._admission.charge(work_id, tokens)
        except JournalUnavailable as error:
            logger.warning("tokens not charged", work=work_id, tokens=tokens, reason=str(error))
            return
        if charged is not None:
            self._metrics.spent(charged)

    def lost(self, session_id: str, usage: Usage) -> None:
        """Work was stopped because its session ended meanwhile; `charge`, without waiting for it."""
        if self._counts and usage.all.total:
            self._soon(self.charge(session_id, usage.all.total))

    def ended(self, session: Session) -> None:
        """A session has ended; `leave`, without waiting for it."""
        self.left(session.id, session.usage.all.total)

    def left(self, work_id: str, tokens: int) -> None:
        """`leave`, without waiting for it."""
        if self._counts:
            self._soon(self.leave(work_id, tokens))

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def settle(self) -> None:
        """Return when everything that has ended is counted."""
        while self._closing:
            await asyncio.wait(tuple(self._closing))


def refused(refusal: Refusal) -> ReasonFluxError:
    """The refusal as an error that says what to do."""
    message, hint = _SAYS[refusal.reason]
    kind = Overloaded if refusal.reason == "room" else RateLimited
    return kind(message, hint=hint, retry_after=refusal.seconds)
