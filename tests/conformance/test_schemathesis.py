"""schemathesis goes through every route of the running services: no server error, nothing that is not in the document.

With `--hypothesis-profile=long` it looks for much longer.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conformance.running import Running, services
from conftest import RedisServer
from embedded import ROOT
from hypothesis import settings

pytest.importorskip("schemathesis", reason="schemathesis is not installed: make install")

SERVICES = ("navigator", "executor", "template-store")
PHASES = "examples,coverage,fuzzing,stateful"


@pytest.fixture
def running(tmp_path: Path, own_redis: RedisServer) -> Iterator[Running]:
    with services(tmp_path, own_redis.url) as found:
        yield found


def explored(running: Running, name: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("st")), "--no-color"]
    command += ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
    examples = 100 if settings.get_current_profile_name() == "long" else 3
    command += ["run", f"{running.urls[name]}/openapi.json", "--phases", PHASES, "--max-examples", str(examples)]
    env = {**os.environ, "REASONFLUX_API_KEY": running.key}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.redis
@pytest.mark.timeout(3600)
def test_the_running_services_keep_to_their_documents(running: Running) -> None:
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda name: explored(running, name), SERVICES))
    for name, run in zip(SERVICES, ended, strict=True):
        assert run.returncode == 0, f"{name}:\n{run.stdout[-20_000:]}\n{run.stderr[-2_000:]}"
        assert "Coverage" in run.stdout
        assert " passed" in run.stdout
