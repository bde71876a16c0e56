"""Many templates at once: read from what somebody sends, entry by entry, and written out as a stream."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import yaml
from pydantic import ValidationError

from reasonflux.contracts import Fault, ThoughtTemplate, TransferFormat
from reasonflux.errors import InvalidRequest
from template_store import library
from template_store.exchange.admission import admissible, shown

MAX_BYTES = 64 * 1024 * 1024
MAX_ENTRIES = 50_000
_ID_SHOWN = 80
MEDIA_TYPES = {
    "application/jsonl": TransferFormat.JSONL,
    "application/x-ndjson": TransferFormat.JSONL,
    "application/yaml": TransferFormat.YAML,
    "application/x-yaml": TransferFormat.YAML,
    "text/yaml": TransferFormat.YAML,
    "application/json": TransferFormat.JSON,
}
WRITTEN_AS = {TransferFormat.JSONL: "application/x-ndjson", TransferFormat.YAML: "application/yaml"}


@dataclass(frozen=True)
class Received:
    """One entry as it was sent: a template, or what is wrong with it."""

    place: str
    template_id: str | None
    template: ThoughtTemplate | None = None
    faults: tuple[Fault, ...] = ()


def chosen_format(named: TransferFormat | None, content_type: str | None) -> TransferFormat:
    """By name, else by the content type. Raises InvalidRequest."""
    if named is not None:
        return named
    media = (content_type or "").partition(";")[0].strip().lower()
    if media in MEDIA_TYPES:
        return MEDIA_TYPES[media]
    raise InvalidRequest(
        f"format: the content type {media or 'that was sent'!r} says nothing about how to read it",
        hint=f"add ?format= ({', '.join(TransferFormat)}), or send one of {', '.join(MEDIA_TYPES)}",
        param="format",
    )


def read(content: bytes, form: TransferFormat) -> list[Received]:
    """Every entry, in order. Raises InvalidRequest for what cannot be cut into entries at all."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(f"byte {error.start} is not UTF-8", "send the text encoded as UTF-8") from error
    cut: Callable[[str], Iterable[Received]] = {
        TransferFormat.JSONL: _json_lines,
        TransferFormat.JSON: _json_list,
        TransferFormat.YAML: _yaml_documents,
    }[form]
    received = list(islice(cut(text), MAX_ENTRIES + 1))
    if not received:
        raise _unreadable("there is no template in it", "send at least one")
    if len(received) > MAX_ENTRIES:
        raise _unreadable(f"there are more than {MAX_ENTRIES:,} templates in it", "send it in several parts")
    return received


def _json_lines(text: str) -> Iterator[Received]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _arrival(f"line {number}", json.loads(line))
            except (ValueError, RecursionError) as error:
                fault = Fault(field="", message=f"is not JSON: {error}")
                yield Received(f"line {number}", None, faults=(fault,))


def _json_list(text: str) -> Iterator[Received]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not JSON: {error}", "for one object a line, say ?format=jsonl") from error
    for number, entry in enumerate(data if isinstance(data, list) else [data], 1):
        yield _arrival(f"entry {number}", entry)


def _yaml_documents(text: str) -> Iterator[Received]:
    try:
        documents = library.documents(text)
    except library.Unreadable as error:
        where = f"{error.place}: " if error.place else ""
        raise _unreadable(f"{where}it is not YAML: {error.reason}", "put a line with --- between templates") from error
    for number, document in enumerate((d for d in documents if d is not None), 1):
        yield _arrival(f"document {number}", document)


def _arrival(place: str, data: Any) -> Received:
    named = data.get("id") if isinstance(data, dict) else None
    template_id = shown(named[:_ID_SHOWN]) if isinstance(named, str) else None
    if faults := admissible(data):
        return Received(place, template_id, faults=faults)
    try:
        return Received(place, template_id, ThoughtTemplate.model_validate(data))
    except ValidationError as error:
        faults = tuple(
            Fault(
                field=".".join(str(part) for part in detail["loc"]),
                message=detail["msg"].removeprefix("Value error, ") + library.quoting_hint(detail),
            )
            for detail in error.errors(include_url=False)
        )
        return Received(place, template_id, faults=faults)


def _unreadable(reason: str, hint: str) -> InvalidRequest:
    return InvalidRequest(f"body: {reason}", hint=hint, param="body")


def written(templates: Iterable[ThoughtTemplate], form: TransferFormat) -> Iterator[bytes]:
    """One piece for each template, in the form that `read` takes."""
    for template in templates:
        if form is TransferFormat.YAML:
            data = template.model_dump(mode="json", exclude_none=True)
            yield b"---\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120).encode()
        else:
            yield template.model_dump_json().encode() + b"\n"
