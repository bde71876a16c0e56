"""The engine as strategies use it: every call is metered and has its own seed."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from reasonflux.contracts import Contract, Tokens, Usage
from reasonflux.engine_port import Engine, Message, Reply
from reasonflux.errors import EngineError

T = TypeVar("T")


class Limits(Contract):
    """What every call of a run keeps to."""

    temperature: float = 0.7
    """Of everything that is sampled more than once; a single solution and every judgement are greedy."""
    max_tokens: int = 2048
    """Of a whole solution."""
    step_tokens: int = 512
    """Of one step."""
    timeout: float | None = None


class Meter:
    """What an attempt has spent and what happened to it, calls that failed or were stopped included."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.counts: Counter[str] = Counter()
        self.recorded_seconds = 0.0
        """Of solutions that an earlier run made: the longest, as if all had been made at once."""

    @property
    def tokens(self) -> Tokens:
        return self.usage.all

    def add(self, spent: Tokens | Usage) -> None:
        """Tokens are those of the engine that writes solutions: the executor's."""
        self.usage += spent if isinstance(spent, Usage) else Usage(executor=spent)


class Model:
    """One engine for one attempt. `branch` gives parts that run at the same time seeds of their own."""

    def __init__(self, engine: Engine, limits: Limits, seed: int, meter: Meter, path: str = "") -> None:
        self.limits = limits
        self.meter = meter
        self._engine = engine
        self._seed = seed
        self._path = path
        self._calls = 0

    def branch(self, number: int) -> "Model":
        """The same engine and meter; what it says depends on `number`, not on who comes first."""
        return Model(self._engine, self.limits, self._seed, self.meter, f"{self._path}/{number}")

    def fresh(self, seed: int) -> "Model":
        """The same engine for another attempt."""
        return Model(self._engine, self.limits, seed, Meter())

    def next_seed(self) -> int:
        self._calls += 1
        return seed_of(self._seed, self._path, str(self._calls))

    async def say(
        self,
        messages: Sequence[Message],
        *,
        temperature: float,
        max_tokens: int | None = None,
        schema: dict[str, Any] | None = None,
    ) -> Reply:
        """One reply. It is streamed, so that a call that breaks off tells what it has cost. Raises EngineError."""
        heard = Tokens(calls=1)

        async def count(tokens: Tokens) -> None:
            nonlocal heard
            heard = tokens

        async def pass_over(_: str) -> None:
            pass

        try:
            reply = await self._engine.chat(
                messages, schema=schema, temperature=temperature, seed=self.next_seed(), timeout=self.limits.timeout,
                max_tokens=max_tokens or self.limits.max_tokens, on_delta=pass_over, on_usage=count,
            )  # fmt: skip
        except BaseException as error:
            self.meter.add(heard)
            if isinstance(error, EngineError):
                self.meter.counts["failed calls"] += 1
            raise
        self.meter.add(reply.tokens)
        if reply.finish_reason == "length":
            self.meter.counts["replies cut off"] += 1
        return reply


async def gather(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All results in order. When one fails the others are stopped and waited for, so that their cost is counted."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def seed_of(seed: int, *path: str) -> int:
    """A seed for a part of a run; other parts get others."""
    return int.from_bytes(hashlib.sha256("/".join((str(seed), *path)).encode()).digest()[:4]) >> 1
