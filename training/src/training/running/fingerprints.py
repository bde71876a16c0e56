"""Digests that say whether a stage's inputs are still the same."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path

from pydantic import BaseModel

from reasonflux.errors import InvalidRequest


def fingerprint(*parts: object) -> str:
    """A digest of config sections, texts and numbers. Equal values give equal digests, in every process."""
    return hashlib.sha256(json.dumps([_plain(part) for part in parts]).encode()).hexdigest()[:16]


def contents(*paths: Path) -> str:
    """A digest of files and folders by their names and bytes, wherever they lie. Raises InvalidRequest where there is
    nothing."""
    digest = hashlib.sha256()
    for root in paths:
        files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
        if not root.exists():
            raise InvalidRequest(f"there is no {root}", hint="mend the path in the config or on the command line")
        for file in files:
            name = file.relative_to(root).as_posix() if root.is_dir() else file.name
            with file.open("rb") as opened:
                digest.update(f"{name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _plain(value: object) -> object:
    """As JSON tells it, with one order for what has none."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in sorted(type(value).model_fields)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, AbstractSet):
        return sorted((_plain(item) for item in value), key=json.dumps)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
