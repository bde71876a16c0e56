"""SIGTERM to a real process: what is under way is finished, then it leaves; nothing is done twice."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import RedisServer
from slow_minds import STEPS
from test_takeover import PATIENCE, Services, assert_told_once, carried_by_first, instantiated, read_stream

from reasonflux.client import ExecutorClient
from reasonflux.contracts import Entry, InstantiateEvent, InstantiateRequest
from reasonflux.sse import read_sse


@pytest.fixture
def services(tmp_path: Path, own_redis: RedisServer) -> Iterator[Services]:
    running = Services(tmp_path, own_redis.url)
    running.env["REASONFLUX_DRAIN_SECONDS"] = str(PATIENCE)
    running.env["REASONFLUX_NAVIGATOR_LEASE_SECONDS"] = str(PATIENCE)  # who waits for the lease waits too long
    running.env["REASONFLUX_FAKE_PACE"] = "0.1"  # a step is still under way when the signal has arrived
    running.start("engine", "reasonflux.testing.fake_engine:create")
    running.start("executor", "executor.app:create")
    try:
        yield running
    finally:
        running.stop()


async def not_ready(http: httpx.AsyncClient, url: str) -> None:
    """Return when the service says that no more requests should be sent to it; it must still answer."""
    while (await http.get(f"{url}/readyz")).status_code != 503:  # noqa: ASYNC110  another process is asked
        await asyncio.sleep(0.02)


async def left(services: Services, name: str) -> int:
    """The exit code of a process that was told to leave."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.to_thread(services.processes[name].wait)


@pytest.mark.redis
async def test_a_navigator_told_to_leave_hands_its_session_over_between_steps(services: Services) -> None:
    services.start("first", "navigator.app:create")
    session_id, before = await carried_by_first(services)
    services.signal("first", signal.SIGTERM)
    assert await left(services, "first") == -signal.SIGTERM
    assert "session given back between steps" in (services.folder / "first.log").read_text()
    await services.ready("second")
    after = await read_stream(services, "second", session_id, before[-1].seq, until=None)
    assert instantiated(before) < STEPS, "it was told in the middle"
    assert_told_once(before + after)


@pytest.mark.redis
async def test_who_follows_a_session_misses_nothing_when_its_navigator_leaves(services: Services) -> None:
    services.start("first", "navigator.app:create")
    session_id, before = await carried_by_first(services)
    await services.ready("second")
    begun = asyncio.Event()
    following = asyncio.create_task(entries_until_the_stream_ends(services, "first", session_id, begun))
    await begun.wait()
    services.signal("first", signal.SIGTERM)
    async with httpx.AsyncClient(timeout=PATIENCE) as http, asyncio.timeout(PATIENCE):
        await not_ready(http, services.url("first"))
        seen = await following
    assert await left(services, "first") == -signal.SIGTERM
    seen += await read_stream(services, "second", session_id, seen[-1].seq, until=None)
    assert seen[: len(before)] == before
    assert_told_once(seen)


async def entries_until_the_stream_ends(
    services: Services, name: str, session_id: str, begun: asyncio.Event
) -> list[Entry]:
    """What one connection brings, however it ends."""
    seen: list[Entry] = []
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        headers = {"Accept": "text/event-stream"}
        path = f"{services.url(name)}/v1/sessions/{session_id}/events?deltas=false"
        with contextlib.suppress(httpx.TransportError):
            async with http.stream("GET", path, headers=headers) as answer:
                async for event in read_sse(answer.aiter_bytes()):
                    seen.append(Entry.model_validate_json(event.data))
                    begun.set()
    return seen


@pytest.mark.redis
async def test_an_executor_told_to_leave_delivers_the_step_that_it_has_begun(services: Services) -> None:
    await services.ready("engine", "executor")
    url = services.url("executor")
    begun = asyncio.Event()

    async def heard(_: InstantiateEvent) -> None:
        begun.set()

    async with httpx.AsyncClient(timeout=PATIENCE) as http, asyncio.timeout(PATIENCE):
        client = ExecutorClient(http, url)
        asked = asyncio.create_task(client.instantiate(InstantiateRequest(goal="step 1"), heard))
        await begun.wait()
        services.signal("executor", signal.SIGTERM)
        await not_ready(http, url)
        assert not asked.done(), "it was told in the middle"
        assert (await asked).result == "1"
    assert await left(services, "executor") == -signal.SIGTERM
