"""Where the client programs live, and a place to run them in: a folder and settings that no other run sees."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from reasonflux.contracts import Budget

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("programs")
NODE_MODULES = Path(__file__).with_name("node_modules")
OURS = Path(sys.executable).parent
CLIENTS = ROOT / ".venv-clients" / "bin"
SECONDS = 580
"""For one client's program: generous, as imports alone take a quarter of a minute on a busy machine."""

PROBLEM = "An arithmetic sequence has first term 3 and common difference 4. What is the sum of its first 20 terms?"
"""20·(3 + 79)/2 = 820"""
FOLLOW_UP = "Let K be the previous answer. What is the sum of K and 180?"


@cache
def why_not(client: str) -> str | None:
    """Why this client cannot be run here, or None. `client` is an npm package or a Python module."""
    if client.startswith("@"):
        if shutil.which("node") is None:
            return f"{client} needs Node.js 18 or newer"
        return None if (NODE_MODULES / client).is_dir() else f"{client} is not installed: make test-clients"
    found = [*CLIENTS.parent.glob(f"lib/python*/site-packages/{client}/__init__.py")]
    return None if found else f"{client} is not installed: make test-clients"


def need(client: str) -> None:
    if reason := why_not(client):
        pytest.skip(reason)


@dataclass(frozen=True)
class Workplace:
    """A folder of its own, beside a running navigator. It looks like a checkout, as recipes are written for one."""

    folder: Path
    url: str

    def run(self, *command: str, stdin: str | None = None, ours: bool = False) -> str:
        """What the command prints. It finds the clients' programs and ours, and nothing of the user's settings.

        `ours`: with our own Python, where the SDK is, instead of the clients'.
        """
        program, env = self._prepared(command[0], ours)
        done = subprocess.run(
            [program, *command[1:]],
            cwd=self.folder,
            env=env,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{' '.join(command)[:200]}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @asynccontextmanager
    async def running(self, *command: str, ours: bool = False) -> AsyncIterator[Process]:
        """The command under way, with pipes to and from it; killed at the end."""
        program, env = self._prepared(command[0], ours)
        pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
        process = await asyncio.create_subprocess_exec(
            program, *command[1:], cwd=self.folder, env=env, preexec_fn=_as_from_a_terminal, **pipes
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    def report(self, program: str) -> Any:
        """What a program of `programs/` has to tell: it gets the address, a problem and a follow-up to it."""
        return json.loads(self.run(*self.program(program, self.url, PROBLEM, FOLLOW_UP)))

    def program(self, name: str, *arguments: str) -> tuple[str, ...]:
        """The command that runs a program of `programs/`. Node.js finds packages from where a program lies."""
        path = PROGRAMS / name
        if path.suffix != ".mjs":
            return ("python", str(path), *arguments)
        return ("node", str(path), *arguments)

    def _prepared(self, command: str, ours: bool) -> tuple[str, dict[str, str]]:
        """The program that `command` names, and its environment."""
        places = [OURS, CLIENTS] if ours else [CLIENTS, OURS]
        env = self._env() | {"PATH": os.pathsep.join([*map(str, places), os.environ["PATH"]])}
        self._link()
        program = shutil.which(command, path=env["PATH"])
        assert program is not None, f"{command} is not there"
        return program, env

    def _link(self) -> None:
        for name, target in {".venv": OURS.parent, "tests": ROOT / "tests", "node_modules": NODE_MODULES}.items():
            if target.is_dir() and not (self.folder / name).exists():
                (self.folder / name).symlink_to(target)

    def _env(self) -> dict[str, str]:
        kept = ("LANG", "LC_ALL", "TMPDIR")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(self.folder),
            "COLUMNS": "120",
            "NO_PROXY": "127.0.0.1,localhost",
            "REASONFLUX_NAVIGATOR_URL": self.url,
            # The clients' own switches: ask nobody but the stack.
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGSMITH_TRACING": "false",
            "DO_NOT_TRACK": "1",
        }


def _as_from_a_terminal() -> None:
    """A shell that runs its jobs in the background has them ignore SIGINT, and their children with them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def know_the_model(workplace: Workplace, **more: str) -> None:
    """Enter it into llm's list, as the recipe does."""
    folder = Path(workplace.run("llm", "logs", "path").strip()).parent
    entry = {"model_id": "reasonflux", "model_name": "reasonflux", "api_base": f"{workplace.url}/v1", **more}
    lines = "\n  ".join(f"{name}: {value}" for name, value in entry.items())
    (folder / "extra-openai-models.yaml").write_text(f"- {lines}\n")


def budget_of(workplace: Workplace, session_id: str) -> Budget:
    """What a session may spend, as the navigator understood the client."""
    session = httpx.get(f"{workplace.url}/v1/sessions/{session_id}", timeout=60).raise_for_status().json()
    return Budget.model_validate(session["options"]["budget"])
