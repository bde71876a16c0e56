"""What is let in from strangers. The limits hold where templates arrive, not in the contract, which reads what is kept
already. They are many times what a template needs, so that one of them cannot hold up the store for the others."""

import json
from collections.abc import Iterator
from typing import Any

from reasonflux.contracts import Fault

MAX_SENT = 256 * 1024
"""The body of a request with one template, in bytes."""
MAX_TEMPLATE = 100 * 1024
"""One template, in bytes of compact JSON."""
MAX_TEXT = 8_000
MAX_ITEMS = 100
MAX_ITEMS_OF = {"steps": 50, "variables": 60, "example.bindings": 60}
_MAX_FAULTS = 20
_KEY_SHOWN = 40


def admissible(template: Any) -> tuple[Fault, ...]:
    """Why this template may not come in, judged on its data as sent, before the contract reads it: too much of
    something, or text that is none. Empty when it may; at most 20."""
    oversize = [Fault(field="", message=reason)] if (reason := _oversize(template)) else []
    return (*oversize, *(fault for fault, _ in zip(_excesses(template), range(_MAX_FAULTS), strict=False)))[
        :_MAX_FAULTS
    ]


def not_text(data: Any) -> tuple[Fault, ...]:
    """The first text that UTF-8 cannot write: JSON and YAML can escape one half of a surrogate pair."""
    for place, value in _walk(data):
        if isinstance(value, str) and not _writable(value):
            return (_surrogate(place),)
    return ()


def shown(text: str) -> str:
    """The text, fit to be sent back."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _oversize(data: Any) -> str | None:
    try:
        written = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str, skipkeys=True)
    except RecursionError:
        return "is nested too deeply"
    except ValueError:
        return "holds a number that is too long to write"
    size = len(written.encode("utf-8", "surrogatepass"))
    return f"is {size:,} bytes of JSON; at most {MAX_TEMPLATE:,} are taken" if size > MAX_TEMPLATE else None


def _excesses(data: Any) -> Iterator[Fault]:
    for place, value in _walk(data):
        if isinstance(value, str):
            if len(value) > MAX_TEXT:
                yield Fault(field=place, message=f"has {len(value):,} characters; at most {MAX_TEXT:,} are taken")
            if not _writable(value):
                yield _surrogate(place)
        elif isinstance(value, dict | list) and len(value) > (most := MAX_ITEMS_OF.get(place, MAX_ITEMS)):
            yield Fault(field=place, message=f"has {len(value):,} items; at most {most} are taken")


def _walk(data: Any) -> Iterator[tuple[str, Any]]:
    """Every value with its place, and every key of a mapping with the place of its value. No recursion: how deep it
    is nested is the sender's choice."""
    rest: list[tuple[str, Any]] = [("", data)]
    while rest:
        place, value = rest.pop()
        yield place, value
        below = f"{place}." if place else ""
        if isinstance(value, dict):
            named = [(f"{below}{shown(str(key)[:_KEY_SHOWN])}", key, item) for key, item in value.items()]
            yield from ((inner, key) for inner, key, _ in named if isinstance(key, str))
            rest.extend((inner, item) for inner, _, item in reversed(named))
        elif isinstance(value, list):
            rest.extend((f"{below}{index}", item) for index, item in reversed(list(enumerate(value))))


def _writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _surrogate(place: str) -> Fault:
    return Fault(field=place, message="has half of a surrogate pair, which is no character")
