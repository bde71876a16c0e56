"""A run's YAML file, or one section of it, as the contract of whoever reads it."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest
from training.running import misfits

_Told = TypeVar("_Told", bound=Contract)


def whole(path: Path, kind: type[_Told]) -> _Told:
    """The whole file as `kind`. Raises InvalidRequest naming every field that is wrong."""
    return _fitted(path, _parsed(path), kind)


def section(path: Path, name: str, kind: type[_Told]) -> _Told:
    """The section `name` of the run file. A stage without a seed of its own takes the run's.

    Raises InvalidRequest naming every field that is wrong.
    """
    told = _parsed(path)
    if not isinstance(told, dict) or not isinstance(told.get(name), dict):
        raise InvalidRequest(f"{path} has no section {name!r}", hint="see training/configs for whole run files")
    fields = dict(told[name])
    if "seed" in kind.model_fields and "seed" in told:
        fields.setdefault("seed", told["seed"])
    return _fitted(path, fields, kind, under=name)


def has_section(path: Path, name: str) -> bool:
    told = _parsed(path)
    return isinstance(told, dict) and isinstance(told.get(name), dict)


def _parsed(path: Path) -> Any:
    """What the YAML says, of whatever shape."""
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no config {path}", hint="see training/configs") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", hint="see training/configs") from error
    except yaml.YAMLError as error:
        raise _no_yaml(path, error) from error


def _no_yaml(path: Path, error: yaml.YAMLError) -> InvalidRequest:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    place = f"{path}:{mark.line + 1}" if mark else str(path)
    said = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
    return InvalidRequest(
        f"{place}: this is no YAML: {said or ' '.join(str(error).split())}",
        hint="mend that line or the one before it; see training/configs",
    )


def _fitted(path: Path, told: Any, kind: type[_Told], under: str = "") -> _Told:
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        found = misfits.faults(error, kind, under)
        raise InvalidRequest(
            f"{path}: {misfits.sentence(found)}", hint="compare it with those in training/configs", faults=found
        ) from error
