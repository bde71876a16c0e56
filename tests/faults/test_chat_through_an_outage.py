"""Redis is killed and comes back while a chat client waits: the session runs on, and the client hears of nothing."""

import asyncio
from typing import Any

import httpx
import pytest

from navigator.journal import RedisJournal
from navigator.testing import on_fakes, plan, review, script, step
from reasonflux.contracts import InstantiateRequest
from reasonflux.testing.serving import served

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("path", ["plain chat", "streamed chat", "response"])
async def test_a_client_that_waits_gets_its_answer_although_redis_was_killed(own_redis: Any, path: str) -> None:
    called, restarted = asyncio.Event(), asyncio.Event()

    async def executor(request: InstantiateRequest) -> str:
        called.set()
        await restarted.wait()
        return "7"

    chat: Any = {"model": "reasonflux", "messages": [{"role": "user", "content": "What is 3 + 4?"}]}
    asked: dict[str, tuple[str, Any]] = {
        "plain chat": ("/v1/chat/completions", chat),
        "streamed chat": ("/v1/chat/completions", {**chat, "stream": True}),
        "response": ("/v1/responses", {"model": "reasonflux", "input": "What is 3 + 4?"}),
    }
    journal = RedisJournal(own_redis.url, safety_read=0.5)
    llm = script([plan(step("add", "s1"))] * 3, [review("finish", answer="r1")] * 3)
    async with (
        served(on_fakes(llm, executor, journal=journal)) as url,
        httpx.AsyncClient(base_url=url, timeout=None) as client,
    ):
        url_path, body = asked[path]
        asking = asyncio.create_task(client.post(url_path, json=body))
        await called.wait()
        await asyncio.to_thread(own_redis.kill)
        await asyncio.sleep(1.0)  # long enough that everybody has noticed
        await asyncio.to_thread(own_redis.start)
        restarted.set()
        response = await asyncio.wait_for(asking, 60)
    await journal.close()

    assert response.status_code == 200
    assert r"\\boxed{7}" in response.text
    assert 'data: {"error"' not in response.text
