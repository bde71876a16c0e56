"""An action under way: its task, and what it has cost so far, for the case that a change of plan stops it."""

import asyncio
from dataclasses import dataclass, field

from navigator.session import usage_of
from reasonflux.contracts import Event, Tokens, Usage


class Meter:
    """Hears what an action's engine calls cost while they run."""

    def __init__(self) -> None:
        self.spent = Usage()

    async def navigator(self, tokens: Tokens) -> None:
        self.spent = Usage(navigator=tokens)

    async def executor(self, tokens: Tokens) -> None:
        self.spent = Usage(executor=tokens)

    def at_least(self, told: Usage) -> Usage:
        """What is known of the cost: an engine that tells no running count is only heard at the end of a call."""
        return max(self.spent, told, key=lambda usage: usage.all.total)


@dataclass(frozen=True)
class Work:
    task: "asyncio.Task[Event]"
    meter: Meter = field(default_factory=Meter)

    def stop(self) -> Usage:
        """Stop it. Returns what it has cost."""
        if self.task.done() and not self.task.cancelled() and self.task.exception() is None:
            return usage_of(self.task.result())
        self.task.cancel()
        return self.meter.spent
