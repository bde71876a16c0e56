"""SIGTERM to a real process: what is under way is finished, then it leaves; nothing is done twice."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RedisServer
from slow_minds import STEPS
from test_takeover import PATIENCE, Services, assert_told_once, carried_by_first, instantiated, read_stream


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
