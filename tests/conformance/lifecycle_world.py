"""A navigator over HTTP on a real Redis, whose executor holds a step back until it is told to let go.

The service runs in a thread of its own, so that tests ask it as any client does: over a socket, without its event loop.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import redis
from cutting_proxy import CuttingProxy

from navigator.access.keys import mint
from navigator.access.memory import MemoryKeys
from navigator.journal import RedisJournal
from navigator.testing import is_review, on_fakes, plan, review, step
from reasonflux.contracts import InstantiateRequest
from reasonflux.testing.fake_engine import Call
from reasonflux.testing.serving import served

T = TypeVar("T")

PATIENCE = 20.0
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


class World:
    """The running service, and the ways of the world that a test has in hand."""

    def __init__(self, url: str, prefix: str, proxy: CuttingProxy, gates: Gates, keys: MemoryKeys, line: Any) -> None:
        self.url, self.prefix, self.gates = url, prefix, gates
        self._proxy, self._keys, self._line = proxy, keys, line
        self.redis: redis.Redis = redis.Redis(host="127.0.0.1", port=proxy._port, decode_responses=True)

    def on_the_loop(self, call: Callable[[], T]) -> T:
        async def do() -> T:
            return call()

        return self._wait(do())

    def client(self, tenant: str) -> httpx.Client:
        """A client with a key of this tenant."""
        key, record = mint(tenant, datetime.now(UTC))
        self._wait(self._keys.keep(record))
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE)

    def hold(self, name: str) -> None:
        self.on_the_loop(lambda: self.gates.add(name))

    def let_go(self, name: str) -> None:
        self.on_the_loop(lambda: self.gates.open(name))

    def lose_a_reply(self) -> None:
        """The next reply of Redis never arrives."""
        self.on_the_loop(lambda: setattr(self._proxy, "cut_next_reply", True))

    def let_retention_pass(self, session_id: str) -> None:
        """What is kept of the session runs out, as if its time had passed. Everything that names it must run out."""
        root = f"{self.prefix}:{{0}}:"
        idem = self.redis.hget(f"{root}session:{session_id}", "idem")
        for key in (f"{root}session:{session_id}", f"{root}events:{session_id}", *([root + idem] if idem else [])):
            assert self.redis.pttl(key) > 0, f"{key} is kept for ever"
            self.redis.pexpire(key, 0)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._line).result(PATIENCE)


@contextmanager
def world(redis_url: str, prefix: str) -> Iterator[World]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="navigator", daemon=True)
    thread.start()
    stack = AsyncExitStack()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60.0)

    async def opened() -> World:
        proxy = await stack.enter_async_context(CuttingProxy(urlsplit(redis_url).port or 6379))
        journal = RedisJournal(proxy.url, prefix=prefix, safety_read=0.2)
        stack.push_async_callback(journal.close)
        gates, keys = Gates(), MemoryKeys()
        app = on_fakes(_reply, gates, journal=journal, keys=keys, access="keys", workers=WORKERS)
        url = await stack.enter_async_context(served(app))
        return World(url, prefix, proxy, gates, keys, loop)

    try:
        found = wait(opened())
        yield found
        found.redis.close()
    finally:
        wait(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10.0)
        loop.close()
