"""Benchmarks with known answers: from a data directory, any JSONL file, or the hub.

A row has `problem` (or `question`) and `answer`, and where known `id`, `subject`, `level`, `unit`, `tolerance`.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluation.attempt import Task
from reasonflux.errors import InvalidRequest, NotFound

DATA_VARIABLE = "REASONFLUX_BENCHMARKS"
DEFAULT_DATA = Path("../shared/benchmarks")
HUB = "hub:"
NAMES = ("math500", "aime2024", "aime2025", "amc2023", "olympiadbench", "gaokao2023en", "gsm8k")


class BenchmarkMissing(NotFound):
    """There is no such benchmark, file or data set."""


class BenchmarkUnreadable(InvalidRequest):
    """A benchmark's file is not what it should be."""


def _text(value: Any) -> Any:
    """Sets on the hub hold numbers as numbers, and several answers as a list."""
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_text)]


class Row(BaseModel):
    """A row as it stands in a file; what else stands there is passed over."""

    model_config = ConfigDict(extra="ignore")

    id: Text | None = None
    problem: str = Field(min_length=1)
    answer: Text
    subject: Text | None = None
    level: Text | None = None
    unit: Text | None = None
    tolerance: float | None = None


def locate(name: str, data: Path | None = None) -> str:
    """Where a benchmark is: its own name, a path, or `hub:owner/set[:config][@split]`. Raises BenchmarkMissing."""
    if name.startswith(HUB):
        return name
    if name.endswith(".jsonl") or "/" in name:
        if not Path(name).is_file():
            hint = f"give a JSONL file, or one of {', '.join(NAMES)}, or {HUB}owner/set@split"
            raise BenchmarkMissing(f"there is no file {name}", hint=hint)
        return name
    folder = data or Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)
    path = folder / f"{name}.jsonl"
    if path.is_file():
        return str(path)
    known = sorted(file.stem for file in folder.glob("*.jsonl")) if folder.is_dir() else []
    raise BenchmarkMissing(
        f"there is no benchmark {name!r} in {folder}",
        hint=f"there are {', '.join(known)}" if known else
        f"say where the files are with --data or {DATA_VARIABLE}, or give a JSONL file or {HUB}owner/set@split",
    )  # fmt: skip


def load(source: str, name: str) -> tuple[list[Task], int]:
    """The tasks of a located benchmark, and how many rows were left out because they have no answer.

    Raises BenchmarkMissing, BenchmarkUnreadable.
    """
    rows = _hub_rows(source.removeprefix(HUB)) if source.startswith(HUB) else _file_rows(Path(source))
    tasks, seen, without = [], set[str](), 0
    for place, content in rows:
        task = _task(content, place, source, name)
        if not task.gold:
            without += 1
            continue
        if task.id in seen:
            raise BenchmarkUnreadable(f"{source}: {task.id!r} stands there twice", hint="give every problem its own id")
        seen.add(task.id)
        tasks.append(task)
    if not tasks:
        raise BenchmarkUnreadable(f"{source} holds no problem with an answer", hint=_SHAPE)
    return tasks, without


def fingerprint(tasks: Iterable[Task]) -> str:
    """A digest of what is asked and expected: a run does not go on when its benchmark has changed."""
    whole = hashlib.sha256()
    for task in tasks:
        whole.update(task.model_dump_json().encode())
    return whole.hexdigest()[:16]


_SHAPE = 'a line looks like {"problem": "What is 3 + 4?", "answer": "7"}'


def _file_rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise BenchmarkMissing(f"there is no file {path}", hint="it was there when the run began") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkUnreadable(f"{path} cannot be read: {error}", hint="it must be UTF-8 text") from error
    for place, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield place, json.loads(line)
            except json.JSONDecodeError as error:
                raise BenchmarkUnreadable(f"{path}:{place} is not JSON: {error.msg}", hint=_SHAPE) from error


def _hub_rows(name: str) -> Iterator[tuple[int, Any]]:
    """`owner/set`, `owner/set@split`, `owner/set:config@split`; a local folder works like a set."""
    try:
        import datasets
    except ImportError as error:
        raise BenchmarkMissing("sets of the hub need the package datasets", hint="pip install datasets") from error
    where, _, split = name.partition("@")
    path, _, config = where.partition(":")
    try:
        found = datasets.load_dataset(path, config or None, split=split or "test")
    except Exception as error:  # whatever a download, a missing split or a foreign file brings
        hint = "check its name, configuration and split: hub:owner/set:config@split; or download it and give the JSONL"
        raise BenchmarkMissing(f"the set {name!r} cannot be loaded: {error}", hint=hint) from error
    yield from enumerate(found, start=1)


def _task(content: Any, place: int, source: str, name: str) -> Task:
    if not isinstance(content, Mapping):
        raise BenchmarkUnreadable(f"{source}:{place} is no JSON object", hint=_SHAPE)
    given = dict(content)
    for ours, theirs in (("problem", "question"), ("answer", "final_answer"), ("id", "unique_id")):
        if given.get(ours) is None and given.get(theirs) is not None:
            given[ours] = given[theirs]
    try:
        row = Row.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise BenchmarkUnreadable(f"{source}:{place}: {where}: {fault['msg']}", hint=_SHAPE) from error
    answer = row.answer.rpartition("####")[2] if "####" in row.answer else row.answer
    return Task(
        id=row.id or f"{name}-{place - 1}", text=row.problem, gold=answer.strip(), subject=row.subject,
        level=row.level, unit=row.unit, tolerance=row.tolerance,
    )  # fmt: skip
