"""What an OpenAPI document lacks, for a reader who has nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from jsonschema import Draft202012Validator

from reasonflux.answering import STATUS
from reasonflux.contracts import FailureKind
from reasonflux.sse import read_sse

ERROR_BODY = {"$ref": "#/components/schemas/ErrorBody"}
EVENT_STREAM = "text/event-stream"

Json = dict[str, Any]


def faults(document: Json) -> list[str]:
    """One line for everything that is missing or wrong."""
    whole = list(_of_the_whole(document))
    if any("does not resolve" in fault for fault in whole):  # no example can be held against a schema with holes
        return whole
    return [*whole, *(fault for each in operations(document) for fault in _of(document, *each))]


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Every operation, with how messages call it."""
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield f"{method.upper()} {path}", operation


def _of_the_whole(document: Json) -> Iterator[str]:
    ids = [operation["operationId"] for _, operation in operations(document)]
    yield from (f"{each}: stands twice" for each in set(ids) if ids.count(each) > 1)
    known = document["components"]["schemas"]
    for reference in _references(document):
        name = reference.removeprefix("#/components/schemas/")
        if name not in known:
            yield f"{reference}: does not resolve"
    for name, scheme in document["components"].get("securitySchemes", {}).items():
        if " " in name or not scheme.get("description"):
            yield f"security scheme {name!r}: no usable name, or no description"


def _of(document: Json, name: str, operation: Json) -> Iterator[str]:
    for part in ("summary", "description"):
        if len(operation.get(part, "")) < 8:
            yield f"{name}: no {part}"
    known = {tag["name"] for tag in document.get("tags", ()) if tag.get("description")}
    if not operation.get("tags") or not known.issuperset(operation["tags"]):
        yield f"{name}: no tags, or tags that are not described"
    yield from (f"{name}: {each} is not described" for each in _undescribed(operation))
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        yield from _examples(document, f"{name} body {media}", body)
    statuses = set(operation["responses"])
    needed = {"500"} | ({"400"} if "requestBody" in operation else set())
    needed |= {"401", "403"} if operation.get("security") else set()
    yield from (f"{name}: {status} is not described" for status in sorted(needed - statuses))
    if "422" in statuses and "HTTPValidationError" in json.dumps(operation["responses"]["422"]):
        yield f"{name}: FastAPI's own 422, which is never answered"
    for status, answer in operation["responses"].items():
        yield from (_error if status >= "400" else _good)(document, f"{name} {status}", answer)


def _undescribed(operation: Json) -> list[str]:
    return [each["name"] for each in operation.get("parameters", ()) if not each.get("description")]


def _good(document: Json, name: str, answer: Json) -> Iterator[str]:
    if not answer.get("description") or answer["description"] == "Successful Response":
        yield f"{name}: no description"
    for media, content in answer.get("content", {}).items():
        yield from (_stream if media == EVENT_STREAM else _examples)(document, f"{name} {media}", content)


def _error(document: Json, name: str, answer: Json) -> Iterator[str]:
    content = answer.get("content", {}).get("application/json", {})
    if content.get("schema") != ERROR_BODY:
        yield f"{name}: no typed error body"
    yield from _examples(document, name, content)
    for example in content.get("examples", {}).values():
        status = str(STATUS[FailureKind(example["value"]["error"]["type"])])
        if status != name[-3:] and name[-3:] != "413":
            yield f"{name}: an example that is answered with {status}"
    if name.endswith(("429", "503")) and "Retry-After" not in answer.get("headers", {}):
        yield f"{name}: no Retry-After"


def _examples(document: Json, name: str, content: Json) -> Iterator[str]:
    if not content.get("schema"):
        yield f"{name}: no schema"
    if not content.get("examples"):
        yield f"{name}: no example"
    for told, example in content.get("examples", {}).items():
        for error in _against(document, content.get("schema", {}), example["value"]):
            yield f"{name}: example {told!r} does not fit: {error}"


def _stream(document: Json, name: str, content: Json) -> Iterator[str]:
    shape = content.get("schema", {}).get("properties", {})
    if "data" not in shape or not content.get("examples"):
        yield f"{name}: its events are not described"
        return
    for example in content["examples"].values():
        for event in asyncio.run(_read(example["value"])):
            told = {"event": event.event, "data": event.data} | ({} if event.id is None else {"id": event.id})
            yield from (
                f"{name}: an event does not fit: {each}" for each in _against(document, content["schema"], told)
            )
            shapes = [
                each["contentSchema"] for each in shape["data"].get("anyOf", [shape["data"]]) if "contentSchema" in each
            ]
            if event.data != shape["data"].get("anyOf", [{}])[0].get("const"):
                data = json.loads(event.data)
                yield from (f"{name}: {each}" for each in _against(document, {"anyOf": shapes}, data))


async def _read(text: str) -> list[Any]:
    async def sent() -> AsyncIterator[bytes]:
        yield text.encode()

    return [event async for event in read_sse(sent())]


def _against(document: Json, schema: Json, value: Any) -> Iterator[str]:
    validator = Draft202012Validator({**schema, "components": document["components"]})
    yield from (f"{error.json_path}: {error.message[:120]}" for error in validator.iter_errors(value))


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        yield from _references(each)
