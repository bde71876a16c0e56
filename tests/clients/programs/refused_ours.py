"""Our SDK, refused: what it raises, and whether it comes back when it was told to."""

import asyncio
import json
import sys
from typing import Any

from reasonflux.answering import STATUS
from reasonflux.client import NavigatorClient
from reasonflux.contracts import CreateSession
from reasonflux.errors import ReasonFluxError
from reasonflux.http import http_client

url, good, busy, problem = sys.argv[1:]


async def refused(key: str, library: str = "math") -> dict[str, Any] | None:
    async with http_client() as http:
        try:
            await NavigatorClient(http, url, key=key, returns=0).create(CreateSession(problem=problem, library=library))
        except ReasonFluxError as error:
            return {"error": type(error).__name__, "status": STATUS[error.failure.kind], "says": error.failure.message}
    return None


async def main() -> None:
    report = {"bad key": await refused("wrong"), "no such model": await refused(good, "poems")}
    async with NavigatorClient.open(url, key=busy) as navigator:
        report["too many"] = await refused(busy)
        answer = rf"The answer is \boxed{{{(await navigator.solve(problem)).answer}}}"
    print(json.dumps({**report, "answer": answer}))


asyncio.run(main())
