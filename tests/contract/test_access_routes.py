"""Sessions of another tenant are not there, on any route: the routes are read off the OpenAPI document.

So a new route is covered by itself, and one that names something new has to be thought about.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from navigator.access.keys import mint
from navigator.access.memory import MemoryKeys
from navigator.testing import on_fakes, opened, plan, review, script, step

NOBODYS = "0" * 32
ROUNDS = 40
SHARED = {"name", "library", "template_id"}
"""What a path may name that belongs to the deployment, the same for every tenant."""

OF_A_SESSION = {"session_id": "{id}", "response_id": "resp_{id}"}
IN_A_SESSION = {"seq": range(1, 12)}
NAMED_IN_BODIES = {
    "POST /v1/sessions": {"problem": "1 + 1?", "parent": "{id}"},
    "POST /v1/responses": {"model": "reasonflux", "input": "1 + 1?", "previous_response_id": "resp_{id}"},
    "POST /v1/chat/completions": {
        "model": "reasonflux",
        "messages": [{"role": "user", "content": "1 + 1?"}],
        "metadata": {"parent": "{id}"},
    },
}
NAMING = re.compile(r"parent|previous_response_id|session_id|response_id")


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    body: Any = None

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    def asked_of(self, session_id: str) -> Iterator[dict[str, Any]]:
        """Requests about this session: one, or one for each entry that the path can name."""
        names = {name: told.format(id=session_id) for name, told in OF_A_SESSION.items()}
        for seq in IN_A_SESSION["seq"] if "{seq}" in self.path else (0,):
            yield {"method": self.method, "url": self.path.format(**names, seq=seq), "json": self.body}


def document() -> dict[str, Any]:
    return on_fakes([], access="keys").openapi()


def routes() -> list[Route]:
    """Every route whose path names a session."""
    return [
        Route(method.upper(), path, _example(operation))
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
        if set(re.findall(r"{(\w+)}", path)) & set(OF_A_SESSION)
    ]


def _example(operation: dict[str, Any]) -> Any:
    bodies = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
    return next((each["value"] for each in bodies.values()), None)


class Street:
    """Two tenants of one navigator."""

    def __init__(self) -> None:
        self.keys = MemoryKeys()
        replies = script([plan(step("add", "s1"))] * ROUNDS, [review("finish", answer="r1")] * ROUNDS)
        self.app: FastAPI = on_fakes(replies, lambda _: "7", keys=self.keys, access="keys")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[httpx.AsyncClient]:
        async with opened(self.app) as client:
            yield client

    async def key(self, tenant: str) -> dict[str, str]:
        key, record = mint(tenant, datetime.now(UTC))
        await self.keys.keep(record)
        return {"Authorization": f"Bearer {key}"}


async def solved(client: httpx.AsyncClient, key: dict[str, str]) -> str:
    """A session of this key's tenant that has finished."""
    created = await client.post("/v1/sessions", json={"problem": "What is 3 + 4?"}, headers=key)
    session_id = str(created.json()["id"])
    events = f"/v1/sessions/{session_id}/events"
    await client.get(events, headers={**key, "Accept": "text/event-stream"})
    return session_id


def test_every_name_in_a_path_is_known_to_be_a_tenants_or_the_deployments() -> None:
    named = {name for path in document()["paths"] for name in re.findall(r"{(\w+)}", path)}
    assert named <= {*OF_A_SESSION, *IN_A_SESSION, *SHARED}
    assert {*OF_A_SESSION, *IN_A_SESSION} <= named


def test_every_body_that_can_name_a_session_is_tried() -> None:
    told = document()
    bodies = {
        f"{method.upper()} {path}": operation["requestBody"]["content"]["application/json"]["schema"]
        for path, operations in told["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    shapes = {label: told["components"]["schemas"][schema["$ref"].split("/")[-1]] for label, schema in bodies.items()}
    naming = {label for label, shape in shapes.items() if NAMING.search(" ".join(_names(shape)))}
    assert naming == set(NAMED_IN_BODIES)


def _names(shape: dict[str, Any]) -> Iterator[str]:
    for name, field in shape["properties"].items():
        yield name
        yield str(field.get("description", ""))


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.label)
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_strangers_session_is_not_there_and_ones_own_is(route: Route, accept: str) -> None:
    street = Street()
    async with street.open() as client:
        ours, theirs = [{**await street.key(tenant), "Accept": accept} for tenant in ("ours", "theirs")]
        session_id = await solved(client, ours)
        strange = [await client.request(**asked, headers=theirs) for asked in route.asked_of(session_id)]
        never = [await client.request(**asked, headers=theirs) for asked in route.asked_of(NOBODYS)]
        own = [await client.request(**asked, headers=ours) for asked in route.asked_of(session_id)]
    assert {answer.status_code for answer in strange} == {404}
    assert [answer.text.replace(session_id, NOBODYS) for answer in strange] == [answer.text for answer in never]
    assert any(answer.is_success for answer in own), "the same request reaches a session of one's own"


@pytest.mark.parametrize("label", NAMED_IN_BODIES)
async def test_a_strangers_session_cannot_be_followed_up_and_ones_own_can(label: str) -> None:
    street = Street()
    method, path = label.split()
    async with street.open() as client:
        ours, theirs = [await street.key(tenant) for tenant in ("ours", "theirs")]
        session_id = await solved(client, ours)
        strange, never, own = [
            await client.request(method, path, json=_filled(NAMED_IN_BODIES[label], named), headers=key)
            for named, key in ((session_id, theirs), (NOBODYS, theirs), (session_id, ours))
        ]
    assert strange.status_code == 404
    assert strange.text.replace(session_id, NOBODYS) == never.text
    assert own.is_success


def _filled(body: Any, session_id: str) -> Any:
    if isinstance(body, dict):
        return {name: _filled(value, session_id) for name, value in body.items()}
    return body.replace("{id}", session_id) if isinstance(body, str) else body
