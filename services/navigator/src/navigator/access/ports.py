"""What access needs to remember, shared by all replicas, as Protocols. Every method may raise JournalUnavailable."""

from typing import Protocol

from navigator.access.keys import KeyRecord
from navigator.access.limits import Ask, Closed, Limits, Room, Verdict


class Keys(Protocol):
    """The records of API keys, and the limits of tenants that have their own."""

    async def find(self, key_id: str) -> KeyRecord | None: ...

    async def keep(self, record: KeyRecord) -> None:
        """Store a new record, or another version of a known one."""
        ...

    async def replace(self, old: KeyRecord, ending: KeyRecord, new: KeyRecord) -> bool:
        """Store `new`, and `ending` in place of `old`, both or none. False: `old` has changed or gone meanwhile."""
        ...

    async def drop(self, key_id: str) -> bool:
        """Forget a key; from the next request on it is not good any more. False: there was none."""
        ...

    async def all(self) -> tuple[KeyRecord, ...]:
        """Every record, the oldest first."""
        ...

    async def limits(self, tenant: str) -> Limits | None:
        """What was set for this tenant; fields that were not set are the deployment's defaults."""
        ...

    async def set_limits(self, tenant: str, limits: Limits | None) -> None:
        """None: the defaults again."""
        ...


class Admission(Protocol):
    """Counts what has been let in. Each call is one atomic step, however many replicas ask at the same time."""

    async def admit(self, ask: Ask, limits: Limits, room: Room) -> Verdict:
        """Let the work in and count it, or refuse it and count nothing. The same id again changes nothing.

        Limits a minute are buckets that fill up evenly. Work that costs more than a bucket holds is let in when the
        bucket is full, and the bucket is in debt for a while.
        """
        ...

    async def close(self, work_id: str, tokens: int) -> Closed | None:
        """The work has ended and has cost so much: its place is free, and the bucket of tokens is corrected.

        0 tokens: it has not begun after all. None: it was closed before, or its time had passed.
        """
        ...

    async def charge(self, work_id: str, tokens: int) -> Closed | None:
        """The work has cost so much more than `close` is told of, before it or up to LATE_SECONDS after it.

        None: nobody knows the work (any more).
        """
        ...
