"""Where the CPU time of a process goes: py-spy's samples, summed up by part."""

import asyncio
import re
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

SECONDS = 15
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("journal on Redis", ("redis/", "navigator/journal")),
    ("HTTP calls: httpx", ("httpx/", "httpx_aiohttp/")),
    ("HTTP calls: aiohttp", ("aiohttp/",)),
    ("HTTP served: uvicorn, starlette, FastAPI, SSE", ("uvicorn/", "starlette/", "fastapi/", "sse_starlette/")),
    ("JSON and contracts: json, pydantic", ("json/", "pydantic/", "pydantic_core")),
    ("logs and metrics", ("structlog/", "logging/", "prometheus_client/", "observing.py")),
    ("prompts: Jinja", ("jinja2/", ".jinja", "<template>")),
    ("asyncio", ("asyncio/", "uvloop", "contextlib.py")),
    ("our own code", ("navigator/", "executor/", "reasonflux/", "calculator/")),
)
"""The innermost frame of a sample that belongs to a part decides; the first part that knows the frame has it."""


async def profiled(py_spy: Path, pid: int, into: Path, load: Callable[[], Awaitable[object]]) -> bool:
    """Sample the process while it is under load, into a file of collapsed stacks. False: py-spy may not."""
    arguments = ("record", "--gil", "-p", str(pid), "-d", str(SECONDS), "-r", "250", "-f", "raw", "-o", str(into))
    child = await asyncio.create_subprocess_exec(str(py_spy), *arguments, stdout=DEVNULL, stderr=DEVNULL)
    while child.returncode is None:
        await load()
    return child.returncode == 0


def shorten(profile: Path) -> None:
    """Without folders, line numbers, what lies under the event loop, and stacks that were hardly seen."""
    count: Counter[str] = Counter()
    for line in profile.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        frames = re.sub(r"\(/[^)]*?([^/)]*/[^/)]*)\)", r"(\1)", re.sub(r":\d+\)", ")", stack)).split(";")
        roots = [place for place, frame in enumerate(frames) if "asyncio/runners.py" in frame]
        count[";".join(frames[roots[-1] if roots else 0 :])] += int(samples)
    kept = (f"{stack} {samples}\n" for stack, samples in sorted(count.items()) if samples > 3)
    profile.write_text("".join(kept))


def shares(stacks: Path) -> dict[str, float]:
    """The share of each part in all samples."""
    count: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        count[_part(stack.split(";"))] += int(samples)
    total = sum(count.values()) or 1
    return {part: samples / total for part, samples in count.most_common()}


def _part(frames: list[str]) -> str:
    for frame in reversed(frames):
        for name, marks in PARTS[:-2]:
            if any(mark in frame for mark in marks):
                return name
        if any(mark in frame for mark in PARTS[-1][1]):
            return PARTS[-1][0]
    return "asyncio and the rest"
