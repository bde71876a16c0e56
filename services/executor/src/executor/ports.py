"""What the executor needs from the world. Adapters: reasonflux.engine.OpenAIEngine, calculator.Calculator."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from reasonflux.contracts import Calculation, InstantiateEvent
from reasonflux.engine import Engine as Engine

Emit = Callable[[InstantiateEvent], Awaitable[None]]
"""Receives what a reader of the stream sees, while it happens."""


class Calculator(Protocol):
    async def evaluate(self, statements: Sequence[str], names: Mapping[str, str] = ...) -> tuple[Calculation, ...]:
        """Exact values in order, up to the first error, which is the last one returned; never raises for bad input."""
        ...
