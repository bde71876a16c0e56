"""Start processes as far in parallel as their dependencies allow, wait until they are ready, and stop them again."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx
from pydantic import ValidationError

from reasonflux.contracts import ErrorBody
from reasonflux.local import record
from reasonflux.local.errors import Crashed, LocalError, TooSlow
from reasonflux.local.identity import STACK_VARIABLE, birth, signal_group
from reasonflux.local.record import Record, Running
from reasonflux.local.stack import HttpHealth, Process, RedisHealth

POLL_SECONDS = 0.1
GRACE_SECONDS = 15.0
LOG_LINES = 15
_RAISED = re.compile(r"^(?:.*\] )?([\w.]+(?:Error|Exception): .+)$", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Stage(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"


@dataclass
class Progress:
    """Where one process stands; read by whoever draws it."""

    title: str
    stage: Stage = Stage.WAITING
    detail: str = ""
    seconds: float = 0.0


@dataclass
class Stack:
    """A stack of child processes, recorded in `run_dir` as it grows. `progress` follows the start."""

    run_dir: Path
    processes: Sequence[Process]
    progress: dict[str, Progress] = field(init=False)
    _id: str = field(init=False, default_factory=lambda: uuid.uuid4().hex)
    _children: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)
    _running: dict[str, Running] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.progress = {p.name: Progress(p.title, detail=_waits_for(p.after)) for p in self.processes}

    async def start(self) -> Record:
        """Return when every process is ready. On any failure, and when cancelled, what was started is stopped again.

        Raises Crashed when a process ends, TooSlow when one does not get ready, LocalError when one cannot start.
        """
        ready = {process.name: asyncio.Event() for process in self.processes}
        try:
            async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http, asyncio.TaskGroup() as tasks:
                for process in self.processes:
                    tasks.create_task(self._bring_up(process, http, ready))
        except BaseExceptionGroup as group:
            await self._abandon()
            # The first failure is the cause; those that fell with it are not news.
            raise group.exceptions[0] from None
        except BaseException:
            await self._abandon()
            raise
        return self._record()

    async def watch(self) -> None:
        """Raise Crashed as soon as a process that was started here ends."""
        by_name = {process.name: process for process in self.processes}
        while True:
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise self._crash(by_name[name], child.returncode, self._running[name].log)
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Stop what was started here."""
        await stop(self.run_dir, self._record(), reap=self._reap)

    async def _abandon(self) -> None:
        await asyncio.shield(self.stop())

    def _record(self) -> Record:
        return Record(stack=self._id, processes=tuple(self._running.values()))

    def _reap(self) -> None:
        for child in self._children.values():
            child.poll()

    async def _bring_up(self, process: Process, http: httpx.AsyncClient, ready: Mapping[str, asyncio.Event]) -> None:
        shown = self.progress[process.name]
        for number, name in enumerate(process.after):
            shown.detail = _waits_for(process.after[number:])
            await ready[name].wait()
        shown.stage, shown.detail = Stage.STARTING, "starting"
        child = self._spawn(process)
        log, started = self._running[process.name].log, time.monotonic()
        while (reason := await unready(process.health, http)) is not None:
            shown.seconds = time.monotonic() - started
            shown.detail = self._waited_for(reason) or reason or _phase(process, log)
            if child.poll() is not None:
                raise self._crash(process, child.returncode, log)
            if shown.seconds > process.patience:
                raise TooSlow(
                    f"{process.title} was not ready within {process.patience:g} s: {shown.detail}",
                    hint=f"{process.hint}; its log: {log}",
                    log=last_lines(log),
                )
            await asyncio.sleep(POLL_SECONDS)
        # Somebody else may answer on the port while our process is on its way out.
        if child.poll() is not None:
            raise self._crash(process, child.returncode, log)
        shown.stage, shown.detail, shown.seconds = Stage.READY, process.url, time.monotonic() - started
        ready[process.name].set()

    def _waited_for(self, reason: str) -> str:
        """A reason that names processes of this stack which still start, said short."""
        starting = [p for p in self.processes if self.progress[p.name].stage is not Stage.READY]
        return (
            _waits_for([p.name for p in starting if p.url in reason]) if any(p.url in reason for p in starting) else ""
        )

    def _spawn(self, process: Process) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own (so that a Ctrl-C reaches only us), and record it at once."""
        log = self.run_dir / f"{process.name}.log"
        env = {**os.environ, **process.env, STACK_VARIABLE: self._id}
        if isinstance(process.health, RedisHealth):
            (self.run_dir.parent / "redis").mkdir(parents=True, exist_ok=True)
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as sink:
                child = subprocess.Popen(
                    process.command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env=env,
                    start_new_session=True,
                )
        except OSError as error:
            raise LocalError(
                f"{process.title} cannot be started: {error.strerror or error}", hint=process.hint
            ) from error
        self._children[process.name] = child
        self._running[process.name] = Running(
            name=process.name,
            title=process.title,
            pid=child.pid,
            born=birth(child.pid) or "",  # empty when it is gone already: then it is nobody's to stop
            url=process.url,
            log=log,
            outlives=any(process.name in other.after for other in self.processes),
        )
        record.write(self.run_dir, self._record())
        return child

    def _crash(self, process: Process, code: int, log: Path) -> Crashed:
        lines = last_lines(log)
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        cause = _cause(log)
        message = f"{process.title} {ended}: {cause}" if cause else f"{process.title} {ended}"
        return Crashed(message, hint=_crash_hint(process, code, lines, log), log=lines)


async def stop(run_dir: Path, stack: Record, *, reap: Callable[[], None] = lambda: None) -> tuple[Running, ...]:
    """Stop the recorded processes, last started first: politely, then for good. Returns those that were alive.

    A pid that was given to another process meanwhile is left alone.
    """
    alive = stack.alive
    # Those that others stand on (Redis) go last, so that the others can finish what they are writing.
    for wave in ([p for p in alive if not p.outlives], [p for p in alive if p.outlives]):
        for process in reversed(wave):
            signal_group(process.pid, process.born, stack.stack, signal.SIGTERM)
        if not await _gone(wave, stack.stack, reap, within=GRACE_SECONDS):
            for process in wave:
                signal_group(process.pid, process.born, stack.stack, signal.SIGKILL)
            await _gone(wave, stack.stack, reap, within=GRACE_SECONDS)
    record.forget(run_dir)
    return alive


async def _gone(processes: Sequence[Running], stack: str, reap: Callable[[], None], *, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        reap()
        if not any(process.alive(stack) for process in processes):
            return True
        await asyncio.sleep(POLL_SECONDS)  # the children may be another command's: nothing tells us when they end
    return False


async def unready(health: HttpHealth | RedisHealth, http: httpx.AsyncClient) -> str | None:
    """One question: None for a clear yes, else why not, as far as the process says."""
    if isinstance(health, HttpHealth):
        try:
            answer = await http.get(health.url)
        except httpx.HTTPError:
            return ""
        return None if answer.status_code == 200 else _reason(answer)
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(health.host, health.port)
            try:
                writer.write(b"PING\r\n")
                return None if (await reader.readline()).startswith(b"+PONG") else "it loads its data"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""


def _reason(answer: httpx.Response) -> str:
    """Our services say what they wait for."""
    try:
        return ErrorBody.model_validate_json(answer.content).error.message
    except ValidationError:
        return f"it answers {answer.status_code}"


def last_lines(log: Path, count: int = LOG_LINES) -> tuple[str, ...]:
    """The end of a log, without colours and empty lines."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        lines = _ANSI.sub("", file.read().decode(errors="replace")).splitlines()
        return tuple(line for line in lines if line.strip())[-count:]
    return ()


