"""A run: its tasks, and a result file that is a journal, so that a killed run goes on where it stopped.

The file's first line tells the run (`Run`), every further line is one attempt. A line that a kill cut short is dropped.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field, ValidationError

from evaluation.attempt import Attempt, Task
from evaluation.ladder import ALL, Split, generate
from evaluation.ladder.compose import MAX_DEPTH
from evaluation.ladder.outside import outside
from evaluation.strategies import Strategy
from reasonflux import __version__
from reasonflux.contracts import Contract, CreateSession, Effort
from reasonflux.errors import InvalidRequest


class LadderRun(Contract):
    """Everything that decides what a run asks. The same run asks the same problems, in the same order."""

    benchmark: Literal["ladder"] = "ladder"
    split: Split = Split.HELDOUT
    depths: tuple[int, ...] = (1, 2, 3)
    limit: int = Field(default=100, ge=0)
    families: tuple[str, ...] = ()
    outside: int = Field(default=0, ge=0)
    seed: int = 0
    effort: Effort = Effort.MEDIUM
    horizon: int | None = Field(default=None, ge=1)
    review: bool = True
    templates: bool = True

    def tasks(self) -> list[Task]:
        """Problems balanced over the depths, then the ones to decline. Raises InvalidRequest."""
        unknown = [name for name in self.families if name not in ALL]
        if unknown:
            raise InvalidRequest(f"there is no family {', '.join(unknown)}", hint=f"choose from {', '.join(ALL)}")
        if not self.depths or not all(1 <= depth <= MAX_DEPTH for depth in self.depths):
            raise InvalidRequest(f"depths must be between 1 and {MAX_DEPTH}", hint="such as --depth 1,2,3")
        problems = generate(self.split, self.depths, seed=self.seed, families=self.families or None)
        strangers = outside(self.split, seed=self.seed)
        asked = [Task.of_ladder(problem) for problem in islice(problems, self.limit)]
        return asked + [Task.of_outside(text) for text in islice(strangers, self.outside)]

    def request(self) -> CreateSession:
        """The switches as the navigator takes them; each task puts its own problem in."""
        return CreateSession(
            problem="-", effort=self.effort, horizon=self.horizon, review=self.review, retrieve=self.templates
        )


class Run(Contract):
    """The first line of a result file."""

    id: str
    started_at: datetime
    version: str
    spec: LadderRun


class Journal:
    """The result file of one run, open for appending; with `path` None it is kept in memory only."""

    def __init__(self, path: Path | None, run: Run, attempts: Iterable[Attempt] = ()) -> None:
        self.path = path
        self.run = run
        self.attempts = list(attempts)
        self._file: BinaryIO | None = path.open("ab") if path is not None else None

    @classmethod
    def begin(cls, path: Path | None, spec: LadderRun) -> "Journal":
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
        """The run that a result file tells, with what it has done. Raises InvalidRequest."""
        run, attempts, size = _read(path)
        if size < path.stat().st_size:
            os.truncate(path, size)
        return cls(path, run, attempts)

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
        raise InvalidRequest(f"there is no file {path}") from error
    except (ValidationError, ValueError, json.JSONDecodeError) as error:
        raise InvalidRequest(f"{path} is no result file", hint="it is written by `eval ladder --json FILE`") from error


async def carry_out(
    tasks: Sequence[Task],
    strategy: Strategy,
    journal: Journal,
    concurrency: int,
    on_attempt: Callable[[Attempt], None] = lambda _: None,
) -> None:
    """Attempt every task that the journal does not hold yet. Raises what the strategy raises; the rest is kept."""
    done = {attempt.task.id for attempt in journal.attempts}
    waiting = iter([task for task in tasks if task.id not in done])

    async def work() -> None:
        for task in waiting:
            attempt = await strategy(task)
            journal.add(attempt)
            on_attempt(attempt)

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
