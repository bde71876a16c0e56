"""The records on Redis (6.2 or later). A write is one Lua script, see lua/write.lua, where the keys are named too.

Commands go through a bounded pool that queues when it is busy; whoever waits for changes has a connection of its own.
The libraries' names stand in the set `<prefix>:libraries`, everything of a library under `<prefix>:{lib:<name>}:`.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import NoScriptError, RedisError

from reasonflux.contracts import TemplateChange, ThoughtTemplate
from reasonflux.contracts.template import MAX_REVISION
from template_store.errors import (
    ChangesLost,
    NameTaken,
    RecordsCorrupt,
    RecordsUnavailable,
    RevisionConflict,
    RevisionNotFound,
    TemplateExists,
    TemplateNotFound,
)
from template_store.ports import Draft, Refusal, Seed, Snapshot
from template_store.records.naming import unique_name

KEPT_CHANGES = 10_000
"""About so many changes stay in a library's stream. Each holds a whole template."""
_BATCH = 100
_PAGE = 500
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_LINE_SECONDS = 5.0


class RedisRecords:
    """Implements ports.Records. Connects when it is first used; `close` ends what it opened.

    `prefix` keeps stores on one server apart.
    """

    def __init__(
        self, url: str, *, prefix: str = "rf", connections: int = 16, kept_changes: int = KEPT_CHANGES
    ) -> None:
        self._prefix = prefix
        self._kept = kept_changes
        self._script = (resources.files("template_store.records") / "lua" / "write.lua").read_text("utf-8")
        self._digest = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        # Retrying after a broken connection is safe: a write that is sent again is known by its token.
        retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3)
        # Any: redis-py's types know neither decoded replies nor which of its two protocols is spoken.
        self._redis: Any = Redis.from_pool(
            BlockingConnectionPool.from_url(url, max_connections=connections, timeout=10.0, **_line(retry))
        )
        self._live: Any = Redis.from_pool(ConnectionPool.from_url(url, **_line(Retry(NoBackoff(), 0), waits=True)))

    async def create_library(self, library: str) -> bool:
        with _redis_errors():
            return bool(await self._redis.sadd(f"{self._prefix}:libraries", library))

    async def libraries(self) -> tuple[str, ...]:
        with _redis_errors():
            return tuple(sorted(await self._redis.smembers(f"{self._prefix}:libraries")))

    async def write(self, library: str, drafts: Sequence[Draft]) -> tuple[TemplateChange | Refusal, ...]:
        done: list[TemplateChange | Refusal] = []
        for start in range(0, len(drafts), _BATCH):
            batch = [
                (draft, draft.template.model_copy(update={"revision": draft.expected + 1}), uuid4().hex)
                for draft in drafts[start : start + _BATCH]
            ]
            replies = await self._run(library, [self._arguments(library, *each) for each in batch])
            done += [_outcome(library, *each[:2], reply) for each, reply in zip(batch, replies, strict=True)]
        return tuple(done)

    def _arguments(self, library: str, draft: Draft, template: ThoughtTemplate, token: str) -> tuple[str | int, ...]:
        return (
            self._root(library),
            template.id,
            draft.expected,
            unique_name(template),
            token,
            self._kept,
            draft.seed or "",
            draft.kind.value,
            draft.by,
            draft.note,
            template.model_dump_json(),
        )

    async def _run(self, library: str, calls: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """One reply for each call of the script; all calls share one journey, and one sync of Redis's disk."""
        with _redis_errors():
            replies = await self._send(library, calls)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                await self._redis.script_load(self._script)
                replies = await self._send(library, calls)  # those that did run are known by their tokens
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    async def _send(self, library: str, calls: Sequence[tuple[str | int, ...]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for arguments in calls:
                pipe.evalsha(self._digest, 1, self._root(library) + "records", *arguments)
            return list(await pipe.execute(raise_on_error=False))

    async def get(self, library: str, template_id: str) -> ThoughtTemplate:
        with _redis_errors():
            found = await self._redis.hget(self._root(library) + "records", template_id)
        if found is None:
            raise TemplateNotFound(template_id)
        return _template(template_id, found)

    async def load(self, library: str) -> Snapshot:
        root = self._root(library)
        with _redis_errors():
            seq = int(await self._redis.get(root + "seq") or 0)
            # Page by page: one reply with everything would hold Redis up. A template that changes meanwhile is met as
            # it was or as it is; its change comes after `seq` and is applied again.
            found = {key: _template(key, value) async for key, value in self._scan(root + "records")}
        return Snapshot(seq, tuple(found.values()))

    async def _scan(self, key: str) -> AsyncIterator[tuple[str, str]]:
        async for field, value in self._redis.hscan_iter(key, count=_PAGE):
            yield field, value

    async def changes(self, library: str, after: int, patience: float) -> tuple[TemplateChange, ...]:
        key = self._root(library) + "changes"
        with _redis_errors():
            reply = await self._live.xread({key: f"{after}-0"}, count=_PAGE, block=max(1, round(patience * 1000)))
            found = reply[0][1] if reply else []
            if not found:
                # Silence: nothing was written, or what was written is trimmed, or Redis came back from an older state.
                if int(await self._redis.get(self._root(library) + "seq") or 0) == after:
                    return ()
                found = await self._redis.xrange(key, min=f"{after + 1}-0", count=_PAGE)
        if not found or found[0][0] != f"{after + 1}-0":
            raise ChangesLost(library, after)
        return tuple(_change(library, fields) for _, fields in found)

    async def history(self, library: str, template_id: str) -> tuple[TemplateChange, ...]:
        with _redis_errors():
            found = await self._redis.xrange(f"{self._root(library)}history:{template_id}")
        if not found:
            raise TemplateNotFound(template_id)
        return tuple(_change(library, fields) for _, fields in found)

    async def at(self, library: str, template_id: str, revision: int) -> TemplateChange:
        if revision > MAX_REVISION:  # Redis takes no such number as the id of a stream's entry
            raise RevisionNotFound(template_id, revision)
        key, entry = f"{self._root(library)}history:{template_id}", f"{revision}-0"
        with _redis_errors():
            found = await self._redis.xrange(key, min=entry, max=entry)
        if not found:
            raise RevisionNotFound(template_id, revision)
        return _change(library, found[0][1])

    async def seeds(self, library: str) -> dict[str, Seed]:
        with _redis_errors():
            found = await self._redis.hgetall(self._root(library) + "seeds")
        parts = {key: value.partition(" ") for key, value in found.items()}
        return {key: Seed(digest, int(revision)) for key, (revision, _, digest) in parts.items()}

    async def ping(self) -> None:
        with _redis_errors():
            await self._redis.ping()

    async def close(self) -> None:
        await self._live.aclose()
        await self._redis.aclose()

    def _root(self, library: str) -> str:
        return f"{self._prefix}:{{lib:{library}}}:"


def _line(retry: Retry, *, waits: bool = False) -> dict[str, Any]:
    return {
        "decode_responses": True,
        "protocol": 2,
        "socket_timeout": _LINE_SECONDS * (4 if waits else 1),
        "socket_connect_timeout": 2.0,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "retry": retry,
    }


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise RecordsUnavailable(str(error) or type(error).__name__) from error


def _outcome(library: str, draft: Draft, template: ThoughtTemplate, reply: Sequence[str]) -> TemplateChange | Refusal:
    """What the script's reply says about a draft."""
    status, *rest = reply
    if status == "name":
        return NameTaken(template.name, rest[0])
    if status == "revision":
        current = int(rest[0])
        if current == 0:
            return TemplateNotFound(template.id)
        if draft.expected == 0:
            return TemplateExists(template.id, current)
        return RevisionConflict(template.id, draft.expected, current)
    return TemplateChange(
        seq=int(rest[0]),
        library=library,
        template_id=template.id,
        revision=template.revision,
        kind=draft.kind,
        at=_time(rest[1]),
        by=draft.by,
        note=draft.note,
        template=template,
    )


def _change(library: str, fields: Mapping[str, str]) -> TemplateChange:
    try:
        return TemplateChange.model_validate(
            {
                "seq": int(fields["seq"]),
                "library": library,
                "template_id": fields["id"],
                "revision": int(fields["revision"]),
                "kind": fields["kind"],
                "at": _time(fields["at"]),
                "by": fields["by"],
                "note": fields["note"],
                "template": _template(fields["id"], fields["template"]),
            }
        )
    except (ValidationError, KeyError) as error:
        raise RecordsCorrupt(f"a change of the library {library!r}", str(error)) from error


def _template(template_id: str, text: str) -> ThoughtTemplate:
    try:
        return ThoughtTemplate.model_validate_json(text)
    except ValidationError as error:
        raise RecordsCorrupt(f"the template {template_id!r}", str(error)) from error


def _time(micros: str) -> datetime:
    return _EPOCH_START + timedelta(microseconds=int(micros))
