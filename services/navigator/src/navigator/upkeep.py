"""What must happen to sessions whatever becomes of their workers: overdue ones end, and webhooks are called."""

import asyncio
from collections.abc import Awaitable, Callable

from navigator.errors import JournalUnavailable, SessionNotFound
from navigator.metrics import Metrics
from navigator.ports import Journal
from navigator.session import fold
from navigator.webhooks import Webhooks
from reasonflux.observing import logger

GRACE_SECONDS = 0.6
"""Past its deadline a session is its worker's to end: the worker can tell more about it. Then it is ended here."""
PAUSE_SECONDS = 0.25
OUTAGE_SECONDS = 2.0


class Upkeep:
    def __init__(
        self,
        journal: Journal,
        webhooks: Webhooks,
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._journal, self._webhooks, self._metrics, self._sleep = journal, webhooks, metrics, sleep

    async def run(self) -> None:
        """For ever; cancel to stop."""
        await asyncio.gather(
            self._for_ever(self.end_overdue, PAUSE_SECONDS), self._for_ever(self._webhooks.send_due, 2 * PAUSE_SECONDS)
        )

    async def end_overdue(self) -> None:
        """End the sessions whose deadline has passed. Raises JournalUnavailable."""
        for session_id in await self._journal.end_overdue(GRACE_SECONDS):
            try:
                entries = await self._journal.read(session_id)
            except SessionNotFound:  # deleted meanwhile
                continue
            self._metrics.observe(fold(session_id, entries), entries[-1])
            logger.info("session overdue", session=session_id)

    async def _for_ever(self, work: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            try:
                await work()
                await self._sleep(pause)
            except JournalUnavailable as error:
                logger.warning("upkeep waits for the journal", reason=str(error))
                await self._sleep(OUTAGE_SECONDS)
            except Exception:  # one bad session must not stop the upkeep of all others
                logger.exception("upkeep failed")
                await self._sleep(OUTAGE_SECONDS)
