"""What does not fit in a config, in words: a short clause for each field, named by its dotted path.

in    what pydantic found, and the contract that the config was read as
out   a `Fault` for each field, and all of them in one sentence

Pydantic's own text speaks of types and links to its pages; whoever wrote the file needs the field and what to write.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from reasonflux.contracts import Fault

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_WORDS = {
    "missing": "is missing",
    "model_type": "should hold fields, each as `name: value`",
    "dataclass_type": "should hold fields, each as `name: value`",
    "dict_type": "should hold fields, each as `name: value`",
    "tuple_type": "should be a list",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "string_type": "should be text",
    "path_type": "should be a path",
    "too_short": "has too few items",
}
_KEY = "[key]"
"""How pydantic marks a name that does not fit, behind the name itself."""
_MOST = 8


def faults(error: ValidationError, kind: type[BaseModel], under: str = "") -> tuple[Fault, ...]:
    """One fault for each field that does not fit `kind`; `under` is where in the file it stands."""
    found: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        path, around = _place(detail["loc"], kind, unknown=detail["type"] in _UNKNOWN)
        words = _words(detail, around)
        told = found.setdefault(".".join([*([under] if under else []), *path]), [])
        if words not in told:  # the ways of a union
            told.append(words)
    return tuple(Fault(field=field, message=" or ".join(told)) for field, told in found.items())


def sentence(found: Sequence[Fault]) -> str:
    """All of them in one line; of very many the first ones, and how many more there are."""
    told = [f"{fault.field}: {fault.message}" if fault.field else fault.message for fault in found[:_MOST]]
    return "; ".join([*told, *([f"and {len(found) - _MOST} more"] if len(found) > _MOST else [])])


def _words(detail: Mapping[str, Any], around: Sequence[Any]) -> str:
    """What is wrong with one field; `around` are the types that it stands in."""
    if detail["type"] in _UNKNOWN:
        known = [name for kind in around for name in _fields(kind)]
        near = get_close_matches(str(detail["loc"][-1]), known, n=1)
        return f"unknown field, did you mean {near[0]}?" if near else "unknown field"
    if detail["type"] == "invalid_key":
        return f"the name {detail['loc'][-1]!r} should be text"
    said = _WORDS.get(detail["type"]) or str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return f"the name {said}" if _KEY in detail["loc"] else said


def _place(loc: Sequence[str | int], kind: type[BaseModel], *, unknown: bool) -> tuple[list[str], list[Any]]:
    """The field's path as the file has it, and the types around it, without pydantic's names for a union's ways."""
    path: list[str] = []
    here: list[Any] = [kind]
    for part in loc[:-1] if unknown else loc:
        inside = [one for around in here for one in _within(around, part)]
        if inside:
            path.append(str(part))
            here = inside
    return (path + [str(part) for part in loc[-1:]] if unknown else path), here


def _within(kind: Any, part: str | int) -> list[Any]:
    """What may stand at a name or number of this type; nothing where it has no such place."""
    fields, origin, inner = _fields(kind), get_origin(kind), get_args(kind)
    if part in fields:
        return list(_ways(fields[str(part)]))
    if origin is dict and part != _KEY:
        return list(_ways(inner[1]))
    return list(_ways(inner[0])) if origin in (tuple, list) and isinstance(part, int) else []


def _fields(kind: Any) -> dict[str, Any]:
    """A type's fields by name: of a contract, or of a dataclass such as a model's shape."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return get_type_hints(kind) if isinstance(kind, type) and is_dataclass(kind) else {}


def _ways(annotation: Any) -> Iterator[Any]:
    """Every type that a union can be."""
    if get_origin(annotation) is Annotated:
        yield from _ways(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _ways(one)
    else:
        yield annotation
