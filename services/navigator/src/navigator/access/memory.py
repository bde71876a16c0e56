"""Keys and admission in this process's memory: the same promises as on Redis, for tests and in-process runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from navigator.access.keys import KeyRecord
from navigator.access.limits import LATE_SECONDS, Ask, Closed, Limits, Reason, Refusal, Room, Standing, Verdict


class MemoryKeys:
    """A `navigator.access.ports.Keys`."""

    def __init__(self) -> None:
        self._records: dict[str, KeyRecord] = {}
        self._limits: dict[str, Limits] = {}

    async def find(self, key_id: str) -> KeyRecord | None:
        return self._records.get(key_id)

    async def keep(self, record: KeyRecord) -> None:
        self._records[record.id] = record

    async def replace(self, old: KeyRecord, ending: KeyRecord, new: KeyRecord) -> bool:
        if self._records.get(old.id) != old:
            return False
        self._records |= {old.id: ending, new.id: new}
        return True

    async def drop(self, key_id: str) -> bool:
        return self._records.pop(key_id, None) is not None

    async def all(self) -> tuple[KeyRecord, ...]:
        return tuple(sorted(self._records.values(), key=lambda record: (record.created_at, record.id)))

    async def limits(self, tenant: str) -> Limits | None:
        return self._limits.get(tenant)

    async def set_limits(self, tenant: str, limits: Limits | None) -> None:
        if limits is None:
            self._limits.pop(tenant, None)
        else:
            self._limits[tenant] = limits


@dataclass
class _Bucket:
    """Fills up evenly to `limit` in a minute; below zero it is in debt."""

    limit: int
    level: float
    at: float

    def fill(self, limit: int, now: float) -> None:
        self.limit = limit
        self.level = min(limit, self.level + max(0.0, now - self.at) * limit / 60)
        self.at = now

    def until(self, wanted: float) -> float:
        """Seconds until it holds so much."""
        return max(0.0, (wanted - self.level) * 60 / self.limit)

    @property
    def gauge(self) -> Standing.Gauge:
        return Standing.Gauge(limit=self.limit, left=max(0, int(self.level)), seconds=self.until(self.limit))


@dataclass
class _Account:
    requests: _Bucket | None = None
    tokens: _Bucket | None = None
    slots: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Slot:
    ask: Ask
    since: float


class MemoryAdmission:
    """A `navigator.access.ports.Admission`. `clock` tells the time in seconds; tests pass their own."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._accounts: dict[str, _Account] = {}
        self._ended: dict[str, tuple[str, float]] = {}
        self._hold: float | None = None

    async def admit(self, ask: Ask, limits: Limits, room: Room) -> Verdict:
        now = self._clock()
        for late in [key for key, slot in self._slots.items() if slot.since + slot.ask.seconds <= now]:
            self._free(late)
        account = self._accounts.setdefault(ask.tenant, _Account())
        account.requests = _filled(account.requests, limits.requests, now)
        account.tokens = _filled(account.tokens, limits.tokens, now)
        if ask.id not in self._slots:
            if refusal := self._refusal(ask, account, limits, room):
                return Verdict(standing=_standing(account), refusal=refusal)
            self._take(ask, account, now)
        return Verdict(standing=_standing(account))

    async def close(self, work_id: str, tokens: int) -> Closed | None:
        now = self._clock()
        slot = self._free(work_id)
        if slot is None:
            return None
        self._ended[work_id] = (slot.ask.tenant, now + LATE_SECONDS)
        self._correct(slot.ask.tenant, slot.ask.tokens - tokens, now)
        if tokens > 0:
            took = now - slot.since
            self._hold = took if self._hold is None else 0.9 * self._hold + 0.1 * took
        return Closed(tenant=slot.ask.tenant, tokens=tokens)

    async def charge(self, work_id: str, tokens: int) -> Closed | None:
        now = self._clock()
        self._ended = {key: told for key, told in self._ended.items() if told[1] > now}
        slot = self._slots.get(work_id)
        tenant = slot.ask.tenant if slot else self._ended.get(work_id, (None, 0.0))[0]
        if tenant is None:
            return None
        self._correct(tenant, -tokens, now)
        return Closed(tenant=tenant, tokens=tokens)

    def _correct(self, tenant: str, tokens: int, now: float) -> None:
        bucket = self._accounts[tenant].tokens
        if bucket is not None:
            bucket.fill(bucket.limit, now)
            bucket.level = min(bucket.limit, bucket.level + tokens)

    def _refusal(self, ask: Ask, account: _Account, limits: Limits, room: Room) -> Refusal | None:
        busy, own = len(self._slots), len(account.slots)
        reserved = sum(slot.ask.tokens for slot in self._slots.values())
        full = room.sessions is not None and busy >= room.sessions
        if full or (room.tokens is not None and busy > 0 and reserved + ask.tokens > room.tokens):
            return self._patience("room", busy)
        if limits.sessions is not None and own >= limits.sessions:
            return self._patience("sessions", own)
        if account.requests is not None and account.requests.level < 1:
            return Refusal(reason="requests", seconds=account.requests.until(1))
        if account.tokens is not None:
            wanted = min(ask.tokens, account.tokens.limit)
            if account.tokens.level < wanted:
                return Refusal(reason="tokens", seconds=account.tokens.until(wanted))
        return None

    def _patience(self, reason: Reason, busy: int) -> Refusal:
        """From how long work usually takes."""
        hold = 1.0 if self._hold is None else self._hold
        return Refusal(reason=reason, seconds=max(1.0, hold / max(1, busy)))

    def _take(self, ask: Ask, account: _Account, now: float) -> None:
        self._slots[ask.id] = _Slot(ask, now)
        account.slots.add(ask.id)
        if account.requests is not None:
            account.requests.level -= 1
        if account.tokens is not None:
            account.tokens.level -= ask.tokens

    def _free(self, work_id: str) -> _Slot | None:
        slot = self._slots.pop(work_id, None)
        if slot is not None:
            self._accounts[slot.ask.tenant].slots.discard(work_id)
        return slot


def _filled(bucket: _Bucket | None, limit: int | None, now: float) -> _Bucket | None:
    if limit is None:
        return None
    if bucket is None:
        return _Bucket(limit, limit, now)
    bucket.fill(limit, now)
    return bucket


def _standing(account: _Account) -> Standing:
    requests, tokens = account.requests, account.tokens
    return Standing(requests=requests and requests.gauge, tokens=tokens and tokens.gauge)
