"""The journal in this process's memory: the same promises as the one on Redis, for tests and in-process runs.

Nothing in here awaits between looking and writing, so every method is one atomic step, as a Lua script is.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from navigator.errors import (
    CommitConflict,
    CursorExpired,
    LeaseLost,
    SessionExists,
    no_such_session,
)
from navigator.journal.following import LOOK_AGAIN, Audience, Mailbox, View, follow
from navigator.journal.records import (
    MAX_CLAIMS,
    RETENTION_SECONDS,
    cancelled,
    ends_session,
    given_up,
    key_reused,
    makes_progress,
    overdue,
)
from navigator.ports import Backlog, Claim, Notice
from reasonflux.contracts import Delta, Entry, Event, SessionStarted

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class _Record:
    tenant: str
    idem: tuple[str, str] | None
    entries: list[Entry] = field(default_factory=list)
    epoch: int = 0
    owner: str = ""
    claims: int = 0
    finished: bool = False
    deadline: float = 0.0
    """In microseconds since 1970, as all times in here."""
    expires: float | None = None
    webhook: bool = False
    notices: int = 0
    notice_due: float | None = None


class MemoryJournal:
    """A `navigator.ports.Journal`. `clock` tells the time in seconds since 1970; tests pass their own."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        max_claims: int = MAX_CLAIMS,
        retention: float = RETENTION_SECONDS,
        safety_read: float = 5.0,
    ) -> None:
        self._clock = clock
        self._max_claims = max_claims
        self._keep = retention * 1_000_000
        self._safety_read = safety_read
        self._records: dict[str, _Record] = {}  # in order of creation
        self._runnable: dict[str, int] = {}  # session → end of its lease, in microseconds
        self._idem: dict[tuple[str, str], tuple[str, str]] = {}
        self._followers: dict[str, set[Mailbox]] = {}
        self._sleepers: set[Mailbox] = set()
        self._here = Audience()

    async def create(
        self,
        session_id: str,
        first: SessionStarted,
        *,
        tenant: str = "default",
        idempotency_key: str | None = None,
        fingerprint: str = "",
    ) -> str:
        self._expire()
        idem = None if idempotency_key is None else (tenant, idempotency_key)
        if idem is not None and (known := self._started(idem, fingerprint)):
            return known
        if session_id in self._records:
            raise SessionExists(f"A session {session_id} exists already.")
        deadline = self._now() + first.options.budget.seconds * 1_000_000
        webhook = first.delivery.webhook is not None
        self._records[session_id] = _Record(tenant=tenant, idem=idem, deadline=deadline, webhook=webhook)
        if idem is not None:
            self._idem[idem] = (session_id, fingerprint)
        self._append(session_id, (first,))
        self._free(session_id)
        return session_id

    async def claim(self, owner: str, lease_seconds: float) -> Claim | None:
        while True:
            now = self._now()
            free = [(end, session_id) for session_id, end in self._runnable.items() if end <= now]
            if not free:
                return None
            session_id = min(free)[1]
            record = self._records[session_id]
            record.claims += 1
            if record.claims <= self._max_claims:
                record.epoch += 1
                self._runnable[session_id] = now + round(lease_seconds * 1_000_000)
                at = _EPOCH_START + timedelta(microseconds=now)
                silent, record.owner = bool(record.owner), owner
                return Claim(
                    session_id=session_id,
                    epoch=record.epoch,
                    owner=owner,
                    attempts=record.claims,
                    at=at,
                    taken_over=silent,
                )
            self._append(session_id, (given_up(self._max_claims),))

    async def renew(self, claim: Claim, lease_seconds: float) -> None:
        self._held(claim)
        self._runnable[claim.session_id] = self._now() + round(lease_seconds * 1_000_000)

    async def commit(self, claim: Claim, expected_next: int, events: Sequence[Event]) -> tuple[Entry, ...]:
        ends_session(events)
        following = len(self._held(claim).entries) + 1
        if expected_next != following:
            raise CommitConflict(
                f"Session {claim.session_id} goes on at {following}, not at {expected_next}.",
                hint="Read the journal again: something was committed that this worker does not know.",
            )
        return self._append(claim.session_id, events)

    async def release(self, claim: Claim) -> None:
        try:
            record = self._held(claim)
        except LeaseLost:
            return
        record.epoch, record.owner = record.epoch + 1, ""
        self._free(claim.session_id)

    async def cancel(self, session_id: str) -> bool:
        record = self._known(session_id)
        if record.finished:
            return False
        record.epoch += 1
        self._append(session_id, (cancelled(),))
        return True

    async def read(self, session_id: str, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        entries = self._known(session_id).entries
        return tuple(entries[after:] if limit is None else entries[after : after + limit])

    async def follow(
        self, session_id: str, after: int = 0, *, deltas: bool = False
    ) -> AsyncGenerator[Entry | Delta, None]:
        async def look(cursor: int) -> View:
            record = self._known(session_id)
            entries = tuple(record.entries[cursor:])
            return View(entries=entries, last=len(record.entries), epoch=record.epoch, finished=record.finished)

        mailbox = Mailbox(deltas=deltas)
        followers = self._followers.setdefault(session_id, set())
        with _standing_in(followers, mailbox):
            async for item in follow(look, mailbox, after, self._safety_read):
                yield item

    async def ended(self, session_id: str) -> None:
        mailbox = Mailbox(deltas=False)
        with _standing_in(self._followers.setdefault(session_id, set()), mailbox):
            while session_id in self._records and not self._records[session_id].finished:
                await mailbox.take(self._safety_read)

    @asynccontextmanager
    async def attending(self, session_id: str) -> AsyncIterator[None]:
        with self._here.attending(session_id):
            yield

    async def leave(self, session_id: str) -> int:
        return self._here.leave(session_id)

    async def publish(self, session_id: str, delta: Delta) -> bool:
        self._tell(session_id, delta)
        return bool(self._followers.get(session_id))

    async def wake(self, seconds: float = 10.0) -> None:
        if self._runnable:
            seconds = min(seconds, (min(self._runnable.values()) - self._now()) / 1_000_000)
        mailbox = Mailbox(deltas=False)
        with _standing_in(self._sleepers, mailbox):
            if seconds > 0:
                await mailbox.take(seconds)

    async def list(self, tenant: str = "default", limit: int = 50, before: str | None = None) -> tuple[str, ...]:
        self._expire()
        ids = [session_id for session_id, record in reversed(self._records.items()) if record.tenant == tenant]
        if before is not None:
            if before not in ids:
                raise CursorExpired(f"There is no session {before} to continue from.", hint="Start at the first page.")
            ids = ids[ids.index(before) + 1 :]
        return tuple(ids[:limit])

    async def end_overdue(self, grace: float) -> tuple[str, ...]:
        latest = self._now() - grace * 1_000_000
        late = {key: record for key, record in self._records.items() if not record.finished}
        ended = [key for key, record in late.items() if record.deadline <= latest]
        for session_id in ended:
            self._records[session_id].epoch += 1
            self._append(session_id, (overdue(),))
        return tuple(ended)

    async def due_notice(self, lease_seconds: float) -> Notice | None:
        now = self._now()
        for session_id, record in self._records.items():
            if record.notice_due is not None and record.notice_due <= now:
                record.notices += 1
                record.notice_due = now + lease_seconds * 1_000_000 * 2 ** (record.notices - 1)
                return Notice(session_id=session_id, tries=record.notices)
        return None

    async def settle_notice(self, session_id: str) -> None:
        if session_id in self._records:
            self._records[session_id].notice_due = None

    async def started_before(self, tenant: str, idempotency_key: str, fingerprint: str) -> str | None:
        self._expire()
        return self._started((tenant, idempotency_key), fingerprint)

    async def tenant_of(self, session_id: str) -> str:
        return self._known(session_id).tenant

    async def delete(self, session_id: str) -> None:
        record = self._known(session_id)
        del self._records[session_id]
        self._runnable.pop(session_id, None)
        if record.idem is not None:
            del self._idem[record.idem]
        self._tell(session_id, LOOK_AGAIN)

    async def backlog(self) -> Backlog:
        now = self._now()
        waits = [now - end for end in self._runnable.values() if end <= now]
        return Backlog(
            waiting=len(waits),
            working=len(self._runnable) - len(waits),
            oldest_wait=max(waits, default=0) / 1_000_000,
            notices=sum(record.notice_due is not None for record in self._records.values()),
        )

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def _now(self) -> int:
        return round(self._clock() * 1_000_000)

    def _expire(self, *only: str) -> None:
        """Forget these sessions, or any, when they have been kept long enough."""
        now = self._now()
        for session_id in only or tuple(self._records):
            record = self._records.get(session_id)
            if record is not None and record.expires is not None and record.expires <= now:
                del self._records[session_id]
                if record.idem is not None:
                    del self._idem[record.idem]

    def _started(self, idem: tuple[str, str], fingerprint: str) -> str | None:
        known, print_before = self._idem.get(idem, (None, ""))
        if known is not None and print_before != fingerprint:
            raise key_reused()
        return known

    def _known(self, session_id: str) -> _Record:
        self._expire(session_id)
        if session_id not in self._records:
            raise no_such_session(session_id)
        return self._records[session_id]

    def _held(self, claim: Claim) -> _Record:
        record = self._records.get(claim.session_id)
        if record is None or record.finished or record.epoch != claim.epoch:
            raise LeaseLost(f"Claim {claim.epoch} of {claim.owner} on session {claim.session_id} is void.")
        return record

    def _append(self, session_id: str, events: Sequence[Event]) -> tuple[Entry, ...]:
        record = self._records[session_id]
        at = _EPOCH_START + timedelta(microseconds=self._now())
        seq = len(record.entries) + 1
        entries = tuple(Entry(seq=n, at=at, event=event) for n, event in enumerate(events, seq))
        record.entries.extend(entries)
        if makes_progress(events):
            record.claims = 0
        if ends_session(events):
            record.finished = True
            record.expires = self._now() + self._keep
            record.notice_due = self._now() if record.webhook else None
            self._runnable.pop(session_id, None)
        self._tell(session_id, entries[-1].seq)
        return entries

    def _free(self, session_id: str) -> None:
        self._runnable[session_id] = self._now()
        for sleeper in self._sleepers:
            sleeper.put(LOOK_AGAIN)

    def _tell(self, session_id: str, item: Delta | int) -> None:
        for mailbox in self._followers.get(session_id, ()):
            mailbox.put(item)


@contextmanager
def _standing_in(crowd: set[Mailbox], mailbox: Mailbox) -> Iterator[None]:
    crowd.add(mailbox)
    try:
        yield
    finally:
        crowd.discard(mailbox)
