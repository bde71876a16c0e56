"""What is cancelled stops generating: shown by vLLM's own metrics, not by our word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from embedded import Embedded
from unending import TOKENS, WITHIN_SECONDS, Metrics, NeverEnding, endless_navigator

from executor.app import create as executor_app
from executor.settings import Settings as ExecutorSettings
from navigator.app import build
from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.testing import plan, step
from reasonflux.client import ExecutorClient
from reasonflux.contracts import FailureKind, Outcome, Session
from reasonflux.engine import EngineConfig, OpenAIEngine
from reasonflux.http import http_client
from reasonflux.testing.fake_engine import FakeEngine
from reasonflux.testing.fakes import FakeTemplateStore
from reasonflux.testing.serving import served

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

PROBLEM = "An arithmetic sequence has first term 3 and common difference 4. What is the sum of its first 20 terms?"
CHAT = {"messages": [{"role": "user", "content": PROBLEM}]}


@asynccontextmanager
async def navigator(embedded: Embedded) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        endless_navigator(embedded.url("navigator_engine")) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        yield client


async def cancels(client: httpx.AsyncClient, engine: Metrics) -> None:
    made = (await client.post("/v1/sessions", json={"problem": PROBLEM})).json()
    await engine.until_running()
    cancelled = (await client.post(f"/v1/sessions/{made['id']}/cancel")).json()
    assert cancelled["outcome"] == "cancelled"


async def leaves_a_chat(client: httpx.AsyncClient, engine: Metrics) -> None:
    body = {"model": "reasonflux", "stream": True, **CHAT}
    async with client.stream("POST", "/v1/chat/completions", json=body):
        await engine.until_running()


async def leaves_a_plain_call(client: httpx.AsyncClient, engine: Metrics) -> None:
    body = {"model": "reasonflux-direct", "stream": True, **CHAT}
    async with client.stream("POST", "/v1/chat/completions", json=body):
        await engine.until_running()


async def runs_out_of_time(client: httpx.AsyncClient, engine: Metrics) -> None:
    made = await client.post("/v1/sessions", json={"problem": PROBLEM, "budget": {"seconds": 0.5}})
    await client.get(f"{made.headers['location']}/events", headers={"Accept": "text/event-stream"})
    session = Session.model_validate_json((await client.get(made.headers["location"])).content)

    assert session.outcome is Outcome.UNSOLVED
    assert session.last_failure is not None
    assert session.last_failure.kind in (FailureKind.DEADLINE_EXCEEDED, FailureKind.BUDGET_EXHAUSTED)
    assert session.seconds <= 0.5 + WITHIN_SECONDS
    assert session.usage.navigator.completion > 0  # what the stopped call has cost


@pytest.mark.parametrize("stops", [cancels, leaves_a_chat, leaves_a_plain_call, runs_out_of_time])
async def test_the_engine_stops_generating_within_a_second(embedded: Embedded, stops: Any) -> None:
    engine = Metrics(embedded.url("navigator_engine"))
    before = await engine.generated()
    async with navigator(embedded) as client:
        await stops(client, engine)
        await asyncio.sleep(WITHIN_SECONDS)
        running, after = await engine.running(), await engine.generated()

    assert running == 0
    assert 0 < after - before < TOKENS


async def test_a_cancellation_reaches_the_engine_behind_the_executor(embedded: Embedded) -> None:
    engine = Metrics(embedded.url("executor_engine"))
    before = await engine.generated()
    config = EngineConfig(url=f"{embedded.url('executor_engine')}/v1", model="reasonflux-tiny-executor")
    async with httpx.AsyncClient(transport=NeverEnding(), timeout=None) as line, http_client() as http:
        real = OpenAIEngine(line, config)
        async with served(executor_app(ExecutorSettings(executor_profile="compact"), engine=real)) as executor:
            app = build(
                journal=MemoryJournal(),
                llm=NavigatorLLM(FakeEngine([plan(step("find the sum", "s1", "s2"))]), Profile.COMPACT),
                templates=FakeTemplateStore(),
                executor=ExecutorClient(http, executor),
            )
            async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
                await cancels(client, engine)
                await asyncio.sleep(WITHIN_SECONDS)
                running, after = await engine.running(), await engine.generated()

    assert running == 0
    assert 0 < after - before < TOKENS
