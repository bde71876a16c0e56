"""An action under way: its task, and what it has cost so far, for the case that a change of plan stops it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from navigator.session import usage_of
from reasonflux.contracts import Event, Tokens, Usage

SILENCE_SECONDS = 0.1
"""How long a session that nobody followed is taken to be followed by nobody."""


class Meter:
    """Hears what an action's engine calls cost while they run. `told` is called with every new count."""

    def __init__(self) -> None:
        self.spent = Usage()
        self.told: Callable[[Usage], None] | None = None

    async def navigator(self, tokens: Tokens) -> None:
        self._count(Usage(navigator=tokens))

    async def executor(self, tokens: Tokens) -> None:
        self._count(Usage(executor=tokens))

    def _count(self, spent: Usage) -> None:
        self.spent = spent
        if self.told is not None:
            self.told(spent)

    def at_least(self, told: Usage) -> Usage:
        """What is known of the cost: an engine that tells no running count is only heard at the end of a call."""
        return max(self.spent, told, key=lambda usage: usage.all.total)


class Silence:
    """Where nobody listened a moment ago nobody is told again at once: most sessions are followed by nobody."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._until = clock, 0.0

    def lasts(self) -> bool:
        return self._clock() < self._until

    def note(self, *, heard: bool) -> bool:
        self._until = 0.0 if heard else self._clock() + SILENCE_SECONDS
        return heard


class LiveText:
    """An action's text on its way to those who follow. An engine never waits for them: what it says while one piece
    is being sent goes with the next. What nobody heard is kept for whoever comes, and tried again after a pause.
    Leaving the context sends the rest, where anybody listens; a cancelled action says no more. `held`: the text waits
    until it is released, or for ever.
    """

    def __init__(
        self, send: Callable[[str, bool], Awaitable[bool]], *, held: bool = False, pause: float = SILENCE_SECONDS
    ) -> None:
        self._send, self._held, self._pause = send, held, pause
        self._text, self._void = "", False
        self._over = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def say(self, text: str) -> None:
        self._text += text
        self._go_on()

    async def start_over(self) -> None:
        """What has been said so far is void."""
        self._text, self._void = "", True
        self._go_on()

    def release(self) -> None:
        if self._held:
            self._held = False
            self._go_on()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._over.set()
        if self._held:  # its outcome will tell it all, if it ever counts
            self._text, self._void = "", False
        if self._sending is not None:
            if kind is asyncio.CancelledError:
                self._sending.cancel()
            await asyncio.wait((self._sending,))

    def _go_on(self) -> None:
        if not self._held and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._text or self._void:
            text, void, self._text, self._void = self._text, self._void, "", False
            heard = await self._send("", True) if void else True
            if text and heard:
                heard = await self._send(text, False)
            if heard:
                continue
            if not self._void:  # else it started over meanwhile
                self._text, self._void = text + self._text, void
            if not await self._goes_on():
                return

    async def _goes_on(self) -> bool:
        """After a pause, or as soon as the action ends: then its outcome tells it all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._over.wait()
        return not self._over.is_set()


@dataclass(frozen=True)
class Work:
    task: "asyncio.Task[Event]"
    live: LiveText
    meter: Meter = field(default_factory=Meter)

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before its end."""
        return self.task.cancelled() or self.task.cancelling() > 0

    def stop(self) -> Usage:
        """Stop it. Returns what it has cost."""
        if self.task.done() and not self.task.cancelled() and self.task.exception() is None:
            return usage_of(self.task.result())
        self.task.cancel()
        return self.meter.spent
