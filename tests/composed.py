"""The compose stack as a user starts it (`make-env.sh`, `docker compose up`), in a project of its own."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded import free_ports

ROOT = Path(__file__).resolve().parents[1]
FILES = (ROOT / "docker-compose.yml", ROOT / "tests/compose/build-network.yml")
SERVICES = ("redis", "template-store", "navigator-engine", "executor-engine", "executor", "navigator")
BASES = ("python:3.11.14-slim-bookworm", "redis:7.2.11")
MAIN_PROCESS = """
for process in /proc/[0-9]*; do
    read -r pid name state parent rest < $process/stat && [ "$parent" = 1 ] && kill -9 "$pid"
done
"""
"""Ends the child of the container's init, as a crash would. `docker kill` is none: the container then stays down."""


def why_not() -> str | None:
    """Why the compose stack cannot be started here, or None."""
    if not os.environ.get("REASONFLUX_TEST_COMPOSE"):
        return "it builds images of gigabytes and runs for minutes: make test-compose"
    docker = shutil.which("docker")
    if docker is None:
        return "docker is not installed"
    if _run(docker, "compose", "version").returncode:
        return "docker has no compose plugin"
    if (engine := _run(docker, "info")).returncode:
        return f"no Docker engine answers: {engine.stderr.strip().splitlines()[-1]}"
    for base in BASES:
        if _run(docker, "image", "inspect", base).returncode and _run(docker, "pull", "--quiet", base).returncode:
            return f"{base} is not here and cannot be pulled: tests/compose/base_images.sh makes a stand-in from Debian"
    return None


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Container:
    """One container, as the engine describes it."""

    facts: dict[str, Any]

    @property
    def health(self) -> str:
        return str(self.facts["State"].get("Health", {}).get("Status", "none"))

    @property
    def started(self) -> str:
        return str(self.facts["State"]["StartedAt"])

    @property
    def networks(self) -> list[str]:
        return [*self.facts["NetworkSettings"]["Networks"]]

    @property
    def published(self) -> dict[str, list[str]]:
        ports = self.facts["NetworkSettings"]["Ports"] or {}
        return {
            port: [f"{bound['HostIp']}:{bound['HostPort']}" for bound in where]
            for port, where in ports.items()
            if where
        }


@dataclass
class Composed:
    """A project of docker compose, and how long each of its phases took."""

    project: str
    port: int
    env: dict[str, str] = field(repr=False)
    env_file: Path
    files: tuple[Path, ...] = FILES
    phases: list[tuple[str, float]] = field(default_factory=list)
    story: list[tuple[str, str]] = field(default_factory=list)
    """(service, "start" or "healthy"), in the order in which the engine told of them while the stack came up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.phases.append((name, time.monotonic() - began))

    def compose(self, *arguments: str, timeout: float = 1300.0) -> str:
        files = [word for path in self.files for word in ("-f", str(path))]
        place = ["--project-directory", str(ROOT), "--env-file", str(self.env_file), "-p", self.project]
        command = ["docker", "compose", *place, *files, *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done.stdout

    @contextmanager
    def told(self) -> Iterator[None]:
        """Inside, what the engine tells of this project's containers is kept in `story`."""
        only = ["event=start", "event=health_status", f"label=com.docker.compose.project={self.project}"]
        filters = [word for each in only for word in ("--filter", each)]
        command = ["docker", "events", *filters, "--format", "{{json .}}"]
        with subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, text=True) as events:
            try:
                yield
            finally:
                events.terminate()
            for line in events.communicate()[0].splitlines():
                event = json.loads(line)
                service = event["Actor"]["Attributes"]["com.docker.compose.service"]
                self.story.append((service, event["Action"].rpartition(" ")[2]))

    def inside(self, service: str, script: str) -> str:
        """What a shell script prints in the service's container, run as its user."""
        return self.compose("exec", "-T", service, "sh", "-c", script)

    def container(self, service: str) -> Container:
        return Container(self._inspect("container", f"{self.project}-{service}-1"))

    def network(self, name: str) -> dict[str, Any]:
        return self._inspect("network", name)

    def _inspect(self, kind: str, name: str) -> dict[str, Any]:
        done = subprocess.run(
            ["docker", kind, "inspect", name], env=self.env, capture_output=True, text=True, timeout=60, check=True
        )
        (facts,) = json.loads(done.stdout)
        return dict(facts)

    def crash(self, service: str) -> None:
        before = self.container(service).started
        # The shell dies with its container, so its exit code says nothing.
        command = ["docker", "exec", f"{self.project}-{service}-1", "sh", "-c", MAIN_PROCESS]
        subprocess.run(command, env=self.env, capture_output=True, timeout=60, check=False)
        self.until(lambda: self.container(service).started != before, f"{service} is restarted")

    def until_healthy(self, *services: str) -> None:
        for service in services:
            self.until(lambda: self.container(service).health == "healthy", f"{service} is healthy")  # noqa: B023

    def until(self, done: Any, what: str, patience: float = 900.0) -> None:
        deadline = time.monotonic() + patience
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"not after {patience:.0f} s: {what}\n{self.compose('ps', '-a')}")
            time.sleep(0.5)


@contextmanager
def composed_stack(
    folder: Path,
    phases: list[tuple[str, float]],
    settings: Mapping[str, str] | None = None,
    more_files: Sequence[Path] = (),
    first: Sequence[str] = (),
) -> Iterator[Composed]:
    """Built and up on a free port, with secrets made by make-env.sh; taken down with its volumes at the end.

    `settings` go before those of .env.example. `first` is built before all else, where another image stands on it.
    """
    (folder / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/make-env.sh", folder / "deploy")
    shutil.copy(ROOT / ".env.example", folder)
    subprocess.run(["sh", "deploy/make-env.sh"], cwd=folder, check=True, capture_output=True)
    (port,) = free_ports(1)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REASONFLUX_", "COMPOSE_"))}
    env = {**inherited, "API_PORT": str(port), **(settings or {})}
    project = f"reasonflux-test-{os.getpid()}-{len(phases)}"
    stack = Composed(project, port, env, folder / ".env", (*FILES, *more_files), phases)
    try:
        with stack.phase("build"):
            for name in first:
                stack.compose("--profile", "*", "build", name, timeout=5400.0)
            stack.compose("build", timeout=5400.0)
        with stack.phase("up --wait"), stack.told():
            stack.compose("up", "--detach", "--wait", "--wait-timeout", "1200", timeout=1300.0)
        yield stack
    except BaseException:
        print(stack.compose("logs", "--no-color", "--tail", "40"))
        raise
    finally:
        with stack.phase("down --volumes"):
            stack.compose("down", "--volumes", "--remove-orphans")
