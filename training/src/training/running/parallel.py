"""Many things at once, with a line now and then that says how far it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Say = Callable[[str], None]

NEWS_SECONDS = 10.0


def aloud(line: str) -> None:
    """Progress as plain lines, also when it is piped into a file."""
    print(line, flush=True)


async def for_all(
    items: Sequence[T], work: Callable[[T], Awaitable[None]], *, concurrency: int, title: str, say: Say = aloud
) -> float:
    """`work` on every item, `concurrency` at a time; the seconds that it took. The first error stops the rest."""
    waiting, done, began = iter(items), 0, time.monotonic()

    async def worker() -> None:
        nonlocal done
        for item in waiting:
            await work(item)
            done += 1

    async def news() -> None:
        while True:
            await asyncio.sleep(NEWS_SECONDS)
            say(f"{title}: {_how_far(done, len(items), time.monotonic() - began)}")

    reporter = asyncio.create_task(news())
    workers = [asyncio.create_task(worker()) for _ in range(min(concurrency, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in (reporter, *workers):
            task.cancel()
        await asyncio.gather(reporter, *workers, return_exceptions=True)
    return time.monotonic() - began


def _how_far(done: int, of: int, seconds: float) -> str:
    left = f", {_clock(seconds / done * (of - done))} left" if done else ""
    return f"{done}/{of} ({100 * done // max(1, of)}%), {done / max(seconds, 1e-9):.1f}/s{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
