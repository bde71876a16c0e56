"""A worker: takes runnable sessions from the journal and carries up to `concurrency` of them on at a time."""

import asyncio
import contextlib

import structlog

from navigator.errors import JournalUnavailable, LeaseLost
from navigator.ports import Claim
from navigator.runner import Runner
from reasonflux.observing import of_session

log = structlog.get_logger()

_BACKOFF_SECONDS = 1.0


class Worker:
    """Runs until it is stopped. Unfinished sessions are given back, so that another worker goes on: by `drain` when
    their steps under way are done, by cancelling `run` at once."""

    def __init__(self, runner: Runner, owner: str, concurrency: int = 32) -> None:
        self._runner, self._owner = runner, owner
        self._free = asyncio.Semaphore(concurrency)
        self._sessions: set[asyncio.Task[None]] = set()
        self._claiming: asyncio.Task[None] | None = None
        self._halt = asyncio.Event()

    @property
    def busy(self) -> int:
        """How many sessions it carries on now."""
        return len(self._sessions)

    async def run(self) -> None:
        """Claim and carry on until drained; cancel to stop at once."""
        self._claiming = asyncio.create_task(self._claim_sessions())
        try:
            await asyncio.wait((self._claiming,))
            if not self._halt.is_set():
                self._claiming.result()
            await self._all_given_back()
        finally:
            for task in (self._claiming, *self._sessions):
                task.cancel()
            await asyncio.gather(self._claiming, *self._sessions, return_exceptions=True)

    async def drain(self) -> None:
        """Claim nothing more, begin no step, and return when every session is finished or given back."""
        self._halt.set()
        if self._claiming is not None:
            self._claiming.cancel()
            await asyncio.wait((self._claiming,))
        await self._all_given_back()

    async def _all_given_back(self) -> None:
        while self._sessions:
            await asyncio.wait(self._sessions)

    async def _claim_sessions(self) -> None:
        while not self._halt.is_set():
            await self._free.acquire()
            try:
                claim = await self._next_claim()
            except BaseException:
                self._free.release()
                raise
            task = asyncio.create_task(self._carry_on(claim))
            self._sessions.add(task)
            task.add_done_callback(self._sessions.discard)

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
            except Exception:  # a bug: it must not end the work of the whole process
                log.exception("claiming crashed")
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
        with of_session(claim.session_id):
            await self._carried(claim)

    async def _carried(self, claim: Claim) -> None:
        try:
            session = await self._runner.run(claim, self._halt)
            if session.finished:
                log.info("session finished", session=session.id, outcome=session.outcome, rounds=session.rounds)
            else:
                await self._runner.journal.release(claim)
                log.info("session given back between steps", session=session.id)
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
