"""What only the journal on Redis can promise: durability, and few connections."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import redis
from cutting_proxy import CuttingProxy

from navigator.errors import JournalUnavailable
from navigator.journal import RedisJournal
from reasonflux.contracts import (
    ActionKind,
    Delta,
    Outcome,
    Problem,
    SessionFinished,
    SessionStarted,
    StepRestarted,
)

pytestmark = pytest.mark.redis

STARTED = SessionStarted(problem=Problem(text="What is 1 + 1?"))
SOLVED = SessionFinished(outcome=Outcome.SOLVED, answer="2")


@pytest.fixture
async def journal(own_redis) -> AsyncIterator[RedisJournal]:
    journal = RedisJournal(own_redis.url, safety_read=0.5)
    yield journal
    await journal.close()


async def test_an_acknowledged_commit_survives_a_killed_redis(own_redis, journal) -> None:
    await journal.create("s", STARTED, idempotency_key="k", fingerprint="f")
    claim = await journal.claim("worker", 60)
    committed = await journal.commit(claim, 2, [StepRestarted(epoch=1)])
    own_redis.kill()
    with pytest.raises(JournalUnavailable):
        await journal.read("s")
    own_redis.start()

    assert (await journal.read("s"))[1:] == committed
    assert await journal.create("other", STARTED, idempotency_key="k", fingerprint="f") == "s"
    assert await journal.claim("thief", 60) is None
    await journal.commit(claim, 3, [SOLVED])


async def test_a_session_that_a_newer_version_began_is_read_and_carried_on(own_redis, journal) -> None:
    """While a deployment is upgraded, navigators of both versions claim the same sessions."""
    await journal.create("s", STARTED)
    with redis.Redis.from_url(own_redis.url) as client:
        newer = {**json.loads(STARTED.model_dump_json()), "mood": "hopeful"}
        newer["problem"]["language"] = "en"
        client.delete("rf:{0}:events:s")
        client.xadd("rf:{0}:events:s", {"at": "1", "event": json.dumps(newer)}, id="1-0")
    assert (await journal.read("s"))[0].event == STARTED
    await journal.commit(await journal.claim("worker", 60), 2, [SOLVED])


async def test_followers_go_on_after_redis_was_killed(own_redis, journal) -> None:
    await journal.create("s", STARTED)
    claim = await journal.claim("worker", 60)
    stream = journal.follow("s")
    assert (await anext(stream)).seq == 1
    waiting = asyncio.ensure_future(anext(stream))
    own_redis.kill()
    own_redis.start()
    try:
        await journal.commit(claim, 2, [SOLVED])
        assert (await asyncio.wait_for(waiting, 20)).seq == 2
    except JournalUnavailable:  # the outage outlasted the retries: a stream resumes by its cursor
        assert [item.seq async for item in journal.follow("s", after=1)] == [2]


async def test_a_follower_catches_up_when_its_listening_connection_was_cut(own_redis) -> None:
    journal = RedisJournal(own_redis.url, safety_read=60.0)  # silence alone would not make it read within the test
    await journal.create("s", STARTED)
    claim = await journal.claim("worker", 60)
    stream = journal.follow("s")
    assert (await anext(stream)).seq == 1
    waiting = asyncio.ensure_future(anext(stream))
    with redis.Redis(port=own_redis.port) as client:
        assert client.client_kill_filter(_type="pubsub") == 1
    await journal.commit(claim, 2, [SOLVED])
    assert (await asyncio.wait_for(waiting, 20)).seq == 2
    await journal.close()


async def test_live_text_never_reaches_the_append_only_file(own_redis, journal) -> None:
    await journal.create("s", STARTED)
    aof = own_redis.folder / "appendonly.aof"
    if not aof.exists():
        aof = next((own_redis.folder / "appendonlydir").glob("*.incr.aof"))
    before = aof.stat().st_size
    for n in range(200):
        await journal.publish("s", Delta(action=ActionKind.PLAN, text=f"token {n} "))
    with redis.Redis(port=own_redis.port) as client:
        assert client.info("persistence")["aof_current_size"] == before
    assert aof.stat().st_size == before

    claim = await journal.claim("worker", 60)
    await journal.commit(claim, 2, [SOLVED])
    grown = aof.read_bytes()[before:]
    assert b"session.finished" in grown
    assert b"token" not in grown.replace(b"$5\r\ntoken\r\n", b"")  # the hash field of that name is not live text
    assert b"publish" not in grown.lower()


async def test_a_hundred_followers_share_one_listening_connection(own_redis, journal) -> None:
    await journal.create("s", STARTED)
    following = asyncio.Semaphore(0)

    async def follow_to_the_end() -> list[int]:
        seen = []
        async for item in journal.follow("s"):
            seen.append(item.seq)
            following.release()
        return seen

    followers = [asyncio.create_task(follow_to_the_end()) for _ in range(100)]
    for _ in followers:
        await asyncio.wait_for(following.acquire(), 30)
    claim = await journal.claim("worker", 60)
    with redis.Redis(port=own_redis.port, decode_responses=True) as client:
        assert sum(int(c["sub"]) > 0 for c in client.client_list()) == 1
        await journal.commit(claim, 2, [SOLVED])
        assert await asyncio.wait_for(asyncio.gather(*followers), 30) == [[1, 2]] * 100
        assert len(client.client_list()) <= 32 + 2  # the pool, the listener, and this client


@pytest.mark.parametrize("call", ["create", "commit", "finish", "cancel"])
async def test_a_write_whose_reply_was_lost_is_acknowledged_and_written_once(own_redis, call: str) -> None:
    async with CuttingProxy(own_redis.port) as proxy:
        journal = RedisJournal(proxy.url)
        await journal.create("warm", STARTED)  # so that the scripts are known, and the reply lost is the real one
        await journal.commit(await journal.claim("worker", 60), 2, [StepRestarted(epoch=1)])
        await journal.cancel("warm")
        await journal.create("s", STARTED)
        claim = await journal.claim("worker", 60)

        proxy.cut_next_reply = True
        if call == "create":
            assert await journal.create("new", STARTED) == "new"
        elif call == "cancel":
            assert await journal.cancel("s") is True
        else:
            event = SOLVED if call == "finish" else StepRestarted(epoch=1)
            written = await journal.commit(claim, 2, [event])
            assert (await journal.read("s"))[1:] == written
        assert proxy.cuts == 1
        assert [entry.seq for entry in await journal.read("new" if call == "create" else "s")][-1] <= 2
        await journal.close()


async def test_scripts_are_sent_again_when_the_server_forgot_them(own_redis, journal) -> None:
    await journal.create("s", STARTED)
    with redis.Redis(port=own_redis.port) as client:
        client.script_flush()
    assert await journal.claim("worker", 60) is not None
    assert await journal.cancel("s") is True


async def test_an_unreachable_redis_is_a_typed_failure() -> None:
    journal = RedisJournal("redis://127.0.0.1:1/0")
    with pytest.raises(JournalUnavailable) as caught:
        await journal.ping()
    assert caught.value.failure.retryable
    await journal.close()


async def test_a_finished_session_s_keys_have_a_time_to_live_and_a_running_one_s_have_none(own_redis, journal) -> None:
    await journal.create("running", STARTED, idempotency_key="r", fingerprint="f")
    await journal.create("finished", STARTED, idempotency_key="k", fingerprint="f")
    await journal.cancel("finished")
    with redis.Redis(port=own_redis.port, decode_responses=True) as client:
        left = {key: client.pttl(key) for key in client.scan_iter("rf:*") if client.type(key) in ("hash", "stream")}

    mortal = {"rf:{0}:session:finished", "rf:{0}:events:finished", "rf:{0}:idem:default:k"}
    assert {key for key, milliseconds in left.items() if milliseconds > 0} == mortal
    assert set(left.values()) - {left[key] for key in mortal} == {-1}


async def test_what_has_expired_leaves_the_list_without_anybody_reading_it(own_redis) -> None:
    journal = RedisJournal(own_redis.url, retention=0.001)
    for n in range(4):
        await journal.create(f"s{n}", STARTED)
        await journal.cancel(f"s{n}")
    with redis.Redis(port=own_redis.port) as client:
        while client.exists(*(f"rf:{{0}}:session:s{n}" for n in range(4))):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)
        for n in range(3):
            await journal.create(f"new{n}", STARTED)
        assert client.zcard("rf:{0}:sessions:default") == 3
    await journal.close()
