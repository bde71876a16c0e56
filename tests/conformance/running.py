"""The three services as processes of their own on loopback, on a real Redis and an engine that answers at once."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from embedded import ROOT, free_ports

from navigator.access.keys import Scope, mint
from navigator.access.redis_access import RedisKeys, open_redis

APPS = {
    "engine": "reasonflux.testing.fake_engine:create",
    "template-store": "small_store:create",
    "executor": "executor.app:create",
    "navigator": "navigator.app:create",
}
PATIENCE = 120.0
FEW_TEMPLATES = Path("algebra") / "quadratics"


@dataclass(frozen=True)
class Running:
    """Where the services are, and a key of the navigator's."""

    urls: dict[str, str]
    folder: Path
    key: str = field(repr=False)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


@contextmanager
def services(folder: Path, redis_url: str) -> Iterator[Running]:
    """Started, ready, and stopped at the end."""
    urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(APPS, free_ports(len(APPS)), strict=True)}
    running = Running(urls, folder, asyncio.run(_key(redis_url)))
    env = _environment(running, redis_url)
    processes = [_start(running, name, env) for name in APPS]
    try:
        _wait(running, processes)
        yield running
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def _environment(running: Running, redis_url: str) -> dict[str, str]:
    library = running.folder / "library"
    shutil.copytree(ROOT / "services/template-store/library" / FEW_TEMPLATES, library / FEW_TEMPLATES)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REASONFLUX_")}
    engines = {
        f"REASONFLUX_{role}_ENGINE_{what}": value
        for role in ("NAVIGATOR", "EXECUTOR")
        for what, value in (("URL", f"{running.urls['engine']}/v1"), ("MODEL", "quick"))
    }
    return {
        **inherited,
        **engines,
        "PYTHONPATH": os.pathsep.join(str(ROOT / "tests" / room) for room in ("conformance", "faults")),
        "REASONFLUX_REDIS_URL": redis_url,
        "REASONFLUX_EXECUTOR_URL": running.urls["executor"],
        "REASONFLUX_TEMPLATE_STORE_URL": running.urls["template-store"],
        "REASONFLUX_ACCESS": "keys",
        "REASONFLUX_LIBRARY_DIR": str(library),
        "REASONFLUX_CACHE_DIR": str(running.folder / "cache"),
        "REASONFLUX_FAKE_REPLIES": "quick_minds:reply",
        "REASONFLUX_FAKE_MODELS": "quick",
        "REASONFLUX_DRAIN_SECONDS": "1",
    }


async def _key(redis_url: str) -> str:
    redis = open_redis(redis_url)
    try:
        key, record = mint("conformance", datetime.now(UTC), scopes=frozenset(Scope))
        await RedisKeys(redis).keep(record)
        return key
    finally:
        await redis.aclose()


def _start(running: Running, name: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    port = running.urls[name].rpartition(":")[2]
    command = [sys.executable, "-m", "uvicorn", APPS[name], "--factory", "--port", port]
    with (running.folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen([*command, "--timeout-graceful-shutdown", "1"], env=env, stdout=log, stderr=log)


def _wait(running: Running, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + PATIENCE
    for name, process in zip(APPS, processes, strict=True):
        probe = running.urls[name] + ("/v1/models" if name == "engine" else "/readyz")
        while not _answers(probe):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{running.log(name)[-4000:]}")
            time.sleep(0.1)  # a starting server announces itself in no other way


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).is_success
    except httpx.HTTPError:
        return False
