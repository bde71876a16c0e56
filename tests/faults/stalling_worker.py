"""A worker of its own process that claims a session, says so, waits for a line on stdin, and only then commits.

Usage: stalling_worker.py REDIS_URL PREFIX LEASE_SECONDS < go. With UNFENCED in the environment, its commit script is
the text in that variable. Prints `claimed EPOCH`, then `wrote` or the name of the error that stopped it.
"""

import asyncio
import os
import sys

from navigator.errors import NavigatorError
from navigator.journal import RedisJournal
from reasonflux.contracts import StepRestarted


async def main(url: str, prefix: str, lease_seconds: str) -> None:
    unfenced = os.environ.get("UNFENCED")
    journal = RedisJournal(url, prefix=prefix, scripts={"commit": unfenced} if unfenced else None)
    claim = await journal.claim("stalling", float(lease_seconds))
    if claim is None:
        raise SystemExit("there was nothing to claim")
    print("claimed", claim.epoch, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        await journal.commit(claim, 2, [StepRestarted(epoch=claim.epoch)])
        print("wrote", flush=True)
    except NavigatorError as error:
        print(type(error).__name__, flush=True)
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
