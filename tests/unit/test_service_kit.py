"""The service kit: probes, request ids, metrics, errors and streams, the same for every service."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import Response

from reasonflux.contracts import CreateSession, ErrorBody, Failure, FailureKind
from reasonflux.errors import InvalidRequest, NotFound, ReasonFluxError, ServiceUnavailable, from_failure
from reasonflux.observing import request_id
from reasonflux.service import STATUS, create_app, sse
from reasonflux.sse import ServerEvent, read_sse
from reasonflux.testing.serving import served

SECRET = "the hidden problem text"


def make_app(*, ready: Callable[[], Awaitable[None]] | None = None, router: APIRouter | None = None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_app(title="kit", version="0", lifespan=lifespan, routers=[router] if router else [], ready=ready)


def trouble_router() -> APIRouter:
    router = APIRouter()

    @router.get("/items/{item}")
    async def item(item: int) -> dict[str, Any]:
        return {"item": item, "request_id": request_id()}

    @router.post("/sessions")
    async def create(request: CreateSession) -> CreateSession:
        return request

    @router.get("/fail/{kind}")
    async def fail(kind: FailureKind, retryable: bool = False) -> None:
        raise ReasonFluxError("it failed", hint="mend it", kind=kind, retryable=retryable)

    @router.get("/crash")
    async def crash() -> None:
        raise RuntimeError(SECRET)

    return router


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(router=trouble_router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kit") as client:
        yield client


def error_of(response: httpx.Response) -> ErrorBody.Error:
    return ErrorBody.model_validate_json(response.content).error


async def ask(app: FastAPI, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kit") as client:
        return await client.get(path)


# Probes


async def test_healthz_answers_also_when_the_service_is_not_ready() -> None:
    async def ready() -> None:
        raise ServiceUnavailable("Redis at redis://127.0.0.1:6390 does not answer", hint="start it")

    app = make_app(ready=ready)
    assert (await ask(app, "/healthz")).status_code == 200
    answer = await ask(app, "/readyz")
    assert answer.status_code == 503
    assert error_of(answer).message == "Redis at redis://127.0.0.1:6390 does not answer"
    assert error_of(answer).hint == "start it"


@pytest.mark.parametrize("error", [NotFound("no model"), RuntimeError("odd")])
async def test_whatever_ready_raises_is_503(error: Exception) -> None:
    async def ready() -> None:
        raise error

    answer = await ask(make_app(ready=ready), "/readyz")
    assert answer.status_code == 503
    assert str(error) in error_of(answer).message


async def test_readyz_is_200_when_ready_returns() -> None:
    async def ready() -> None: ...

    assert (await ask(make_app(ready=ready), "/readyz")).json() == {"status": "ready"}
    assert (await ask(make_app(), "/readyz")).status_code == 200


# Request ids and metrics


async def test_a_request_id_goes_through(http: httpx.AsyncClient) -> None:
    answer = await http.get("/items/1", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc-1"


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 200, '{"forged": "log"}'])
async def test_a_request_id_is_made_when_none_or_an_unsafe_one_is_sent(
    http: httpx.AsyncClient, sent: str | None
) -> None:
    answer = await http.get("/items/1", headers={} if sent is None else {"X-Request-Id": sent})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_metrics_count_by_route_template_and_status(http: httpx.AsyncClient) -> None:
    for path in ("/items/1", "/items/2", "/items/x", "/nowhere/1", "/nowhere/2", "/crash"):
        await http.get(path)
    metrics = (await http.get("/metrics")).text
    for line in (
        'reasonflux_http_requests_total{method="GET",route="/items/{item}",status="200"} 2.0',
        'reasonflux_http_requests_total{method="GET",route="/items/{item}",status="400"} 1.0',
        'reasonflux_http_requests_total{method="GET",route="unmatched",status="404"} 2.0',
        'reasonflux_http_requests_total{method="GET",route="/crash",status="500"} 1.0',
        'reasonflux_http_request_seconds_count{method="GET",route="/items/{item}",status="200"} 2.0',
    ):
        assert line in metrics


async def test_the_documentation_page_loads_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']|url: '([^']+)'""", page.text)
    answers = [await http.get(one or other) for one, other in loaded]

    assert page.status_code == 200
    assert len(answers) >= 3
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert "//" not in "".join(map("".join, loaded))
    assert '"validatorUrl": null' in page.text  # else Swagger UI asks a server of its own


async def test_every_app_has_metrics_of_its_own() -> None:
    one, other = make_app(), make_app()
    await ask(one, "/healthz")
    assert 'route="/healthz"' in (await ask(one, "/metrics")).text
    assert 'route="/healthz"' not in (await ask(other, "/metrics")).text


# Errors


def test_every_kind_of_failure_has_a_status() -> None:
    assert set(STATUS) == set(FailureKind)
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize("kind", list(FailureKind))
async def test_a_failure_becomes_its_status_and_body(http: httpx.AsyncClient, kind: FailureKind) -> None:
    answer = await http.get(f"/fail/{kind}")
    assert answer.status_code == STATUS[kind]
    assert error_of(answer) == ErrorBody.Error(message="it failed", type=kind, code=kind, hint="mend it")