def _cause(log: Path) -> str | None:
    """The first exception in the log: what follows it is mostly others falling over it."""
    found = _RAISED.search(_ANSI.sub("", log.read_text(errors="replace"))) if log.exists() else None
    return found[1][:300] if found else None


def _waits_for(names: Sequence[str]) -> str:
    return f"waits for {', '.join(names)}" if names else "starting"


def _phase(process: Process, log: Path) -> str:
    """What the process is doing, from the last of its phases that its log shows."""
    if not process.phases:
        return "starting"
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "starting"
    return next((meaning for marker, meaning in reversed(process.phases) if marker in text), "importing torch and vLLM")


def _crash_hint(process: Process, code: int, lines: Sequence[str], log: Path) -> str:
    """The usual suspects, read from the last words; else the process's own hint."""
    text = "\n".join(lines)
    if "address already in use" in text.lower():
        return f"port {process.port} was taken meanwhile; choose another: {process.port_setting}={process.port + 1000}"
    if "No space left on device" in text:
        return "the disk is full: free some space, or set REASONFLUX_HOME to a folder on another disk"
    if code == -signal.SIGKILL or "MemoryError" in text or "Cannot allocate memory" in text:
        return f"most likely the memory ran out: {process.hint}"
    if "No module named" in text:
        return "a package is missing: run `make install`"
    return f"{process.hint}; the whole log: {log}"
