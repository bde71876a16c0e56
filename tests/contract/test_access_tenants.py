"""The journal as one tenant sees it, in memory and on a real Redis; and the whole service with keys on a real Redis."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from navigator.access.gate import Gate
from navigator.access.keys import Caller, mint
from navigator.access.limits import Limits, Room
from navigator.access.memory import MemoryAdmission, MemoryKeys
from navigator.access.metrics import AccessMetrics
from navigator.access.redis_access import RedisKeys, open_redis
from navigator.access.visit import TenantsSessions, Visit
from navigator.app import create
from navigator.errors import CursorExpired, IdempotencyConflict, JournalUnavailable, SessionNotFound
from navigator.journal import MemoryJournal, RedisJournal
from navigator.ports import Journal
from navigator.settings import Settings
from reasonflux.contracts import Problem, SessionStarted
from reasonflux.errors import RateLimited
from reasonflux.testing.serving import served

FIRST = SessionStarted(problem=Problem(text="What is 1 + 1?"))
AWKWARD = "a:b/ö%"


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def journal(request: pytest.FixtureRequest) -> AsyncIterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    real = RedisJournal(request.getfixturevalue("redis_url"), prefix=request.getfixturevalue("redis_prefix"))
    yield real
    await real.close()


def gate(limits: Limits | None = None) -> Gate:
    return Gate(
        MemoryAdmission(),
        MemoryKeys(),
        AccessMetrics(CollectorRegistry()),
        defaults=limits or Limits(),
        room=Room(),
        metered=True,
    )


def seen_by(tenant: str, journal: Journal, at: Gate | None = None) -> TenantsSessions:
    return TenantsSessions(journal, Visit(Caller(tenant=tenant), at or gate()))


async def test_a_journal_knows_whose_session_it_is(journal: Journal) -> None:
    for n, tenant in enumerate(("default", "acme", AWKWARD)):
        await journal.create(f"s{n}", FIRST, tenant=tenant)

    assert [await journal.tenant_of(f"s{n}") for n in range(3)] == ["default", "acme", AWKWARD]
    with pytest.raises(SessionNotFound):
        await journal.tenant_of("s9")


async def test_a_journal_knows_what_a_key_has_started(journal: Journal) -> None:
    await journal.create("s", FIRST, tenant=AWKWARD, idempotency_key="once", fingerprint="f")

    assert await journal.started_before(AWKWARD, "once", "f") == "s"
    assert await journal.started_before(AWKWARD, "twice", "f") is None
    assert await journal.started_before("acme", "once", "f") is None
    with pytest.raises(IdempotencyConflict):
        await journal.started_before(AWKWARD, "once", "g")
    await journal.delete("s")
    assert await journal.started_before(AWKWARD, "once", "f") is None


async def test_a_tenant_sees_its_own_sessions_and_no_others(journal: Journal) -> None:
    ours, theirs = seen_by("acme", journal), seen_by("other", journal)
    await ours.create("s", FIRST)

    assert [entry.event for entry in await seen_by("acme", journal).read("s")] == [FIRST]
    assert await ours.list() == ("s",)
    assert await theirs.list() == ()
    for asked in (theirs.read("s"), theirs.cancel("s"), theirs.delete("s"), theirs.list(before="s")):
        with pytest.raises((SessionNotFound, CursorExpired)):
            await asked
    with pytest.raises(SessionNotFound):
        await anext(theirs.follow("s"))
    assert await ours.cancel("s")


async def test_what_is_refused_is_not_in_the_journal(journal: Journal) -> None:
    at = gate(Limits(sessions=1))
    await seen_by("acme", journal, at).create("a", FIRST)
    with pytest.raises(RateLimited):
        await seen_by("acme", journal, at).create("b", FIRST)

    assert await journal.list("acme") == ("a",)


async def test_a_place_that_is_late_to_be_free_is_looked_at_again() -> None:
    journal, admission = MemoryJournal(), MemoryAdmission()

    async def meanwhile(_: float) -> None:
        await admission.close("a", 1)

    at = Gate(
        admission,
        MemoryKeys(),
        AccessMetrics(CollectorRegistry()),
        defaults=Limits(sessions=1),
        room=Room(),
        metered=False,
        sleep=meanwhile,
    )
    sessions = seen_by("acme", journal, at)
    await sessions.create("a", FIRST)
    assert await sessions.create("b", FIRST) == "b"


async def test_counting_that_fails_never_fails_the_session() -> None:
    class Away(MemoryAdmission):
        async def close(self, work_id: str, tokens: int) -> Any:
            raise JournalUnavailable("Redis is away")

    at = Gate(Away(), MemoryKeys(), AccessMetrics(CollectorRegistry()), defaults=Limits(), room=Room(), metered=True)
    sessions = seen_by("acme", MemoryJournal(), at)
    await sessions.create("a", FIRST)
    await sessions.delete("a")
    at.left("b", 1)
    await at.settle()


async def test_nothing_is_asked_where_nothing_is_limited() -> None:
    class Strict(MemoryAdmission):
        async def admit(self, *_: Any) -> Any:
            raise AssertionError("asked")

    at = Gate(Strict(), MemoryKeys(), AccessMetrics(CollectorRegistry()), defaults=Limits(), room=Room(), metered=False)
    assert await seen_by("default", MemoryJournal(), at).create("a", FIRST) == "a"


@pytest.mark.redis
async def test_two_replicas_on_one_redis_share_keys_limits_and_sessions(own_redis: Any) -> None:
    settings = Settings(
        redis_url=own_redis.url, access="keys", navigator_workers=0, tenant_sessions=1, tenant_requests=5
    )
    key, record = mint("acme", datetime.now(UTC))
    headers = {"Authorization": f"Bearer {key}"}
    redis = open_redis(own_redis.url)
    async with (
        served(create(settings)) as one,
        served(create(settings)) as two,
        httpx.AsyncClient(headers=headers, timeout=60) as client,
    ):
        before = await client.get(f"{one}/v1/models")
        await RedisKeys(redis).keep(record)
        created = await client.post(f"{one}/v1/sessions", json={"problem": "1+1?"})
        refused = await client.post(f"{two}/v1/sessions", json={"problem": "1+1?"})
        read = await client.get(f"{two}/v1/sessions/{created.json()['id']}")
        await client.post(f"{two}/v1/sessions/{created.json()['id']}/cancel")
        again = await client.post(f"{one}/v1/sessions", json={"problem": "1+1?"})
        await RedisKeys(redis).drop(record.id)
        after = await client.get(f"{two}/v1/models")
    await redis.aclose()

    assert (before.status_code, created.status_code, refused.status_code) == (401, 201, 429)
    assert (read.status_code, again.status_code, after.status_code) == (200, 201, 401)
    assert again.headers["x-ratelimit-remaining-requests"] == "3"
