"""The library on disk: one YAML file per template, at <folder>/<field>/<id>.yaml."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from reasonflux.contracts import ThoughtTemplate
from template_store.errors import FileProblem, LibraryInvalid
from template_store.retrieval.ranking import fold


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys: the second would silently win."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = loader.construct_pairs(node, deep=True)
    for index, (key, _) in enumerate(pairs):
        if any(key == earlier for earlier, _ in pairs[:index]):
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
    return dict(pairs)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def documents(text: str) -> Iterator[Any]:
    """The data of each YAML document of a text. Raises yaml.YAMLError, and ValueError for impossible values."""
    yield from yaml.load_all(text, Loader=_Loader)


def read(folder: Path) -> tuple[ThoughtTemplate, ...]:
    """Every template of the folder, ordered by id.

    Raises LibraryInvalid with every problem of every file: unreadable YAML, fields that the contract refuses, a file
    that lies in the wrong place, and ids or names that stand twice."""
    if not folder.is_dir():
        raise LibraryInvalid([FileProblem(folder, "", "is not a folder")])
    paths = sorted(path for suffix in ("*.yaml", "*.yml") for path in folder.rglob(suffix))
    if not paths:
        raise LibraryInvalid([FileProblem(folder, "", "holds no YAML file")])
    problems: list[FileProblem] = []
    found: list[tuple[Path, ThoughtTemplate]] = []
    for path in paths:
        try:
            found.append((path, read_template(path)))
        except LibraryInvalid as error:
            problems.extend(error.problems)
    problems.extend(misplaced(folder, found))
    problems.extend(duplicates(found))
    if problems:
        raise LibraryInvalid(problems)
    return tuple(sorted((template for _, template in found), key=lambda template: template.id))


def read_template(path: Path) -> ThoughtTemplate:
    """One file's template. Raises LibraryInvalid."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        return ThoughtTemplate.model_validate(data)
    except ValidationError as error:
        raise LibraryInvalid([_explain(path, detail) for detail in error.errors()]) from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise LibraryInvalid([FileProblem(path, line, error.problem or "is not YAML")]) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise LibraryInvalid([FileProblem(path, "", str(error))]) from error


def _explain(path: Path, detail: Any) -> FileProblem:
    field = ".".join(str(part) for part in detail["loc"])
    return FileProblem(path, field, detail["msg"] + quoting_hint(detail))


def quoting_hint(detail: Any) -> str:
    """What to add to a validation error of a number that should be text: YAML reads 7 as a number and "7" as text."""
    if detail["type"] == "string_type" and isinstance(detail["input"], int | float | bool):
        return f'; quote it: "{detail["input"]}"'
    return ""


def misplaced(folder: Path, found: Iterable[tuple[Path, ThoughtTemplate]]) -> list[FileProblem]:
    """A template's id is its file's name and its field is its folder, so that either finds the other."""
    problems = []
    for path, template in found:
        place = path.parent.relative_to(folder).as_posix()
        if path.stem != template.id:
            problems.append(FileProblem(path, "id", f"is {template.id!r}, but the file is named {path.stem!r}"))
        if place != template.field:
            problems.append(FileProblem(path, "field", f"is {template.field!r}, but the file lies in {place!r}"))
    return problems


def duplicates(found: Iterable[tuple[Path, ThoughtTemplate]]) -> list[FileProblem]:
    """Ids must differ, and so must names: a query by name would have two answers."""
    problems = []
    ids: dict[str, Path] = {}
    names: dict[str, Path] = {}
    for path, template in found:
        for field, key, seen in (("id", template.id, ids), ("name", fold(template.name), names)):
            if key in seen:
                problems.append(FileProblem(path, field, f"{key!r} is also in {seen[key]}"))
            seen.setdefault(key, path)
    return problems
