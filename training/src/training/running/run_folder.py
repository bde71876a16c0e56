"""A run's folder: its state, its lock, and outputs that bear their name only when they are whole."""

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import AwareDatetime, Field, ValidationError

from reasonflux.contracts import Contract
from reasonflux.errors import Conflict, InvalidRequest

STATE = "state.json"


class Mark(Contract):
    """What is known of a stage: begun, or finished."""

    fingerprint: str
    begun: AwareDatetime
    finished: AwareDatetime | None = None
    seconds: float = 0.0
    cpu_minutes: float = 0.0
    outcome: str = ""


class State(Contract):
    """A run's stages by name."""

    stages: dict[str, Mark] = Field(default_factory=dict)


def read(folder: Path) -> State:
    """What is known of the run in this folder."""
    path = folder / STATE
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return State()
    except ValidationError as error:
        raise InvalidRequest(f"{path} cannot be read", hint="move the run's folder away to start anew") from error


def write(folder: Path, state: State) -> None:
    """Replace the state in one move."""
    path = partial(folder / STATE)
    with path.open("w") as file:
        file.write(state.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    path.replace(folder / STATE)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes. The system lets go of it when the holder dies, however it dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise Conflict(
                f"{lock.read().strip() or 'another process'} is at work in {folder}",
                hint="wait for it or stop it, or give this run another name",
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def partial(output: Path) -> Path:
    """Where an output is while it is not whole."""
    return output.with_name(f"{output.name}.partial")


def make_room(outputs: Sequence[Path], resumed: bool, *, ours: bool) -> tuple[Path, ...]:
    """The paths to write to. What an earlier run left is taken away, or given back to the stage that goes on.

    Raises Conflict where something lies there that is not `ours`: a run deletes only what a run has made.
    """
    for output in outputs:
        if not ours and output.exists():
            raise Conflict(f"{output} is there, and no run has made it", hint="move it away, or name other --runs")
        output.parent.mkdir(parents=True, exist_ok=True)
        if not resumed:
            take_away(partial(output))
            take_away(output)
        elif output.exists() and not partial(output).exists():
            output.rename(partial(output))  # killed between the naming of two outputs
    return tuple(partial(output) for output in outputs)


def name_outputs(outputs: Sequence[Path]) -> list[Path]:
    """Give all of them their names, or none: then those that were not written are returned."""
    missing = [output for output in outputs if not partial(output).exists()]
    for output in () if missing else outputs:
        take_away(output)
        partial(output).rename(output)
    return missing


def take_away(path: Path) -> None:
    """Take a file or folder away in one move, so that a kill leaves no half of it under its name."""
    stale = path.with_name(f"{path.name}.stale")
    for _ in range(2):  # first what a killed removal left behind
        if stale.is_dir() and not stale.is_symlink():
            shutil.rmtree(stale)
        else:
            stale.unlink(missing_ok=True)
        if path.exists() or path.is_symlink():
            path.rename(stale)
