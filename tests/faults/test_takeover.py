"""A navigator is killed in the middle of a session; another one finishes it, and the client notices no gap."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from conftest import RedisServer
from slow_minds import STEPS

from reasonflux.client import NavigatorClient
from reasonflux.contracts import (
    CreateSession,
    Delta,
    Entry,
    Outcome,
    SessionFinished,
    StepInstantiated,
    StepRestarted,
    StepReviewed,
)

LEASE_SECONDS = "1.0"
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Services:
    """Real service processes on loopback, found by name, each with its own log."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("engine", "executor", "first", "second")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        engine = f"{self.url('engine')}/v1"
        self.env = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "REASONFLUX_REDIS_URL": redis_url,
            "REASONFLUX_EXECUTOR_URL": self.url("executor"),
            "REASONFLUX_TEMPLATE_STORE_URL": self.url("executor"),  # these problems need no template
            "REASONFLUX_NAVIGATOR_ENGINE_URL": engine,
            "REASONFLUX_NAVIGATOR_ENGINE_MODEL": "slow",
            "REASONFLUX_NAVIGATOR_PROFILE": "compact",
            "REASONFLUX_EXECUTOR_ENGINE_URL": engine,
            "REASONFLUX_EXECUTOR_ENGINE_MODEL": "slow",
            "REASONFLUX_EXECUTOR_PROFILE": "compact",
            "REASONFLUX_NAVIGATOR_LEASE_SECONDS": LEASE_SECONDS,
            "REASONFLUX_FAKE_REPLIES": "slow_minds:reply",
            "REASONFLUX_FAKE_PACE": "0.02",
            "REASONFLUX_FAKE_MODELS": "slow",
        }

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, name: str, app: str) -> None:
        command = [sys.executable, "-m", "uvicorn", app, "--factory", "--port", str(self.ports[name])]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def signal(self, name: str, what: signal.Signals) -> None:
        self.processes[name].send_signal(what)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    async def ready(self, *names: str) -> None:
        async with httpx.AsyncClient() as http, asyncio.timeout(PATIENCE):
            for name in names:
                while not await self._answers(http, name):
                    assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()
                    await asyncio.sleep(0.1)

    async def _answers(self, http: httpx.AsyncClient, name: str) -> bool:
        path = "/v1/models" if name == "engine" else "/readyz"
        try:
            return (await http.get(self.url(name) + path)).status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def services(tmp_path: Path, own_redis: RedisServer) -> Iterator[Services]:
    running = Services(tmp_path, own_redis.url)
    running.start("engine", "reasonflux.testing.fake_engine:create")
    running.start("executor", "executor.app:create")
    running.start("first", "navigator.app:create")
    try:
        yield running
    finally:
        running.stop()


@contextlib.asynccontextmanager
async def client_of(services: Services, name: str) -> AsyncIterator[NavigatorClient]:
    async with NavigatorClient.open(services.url(name)) as client:
        yield client


async def read_stream(services: Services, name: str, session_id: str, after: int, until: int | None) -> list[Entry]:
    """Entries that a client sees on a fresh connection with Last-Event-ID `after`, until so many were instantiated."""
    seen: list[Entry] = []
    async with client_of(services, name) as client:
        with contextlib.suppress(Exception):
            async for item in client.events(session_id, after):
                if isinstance(item, Delta):
                    continue
                seen.append(item)
                if until is not None and instantiated(seen) >= until:
                    break
    return seen


def instantiated(entries: Sequence[Entry]) -> int:
    return sum(isinstance(entry.event, StepInstantiated) for entry in entries)


async def carried_by_first(services: Services) -> tuple[str, list[Entry]]:
    """A session that the first navigator, then the only one, has carried on for two steps; the second is ready."""
    await services.ready("engine", "executor", "first")
    async with client_of(services, "first") as client:
        created = await client.create(CreateSession(problem="Start at 1. Add 1 five times."))
    seen = await read_stream(services, "first", created.id, 0, until=1)
    services.start("second", "navigator.app:create")
    seen += await read_stream(services, "first", created.id, seen[-1].seq, until=1)
    return created.id, seen


def assert_told_once(entries: Sequence[Entry]) -> None:
    """The whole session, each step committed once, without gap or repeat."""
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert [e.event.step_id for e in entries if isinstance(e.event, StepInstantiated)] == list(range(1, STEPS + 1))
    assert [e.event.step_id for e in entries if isinstance(e.event, StepReviewed)] == list(range(1, STEPS + 1))
    assert sum(isinstance(entry.event, StepRestarted) for entry in entries) == 1
    finished = entries[-1].event
    assert isinstance(finished, SessionFinished)
    assert (finished.outcome, finished.answer) == (Outcome.SOLVED, str(STEPS))


@pytest.mark.redis
async def test_a_session_outlives_the_navigator_that_carried_it(services: Services) -> None:
    session_id, before = await carried_by_first(services)
    services.kill("first")
    await services.ready("second")
    after = await read_stream(services, "second", session_id, before[-1].seq, until=None)
    assert instantiated(before) < STEPS, "the kill came in the middle"
    assert_told_once(before + after)


@pytest.mark.redis
async def test_a_navigator_that_wakes_after_its_session_was_taken_over_writes_nothing(services: Services) -> None:
    session_id, before = await carried_by_first(services)
    services.signal("first", signal.SIGSTOP)
    await services.ready("second")
    after = await read_stream(services, "second", session_id, before[-1].seq, until=None)
    services.signal("first", signal.SIGCONT)
    await services.ready("first")  # it is awake, serves, and its worker has found its lease gone
    async with client_of(services, "first") as client:
        assert (await client.get(session_id)).last_seq == after[-1].seq
    assert_told_once(before + after)
