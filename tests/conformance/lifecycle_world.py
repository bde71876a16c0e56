"""A navigator over HTTP, in memory or on a real Redis, whose executor holds a step back until it is told to let go.

The service runs in a thread of its own, so that tests ask it as any client does: over a socket, without its event loop.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
import redis
from cutting_proxy import CuttingProxy

from navigator.access.keys import mint
from navigator.access.memory import MemoryKeys
from navigator.journal import MemoryJournal, RedisJournal
from navigator.ports import Journal
from navigator.testing import is_review, on_fakes, plan, review, step
from reasonflux.contracts import InstantiateRequest
from reasonflux.testing.fake_engine import Call
from reasonflux.testing.serving import served

T = TypeVar("T")

PATIENCE = 20.0
LEASE_SECONDS = 1.0
"""What it costs when Redis has given a session to a worker and the reply is lost."""
WORKERS = 64
"""More than sessions that are held back at a time: nothing waits for a worker."""


class Gates:
    """Problems whose text names a gate wait there."""

    def __init__(self) -> None:
        self._open: dict[str, asyncio.Event] = {}
        self._reached: dict[str, threading.Event] = {}

    def add(self, name: str) -> None:
        self._open[name], self._reached[name] = asyncio.Event(), threading.Event()

    def open(self, name: str) -> None:
        self._open[name].set()

    def wait(self, name: str) -> None:
        """Return when a step has come to the gate: nothing more is committed then until it is opened."""
        assert self._reached[name].wait(PATIENCE), f"no step has come to {name}"

    async def __call__(self, request: InstantiateRequest) -> str:
        text = " ".join(statement.text for statement in request.statements)
        for name in [name for name in self._open if name in text.split()]:
            self._reached[name].set()
            await self._open[name].wait()
        return "7"


def _reply(call: Call) -> str:
    return review("finish", answer="r1") if is_review(call) else plan(step("add", "s1"))


class Fate(Protocol):
    """What becomes of a journal without anybody asking for it."""

    def lose_a_reply(self) -> None:
        """The next reply of what keeps the journal never arrives."""
        ...

    def let_retention_pass(self, session_id: str) -> None:
        """What is kept of the session runs out, as if its time had passed."""
        ...


class OfMemory:
    """Nothing comes between a process and its memory."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    def lose_a_reply(self) -> None:
        return None

    def let_retention_pass(self, session_id: str) -> None:
        record = self._journal._records[session_id]
        assert record.expires is not None, "it is kept for ever"
        record.expires = 0


class OfRedis:
    def __init__(self, url: str, prefix: str, proxy: CuttingProxy) -> None:
        self._prefix, self._proxy = prefix, proxy
        self._redis: redis.Redis = redis.Redis.from_url(url, decode_responses=True)

    def lose_a_reply(self) -> None:
        self._proxy.cut_next_reply = True

    def let_retention_pass(self, session_id: str) -> None:
        """Everything that names the session must run out."""
        root = f"{self._prefix}:{{0}}:"
        idem = self._redis.hget(f"{root}session:{session_id}", "idem")
        for key in (f"{root}session:{session_id}", f"{root}events:{session_id}", *([root + idem] if idem else [])):
            assert self._redis.pttl(key) > 0, f"{key} is kept for ever"
            self._redis.pexpire(key, 0)

    def close(self) -> None:
        self._redis.close()


class World:
    """The running service, and the ways of the world that a test has in hand."""

    def __init__(self, url: str, fate: Fate, gates: Gates, keys: MemoryKeys, line: "Line") -> None:
        self.url, self.gates = url, gates
        self._fate, self._keys, self._line = fate, keys, line

    def client(self, tenant: str) -> httpx.Client:
        """A client with a key of this tenant."""
        key, record = mint(tenant, datetime.now(UTC))
        self._line.wait(self._keys.keep(record))
        fresh = httpx.Limits(max_keepalive_connections=0)  # one kept alive may be closed just when it is used again
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, limits=fresh)

    def hold(self, name: str) -> None:
        self._line.call(lambda: self.gates.add(name))

    def let_go(self, name: str) -> None:
        self._line.call(lambda: self.gates.open(name))

    def lose_a_reply(self) -> None:
        self._line.call(self._fate.lose_a_reply)

    def let_retention_pass(self, session_id: str) -> None:
        self._line.call(lambda: self._fate.let_retention_pass(session_id))


class Line:
    """Into the event loop of the service, which runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="navigator", daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(3 * PATIENCE)

    def call(self, function: Callable[[], T]) -> T:
        async def do() -> T:
            return function()

        return self.wait(do())

    def close(self) -> None:
        self.wait(self._left_over_ended())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10.0)
        self.loop.close()

    async def _left_over_ended(self) -> None:
        """What is left of cut connections goes with the loop."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@contextmanager
def in_memory() -> Iterator[World]:
    """A world that forgets all when its process ends."""
    journal = MemoryJournal()
    with _running(Line()) as (line, stack):
        yield line.wait(_world(stack, line, journal, OfMemory(journal)))


@contextmanager
def on_redis(url: str, prefix: str) -> Iterator[World]:
    """A world whose journal stands in Redis, behind a line that can lose replies."""

    async def opened(line: Line, stack: AsyncExitStack) -> World:
        proxy = await stack.enter_async_context(CuttingProxy(urlsplit(url).port or 6379))
        journal = RedisJournal(proxy.url, prefix=prefix, safety_read=0.2)
        stack.push_async_callback(journal.close)
        fate = OfRedis(url, prefix, proxy)
        stack.callback(fate.close)
        return await _world(stack, line, journal, fate)

    with _running(Line()) as (line, stack):
        yield line.wait(opened(line, stack))


@contextmanager
def _running(line: Line) -> Iterator[tuple[Line, AsyncExitStack]]:
    stack = AsyncExitStack()
    try:
        yield line, stack
    finally:
        line.wait(stack.aclose())
        line.close()


async def _world(stack: AsyncExitStack, line: Line, journal: Journal, fate: Fate) -> World:
    gates, keys = Gates(), MemoryKeys()
    app = on_fakes(
        _reply,
        gates,
        journal=journal,
        keys=keys,
        access="keys",
        workers=WORKERS,
        navigator_lease_seconds=LEASE_SECONDS,
    )
    return World(await stack.enter_async_context(served(app)), fate, gates, keys, line)
