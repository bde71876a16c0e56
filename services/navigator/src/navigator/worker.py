"""A worker: takes runnable sessions from the journal and carries up to `concurrency` of them on at a time."""

import asyncio
import contextlib

import structlog

from navigator.errors import JournalUnavailable, LeaseLost
from navigator.ports import Claim
from navigator.runner import Runner

log = structlog.get_logger()

_BACKOFF_SECONDS = 1.0


class Worker:
    """Runs until it is stopped. Stopping gives unfinished sessions back at once, so that another worker goes on."""

    def __init__(self, runner: Runner, owner: str, concurrency: int = 32) -> None:
        self._runner, self._owner = runner, owner
        self._free = asyncio.Semaphore(concurrency)
        self._sessions: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Claim and carry on, for ever; cancel to stop."""
        try:
            while True:
                await self._free.acquire()
                try:
                    claim = await self._next_claim()
                except BaseException:
                    self._free.release()
                    raise
                task = asyncio.create_task(self._carry_on(claim))
                self._sessions.add(task)
                task.add_done_callback(self._sessions.discard)
        finally:
            for task in self._sessions:
                task.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _next_claim(self) -> Claim:
        journal = self._runner.journal
        while True:
            try:
                claim = await self._claim()
                if claim is not None:
                    return claim
                await journal.wake()
            except JournalUnavailable as error:
                log.warning("journal unavailable", reason=str(error))
                await asyncio.sleep(_BACKOFF_SECONDS)

    async def _claim(self) -> Claim | None:
        """A claim that arrives while the worker is being stopped is given back, not lost until its lease ends."""
        journal = self._runner.journal
        asked = asyncio.ensure_future(journal.claim(self._owner, self._runner.lease_seconds))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            with contextlib.suppress(JournalUnavailable):
                if (claim := await asked) is not None:
                    await journal.release(claim)
            raise

    async def _carry_on(self, claim: Claim) -> None:
        try:
            session = await self._runner.run(claim)
            log.info("session finished", session=session.id, outcome=session.outcome, rounds=session.rounds)
        except LeaseLost as error:
            log.info("session left to others", session=claim.session_id, reason=str(error))
        except asyncio.CancelledError:
            await asyncio.shield(self._runner.journal.release(claim))
            raise
        except Exception:  # given back for another try; the journal ends a session that is tried too often
            log.exception("session crashed", session=claim.session_id)
            with contextlib.suppress(JournalUnavailable):
                await self._runner.journal.release(claim)
        finally:
            self._free.release()
