"""Files of JSON lines that may be appended to: what a kill cut short is dropped, what is wrong is named by its line."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from pydantic import ValidationError

from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest

C = TypeVar("C", bound=Contract)


def numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that say something, with their numbers. Raises InvalidRequest when the file cannot be read."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}", hint="give a file of JSON lines") from error


def read(path: Path, kind: type[C], hint: str) -> Iterator[C]:
    """Every line as `kind`. Raises InvalidRequest with the file and the line that is wrong."""
    for number, line in numbered(path):
        yield parse(line, kind, f"{path}:{number}", hint)


def parse(line: bytes, kind: type[C], place: str, hint: str) -> C:
    """One line. Raises InvalidRequest with its place and the field that is wrong."""
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        said = f"{field}: {fault['msg']}" if field else fault["msg"]
        raise InvalidRequest(f"{place}: {said}", hint=hint) from error


class Appender:
    """A file that grows by whole lines; each survives a kill once it is added. A half line at the end is cut off."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.truncate(path, whole)
        self._file = path.open("ab")

    def add(self, record: Contract) -> None:
        self._file.write(record.model_dump_json().encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> "Appender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
