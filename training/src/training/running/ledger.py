"""Files of records, one JSON line each, that survive a kill: what a stage has done, so that it can go on from there."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, Self, TypeVar

from pydantic import ValidationError

from reasonflux.contracts import Contract
from reasonflux.errors import Conflict, InvalidRequest

R = TypeVar("R", bound=Contract)


class Ledger(Generic[R]):
    """An append-only file of records. A last line that a kill cut short is dropped when the file is opened."""

    def __init__(self, path: Path, kind: type[R]) -> None:
        self.path = path
        self.kind = kind
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")
        whole = _whole(self.path)
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __iter__(self) -> Iterator[R]:
        """Every record that the file holds now."""
        return read(self.path, self.kind) if self.path.exists() else iter(())

    def add(self, record: R) -> None:
        """Append a record; it survives the death of this process from here on."""
        assert self._file is not None, "a ledger is written to inside its `with` block"
        self._file.write(record.model_dump_json().encode() + b"\n")
        self._file.flush()


def read(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a file, as far as it is whole. Raises InvalidRequest when there is none or it holds others."""
    try:
        size = _whole(path)
        with path.open("rb") as file:
            while file.tell() < size:
                yield kind.model_validate_json(file.readline())
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no file {path}", hint="run the stage before this one first") from error
    except ValidationError as error:
        hint = "it was written by another version, or by hand: move it away and run its stage again"
        raise InvalidRequest(f"{path} holds something else than {kind.__name__} records", hint=hint) from error


def write(path: Path, records: Iterable[Contract]) -> Path:
    """Replace the file with these records in one move, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.writelines(record.model_dump_json().encode() + b"\n" for record in records)
    os.replace(partial, path)
    return path


def same_settings(path: Path, settings: Contract) -> None:
    """Remember under which settings a file is written. Raises Conflict when it was begun under others."""
    told = settings.model_dump_json(indent=1) + "\n"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told)
    elif path.read_text() != told:
        raise Conflict(
            f"{path.parent} was begun with other settings or weights (see {path.name})",
            hint="give the run another folder, or delete this one to begin again",
        )


def _whole(path: Path) -> int:
    """How many bytes of the file are whole lines."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65_536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0