@pytest.mark.parametrize("retryable", [True, False])
async def test_openai_clients_are_told_whether_to_try_again(http: httpx.AsyncClient, retryable: bool) -> None:
    answer = await http.get("/fail/overloaded", params={"retryable": retryable})
    assert answer.headers["x-should-retry"] == ("true" if retryable else "false")
    assert ("retry-after" in answer.headers) is retryable


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "problem"),
        ({"problem": SECRET, "budget": {"rounds": -1}}, "budget.rounds"),
        ({"problem": SECRET, "effrot": "low"}, "effrot"),
        ({"problem": " "}, "problem"),
        ([SECRET], "body"),
    ],
)
async def test_an_invalid_body_names_field_and_remedy_but_not_the_value(
    http: httpx.AsyncClient, body: Any, param: str
) -> None:
    answer = await http.post("/sessions", json=body)
    error = error_of(answer)
    assert answer.status_code == 400
    assert error.type == FailureKind.INVALID_REQUEST
    assert error.param == param
    assert error.message.startswith(f"{param}: ")
    assert error.hint
    assert SECRET not in answer.text


async def test_a_body_that_is_not_json_is_said_so(http: httpx.AsyncClient) -> None:
    answer = await http.post("/sessions", content=b'{"problem": ', headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "not valid JSON" in error_of(answer).message


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
async def test_json_that_is_not_marked_as_json_is_told_the_header(http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.post("/sessions", content=json.dumps({"problem": SECRET}), headers={"content-type": kind})
    assert answer.status_code == 400
    assert error_of(answer).param == "body"
    assert "Content-Type: application/json" in (error_of(answer).hint or "")
    assert SECRET not in answer.text


async def test_unknown_paths_and_methods_have_the_same_body(http: httpx.AsyncClient) -> None:
    missing, wrong = await http.get("/nowhere"), await http.delete("/items/1")
    assert (missing.status_code, error_of(missing).type) == (404, "not_found")
    assert (wrong.status_code, error_of(wrong).type) == (405, "invalid_request")
    assert wrong.headers["allow"] == "GET"


async def test_a_crash_is_500_without_its_trace_and_the_log_has_it(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await http.get("/crash", headers={"X-Request-Id": "abc-2"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    crash = next(line for line in lines if line["event"] == "request crashed")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "abc-2"
    assert error_of(answer).type == "internal"
    assert "abc-2" in (error_of(answer).hint or "")
    assert SECRET not in answer.text
    assert "RuntimeError" not in answer.text
    assert crash["request_id"] == "abc-2"
    assert "RuntimeError" in crash["exception"]


async def test_logs_are_json_lines_without_what_was_sent(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await http.post("/sessions", json={"problem": SECRET})
    await http.post("/sessions", json={"problem": SECRET, "budget": 1})
    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    assert [(line["route"], line["status"]) for line in lines if line["event"] == "request"] == [
        ("/sessions", 200),
        ("/sessions", 400),
    ]
    assert SECRET not in written


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_failure_becomes_an_error_and_back(kind: FailureKind) -> None:
    failure = Failure(kind=kind, message="m", hint="h", retryable=kind is FailureKind.INTERNAL)
    assert from_failure(failure).failure == failure


def test_errors_say_what_to_do() -> None:
    error = InvalidRequest("the problem is empty", hint="send its text")
    assert str(error) == "the problem is empty (send its text)"
    assert error.failure.kind is FailureKind.INVALID_REQUEST


# Streams


async def test_a_stream_is_sent_as_server_sent_events() -> None:
    router = APIRouter()

    @router.get("/stream")
    async def stream() -> Response:
        async def events() -> AsyncIterator[tuple[str | None, str, str]]:
            yield "1", "plan.made", '{"a": 1}'
            yield None, "delta", '{"text": "a\u2028b"}'

        return sse(events())

    answer = await ask(make_app(router=router), "/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text == 'id: 1\nevent: plan.made\ndata: {"a": 1}\n\nevent: delta\ndata: {"text": "a\u2028b"}\n\n'


async def test_events_are_closed_when_the_client_leaves() -> None:
    router, closed = APIRouter(), asyncio.Event()

    @router.get("/stream")
    async def stream() -> Response:
        async def events() -> AsyncIterator[tuple[str | None, str, str]]:
            try:
                yield None, "delta", "{}"
                await asyncio.Event().wait()
            finally:
                closed.set()

        return sse(events())

    async with served(make_app(router=router)) as url, httpx.AsyncClient() as client:
        async with client.stream("GET", f"{url}/stream") as answer:
            await anext(answer.aiter_bytes())
        await asyncio.wait_for(closed.wait(), 10)


WIRE = 'id: 1\r\nevent: a\r\ndata: {"x": "ü\u2028"}\r\n\r\n: heartbeat\n\ndata: one\ndata:two\n\nretry: 5\n\ndata: cut'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
async def test_events_are_read_however_the_bytes_arrive(size: int, ending: str) -> None:
    raw = WIRE.replace("\r\n", "\n").replace("\n", ending).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    assert [event async for event in read_sse(chunks())] == [
        ServerEvent("a", '{"x": "ü\u2028"}', "1"),
        ServerEvent("message", "one\ntwo", None),
    ]
