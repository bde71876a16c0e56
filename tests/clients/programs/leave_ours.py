"""Our SDK, left early: `solve` that is out of time, or whose listener has heard enough."""

import asyncio
import sys

from reasonflux.client import NavigatorClient
from reasonflux.contracts import Delta, Entry

url, problem, way = sys.argv[1:]


class Enough(Exception):
    pass


async def listen(item: Entry | Delta) -> None:
    if isinstance(item, Delta) and way == "stream":
        print("heard", item.text)
        raise Enough


async def main() -> None:
    async with NavigatorClient.open(url) as navigator:
        try:
            async with asyncio.timeout(2 if way == "timeout" else None):
                await navigator.solve(problem, on_event=listen)
        except (TimeoutError, Enough) as error:
            print("error", type(error).__name__)
        print("left", flush=True)
        await asyncio.to_thread(sys.stdin.read)  # the process stays, so that its end is not what closes the connection


asyncio.run(main())
