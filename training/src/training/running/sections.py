"""One section of a run's YAML file, as the contract of the stage that reads it."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest

_Section = TypeVar("_Section", bound=Contract)


def section(path: Path, name: str, kind: type[_Section]) -> _Section:
    """The section `name` of the run file. A stage without a seed of its own takes the run's.

    Raises InvalidRequest naming the field that is wrong.
    """
    try:
        told: Any = yaml.safe_load(path.read_text())
        if not isinstance(told, dict) or not isinstance(told.get(name), dict):
            raise InvalidRequest(f"{path} has no section {name!r}", hint="see training/configs for whole run files")
        fields = dict(told[name])
        if "seed" in kind.model_fields and "seed" in told:
            fields.setdefault("seed", told["seed"])
        return kind.model_validate(fields)
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no config {path}", hint="see training/configs") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", hint="see training/configs") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidRequest(f"{path}, section {name}: {error}", hint="mend the field that it names") from error


def has_section(path: Path, name: str) -> bool:
    told: Any = yaml.safe_load(path.read_text())
    return isinstance(told, dict) and isinstance(told.get(name), dict)
