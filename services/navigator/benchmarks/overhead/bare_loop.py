"""The floor: the five calls of a trajectory, one after the other, with plain httpx and nothing around them.

`python bare_loop.py ENGINE_URL CALLS.json CONCURRENCY RUNS` prints a Sample as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
from timing import timed


async def main(url: str, bodies: list[dict[str, Any]], concurrency: int, runs: int) -> None:
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60.0, trust_env=False) as http:

        async def once() -> None:
            for body in bodies:
                (await http.post("/chat/completions", json=body)).raise_for_status()

        await timed(once, concurrency, concurrency)  # connections are opened
        print((await timed(once, concurrency, runs)).told())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3]), int(sys.argv[4])))
