"""Keys and admission on Redis, so that all replicas know the same. What is counted moves in Lua, one script a step."""

import hashlib
import math
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import NoScriptError

from navigator.access.keys import KeyRecord
from navigator.access.limits import LATE_SECONDS, Ask, Closed, Limits, Refusal, Room, Standing, Verdict
from navigator.journal.connection import client, redis_errors

SCRIPTS = ("admit", "close", "charge")

REPLACE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5])
return 1
"""


def open_redis(url: str, connections: int = 32) -> Redis:
    """The connections that keys and admission share. Close it with `aclose()`.

    Trying again after a broken connection is safe: work that was let in is known by its id.
    """
    return client(url, connections, Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3))


class RedisKeys:
    """A `navigator.access.ports.Keys`: two hashes, key id → record and tenant → limits. `prefix` keeps users apart."""

    def __init__(self, redis: Redis, *, prefix: str = "rf") -> None:
        self._redis = redis
        self._keys, self._limits = f"{prefix}:{{access}}:keys", f"{prefix}:{{access}}:limits"

    async def find(self, key_id: str) -> KeyRecord | None:
        with redis_errors():
            found = await self._redis.hget(self._keys, key_id)
        return None if found is None else KeyRecord.model_validate_json(found)

    async def keep(self, record: KeyRecord) -> None:
        with redis_errors():
            await self._redis.hset(self._keys, record.id, record.model_dump_json())

    async def replace(self, old: KeyRecord, ending: KeyRecord, new: KeyRecord) -> bool:
        fields = (old.id, old.model_dump_json(), ending.model_dump_json(), new.id, new.model_dump_json())
        with redis_errors():
            return bool(await self._redis.eval(REPLACE, 1, self._keys, *fields))

    async def drop(self, key_id: str) -> bool:
        with redis_errors():
            return bool(await self._redis.hdel(self._keys, key_id))

    async def all(self) -> tuple[KeyRecord, ...]:
        with redis_errors():
            found = await self._redis.hvals(self._keys)
        records = [KeyRecord.model_validate_json(record) for record in found]
        return tuple(sorted(records, key=lambda record: (record.created_at, record.id)))

    async def limits(self, tenant: str) -> Limits | None:
        with redis_errors():
            found = await self._redis.hget(self._limits, tenant)
        return None if found is None else Limits.model_validate_json(found)

    async def set_limits(self, tenant: str, limits: Limits | None) -> None:
        with redis_errors():
            if limits is None:
                await self._redis.hdel(self._limits, tenant)
            else:
                await self._redis.hset(self._limits, tenant, limits.model_dump_json(exclude_unset=True))


class RedisAdmission:
    """A `navigator.access.ports.Admission`."""

    def __init__(self, redis: Redis, *, prefix: str = "rf") -> None:
        self._redis = redis
        self._root = f"{prefix}:{{access}}:"
        self._scripts = {name: _script(name) for name in SCRIPTS}

    async def admit(self, ask: Ask, limits: Limits, room: Room) -> Verdict:
        named = (ask.id, ask.tenant, ask.tokens, ask.seconds)
        bounds = (limits.requests, limits.tokens, limits.sessions, room.sessions, room.tokens)
        reply = await self._run("admit", *named, *(-1 if bound is None else bound for bound in bounds))
        reason, wait, requests, requests_full, tokens, tokens_full = reply
        standing = Standing(
            requests=_gauge(limits.requests, requests, requests_full),
            tokens=_gauge(limits.tokens, tokens, tokens_full),
        )
        refusal = Refusal.model_validate({"reason": reason, "seconds": wait}) if reason else None
        return Verdict(standing=standing, refusal=refusal)

    async def close(self, work_id: str, tokens: int) -> Closed | None:
        tenant = await self._run("close", work_id, tokens, round(LATE_SECONDS * 1_000))
        return None if tenant is None else Closed(tenant=tenant, tokens=tokens)

    async def charge(self, work_id: str, tokens: int) -> Closed | None:
        tenant = await self._run("charge", work_id, tokens)
        return None if tenant is None else Closed(tenant=tenant, tokens=tokens)

    async def _run(self, name: str, *args: str | float) -> Any:
        digest, source = self._scripts[name]
        with redis_errors():
            try:
                return await self._redis.evalsha(digest, 1, f"{self._root}slots", self._root, *args)
            except NoScriptError:
                return await self._redis.eval(source, 1, f"{self._root}slots", self._root, *args)


def _script(name: str) -> tuple[str, str]:
    """A script's hash and text, complete with its prelude."""
    folder = resources.files("navigator.access") / "lua"
    source = (folder / "prelude.lua").read_text("utf-8") + (folder / f"{name}.lua").read_text("utf-8")
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), source


def _gauge(limit: int | None, level: str, seconds: str) -> Standing.Gauge | None:
    if limit is None:
        return None
    return Standing.Gauge(limit=limit, left=max(0, math.floor(float(level))), seconds=float(seconds))
