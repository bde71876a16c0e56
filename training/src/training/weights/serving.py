"""An engine for given weights: a real vLLM that lives as long as it is needed, or a server that runs already.

in    weights in a folder, or the URL of an OpenAI-compatible server
out   an EngineConfig to reach them with. Its `model` names the weights (a digest is part of it), so that what is kept
      under that name is never taken for the work of other weights.

On a CPU vLLM is started as the embedded stack starts it (`reasonflux.local`: the same checks, flags and environment).
On a GPU it is vLLM's own server. Either way it writes its log into the run's folder, and an engine that a killed run
left behind in that folder is stopped before a new one starts.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from reasonflux.contracts import Contract
from reasonflux.engine import EngineConfig, OpenAIEngine, engine_http
from reasonflux.errors import InvalidRequest
from reasonflux.local import record
from reasonflux.local.preflight import examine, this_machine
from reasonflux.local.process import Stack, Stage, stop
from reasonflux.local.settings import LocalSettings, Role
from reasonflux.local.stack import Process, plan
from training.running.fingerprints import contents
from training.running.parallel import NEWS_SECONDS, Say, aloud

PLAIN_SERVER = "vllm.entrypoints.openai.api_server"
_ELSEWHERE = "http://not-here.invalid"


class EngineRef(Contract):
    """Which engine plays a role."""

    url: str | None = Field(
        default=None, description="a server that runs already, with /v1; None: vLLM is started on the role's weights"
    )
    model: str = Field(
        default="navigator",
        min_length=1,
        description="with a url: the model to ask for, to be named anew when its weights change. Else: a short name",
    )
    key_env: str | None = Field(default=None, description="the environment variable that holds the server's key")
    timeout: float = Field(default=600.0, gt=0, description="seconds for one call, with its time in the queue")
    device: Literal["cpu", "gpu"] = Field(default="cpu", description="how vLLM is started where there is no url")
    arguments: tuple[str, ...] = Field(
        default=(), description="further arguments for vLLM, such as --tensor-parallel-size 8; they win over ours"
    )
    patience: float = Field(default=400.0, gt=0, description="seconds until an engine that does not start is given up")


@asynccontextmanager
async def serve(
    ref: EngineRef, weights: Path, folder: Path, *, role: Role = "navigator", say: Say = aloud
) -> AsyncIterator[EngineConfig]:
    """Where the engine is; one that was started here is stopped at the end. Its log is under `folder/<role>`.

    Raises InvalidRequest (no such weights or key), LocalError (vLLM cannot start here, or crashed), EngineError (the
    server at `url` does not offer the model).
    """
    if ref.url is not None:
        yield await served(ref)
        return
    model = f"{ref.model}-{await asyncio.to_thread(digest, weights)}"
    home = folder / role
    with record.starting(home):  # held to the end: two runs cannot share the folder
        left = record.read(home)
        if left is not None:
            await stop(home, left)
        process = engine_process(ref, weights, home, role, model, free_port())
        stack = Stack(home, (process,))
        await _started(stack, process, say)
        try:
            yield _config(ref, process.url, model)
        finally:
            await asyncio.shield(stack.stop())


def reached(ref: EngineRef) -> EngineConfig:
    """How a server that runs already is reached. Raises InvalidRequest when its key or its address is not told."""
    if ref.url is None:
        raise InvalidRequest("no server is named", hint="give the url of one, with /v1")
    return _config(ref, ref.url, ref.model)


async def served(ref: EngineRef) -> EngineConfig:
    """A server that runs already and offers the model. Raises InvalidRequest, EngineError."""
    config = reached(ref)
    async with engine_http(config) as http:
        await OpenAIEngine(http, config).ready()
    return config


def digest(weights: Path) -> str:
    """Twelve letters that stand for the weights, whatever folder they are in. Raises InvalidRequest."""
    return contents(*files_of(weights))[:12]


def files_of(weights: Path) -> tuple[Path, ...]:
    """A model's config and tensors. Raises InvalidRequest where they are not."""
    files = sorted(weights.glob("*.safetensors"))
    if not files or not (weights / "config.json").is_file():
        hint = "train them first, or name the folder that holds them"
        raise InvalidRequest(f"there are no weights (config.json, *.safetensors) in {weights}", hint=hint)
    return weights / "config.json", *files


def engine_process(ref: EngineRef, weights: Path, home: Path, role: Role, model: str, port: int) -> Process:
    """vLLM on these weights, described; the machine is examined first. Raises LocalError."""
    settings = _Served(
        home=home,
        served=weights,
        redis_url=_ELSEWHERE,
        navigator_engine_url=None if role == "navigator" else _ELSEWHERE,
        navigator_engine_model=model,
        navigator_engine_port=port,
        executor_engine_url=None if role == "executor" else _ELSEWHERE,
        executor_engine_model=model,
        executor_engine_port=port,
    )
    found = examine(settings, this_machine())
    process = next(process for process in plan(settings, found) if process.name == f"{role}-engine")
    hint = "free some memory, or name a server that runs already: url and model of the role's engine in the config"
    command = process.command if ref.device == "cpu" else _on_gpu(process.command, weights, model)
    env = process.env if ref.device == "cpu" else {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    return replace(process, command=(*command, *ref.arguments), env=env, hint=hint, patience=ref.patience)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Served(LocalSettings):
    """The embedded stack's settings, with weights from anywhere."""

    served: Path

    def weights(self, role: Role) -> Path:
        return self.served.absolute()


def _on_gpu(embedded: tuple[str, ...], weights: Path, model: str) -> tuple[str, ...]:
    """vLLM's defaults are made for GPUs: only the address is taken over from the embedded engine."""
    words = ["--model", str(weights.absolute()), "--served-model-name", model, "--enable-prompt-tokens-details"]
    for name in ("--host", "--port"):
        words += [name, embedded[embedded.index(name) + 1]]
    return (sys.executable, "-m", PLAIN_SERVER, *words, "--disable-uvicorn-access-log")


def _config(ref: EngineRef, url: str, model: str) -> EngineConfig:
    key = None if ref.key_env is None else os.environ.get(ref.key_env)
    if ref.key_env is not None and not key:
        raise InvalidRequest(f"the environment variable {ref.key_env} is not set", hint="put the server's key into it")
    return EngineConfig(url=url, model=model, key=key, timeout=ref.timeout)


async def _started(stack: Stack, process: Process, say: Say) -> None:
    """Start it, with a line now and then."""
    shown = stack.progress[process.name]

    async def news() -> None:
        while True:
            await asyncio.sleep(NEWS_SECONDS)
            say(f"{process.title}: {shown.detail}, {shown.seconds:.0f} s")

    reporter = asyncio.create_task(news())
    try:
        await stack.start()
    finally:
        reporter.cancel()
    assert shown.stage is Stage.READY
    say(f"{process.title}: ready after {shown.seconds:.1f} s at {process.url}")
