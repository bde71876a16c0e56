"""What the OpenAPI documents of our services say, each thing in one place.

A service has one `Document`: an `Operation` for each of its routes, and what its routes have in common. `DescribedApp`
puts it over what FastAPI finds out by itself. Failures are named by their kind: statuses, headers, bodies and examples
follow from it. Nothing is built before somebody asks for the document.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from reasonflux.answering import STATUS, failure_response
from reasonflux.contracts import ErrorBody, Failure, FailureKind
from reasonflux.failure_kinds import KINDS, RETRYABLE

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
COMPONENTS = "#/components/schemas/"


def _header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": schema or {"type": "string"}}


REQUEST_ID = {"X-Request-ID": _header("names this request in the services' logs; one that the client sends is kept")}
LOCATION = {"Location": _header("where it is read", type="string", format="uri-reference")}
_SHOULD_RETRY = {
    "X-Should-Retry": _header(
        "whether the same request may succeed later; OpenAI's clients obey it", type="string", enum=["true", "false"]
    )
}
_RETRY_AFTER = {"Retry-After": _header("in how many seconds another try makes sense", type="integer", minimum=1)}
_CHALLENGE = {"WWW-Authenticate": _header("how to show who one is", type="string", const="Bearer")}


@dataclass(frozen=True)
class Stream:
    """Server-sent events. `data`: what an event's data is; `names`: what `event:` may say; `ids`: what `id:` means;
    `end`: the last event's data, where that is no JSON."""

    description: str
    data: Sequence[type[BaseModel]]
    example: str
    names: Sequence[str] = ()
    ids: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class Answer:
    """A good answer. `model` says its shape where the route's signature does not; `examples` are bodies by name."""

    description: str
    examples: Mapping[str, Any] = field(default_factory=dict)
    model: type[BaseModel] | None = None
    media: Sequence[str] = (JSON,)
    stream: Stream | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """An error answer whose status is not the one that its kind has elsewhere."""

    status: int
    kind: FailureKind
    when: str
    message: str


@dataclass(frozen=True)
class Operation:
    """One route. `asks`: request bodies that can be sent as they are, by name."""

    summary: str
    answers: Mapping[int, Answer]
    fails: Sequence[FailureKind] = ()
    asks: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Of every answer, errors included."""


@dataclass(frozen=True)
class Document:
    """Of one service. `operations` by operation id; `tags`: what they stand for.

    `fails`: what every operation under /v1 may answer, `bodies`: what those with a body may. `keys_optional`: requests
    without an API key are let in too. `hooks`: what the service itself sends, by name: what it says, and an example.
    `parameters`: what a name means in any path, query or header, where the route does not say it.
    """

    summary: str
    tags: Mapping[str, str]
    operations: Mapping[str, Operation]
    fails: Sequence[FailureKind] = ()
    bodies: Sequence[Refusal] = ()
    keys_optional: bool = True
    hooks: Mapping[str, tuple[str, BaseModel]] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


class DescribedApp(FastAPI):
    """A FastAPI whose OpenAPI document is completed by a `Document`."""

    describe: Callable[[], Document] | None = None
    """Called once, when somebody asks for the document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            found = super().openapi()
            if self.describe is not None:
                complete(found, self.describe())
        assert self.openapi_schema is not None
        return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """`sessions_create`: what generated clients call it."""
    tag = str(route.tags[0]).lower().replace(" ", "_") if route.tags else "api"
    return f"{tag}_{route.name}"


def event_text(data: BaseModel | Mapping[str, Any] | str, *, event: str | None = None, id: str | None = None) -> str:
    """One server-sent event as it stands in a stream."""
    told = data if isinstance(data, str) else json.dumps(plain(data), ensure_ascii=False, separators=(",", ":"))
    lines = ((name, value) for name, value in (("id", id), ("event", event), ("data", told)) if value is not None)
    return "".join(f"{name}: {value}\n" for name, value in lines) + "\n"


def link(operation: str, description: str, **parameters: str) -> dict[str, Any]:
    """What can be asked next, its parameters taken from this answer: `session_id="$response.body#/id"`."""
    return {"operationId": operation, "description": description, "parameters": parameters}


