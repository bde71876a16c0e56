"""The executor over HTTP: the real app and calculator, a scripted engine."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from executor.app import create
from executor.prompting import Profile
from executor.settings import Settings
from reasonflux.contracts import FailureKind, InstantiateEvent, Instantiation, Tokens
from reasonflux.engine import Message, OnDelta, Reply
from reasonflux.errors import EngineUnavailable
from reasonflux.sse import ServerEvent, read_sse

GOOD = r'{"fits": true, "reasoning": "add \beta", "expressions": ["1/2 + 1/3"]}'


class Scripted:
    def __init__(self, *replies: str | Exception) -> None:
        self.replies = list(replies)

    async def chat(self, messages: Sequence[Message], *, on_delta: OnDelta | None = None, **_: Any) -> Reply:
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        if on_delta is not None:
            await on_delta(reply)
        return Reply(text=reply, finish_reason="stop", tokens=Tokens(prompt=9, completion=3, calls=1))


@asynccontextmanager
async def serving(*replies: str | Exception) -> AsyncIterator[httpx.AsyncClient]:
    app = create(Settings(calculator_processes=1, executor_profile=Profile.INSTRUCT), engine=Scripted(*replies))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        yield client


async def streamed(client: httpx.AsyncClient, body: dict[str, Any]) -> list[ServerEvent]:
    headers = {"accept": "text/event-stream"}
    async with client.stream("POST", "/v1/instantiate", json=body, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [event async for event in read_sse(response.aiter_bytes())]


async def test_a_plain_request_is_answered_with_the_instantiation() -> None:
    async with serving(GOOD) as client:
        response = await client.post("/v1/instantiate", json={"goal": "add"})
    outcome = Instantiation.model_validate(response.json())
    assert (response.status_code, outcome.result, outcome.reasoning) == (200, "5/6", r"add \beta")
    assert outcome.usage == Tokens(prompt=9, completion=3, calls=1)


async def test_a_stream_ends_with_the_instantiation() -> None:
    async with serving("nonsense", GOOD) as client:
        events = await streamed(client, {"goal": "add"})
    assert [event.event for event in events] == ["restarted", "delta", "calculation", "instantiation"]
    parsed = [InstantiateEvent.model_validate_json(event.data) for event in events]
    assert parsed[1].delta == r"add \beta"
    assert parsed[-1].instantiation is not None
    assert parsed[-1].instantiation.result == "5/6"


async def test_a_failed_step_is_an_outcome_not_an_http_error() -> None:
    async with serving('{"fits": false, "reasoning": "cubic"}') as client:
        response = await client.post("/v1/instantiate", json={"goal": "add"})
    assert response.status_code == 200
    assert response.json()["failure"]["kind"] == FailureKind.TEMPLATE_UNFIT


async def test_an_engine_outage_is_a_typed_error_in_both_forms() -> None:
    async with serving(EngineUnavailable("down"), EngineUnavailable("down")) as client:
        response = await client.post("/v1/instantiate", json={"goal": "add"})
        (event,) = await streamed(client, {"goal": "add"})
    assert (response.status_code, response.json()["error"]["type"]) == (503, "engine_unavailable")
    assert event.event == "failure"
    assert json.loads(event.data)["failure"]["kind"] == "engine_unavailable"


async def test_a_bug_breaks_the_stream_off_without_an_outcome() -> None:
    async with serving(RuntimeError("bug")) as client:
        try:
            events = await streamed(client, {"goal": "add"})
        except (httpx.HTTPError, RuntimeError):
            events = []
    assert events == []


async def test_a_bad_request_is_refused_with_its_field() -> None:
    async with serving() as client:
        response = await client.post("/v1/instantiate", json={"goal": ""})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "goal")


async def test_calculate_gives_values_up_to_the_first_error() -> None:
    body = {"statements": ["x = r1*2", "x + 1/2", "1/0", "7"], "names": {"r1": "sqrt(8)"}}
    async with serving() as client:
        response = await client.post("/v1/calculate", json=body)
    calculations = response.json()["calculations"]
    assert [c["value"] for c in calculations] == ["4*sqrt(2)", "1/2 + 4*sqrt(2)", None]
    assert calculations[-1]["error"]["kind"] == "calculation_error"


async def test_calculate_executes_nothing() -> None:
    async with serving() as client:
        response = await client.post("/v1/calculate", json={"statements": ["__import__('os').getpid()"]})
    assert response.json()["calculations"][0]["error"]["kind"] == "calculation_error"


async def test_the_service_is_healthy_ready_and_measured() -> None:
    async with serving() as client:
        codes = [(await client.get(path)).status_code for path in ("/healthz", "/readyz", "/metrics")]
    assert codes == [200, 200, 200]


async def test_it_is_not_ready_while_the_engine_is_out() -> None:
    app = create(Settings(calculator_processes=1, executor_engine_url="http://127.0.0.1:9/v1"))
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
