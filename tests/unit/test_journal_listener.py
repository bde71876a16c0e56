"""The one connection that listens for all who wait: however it breaks, nobody is harmed, and everybody is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionBroken

from navigator.journal.following import LOOK_AGAIN, Mailbox
from navigator.journal.listener import Listener

PATIENCE = 30.0
"""Only a test that fails waits so long."""

BREAKS = [
    ConnectionBroken("Connection closed by server."),
    RuntimeError("readuntil() called while another coroutine is already waiting for incoming data"),
    AttributeError("'NoneType' object has no attribute 'credential_provider'"),
]
"""What redis-py was seen to raise from a connection that broke while one task read it and another one wrote to it."""

Fate = Callable[[], BaseException | None]


class Connection:
    """A Pub/Sub connection that confirms what it is asked for, unless `fate` says how it breaks."""

    def __init__(self, on_change: Fate, on_read: Fate) -> None:
        self._on_change, self._on_read = on_change, on_read
        self._messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.names: set[str] = set()

    @property
    def subscribed(self) -> bool:
        return bool(self.names)

    async def subscribe(self, *names: str) -> None:
        await asyncio.sleep(0)
        if error := self._on_change():
            raise error
        self.names.update(names)
        for name in names:
            self._messages.put_nowait({"type": "subscribe", "channel": name, "data": ""})

    async def unsubscribe(self, name: str) -> None:
        self.names.discard(name)

    async def get_message(self, timeout: float) -> dict[str, str] | None:  # noqa: ASYNC109  as redis-py has it
        message = await self._messages.get()
        if error := self._on_read():
            raise error
        return message


class Server:
    """Gives out connections, of which the first breaks at its second change, or at the second thing that it reads."""

    def __init__(self, error: Exception, where: str) -> None:
        self.opened: list[Connection] = []
        self._error, self._where = error, where

    @asynccontextmanager
    async def pubsub(self) -> AsyncIterator[Connection]:
        first = not self.opened
        fates = {where: self._fate(first and where == self._where) for where in ("change", "read")}
        self.opened.append(Connection(fates["change"], fates["read"]))
        yield self.opened[-1]

    def _fate(self, breaks: bool) -> Fate:
        left = iter([None, self._error] if breaks else [])
        return lambda: next(left, None)


@pytest.mark.parametrize("where", ["change", "read"])
@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
async def test_a_connection_that_breaks_in_any_way_is_replaced_and_all_are_told_to_look_again(
    error: Exception, where: str
) -> None:
    server = Server(error, where)
    listener = Listener(cast("Redis[Any]", server))
    first, second = Mailbox(deltas=True), Mailbox(deltas=True)
    async with asyncio.timeout(PATIENCE), listener.listening("a", first, PATIENCE):
        assert await first.take(PATIENCE) == LOOK_AGAIN
        async with listener.listening("b", second, PATIENCE):
            assert server.opened[-1].names == {"a", "b"}
            assert len(server.opened) == 2
            assert await first.take(PATIENCE) == LOOK_AGAIN
            assert await second.take(PATIENCE) == LOOK_AGAIN
    await listener.close()
