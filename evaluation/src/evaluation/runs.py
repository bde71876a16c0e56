"""A run: what it asks and how it solves, and a result file that is a journal: a killed run goes on where it stopped.

The file's first line tells the run (`Run`), every further line is one attempt. A line that a kill cut short is dropped.
"""

import asyncio
import fcntl
import json
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field, ValidationError

from evaluation.attempt import Attempt, Task
from evaluation.questions import LadderQuestions, Questions
from evaluation.solving.model import Limits
from evaluation.strategies.catalogue import AnyStrategy, label
from evaluation.strategies.reasonflux import ReasonFlux
from reasonflux import __version__
from reasonflux.contracts import Contract
from reasonflux.errors import Conflict, InvalidRequest

Chains = Literal["chat", "executor", "trajectory", "recorded"]


class EngineName(Contract):
    """The engine that the strategy's own calls go to. Keys are never written down."""

    url: str
    model: str


class RunSpec(Contract):
    """Everything that decides what a run asks and how. The same run asks the same problems, in the same order."""

    questions: Questions = LadderQuestions()
    strategy: AnyStrategy = ReasonFlux()
    samples: int = Field(default=1, ge=1)
    """Attempts at every task."""
    seed: int = 0
    limits: Limits = Limits()
    chains: Chains = "chat"
    """Who writes solutions: the engine by chat; the executor service in its weights' own format; our whole service, one
    trajectory each; or nobody anew: those of the run in `recorded` are taken."""
    recorded: str | None = None
    engine: EngineName | None = None
    """None: the strategy stands on our services, and they know their engines."""

    @property
    def title(self) -> str:
        return f"{self.questions.name}, {label(self.strategy)}"


class Run(Contract):
    """The first line of a result file."""

    id: str
    started_at: datetime
    version: str
    spec: RunSpec


class Journal:
    """The result file of one run, open for appending; with `path` None it is kept in memory only."""

    def __init__(self, path: Path | None, run: Run, attempts: Iterable[Attempt] = ()) -> None:
        self.path = path
        self.run = run
        self.attempts = list(attempts)
        self._file: BinaryIO | None = path.open("ab") if path is not None else None
        if self._file is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._file.close()
                raise Conflict(f"{path} is being written by another run", hint="wait for its end") from error

    @classmethod
    def begin(cls, path: Path | None, spec: RunSpec) -> "Journal":
        """A new run. Raises InvalidRequest when the file is there already."""
        run = Run(id=uuid.uuid4().hex, started_at=datetime.now(UTC), version=__version__, spec=spec)
        if path is not None and path.exists():
            raise InvalidRequest(f"{path} exists", hint=f"go on with it (--resume {path}) or give another name")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        journal = cls(path, run)
        journal._write(run)
        return journal

    @classmethod
    def resume(cls, path: Path) -> "Journal":
        """The run that a result file tells, with what it has done. Raises InvalidRequest, Conflict."""
        run, attempts, size = _read(path)
        journal = cls(path, run, attempts)
        if size < path.stat().st_size:
            os.truncate(path, size)
        return journal

    def add(self, attempt: Attempt) -> None:
        """Append an attempt; it survives a kill from here on."""
        self._write(attempt)
        self.attempts.append(attempt)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, record: Contract) -> None:
        if self._file is not None:
            self._file.write(record.model_dump_json().encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())


def read(path: Path) -> tuple[Run, list[Attempt]]:
    """A stored run. Raises InvalidRequest when the file is missing or something else."""
    run, attempts, _ = _read(path)
    return run, attempts


def _read(path: Path) -> tuple[Run, list[Attempt], int]:
    """The run, its attempts, and the bytes that they take up in the file."""
    try:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        first, *lines = whole.splitlines()
        return Run.model_validate_json(first), [Attempt.model_validate_json(line) for line in lines], len(whole)
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no file {path}", hint="result files are written by --json FILE") from error
    except (ValidationError, ValueError, json.JSONDecodeError) as error:
        raise InvalidRequest(f"{path} is no result file", hint="it is written by `eval BENCH --json FILE`") from error


async def carry_out(
    tasks: Sequence[Task],
    solve: Callable[[Task, int], Awaitable[Attempt]],
    journal: Journal,
    concurrency: int,
    on_attempt: Callable[[Attempt], None] = lambda _: None,
) -> None:
    """Attempt every task as often as the run says, except for what the journal holds. Every task gets its first attempt
    before any gets its second. Raises what `solve` raises; what is done is kept."""
    done = {attempt.key for attempt in journal.attempts}
    asked = [(task, sample) for sample in range(journal.run.spec.samples) for task in tasks]
    waiting = iter([(task, sample) for task, sample in asked if (task.id, sample) not in done])

    async def work() -> None:
        for task, sample in waiting:
            attempt = await solve(task, sample)
            journal.add(attempt)
            on_attempt(attempt)

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
