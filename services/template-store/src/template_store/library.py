"""The library on disk: one YAML file per template, at <folder>/<field>/<id>.yaml."""

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from reasonflux.contracts import ThoughtTemplate
from template_store.errors import FileProblem, LibraryInvalid
from template_store.exchange.admission import not_text, shown
from template_store.retrieval.ranking import fold

_TEXT = "tag:yaml.org,2002:str"
_LONGEST_NUMBER = 100
_SHOWN = 40


class Unreadable(Exception):
    """A text that is not the YAML of templates. `place` is its line or field, or empty."""

    def __init__(self, reason: str, place: str = "") -> None:
        self.reason, self.place = shown(reason), place
        super().__init__(self.reason)


class _Loader(yaml.SafeLoader):
    """YAML without what templates have no use for and an attacker has: a few aliases of aliases stand for gigabytes,
    and a number takes the square of its length to read."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            problem = f"anchors and aliases are not taken ({sign}{event.anchor[:_SHOWN]}): write it out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if node.tag != _TEXT and len(node.value) > _LONGEST_NUMBER:
            problem = f"a number, date or other value of {len(node.value)} characters: quote it if it is text"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """Without duplicate keys: the second would silently win."""
    pairs = loader.construct_pairs(node, deep=True)
    seen: set[Any] = set()
    for (key, _), (key_node, _) in zip(pairs, node.value, strict=True):
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a list or mapping is a key", key_node.start_mark)
        if key in seen:
            problem = f"the key {str(key)[:_SHOWN]!r} stands twice"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        seen.add(key)
    return dict(pairs)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def documents(text: str) -> list[Any]:
    """The data of each YAML document of a text. Raises Unreadable."""
    try:
        return list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Unreadable(error.problem or "is not YAML", place) from error
    except yaml.YAMLError as error:
        raise Unreadable(str(error)) from error
    except Exception as error:  # PyYAML lets out whatever Python raises at a value that its tag does not fit
        raise Unreadable(f"holds a value that cannot be read ({type(error).__name__}: {error})") from error


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
        data = documents(path.read_text(encoding="utf-8"))
        if len(data) > 1:
            raise Unreadable("holds several documents; a file holds one template")
        if faults := not_text(data[0] if data else None):
            raise Unreadable(faults[0].message, faults[0].field)
        return ThoughtTemplate.model_validate(data[0] if data else None)
    except ValidationError as error:
        raise LibraryInvalid([_explain(path, detail) for detail in error.errors()]) from error
    except Unreadable as error:
        raise LibraryInvalid([FileProblem(path, error.place, error.reason)]) from error
    except (OSError, ValueError) as error:
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
