"""The journal on Redis (6.2 or later). Lease, epoch and data move together, in one Lua script for each change.

Commands go through a bounded pool that queues when it is busy; live text and waiting have a client of their own
(see listener.py). Scripts are sent by their hash, and as text when the server does not know them.
"""

import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import NoScriptError, RedisError

from navigator.errors import (
    CommitConflict,
    CursorExpired,
    LeaseLost,
    SessionExists,
    no_such_session,
)
from navigator.journal.connection import client, redis_errors
from navigator.journal.following import LOOK_AGAIN, Audience, Mailbox, View, follow
from navigator.journal.listener import Listener
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
from reasonflux.contracts import EVENT, Delta, Entry, Event, SessionStarted

SCRIPTS = (
    *("create", "claim", "renew", "commit", "release", "cancel", "delete", "list", "end_overdue", "due_notice"),
    "backlog",
)
_PAGE = 256
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


def load_scripts() -> dict[str, str]:
    """The Lua scripts of this package by name, complete with their prelude."""
    folder = resources.files("navigator.journal") / "lua"
    prelude = (folder / "prelude.lua").read_text("utf-8")
    return {name: prelude + (folder / f"{name}.lua").read_text("utf-8") for name in SCRIPTS}


class RedisJournal:
    """A `navigator.ports.Journal`. Connects when it is first used; `close` ends what it opened.

    `prefix` keeps journals on one server apart. `retention` is how many seconds a session is kept after its end.
    `safety_read` is how many seconds a follower trusts silence before it
    reads the journal anyway. `scripts` replaces scripts by name, for tests that show what a script is there for.
    `observe` hears of every call: its name, its seconds, and whether Redis answered.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "rf",
        max_claims: int = MAX_CLAIMS,
        retention: float = RETENTION_SECONDS,
        safety_read: float = 5.0,
        connections: int = 32,
        scripts: Mapping[str, str] | None = None,
        observe: Callable[[str, float, bool], None] | None = None,
    ) -> None:
        self._root = f"{prefix}:{{0}}:"
        self._max_claims = max_claims
        self._keep = max(1, round(retention * 1_000))
        self._safety_read = safety_read
        self._observe = observe
        self._scripts = {
            name: (hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), source)
            for name, source in {**load_scripts(), **(scripts or {})}.items()
        }
        # Retrying after a broken connection is safe: a write that is sent again is known by its token, and a claim
        # whose reply was lost costs one lease.
        self._redis = client(url, connections, Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3))
        self._live = client(url, connections, Retry(NoBackoff(), 0))
        self._listener = Listener(self._live)
        self._here = Audience()
        self._waking = AsyncExitStack()
        self._hears_of_work = False

    async def create(
        self,
        session_id: str,
        first: SessionStarted,
        *,
        tenant: str = "default",
        idempotency_key: str | None = None,
        fingerprint: str = "",
    ) -> str:
        idem = "" if idempotency_key is None else _idem(tenant, idempotency_key)
        time_and_end = (
            _micros(first.options.budget.seconds),
            self._keep,
            "" if first.delivery.webhook is None else "yes",
        )
        told = (session_id, _listed(tenant), idem, fingerprint, _token(), first.model_dump_json())
        status, known = await self._run("create", *told, *time_and_end)
        if status == "reused":
            raise key_reused()
        if status == "exists":
            raise SessionExists(f"A session {session_id} exists already.")
        return str(known)

    async def claim(self, owner: str, lease_seconds: float) -> Claim | None:
        failed = given_up(self._max_claims).model_dump_json()
        taken = await self._run("claim", owner, _micros(lease_seconds), self._max_claims, failed, _token())
        if taken is None:
            return None
        session_id, epoch, attempts, at, silent = taken
        return Claim(
            session_id=session_id, epoch=epoch, owner=owner, attempts=attempts, at=_time(at), taken_over=bool(silent)
        )

    async def renew(self, claim: Claim, lease_seconds: float) -> None:
        reply = await self._run("renew", claim.session_id, claim.epoch, _micros(lease_seconds))
        if reply[0] == "lost":
            raise _lost(claim)

    async def commit(self, claim: Claim, expected_next: int, events: Sequence[Event]) -> tuple[Entry, ...]:
        finished = int(ends_session(events))
        payloads = [EVENT.dump_json(event).decode() for event in events]
        progress = int(makes_progress(events))
        call: tuple[str | int, ...] = (claim.session_id, claim.epoch, expected_next, finished, _token(), progress)
        status, *rest = await self._run("commit", *call, *payloads)
        if status == "lost":
            raise _lost(claim)
        if status == "taken":
            raise CommitConflict(
                f"Session {claim.session_id} goes on at {rest[0]}, not at {expected_next}.",
                hint="Read the journal again: something was committed that this worker does not know.",
            )
        at = _time(rest[0])
        return tuple(Entry(seq=seq, at=at, event=event) for seq, event in enumerate(events, expected_next))

    async def release(self, claim: Claim) -> None:
        await self._run("release", claim.session_id, claim.epoch)

    async def cancel(self, session_id: str) -> bool:
        reply = await self._run("cancel", session_id, cancelled().model_dump_json(), _token())
        if reply[0] == "missing":
            raise no_such_session(session_id)
        return bool(reply[0] == "ok")

    async def read(self, session_id: str, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        return (await self._look(session_id, after, limit)).entries

    async def follow(
        self, session_id: str, after: int = 0, *, deltas: bool = False
    ) -> AsyncGenerator[Entry | Delta, None]:
        async def look(cursor: int) -> View:
            return await self._look(session_id, cursor, _PAGE)

        mailbox = Mailbox(deltas=deltas)
        async with self._listener.listening(self._channel(session_id), mailbox, self._safety_read):
            mailbox.forget(LOOK_AGAIN)  # the first look sees all of it
            async for item in follow(look, mailbox, after, self._safety_read):
                yield item

    async def ended(self, session_id: str) -> None:
        mailbox = Mailbox(deltas=False)
        async with self._listener.listening(f"{self._root}end:{session_id}", mailbox, self._safety_read):
            while True:
                mailbox.forget(LOOK_AGAIN)
                with redis_errors():
                    if await self._redis.hget(f"{self._root}session:{session_id}", "state") != "running":
                        return
                await mailbox.take(self._safety_read)

    @asynccontextmanager
    async def attending(self, session_id: str) -> AsyncIterator[None]:
        """A process with clients subscribes to a channel on which nothing is said: Redis knows who is there, and
        forgets a process that dies."""
        nothing = Mailbox(deltas=False)
        with self._here.attending(session_id):
            async with self._listener.listening(self._audience(session_id), nothing, self._safety_read):
                yield

    async def leave(self, session_id: str) -> int:
        with redis_errors():
            ((_, processes),) = await self._redis.pubsub_numsub(self._audience(session_id))
        elsewhere = max(0, int(processes) - self._here.anybody(session_id))
        return self._here.leave(session_id) + elsewhere

    async def publish(self, session_id: str, delta: Delta) -> bool:
        with suppress(RedisError, OSError):
            return bool(await self._live.publish(self._channel(session_id), delta.model_dump_json()))
        return False

    async def wake(self, seconds: float = 10.0) -> None:
        await self._hear_of_work()
        mailbox = Mailbox(deltas=False)
        async with self._listener.listening(f"{self._root}wake", mailbox, self._safety_read):
            mailbox.forget(LOOK_AGAIN)
            with redis_errors():
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.time()
                    pipe.zrange(f"{self._root}runnable", 0, 0, withscores=True)
                    (whole, micros), first = await pipe.execute()
            if first:
                now = whole * 1_000_000 + micros
                seconds = min(seconds, (first[0][1] - now) / 1_000_000)
            if seconds > 0:
                await mailbox.take(seconds)

    async def list(self, tenant: str = "default", limit: int = 50, before: str | None = None) -> tuple[str, ...]:
        status, *ids = await self._run("list", _listed(tenant), before or "", limit)
        if status == "expired":
            raise CursorExpired(f"There is no session {before} to continue from.", hint="Start at the first page.")
        return tuple(str(session_id) for session_id in ids)

    async def end_overdue(self, grace: float) -> tuple[str, ...]:
        ended: list[str] = []
        end = overdue().model_dump_json()
        while found := await self._run("end_overdue", _micros(grace), end, _token()):
            ended.append(str(found))
        return tuple(ended)

    async def due_notice(self, lease_seconds: float) -> Notice | None:
        found = await self._run("due_notice", _micros(lease_seconds))
        return None if found is None else Notice(session_id=found[0], tries=found[1])

    async def settle_notice(self, session_id: str) -> None:
        with redis_errors():
            await self._redis.zrem(f"{self._root}notices", session_id)

    async def started_before(self, tenant: str, idempotency_key: str, fingerprint: str) -> str | None:
        key = f"{self._root}{_idem(tenant, idempotency_key)}"
        with redis_errors():
            known, print_before = await self._redis.hmget(key, ["session", "fingerprint"])
        if known is not None and print_before != fingerprint:
            raise key_reused()
        return None if known is None else str(known)

    async def tenant_of(self, session_id: str) -> str:
        with redis_errors():
            listed = await self._redis.hget(f"{self._root}session:{session_id}", "sessions")
        if listed is None:
            raise no_such_session(session_id)
        return unquote(str(listed).removeprefix("sessions:"))

    async def delete(self, session_id: str) -> None:
        reply = await self._run("delete", session_id, _token())
        if reply[0] == "missing":
            raise no_such_session(session_id)

    async def backlog(self) -> Backlog:
        waiting, working, waited, notices = await self._run("backlog")
        try:
            told = await self._redis.info("memory")
        except (RedisError, OSError):  # a hosted Redis may keep it to itself
            told = {}
        return Backlog(
            waiting=waiting,
            working=working,
            oldest_wait=int(waited) / 1_000_000,
            notices=notices,
            memory_used=told.get("used_memory", 0),
            memory_limit=told.get("maxmemory", 0),
        )

    async def ping(self) -> None:
        with redis_errors():
            await self._redis.ping()

    async def close(self) -> None:
        await self._listener.close()  # first: nothing is unsubscribed on a connection that is closed anyway
        await self._waking.aclose()
        await self._live.aclose()
        await self._redis.aclose()

    async def _hear_of_work(self) -> None:
        """From now on: who sleeps and wakes many times a second does not subscribe each time."""
        if not self._hears_of_work:
            self._hears_of_work = True
            listening = self._listener.listening(f"{self._root}wake", Mailbox(deltas=False), self._safety_read)
            await self._waking.enter_async_context(listening)

    def _audience(self, session_id: str) -> str:
        return f"{self._root}audience:{session_id}"

    def _channel(self, session_id: str) -> str:
        return f"{self._root}live:{session_id}"

    async def _look(self, session_id: str, after: int, limit: int | None) -> View:
        """The session's standing and its entries behind `after`, read in one step."""
        with self._observed("read"), redis_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hmget(f"{self._root}session:{session_id}", ["state", "next", "epoch"])
                pipe.xrange(f"{self._root}events:{session_id}", min=f"{after + 1}-0", count=limit)
                (state, following, epoch), found = await pipe.execute()
        if state is None:
            raise no_such_session(session_id)
        return View(
            entries=tuple(_entry(name, fields) for name, fields in found),
            last=int(following) - 1,
            epoch=int(epoch),
            finished=state == "finished",
        )

    async def _run(self, name: str, *args: str | int) -> Any:
        digest, source = self._scripts[name]
        with self._observed(name), redis_errors():
            try:
                return await self._redis.evalsha(digest, 1, f"{self._root}runnable", self._root, *args)
            except NoScriptError:
                return await self._redis.eval(source, 1, f"{self._root}runnable", self._root, *args)

    @contextmanager
    def _observed(self, call: str) -> Iterator[None]:
        started, answered = time.perf_counter(), False
        try:
            yield
            answered = True
        finally:
            if self._observe is not None:
                self._observe(call, time.perf_counter() - started, answered)


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(f"Claim {claim.epoch} of {claim.owner} on session {claim.session_id} is void.")


def _listed(tenant: str) -> str:
    """The list of a tenant's sessions; quoted, so that no tenant's name can reach into another's keys."""
    return f"sessions:{quote(tenant, safe='')}"


def _idem(tenant: str, key: str) -> str:
    return f"idem:{quote(tenant, safe='')}:{key}"


def _token() -> str:
    return uuid4().hex


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _time(micros: str) -> datetime:
    return _EPOCH_START + timedelta(microseconds=int(micros))


def _entry(name: str, fields: Mapping[str, str]) -> Entry:
    seq = int(name.partition("-")[0])
    # What a newer version has added is passed over: while a deployment is upgraded, both read each other's sessions.
    return Entry(seq=seq, at=_time(fields["at"]), event=EVENT.validate_json(fields["event"], extra="ignore"))
