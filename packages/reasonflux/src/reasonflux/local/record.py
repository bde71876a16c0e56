"""The pid file: what was started, so that it can be stopped from another terminal, and nothing else can."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from reasonflux.local.errors import AlreadyRunning, NoDiskSpace
from reasonflux.local.identity import group_alive


class Running(BaseModel):
    """One started process. No command and no environment: those may hold keys."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    pid: int
    born: str
    url: str
    log: Path
    outlives: bool = False
    """Whether others stand on it, so that it is stopped after them."""

    def alive(self, stack: str) -> bool:
        return group_alive(self.pid, self.born, stack)


class Record(BaseModel):
    """A stack, in the order in which it was started."""

    model_config = ConfigDict(frozen=True)

    stack: str
    processes: tuple[Running, ...] = ()

    @property
    def alive(self) -> tuple[Running, ...]:
        return tuple(process for process in self.processes if process.alive(self.stack))

    def url(self, name: str) -> str | None:
        return next((process.url for process in self.processes if process.name == name), None)


def read(run_dir: Path) -> Record | None:
    """The stack recorded in this folder; None when there is none."""
    try:
        return Record.model_validate_json((run_dir / "stack.json").read_bytes())
    except (OSError, ValidationError):
        return None


def write(run_dir: Path, record: Record) -> None:
    """Replace the record in one move, so that a reader never sees half of it."""
    partial = run_dir / "stack.json.partial"
    partial.write_text(record.model_dump_json(indent=1))
    os.replace(partial, run_dir / "stack.json")


def forget(run_dir: Path) -> None:
    (run_dir / "stack.json").unlink(missing_ok=True)


@contextlib.contextmanager
def starting(run_dir: Path) -> Iterator[None]:
    """Hold the folder while a stack starts or stops in it. Raises AlreadyRunning when somebody else does."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = (run_dir / "lock").open("w")
    except OSError as error:
        raise NoDiskSpace(
            f"{run_dir} cannot be written: {error.strerror}",
            hint="free some space there, or set REASONFLUX_HOME to another folder",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(
                f"another command is starting or stopping the stack in {run_dir}",
                hint="wait for it, or set REASONFLUX_HOME to another folder",
            ) from error
        yield
