"""Traces over real connections, read by a collector on loopback: connected, silent about texts, never in the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from collector import Collector, Span
from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from navigator.app import create
from navigator.settings import Settings
from navigator.testing import plan, review, script, step
from reasonflux import tracing
from reasonflux.client import NavigatorClient
from reasonflux.contracts import (
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Outcome,
    SearchRequest,
    SearchResponse,
    Session,
    SessionStarted,
)
from reasonflux.errors import EngineRefused
from reasonflux.service import create_app, sse
from reasonflux.testing.fake_engine import fake_openai_app
from reasonflux.testing.fakes import FakeTemplateStore
from reasonflux.testing.serving import served

pytestmark = [pytest.mark.redis]

PROBLEM = "Marigold has 3 apples and buys 4 more. How many apples has Marigold?"
CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().running() as running:
        yield running


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    return collector


class Overheard:
    """An app, and the headers of the calls that it got."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.traceparents: list[str | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            headers = dict(scope["headers"])
            self.traceparents.append(headers[b"traceparent"].decode() if b"traceparent" in headers else None)
        await self._app(scope, receive, send)


def neighbours() -> FastAPI:
    """The executor and the template store at one address, without minds of their own."""
    router, store = APIRouter(), FakeTemplateStore()

    @router.post("/v1/instantiate", response_model=None)
    async def instantiate(_: InstantiateRequest) -> Response:
        async def events() -> AsyncIterator[tuple[str | None, str, str]]:
            done = InstantiateEvent(instantiation=Instantiation(reasoning="Marigold: 3 and 4 are 7.", result="7"))
            yield None, "event", done.model_dump_json(exclude_none=True)

        return sse(events())

    @router.post("/v1/templates/search")
    async def search(request: SearchRequest) -> SearchResponse:
        return await store.search(request)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_app(title="neighbours", version="0", lifespan=lifespan, routers=[router])


def solving() -> ASGIApp:
    planned = plan(step("count Marigold's apples", "s1", template="Adding up"))
    return fake_openai_app(script([planned], [review("finish", answer="r1")]))


@asynccontextmanager
async def house(redis_url: str, engine: ASGIApp) -> AsyncIterator[str]:
    async with served(engine) as engine_url, served(neighbours()) as others:
        settings = Settings(
            redis_url=redis_url,
            executor_url=others,
            template_store_url=others,
            navigator_engine_url=f"{engine_url}/v1",
            navigator_engine_model="fake",
            navigator_workers=2,
        )
        async with served(create(settings)) as url:
            yield url


async def solve(url: str, **headers: str) -> Session:
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        created = await http.post("/v1/sessions", json={"problem": PROBLEM})
    async with NavigatorClient.open(url) as navigator:
        async for _ in navigator.events(created.json()["id"]):
            pass
        return await navigator.get(created.json()["id"])


def above(span: Span, spans: list[Span]) -> list[str]:
    """The names of the spans over this one, the nearest first."""
    by_id, names = {each.id: each for each in spans}, []
    while span.parent in by_id:
        span = by_id[span.parent]
        names.append(span.name)
    return names


async def test_a_session_is_one_trace_from_its_request_to_every_service(own_redis: Any, traced: Collector) -> None:
    engine = Overheard(solving())
    async with house(own_redis.url, engine) as url:
        session = await solve(url)
    assert session.outcome is Outcome.SOLVED

    (root,) = [span for span in traced.spans if span.name == "POST /v1/sessions"]
    spans = traced.of_trace(root.trace)
    to_the_top = ["session", "POST /v1/sessions"]
    paths = {span.name: above(span, spans) for span in spans}
    assert paths["plan"] == paths["retrieve"] == paths["instantiate"] == paths["review"] == to_the_top
    assert paths["POST /v1/templates/search"] == ["POST template store", "retrieve", *to_the_top]
    assert paths["POST /v1/instantiate"] == ["POST executor", "instantiate", *to_the_top]
    calls = [span for span in spans if span.name == "chat fake"]
    assert sorted(above(span, spans)[0] for span in calls) == ["plan", "review"]
    joined = [(told or "").split("-")[1:3] for told in engine.traceparents]  # what an engine that traces goes on from
    assert sorted(joined) == sorted([span.trace, span.id] for span in calls)
    assert {span.attributes["session.id"] for span in spans} == {session.id}
    assert [span.attributes["gen_ai.usage.input_tokens"] > 0 for span in calls] == [True, True]


async def test_a_trace_goes_on_below_the_clients_own(own_redis: Any, traced: Collector) -> None:
    async with house(own_redis.url, solving()) as url:
        await solve(url, traceparent=CLIENT)
    (root,) = [span for span in traced.spans if span.name == "POST /v1/sessions"]
    assert (root.trace, root.parent) == (CLIENT.split("-")[1], CLIENT.split("-")[2])
    assert [span.name for span in traced.of_trace(root.trace) if span.name == "session"] == ["session"]


async def test_no_text_of_clients_or_models_stands_in_a_span(own_redis: Any, traced: Collector) -> None:
    refusing = fake_openai_app([EngineRefused(f"400: cannot read {PROBLEM!r}")] * 20)
    async with house(own_redis.url, solving()) as url:
        await solve(url)
    async with house(own_redis.url, refusing) as url:
        assert (await solve(url)).outcome is not Outcome.SOLVED
    assert any(span.failed for span in traced.spans)
    assert "plan" in {span.name for span in traced.spans if span.failed}
    assert not [span.name for span in traced.spans if "Marigold" in span.told or "apples" in span.told]


async def test_probes_make_no_spans(own_redis: Any, traced: Collector) -> None:
    async with house(own_redis.url, solving()) as url, httpx.AsyncClient(base_url=url) as http:
        for path in ("/healthz", "/readyz", "/metrics", "/v1/models"):
            await http.get(path)
    assert {span.name for span in traced.spans} == {"GET /v1/models"}


@pytest.mark.parametrize("status", [0, 400, 503])
async def test_a_collector_that_is_away_hangs_or_refuses_holds_nothing_up(
    own_redis: Any, traced: Collector, status: int
) -> None:
    traced.status = status or 200
    if status == 0:
        traced.hang()  # until after the service has left
    async with house(own_redis.url, solving()) as url:
        session = await solve(url)
        assert session.outcome is Outcome.SOLVED
    assert await asyncio.to_thread(traced.asked.wait, 30)
    assert not traced.spans


async def test_where_nobody_asks_for_traces_nothing_is_begun_sent_or_kept(
    own_redis: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    engine = Overheard(solving())
    async with house(own_redis.url, engine) as url:
        assert tracing.span("one") is tracing.span("other")
        session = await solve(url, traceparent=CLIENT)
        async with NavigatorClient.open(url) as navigator:
            entries = [entry async for entry in navigator.events(session.id)]
    assert [entry.event.trace for entry in entries if isinstance(entry.event, SessionStarted)] == [None]
    assert engine.traceparents == [None, None]
    assert not collector.asked.is_set()


async def test_measurements_point_at_their_trace(own_redis: Any, traced: Collector) -> None:
    async with house(own_redis.url, solving()) as url, httpx.AsyncClient(base_url=url) as http:
        await solve(url)
        told = (await http.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})).text
    traces = {span.trace for span in traced.spans}
    pointing = [line for line in told.splitlines() if 'trace_id="' in line]
    assert any(line.startswith("reasonflux_session_seconds_bucket") for line in pointing)
    assert {line.split('trace_id="')[1].split('"')[0] for line in pointing} <= traces
