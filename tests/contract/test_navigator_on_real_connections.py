"""`navigator.app:create` itself: a real Redis, and HTTP between it and (fake) engine, executor and template store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import Response

from navigator.app import create
from navigator.settings import Settings
from navigator.testing import plan, review, script, step
from reasonflux.client import NavigatorClient
from reasonflux.contracts import (
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Outcome,
    SearchRequest,
    SearchResponse,
)
from reasonflux.service import create_app, sse
from reasonflux.testing.fake_engine import fake_openai_app
from reasonflux.testing.fakes import FakeTemplateStore
from reasonflux.testing.serving import served

pytestmark = pytest.mark.redis


def neighbours() -> FastAPI:
    """The executor and the template store in one app: their paths do not meet."""
    router = APIRouter()
    store = FakeTemplateStore()

    @router.post("/v1/instantiate")
    async def instantiate(request: InstantiateRequest) -> Response:
        async def events() -> AsyncIterator[tuple[str | None, str, str]]:
            done = Instantiation(reasoning="3 and 4 are 7.", result="7")
            for event in (InstantiateEvent(delta="3 and 4 are 7."), InstantiateEvent(instantiation=done)):
                yield None, "event", event.model_dump_json(exclude_none=True)

        return sse(events())

    @router.post("/v1/templates/search")
    async def search(request: SearchRequest) -> SearchResponse:
        return await store.search(request)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_app(title="neighbours", version="0", lifespan=lifespan, routers=[router])


def settings(redis_url: str, engine: str, others: str, **fields: Any) -> Settings:
    return Settings(
        redis_url=redis_url,
        executor_url=others,
        template_store_url=others,
        navigator_engine_url=f"{engine}/v1",
        navigator_engine_model="fake",
        navigator_workers=4,
        **fields,
    )


async def test_a_problem_is_solved_over_real_connections(own_redis: Any) -> None:
    llm = script([plan(step("add", "s1", template="Adding up"))], [review("finish", answer="r1")])
    async with served(fake_openai_app(llm)) as engine, served(neighbours()) as others:
        app = create(settings(own_redis.url, engine, others))
        async with served(app) as url, NavigatorClient.open(url) as navigator:
            async with httpx.AsyncClient(base_url=url) as client:
                assert (await client.get("/readyz")).json() == {"status": "ready"}
            session = await navigator.solve("What is 3 + 4?")

    assert (session.outcome, session.answer) == (Outcome.SOLVED, "7")
    assert session.usage.navigator.calls == 2


async def test_readiness_follows_redis_and_names_it(own_redis: Any) -> None:
    async with served(fake_openai_app()) as engine, served(neighbours()) as others:
        app = create(settings(own_redis.url, engine, others))
        async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.get("/readyz")).status_code == 200
            await asyncio.to_thread(own_redis.kill)
            gone = await client.get("/readyz")
            refused = await client.post("/v1/sessions", json={"problem": "What is 3 + 4?"})

    assert gone.status_code == refused.status_code == 503
    assert "store of sessions" in gone.json()["error"]["message"]
    assert refused.json()["error"]["type"] == "service_unavailable"


async def test_readiness_names_a_model_that_the_engine_does_not_offer(own_redis: Any) -> None:
    async with served(fake_openai_app(models=["other"])) as engine, served(neighbours()) as others:
        app = create(settings(own_redis.url, engine, others))
        async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
            response = await client.get("/readyz")

    assert response.status_code == 503
    assert "'fake'" in response.json()["error"]["message"]
