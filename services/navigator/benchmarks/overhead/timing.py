"""Running the same thing many times, so many at once: what every contender is timed by. Only the standard library."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Sample:
    """The seconds of each run, of all of them together, and of CPU time that the contender took for one."""

    each: list[float]
    together: float
    cpu: float = 0.0

    def told(self) -> str:
        return json.dumps(asdict(self))

    @property
    def rate(self) -> float:
        return len(self.each) / self.together


async def timed(once: Callable[[], Awaitable[None]], concurrency: int, runs: int) -> Sample:
    """`runs` runs, `concurrency` at a time."""
    left = iter(range(runs))
    each: list[float] = []

    async def work() -> None:
        for _ in left:
            started = time.perf_counter()
            await once()
            each.append(time.perf_counter() - started)

    started, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return Sample(each, time.perf_counter() - started, (time.process_time() - used) / runs)
