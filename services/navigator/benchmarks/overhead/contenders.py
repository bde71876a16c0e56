"""Who takes part: our services, the bare loop, and the peers that can be installed. Each is real and in processes of
its own; all of them call the same stand-in.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import httpx
from timing import Sample, timed

from reasonflux.http import http_client
from reasonflux.local.preflight import examine, this_machine
from reasonflux.local.process import Stack
from reasonflux.local.settings import LocalSettings
from reasonflux.local.stack import HttpHealth, Process, plan

HERE = Path(__file__).parent
PORTS = {"stand-in": 18210, "navigator": 18200, "executor": 18201, "store": 18202, "redis": 18290}
OPTILLM_PORT, ITS_HUB_PORT = 18220, 18221
STAND_IN = f"http://127.0.0.1:{PORTS['stand-in']}"
ENGINE = f"http://127.0.0.1:{PORTS['stand-in']}/v1"
PROBLEM = "The first pair is 6 and 7. The second pair is 3 and 5. What is the sum of the two products?"
ANSWER = "57"
CALLS = 5
PATIENCE = 400.0
LIBRARY = HERE.parents[2] / "template-store/library"


class Contender(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def calls(self) -> int:
        """Upstream calls of one run."""
        ...

    async def measure(self, concurrency: int, runs: int) -> Sample: ...


@dataclass(frozen=True)
class Script:
    """A contender that is a client itself: the bare loop and LangGraph."""

    name: str
    python: Path
    script: Path
    bodies: Path
    calls: int = CALLS

    async def measure(self, concurrency: int, runs: int) -> Sample:
        arguments = (str(self.script), ENGINE, str(self.bodies), str(concurrency), str(runs))
        child = await asyncio.create_subprocess_exec(
            str(self.python), *arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(HERE)}
        )
        told, _ = await child.communicate()
        if child.returncode:
            raise RuntimeError(f"{self.name} failed; its message is above")
        return Sample(**json.loads(told))


@dataclass(frozen=True)
class Proxy:
    """A contender behind HTTP: it is asked for chat completions."""

    name: str
    url: str
    model: str
    calls: int
    expected: str
    processes: tuple[int, ...] = ()
    """Whose CPU time is counted, with that of their children."""
    pieces: int = 0
    """Into how many characters the stand-in cuts what it streams; 0: a whole reply at once."""

    async def measure(self, concurrency: int, runs: int) -> Sample:
        body = {"model": self.model, "messages": [{"role": "user", "content": PROBLEM}]}
        async with http_client(timeout=PATIENCE) as http:

            async def once() -> None:
                response = await http.post(f"{self.url}/chat/completions", json=body)
                response.raise_for_status()
                assert self.expected in response.text, response.text[:500]

            await http.put(f"{STAND_IN}/pieces/{self.pieces}")
            await timed(once, concurrency, concurrency)
            used = cpu_seconds(self.processes)
            sample = await timed(once, concurrency, runs)
            return replace(sample, cpu=(cpu_seconds(self.processes) - used) / runs)


def stand_in() -> Process:
    port = PORTS["stand-in"]
    command = (sys.executable, str(HERE / "stand_in.py"), str(port))
    url = f"http://127.0.0.1:{port}/v1"
    return Process(
        "stand-in",
        "the stand-in for an engine",
        command,
        HttpHealth(f"{url}/models"),
        url,
        port,
        "stand_in.PORT",
        patience=PATIENCE,
    )


def services(home: Path) -> tuple[Process, ...]:
    """Redis (every commit synced to disk), template store, executor and navigator, as `make up` runs them."""
    settings = LocalSettings(
        home=home,
        navigator_port=PORTS["navigator"],
        executor_port=PORTS["executor"],
        template_store_port=PORTS["store"],
        redis_port=PORTS["redis"],
        redis_url=None,
        navigator_engine_url=ENGINE,
        navigator_engine_model="stand-in",
        navigator_profile="instruct",
        executor_engine_url=ENGINE,
        executor_engine_model="stand-in",
        executor_profile="instruct",
    )
    library = home / "library"  # of one field: the stand-in's plan asks for no template
    shutil.copytree(LIBRARY / "sets-and-logic", library / "sets-and-logic", dirs_exist_ok=True)
    return tuple(
        replace(process, env={**process.env, "REASONFLUX_LIBRARY_DIR": str(library)}, patience=PATIENCE)
        for process in plan(settings, examine(settings, this_machine()))
    )


def optillm(python: Path) -> Process:
    """Its own server; logging of requests is off, as it is for our services' per-call lines."""
    command = (str(python.parent / "optillm"), "--base-url", ENGINE, "--port", str(OPTILLM_PORT))
    options = ("--log", "warning", "--host", "127.0.0.1")
    url = f"http://127.0.0.1:{OPTILLM_PORT}/v1"
    return Process(
        "optillm",
        "OptiLLM",
        (*command, *options),
        HttpHealth(f"http://127.0.0.1:{OPTILLM_PORT}/health"),
        url,
        OPTILLM_PORT,
        "contenders.OPTILLM_PORT",
        patience=PATIENCE,
        env={"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )


def its_hub(python: Path) -> Process:
    """Told of its engine by `configure_its_hub`."""
    command = (str(python.parent / "its-iaas"), "--port", str(ITS_HUB_PORT), "--log-level", "WARNING")
    url = f"http://127.0.0.1:{ITS_HUB_PORT}/v1"
    return Process(
        "its_hub",
        "its_hub",
        command,
        HttpHealth(f"{url}/models"),
        url,
        ITS_HUB_PORT,
        "contenders.ITS_HUB_PORT",
        patience=PATIENCE,
    )


@asynccontextmanager
async def running(home: Path, peers: Sequence[Process]) -> AsyncIterator[tuple[dict[str, int], httpx.AsyncClient]]:
    """Everything that is a server, by name and process id, and a client to set it up with."""
    servers = Stack(home / "run", (stand_in(), *services(home), *peers))
    started = await servers.start()
    try:
        async with http_client(timeout=PATIENCE) as http:
            yield {process.name: process.pid for process in started.processes}, http
    finally:
        await servers.stop()


def cpu_seconds(processes: Sequence[int]) -> float:
    """CPU time of these processes and their children so far."""
    family, ticks = set(processes), 0
    for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid, parent = int(stat.parent.name), int(fields[1])
        if pid in family or parent in family:
            family.add(pid)
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def recorded_calls(http: httpx.AsyncClient) -> str:
    """Solve the problem once; the calls that it took are what the others repeat, streaming apart: they do not."""
    ours = Proxy("warm-up", f"http://127.0.0.1:{PORTS['navigator']}/v1", "reasonflux", CALLS, ANSWER)
    await ours.measure(1, 1)
    bodies = (await http.get(f"{STAND_IN}/recorded")).json()
    assert len(bodies) == CALLS
    kept = [{k: v for k, v in body.items() if k not in ("stream", "stream_options")} for body in bodies]
    return json.dumps(kept)


async def configure_its_hub(http: httpx.AsyncClient) -> None:
    """Self-consistency over five samples."""
    asked = {
        "endpoint": ENGINE,
        "api_key": "none",
        "model": "stand-in",
        "alg": "self-consistency",
        "regex_patterns": [r"\\boxed\{(.*?)\}"],
        "budget": CALLS,
    }
    (await http.post(f"http://127.0.0.1:{ITS_HUB_PORT}/configure", json=asked)).raise_for_status()
