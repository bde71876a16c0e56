"""Following a session for a client that waits: through outages of the journal, and until the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request

from navigator.errors import JournalUnavailable
from navigator.ports import Sessions
from reasonflux.contracts import Delta, Entry
from reasonflux.observing import logger

T = TypeVar("T")

OUTAGES = 20
"""Outages in a row until a follower gives up: about half a minute, plus the journal's own tries."""


async def follow(
    journal: Sessions,
    session_id: str,
    after: int = 0,
    *,
    deltas: bool = False,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[Entry | Delta, None]:
    """`follow` of the journal, resumed after outages: the session runs on meanwhile, so nobody need hear of them."""
    outages = 0
    while True:
        try:
            async with aclosing(journal.follow(session_id, after, deltas=deltas)) as items:
                async for item in items:
                    if isinstance(item, Entry):
                        after, outages = item.seq, 0
                    yield item
                return
        except JournalUnavailable as error:
            outages += 1
            if outages >= OUTAGES:
                raise
            logger.warning("following again", session=session_id, after=after, reason=str(error))
            await sleep(min(2.0, 0.05 * 2.0**outages))


async def persist(call: Callable[[], Awaitable[T]], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> T:
    """What the call gives, tried again while the journal is away."""
    for outage in range(1, OUTAGES):
        try:
            return await call()
        except JournalUnavailable:
            await sleep(min(2.0, 0.05 * 2.0**outage))
    return await call()


async def _unheard() -> None:
    """Nobody has to know."""


async def unless_left(
    request: Request, work: Coroutine[Any, Any, T], left: Callable[[], Awaitable[None]] = _unheard
) -> T | None:
    """What the work gives; None when the client left first: then `left` is told, and the work is stopped."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        await left()
        return None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait((working, leaving))  # not gathered: a second cancellation must not reach them


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
