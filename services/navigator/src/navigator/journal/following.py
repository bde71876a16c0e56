"""How a follower turns wake-up calls and reads into a stream without gap or repeat.

Entries only ever come from reading the journal behind the cursor. What is heard live (a commit's seq, a delta) says
when to read, and carries text; losing any of it costs time, never an entry.
"""

import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from navigator.errors import CursorExpired
from reasonflux.contracts import Delta, Entry

LOOK_AGAIN = sys.maxsize
"""Heard instead of a commit's seq when something may have been missed: no cursor ever reaches it."""

MAX_DELTAS = 1024
"""Deltas kept for a follower that reads slowly; more are dropped."""


@dataclass(frozen=True)
class View:
    """A session as one atomic read found it: entries behind the cursor (a page), and where the journal stands."""

    entries: tuple[Entry, ...]
    last: int
    epoch: int
    finished: bool


class Mailbox:
    """What one follower has heard and not yet looked at: seqs of commits and deltas, in the order of publication."""

    def __init__(self, *, deltas: bool) -> None:
        self._items: deque[Delta | int] = deque()
        self._arrived = asyncio.Event()
        self._deltas = deltas

    def put(self, item: Delta | int) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(item, int) and isinstance(last, int):
            self._items[-1] = max(item, last)  # neighbours need one look; so the box stays bounded
        elif isinstance(item, int) or (self._deltas and len(self._items) < MAX_DELTAS):
            self._items.append(item)
        else:
            return
        self._arrived.set()

    async def take(self, patience: float) -> Delta | int:
        """The next item, or LOOK_AGAIN after `patience` seconds of silence."""
        if not self._items:
            self._arrived.clear()
            try:
                # Not wait_for: in Python 3.11 it loses a cancellation that comes together with what it waits for.
                async with asyncio.timeout(patience):
                    await self._arrived.wait()
            except TimeoutError:
                return LOOK_AGAIN
        return self._items.popleft()

    def forget(self, seq: int) -> None:
        """Drop what was published before an entry that the follower already has; LOOK_AGAIN: drop everything."""
        heard = [n for n, item in enumerate(self._items) if isinstance(item, int) and item <= seq]
        for _ in range(heard[-1] + 1 if heard else 0):
            self._items.popleft()


class Audience:
    """How many clients of this process follow each session, and how many of them are about to go."""

    def __init__(self) -> None:
        self._attending: Counter[str] = Counter()
        self._leaving: Counter[str] = Counter()

    @contextmanager
    def attending(self, session_id: str) -> Iterator[None]:
        self._attending[session_id] += 1
        try:
            yield
        finally:
            for count in (self._attending, self._leaving):
                if count[session_id] <= 1:
                    del count[session_id]  # who nobody follows is forgotten
                else:
                    count[session_id] -= 1

    def leave(self, session_id: str) -> int:
        """One is about to go: two that go at the same moment must not each take the other for one who stays."""
        here = self._attending.get(session_id, 0)
        gone = min(here, self._leaving.get(session_id, 0) + 1)
        if gone:
            self._leaving[session_id] = gone
        return here - gone

    def anybody(self, session_id: str) -> bool:
        return session_id in self._attending


async def follow(
    look: Callable[[int], Awaitable[View]], mailbox: Mailbox, after: int, patience: float
) -> AsyncGenerator[Entry | Delta, None]:
    """Stream a session from `after`. The mailbox must hear everything that is published after the first look."""
    cursor, epoch = after, 0
    while True:
        view = await look(cursor)
        if cursor > view.last:
            raise CursorExpired(
                f"The cursor {cursor} lies beyond the session's last event {view.last}.",
                hint="Read the session from the start.",
            )
        for entry in view.entries:
            cursor = entry.seq
            yield entry
        if cursor < view.last:
            continue
        if view.finished:
            return
        epoch = max(epoch, view.epoch)
        mailbox.forget(cursor)
        while isinstance(heard := await mailbox.take(patience), Delta):
            if heard.epoch >= epoch:  # else: a worker that has lost its claim and does not know it yet
                epoch = heard.epoch
                yield heard
