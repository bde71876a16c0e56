"""What admission promises: one suite for the one in memory and the one on a real Redis.

Time passes by itself on Redis, so limits are chosen such that nothing fills up, or everything does, while a test runs.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from navigator.access.limits import Ask, Limits, Priority, Room
from navigator.access.memory import MemoryAdmission
from navigator.access.ports import Admission
from navigator.access.redis_access import RedisAdmission, open_redis

ANYTHING = Room()
NO_LIMITS = Limits()
LONG = 600.0


def ask(name: str, *, tenant: str = "acme", tokens: int = 100, seconds: float = LONG) -> Ask:
    return Ask(id=name, tenant=tenant, tokens=tokens, seconds=seconds)


async def reason(
    admission: Admission, name: str, limits: Limits = NO_LIMITS, room: Room = ANYTHING, **fields: Any
) -> str | None:
    refusal = (await admission.admit(ask(name, **fields), limits, room)).refusal
    return refusal.reason if refusal else None


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def replica(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Admission]]:
    """Views of one admission, as several processes would have: one object in memory, several on Redis."""
    if request.param == "memory":
        single = MemoryAdmission()
        yield lambda: single
        return
    prefix, url = request.getfixturevalue("redis_prefix"), request.getfixturevalue("redis_url")
    clients = [open_redis(url, connections=8)]

    def another() -> Admission:
        clients.append(open_redis(url, connections=8))
        return RedisAdmission(clients[-1], prefix=prefix)

    yield another
    for client in clients:
        await client.aclose()


@pytest.fixture
def admission(replica: Callable[[], Admission]) -> Admission:
    return replica()


async def test_without_limits_everything_is_let_in_and_nothing_is_told(admission: Admission) -> None:
    verdicts = [await admission.admit(ask(f"s{n}"), NO_LIMITS, ANYTHING) for n in range(5)]

    assert [verdict.refusal for verdict in verdicts] == [None] * 5
    assert verdicts[-1].standing.headers == {}


async def test_replicas_share_a_tenants_limit_of_sessions(replica: Callable[[], Admission]) -> None:
    limits = Limits(sessions=3)
    replicas = [replica() for _ in range(4)]
    asked = [reason(replicas[n % 4], f"s{n}", limits) for n in range(12)]
    told = await asyncio.gather(*asked)

    assert told.count(None) == 3
    assert told.count("sessions") == 9


async def test_one_tenants_limit_is_not_anothers(admission: Admission) -> None:
    limits = Limits(sessions=1)
    assert await reason(admission, "a", limits) is None
    assert await reason(admission, "b", limits) == "sessions"
    assert await reason(admission, "c", limits, tenant="other") is None


async def test_what_has_ended_frees_its_place_once(admission: Admission) -> None:
    limits = Limits(sessions=1)
    assert await reason(admission, "a", limits) is None
    closed = await admission.close("a", 40)
    again = await admission.close("a", 40)

    assert closed is not None
    assert (closed.tenant, closed.tokens) == ("acme", 40)
    assert again is None
    assert await reason(admission, "b", limits) is None
    assert await reason(admission, "c", limits) == "sessions"


async def test_work_whose_time_is_over_frees_its_place_by_itself(admission: Admission) -> None:
    room, limits = Room(sessions=1, tokens=100), Limits(sessions=1)
    assert await reason(admission, "a", limits, room, seconds=0) is None
    assert await reason(admission, "b", limits, room) is None
    assert await admission.close("a", 1) is None


async def test_the_same_work_again_is_counted_once(admission: Admission) -> None:
    limits = Limits(sessions=1, requests=2, tokens=150)
    assert await reason(admission, "a", limits) is None
    assert await reason(admission, "a", limits) is None
    verdict = await admission.admit(ask("a"), limits, ANYTHING)

    assert verdict.standing.requests is not None
    assert verdict.standing.requests.left == 1


async def test_requests_a_minute_are_a_bucket_that_fills_up_evenly(admission: Admission) -> None:
    limits = Limits(requests=2)
    assert await reason(admission, "a", limits) is None
    assert await reason(admission, "b", limits) is None
    verdict = await admission.admit(ask("c"), limits, ANYTHING)

    assert verdict.refusal is not None
    assert verdict.refusal.reason == "requests"
    assert 20 < verdict.refusal.seconds <= 30  # one of two a minute
    assert verdict.standing.headers["x-ratelimit-limit-requests"] == "2"
    assert verdict.standing.headers["x-ratelimit-remaining-requests"] == "0"
    assert verdict.standing.headers["x-ratelimit-reset-requests"].endswith("s")


async def test_a_refusal_is_not_charged(admission: Admission) -> None:
    limits = Limits(requests=10, tokens=100)
    assert await reason(admission, "a", limits, tokens=90) is None
    verdicts = [await admission.admit(ask(f"b{n}", tokens=90), limits, ANYTHING) for n in range(3)]

    assert {verdict.refusal and verdict.refusal.reason for verdict in verdicts} == {"tokens"}
    assert verdicts[-1].standing.requests is not None
    assert verdicts[-1].standing.requests.left == 9


async def test_tokens_are_charged_as_estimated_and_corrected_at_the_end(admission: Admission) -> None:
    limits = Limits(tokens=1_000)
    assert await reason(admission, "a", limits, tokens=900) is None
    assert await reason(admission, "b", limits, tokens=900) == "tokens"
    await admission.close("a", 100)
    verdict = await admission.admit(ask("c", tokens=850), limits, ANYTHING)

    assert verdict.refusal is None
    assert verdict.standing.tokens is not None
    assert verdict.standing.tokens.left < 100


async def test_work_that_cost_more_than_estimated_leaves_a_debt(admission: Admission) -> None:
    limits = Limits(tokens=1_000)
    assert await reason(admission, "a", limits, tokens=100) is None
    await admission.close("a", 3_000)
    verdict = await admission.admit(ask("b", tokens=100), limits, ANYTHING)

    assert verdict.refusal is not None
    assert 100 < verdict.refusal.seconds <= 126  # 2,000 below empty, 1,000 a minute


@pytest.mark.parametrize("late", [False, True])
async def test_what_work_has_cost_besides_is_charged_before_and_after_its_end(admission: Admission, late: bool) -> None:
    limits = Limits(tokens=1_000)
    assert await reason(admission, "a", limits, tokens=900) is None
    calls: list[Callable[[], Any]] = [lambda: admission.charge("a", 600), lambda: admission.close("a", 0)]
    for call in reversed(calls) if late else calls:
        closed = await call()
        assert closed is not None
        assert closed.tenant == "acme"
    verdict = await admission.admit(ask("b", tokens=100), limits, ANYTHING)

    assert verdict.refusal is None
    assert verdict.standing.tokens is not None
    assert 290 <= verdict.standing.tokens.left < 400  # 1,000 less 600 and 100; a little is filled up meanwhile
    assert await admission.charge("unknown", 5) is None


async def test_a_limit_that_is_set_later_begins_with_a_full_bucket(admission: Admission) -> None:
    assert await reason(admission, "a", Limits(requests=100)) is None
    assert await reason(admission, "b", Limits(requests=100, tokens=50), tokens=50) is None
    assert await reason(admission, "c", Limits(tokens=10_000), tokens=10_000) is not None  # 50 were taken from it
    await admission.close("a", 100)
    assert await reason(admission, "d", Limits(requests=100)) is None


async def test_work_that_is_larger_than_the_bucket_waits_for_a_full_one(admission: Admission) -> None:
    limits = Limits(tokens=100)
    assert await reason(admission, "huge", limits, tokens=5_000) is None
    assert await reason(admission, "next", limits, tokens=1) == "tokens"


async def test_what_never_began_gives_its_tokens_back(admission: Admission) -> None:
    limits = Limits(tokens=1_000)
    assert await reason(admission, "a", limits, tokens=1_000) is None
    await admission.close("a", 0)
    assert await reason(admission, "b", limits, tokens=1_000) is None


async def test_a_full_deployment_refuses_whoever_asks(admission: Admission) -> None:
    room = Room(sessions=2)
    assert await reason(admission, "a", room=room) is None
    assert await reason(admission, "b", room=room, tenant="other") is None
    verdict = await admission.admit(ask("c", tenant="third"), NO_LIMITS, room)

    assert verdict.refusal is not None
    assert verdict.refusal.reason == "room"
    assert verdict.refusal.seconds >= 1


async def test_room_is_measured_in_estimated_tokens(admission: Admission) -> None:
    room = Room(tokens=1_000)
    assert await reason(admission, "a", room=room, tokens=600) is None
    assert await reason(admission, "b", room=room, tokens=600) == "room"
    assert await reason(admission, "c", room=room, tokens=400) is None
    await admission.close("a", 10)
    assert await reason(admission, "d", room=room, tokens=600) is None


async def test_an_idle_deployment_takes_what_is_larger_than_its_room(admission: Admission) -> None:
    assert await reason(admission, "a", room=Room(tokens=1_000), tokens=50_000) is None
    assert await reason(admission, "b", room=Room(tokens=1_000), tokens=1) == "room"


async def test_batch_work_leaves_half_of_the_room_to_others(admission: Admission) -> None:
    room = Room(sessions=4)
    share = room.share(Priority.BATCH)
    batch = [await reason(admission, f"b{n}", room=share) for n in range(3)]
    normal = [await reason(admission, f"n{n}", room=room.share(Priority.NORMAL)) for n in range(3)]

    assert batch == [None, None, "room"]
    assert normal == [None, None, "room"]


async def test_parallel_work_never_takes_more_tokens_than_there_are(replica: Callable[[], Admission]) -> None:
    limits = Limits(tokens=1_000)
    replicas = [replica() for _ in range(3)]
    told = await asyncio.gather(*(reason(replicas[n % 3], f"s{n}", limits, tokens=300) for n in range(15)))

    assert told.count(None) == 3


async def test_a_bucket_fills_up_while_nothing_is_asked() -> None:
    now = 1_000.0
    admission = MemoryAdmission(clock=lambda: now)
    limits = Limits(requests=60)
    for n in range(60):
        assert await reason(admission, f"s{n}", limits) is None
    assert await reason(admission, "t", limits) == "requests"
    now += 1.0
    assert await reason(admission, "t", limits) is None
    assert await reason(admission, "u", limits) == "requests"


async def test_the_wait_for_a_place_follows_from_how_long_work_takes() -> None:
    now = 1_000.0
    admission = MemoryAdmission(clock=lambda: now)
    assert await reason(admission, "a") is None
    now += 40.0
    await admission.close("a", 10)
    for name in ("b", "c"):
        assert await reason(admission, name, room=Room(sessions=2)) is None
    verdict = await admission.admit(ask("d"), NO_LIMITS, Room(sessions=2))

    assert verdict.refusal is not None
    assert verdict.refusal.seconds == pytest.approx(20.0)
