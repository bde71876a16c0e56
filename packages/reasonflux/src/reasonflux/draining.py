"""Leaving in good order: a service that is told to stop first finishes what it has begun.

SIGTERM → not ready, and each answer asks for its connection to be closed → what is under way finishes, for at most
`patience` seconds → whatever SIGTERM did before (uvicorn's own shutdown). A second SIGTERM ends the waiting.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Finish = Callable[[], Awaitable[None]]
"""Begins nothing new, and returns when what was begun is done."""

_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})

log = structlog.get_logger("reasonflux")


class Drain:
    """What a process still has to do before it may leave, and whether it has been told to."""

    def __init__(self, patience: float = 10.0) -> None:
        self.patience = patience
        self.told = asyncio.Event()
        self._finishing: list[Finish] = []
        self._answers = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @contextmanager
    def before_leaving(self, finish: Finish) -> Iterator[None]:
        """Inside, the process does not leave before `finish` has returned, or its patience is over."""
        self._finishing.append(finish)
        try:
            yield
        finally:
            self._finishing.remove(finish)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Inside, a request is being answered."""
        self._answers += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._answers -= 1
            if not self._answers:
                self._quiet.set()

    async def leave(self) -> None:
        """Take nothing more on, and return when all that was begun is done or the patience is over."""
        self.told.set()
        log.info("leaving", patience=self.patience, answers=self._answers)
        try:
            async with asyncio.timeout(self.patience):
                await asyncio.gather(*(finish() for finish in self._finishing))
                await self._quiet.wait()
        except TimeoutError:
            log.warning("left before everything was finished", answers=self._answers)
        except Exception:  # whatever is wrong, the process still has to leave
            log.exception("could not finish in good order")

    @asynccontextmanager
    async def on_sigterm(self) -> AsyncIterator[None]:
        """Inside, SIGTERM means `leave`, and only then what it meant before. Outside the main thread: no change."""
        before = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield  # no server has asked for the signal: there is nobody to hand it on to
            return
        leaving: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()

        def hand_on(*_: object) -> None:
            # Back in its place first: who looks at the handler (sse-starlette does) sees the server that stops.
            signal.signal(signal.SIGTERM, before)
            before(signal.SIGTERM, None)

        def begin() -> None:
            if leaving:
                hand_on()
                return
            task = asyncio.create_task(self.leave(), name="leaving")
            task.add_done_callback(lambda _: hand_on() if signal.getsignal(signal.SIGTERM) is told else None)
            leaving.add(task)

        def told(_: int, __: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin)

        signal.signal(signal.SIGTERM, told)
        try:
            yield
        finally:
            for task in leaving:
                task.cancel()
            if signal.getsignal(signal.SIGTERM) is told:
                signal.signal(signal.SIGTERM, before)


class AnswersCounted:
    """ASGI middleware: tells the drain of each request, and ends kept-alive connections once the process leaves.

    A client that keeps its connection would go on asking a process which no longer stands behind its Service.
    """

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return

        async def reply(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.told.is_set():
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        with self._drain.answering():
            await self._app(scope, receive, reply)