def plain(value: Any) -> Any:
    """As it goes over the wire."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def complete(found: dict[str, Any], document: Document) -> None:
    """Put what `document` says over what FastAPI has found."""
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; ours is ErrorBody, and 400
        schemas.pop(name, None)
    _, models = models_json_schema(
        [(model, "serialization") for model in dict.fromkeys(_models(document))], ref_template=COMPONENTS + "{model}"
    )
    for name, schema in models.get("$defs", {}).items():
        schemas.setdefault(name, schema)
    found["info"]["summary"] = document.summary
    found["tags"] = [{"name": name, "description": told} for name, told in document.tags.items()]
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _describe(operation, document, versioned=path.startswith("/v1/"))
    if document.hooks:
        found["webhooks"] = {name: {"post": _hook(*told)} for name, told in document.hooks.items()}


def _models(document: Document) -> Iterator[type[BaseModel]]:
    yield ErrorBody
    for operation in document.operations.values():
        for answer in operation.answers.values():
            if answer.model is not None:
                yield answer.model
            if answer.stream is not None:
                yield from answer.stream.data
    for _, example in document.hooks.values():
        yield type(example)


def _describe(operation: dict[str, Any], document: Document, *, versioned: bool) -> None:
    told = document.operations.get(operation["operationId"], Operation(summary="", answers={}))
    if told.summary:
        operation["summary"] = told.summary
    if told.asks:
        examples = {name: {"summary": name, "value": plain(body)} for name, body in told.asks.items()}
        for media in operation["requestBody"]["content"].values():
            media["examples"] = examples
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", document.parameters.get(parameter["name"], ""))
        parameter["schema"] = _never_null(parameter["schema"])
    answers = operation["responses"]
    unfit = "HTTPValidationError" in json.dumps(answers.get("422", {}))
    if unfit:
        del answers["422"]
    kinds = [FailureKind.INTERNAL, *told.fails, *(document.fails if versioned else ())]
    kinds += [FailureKind.INVALID_REQUEST] if unfit or "requestBody" in operation else []
    answers.update(_failures(dict.fromkeys(kinds)))
    if "requestBody" in operation:
        answers.update((str(refusal.status), _refusal(refusal)) for refusal in document.bodies)
    for status, answer in told.answers.items():
        answers[str(status)] = _answer(answers.get(str(status), {}), answer)
    for each in answers.values():
        each["headers"] = {**each.get("headers", {}), **told.headers, **REQUEST_ID}
    operation["responses"] = dict(sorted(answers.items()))
    if document.keys_optional and "security" in operation:
        operation["security"] = [*operation["security"], {}]


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A path, query or header is there or it is not: FastAPI's "or null" would be sent as the word."""
    shapes = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(shapes) != 1:
        return schema
    return {**shapes[0], **{name: told for name, told in schema.items() if name != "anyOf"}}


def _answer(found: Mapping[str, Any], told: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if told.examples or told.model is not None:
        known = (media["schema"] for media in found.get("content", {}).values() if media.get("schema"))
        schema: dict[str, Any] = next(known, {"description": "text, as the media type says"})
        shape = schema if told.model is None else {"$ref": COMPONENTS + told.model.__name__}
        examples = {name: {"value": plain(value)} for name, value in told.examples.items()}
        content = {media: {"schema": shape, "examples": examples} for media in told.media}
    if told.stream is not None:
        content[EVENT_STREAM] = _stream(told.stream)
    parts = {"content": content, "headers": dict(told.headers), "links": dict(told.links)}
    return {"description": told.description, **{name: part for name, part in parts.items() if part}}


def _stream(told: Stream) -> dict[str, Any]:
    """As OpenAPI 3.1 has it: the schema is that of one event, its data a JSON text."""
    shapes: list[dict[str, Any]] = [{"$ref": COMPONENTS + model.__name__} for model in told.data]
    shape = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    data: dict[str, Any] = {"type": "string", "contentMediaType": JSON, "contentSchema": shape}
    if told.end is not None:
        data = {"anyOf": [{"type": "string", "const": told.end}, data]}
    event: dict[str, Any] = {"data": data}
    if told.names:
        event["event"] = {"type": "string", "enum": list(told.names)}
    if told.ids is not None:
        event["id"] = {"type": "string", "description": told.ids}
    schema = {
        "type": "object",
        "description": f"One event. {told.description} Silence is broken by a comment line every 15 s.",
        "required": ["data"],
        "properties": event,
    }
    return {"schema": schema, "examples": {"events": {"summary": "its beginning and its end", "value": told.example}}}


def _hook(description: str, example: BaseModel) -> dict[str, Any]:
    shape = {"$ref": COMPONENTS + type(example).__name__}
    body = {JSON: {"schema": shape, "examples": {"notice": {"value": plain(example)}}}}
    return {
        "summary": description,
        "requestBody": {"required": True, "content": body},
        "responses": {"2XX": {"description": "It has been heard; anything else is tried again"}},
    }


def _failures(kinds: Mapping[FailureKind, None]) -> dict[str, Any]:
    by_status: dict[str, list[FailureKind]] = {}
    for kind in kinds:
        by_status.setdefault(str(STATUS[kind]), []).append(kind)
    return {status: _failure(found) for status, found in by_status.items()}


def _failure(kinds: Sequence[FailureKind]) -> dict[str, Any]:
    """One error answer with an example of each kind that has its status."""
    examples = {}
    for kind in kinds:
        _, message, hint = KINDS[kind]
        failure = Failure(kind=kind, message=message, hint=hint, retryable=kind in RETRYABLE)
        examples[kind.value] = json.loads(bytes(failure_response(failure).body))
    headers = {
        **(_RETRY_AFTER if RETRYABLE.intersection(kinds) else {}),
        **(_CHALLENGE if FailureKind.UNAUTHORIZED in kinds else {}),
    }
    when = "; or ".join(KINDS[kind][0] for kind in kinds)
    return _error(when[0].upper() + when[1:], examples, headers)


def _refusal(told: Refusal) -> dict[str, Any]:
    failure = Failure(kind=told.kind, message=told.message)
    return _error(told.when, {told.kind.value: json.loads(bytes(failure_response(failure).body))}, {})


def _error(when: str, examples: Mapping[str, Any], headers: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: {"value": value} for name, value in examples.items()}
    content = {JSON: {"schema": {"$ref": COMPONENTS + ErrorBody.__name__}, "examples": shown}}
    return {"description": when, "content": content, "headers": {**_SHOULD_RETRY, **headers}}
