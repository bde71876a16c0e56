"""The OpenAPI documents are complete: whoever has nothing else can write a client."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from conformance.completeness import faults, operations
from fastapi import FastAPI

from executor.app import create as executor
from executor.document import document as of_executor
from navigator.api.document import document as of_navigator
from navigator.app import create as navigator
from navigator.settings import Settings
from reasonflux.describing import Document
from template_store.api.document import document as of_template_store
from template_store.app import create as template_store

SERVICES: dict[str, Callable[[], FastAPI]] = {
    "navigator": lambda: navigator(Settings(access="keys")),
    "executor": executor,
    "template store": template_store,
}
DESCRIBED: dict[str, Callable[[], Document]] = {
    "navigator": lambda: of_navigator(keys_optional=False),
    "executor": of_executor,
    "template store": of_template_store,
}
each_service = pytest.mark.parametrize("service", SERVICES)


@cache
def published(service: str) -> dict[str, Any]:
    return SERVICES[service]().openapi()


@each_service
def test_every_operation_is_described_with_examples_and_errors(service: str) -> None:
    assert faults(published(service)) == []


@each_service
def test_nothing_is_described_that_is_not_there(service: str) -> None:
    there = {operation["operationId"] for _, operation in operations(published(service))}
    assert set(DESCRIBED[service]().operations) <= there


def test_a_key_is_asked_for_where_one_is_needed() -> None:
    needed, open_ = published("navigator"), navigator(Settings(access="open")).openapi()
    for (name, told), (_, also) in zip(operations(needed), operations(open_), strict=True):
        guarded = name.split()[1].startswith("/v1/")
        assert told.get("security") == ([{"ApiKey": []}] if guarded else None), name
        assert also.get("security") == ([{"ApiKey": []}, {}] if guarded else None), name


def test_what_starts_work_tells_where_the_limits_stand() -> None:
    found = dict(operations(published("navigator")))
    for name in ("POST /v1/sessions", "POST /v1/chat/completions", "POST /v1/responses"):
        for answer in found[name]["responses"].values():
            assert "x-ratelimit-remaining-tokens" in answer["headers"]
    assert "Retry-After" in found["POST /v1/sessions"]["responses"]["429"]["headers"]


def test_the_headers_that_a_client_sends_are_parameters() -> None:
    found = dict(operations(published("navigator")))
    sent = {name: [each["name"].lower() for each in op.get("parameters", ())] for name, op in found.items()}
    assert "idempotency-key" in sent["POST /v1/sessions"]
    assert "idempotency-key" in sent["POST /v1/chat/completions"]
    assert "last-event-id" in sent["GET /v1/sessions/{session_id}/events"]


def _session_page(document: dict[str, Any]) -> Any:
    return document["paths"]["/v1/sessions"]["get"]


def _creation(document: dict[str, Any]) -> Any:
    return document["paths"]["/v1/sessions"]["post"]


def _followed(document: dict[str, Any]) -> Any:
    return document["paths"]["/v1/sessions/{session_id}/events"]["get"]["responses"]["200"]["content"]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda document: _session_page(document).pop("summary"), "no summary"),
        (lambda document: _session_page(document).update(tags=["unheard of"]), "tags"),
        (lambda document: _session_page(document)["parameters"][0].pop("description"), "is not described"),
        (lambda document: _session_page(document)["responses"].pop("401"), "401 is not described"),
        (lambda document: _session_page(document)["responses"]["410"]["content"].clear(), "no typed error body"),
        (lambda document: _creation(document)["requestBody"]["content"]["application/json"].pop("examples"), "example"),
        (lambda document: document["components"]["schemas"].pop("Delta"), "does not resolve"),
        (lambda document: document["components"]["schemas"]["Session"]["required"].append("mood"), "does not fit"),
        (lambda document: _followed(document)["text/event-stream"].pop("schema"), "its events are not described"),
    ],
)
def test_what_a_document_lacks_is_found(broken: Callable[[dict[str, Any]], Any], told: str) -> None:
    document = deepcopy(published("navigator"))
    broken(document)
    assert any(told in fault for fault in faults(document))
