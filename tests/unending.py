"""A navigator whose real engine goes on and on, so that what stops it can only be a cancellation.

The shipped weights are done in a fraction of a second, so the engine is told to generate TOKENS tokens, whatever the
weights say: several seconds. Whether it stopped is read from vLLM's own metrics.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from navigator.app import build
from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from reasonflux.engine import EngineConfig, OpenAIEngine
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore
from reasonflux.testing.serving import served

TOKENS = 1_800
WITHIN_SECONDS = 1.0


class NeverEnding(httpx.AsyncHTTPTransport):
    """Asks the engine for TOKENS tokens and no fewer."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        body.pop("response_format", None)
        body |= {"ignore_eos": True, "max_tokens": TOKENS}
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        return await super().handle_async_request(
            httpx.Request(request.method, request.url, json=body, headers=headers, extensions=request.extensions)
        )


class Metrics:
    """What an engine says about itself."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def running(self) -> float:
        return await self._value("vllm:num_requests_running")

    async def generated(self) -> float:
        return await self._value("vllm:generation_tokens_total")

    async def until_running(self, patience: float = 30) -> None:
        async with asyncio.timeout(patience):
            while not await self.running():  # noqa: ASYNC110 - metrics announce nothing
                await asyncio.sleep(0.01)

    async def _value(self, name: str) -> float:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{self.url}/metrics")).text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


@asynccontextmanager
async def endless_navigator(engine_url: str) -> AsyncIterator[str]:
    """The base URL of a navigator on the real engine at `engine_url`, made to go on."""
    config = EngineConfig(url=f"{engine_url}/v1", model="reasonflux-tiny-navigator")
    async with httpx.AsyncClient(transport=NeverEnding(), timeout=None) as line:
        app = build(
            journal=MemoryJournal(),
            llm=NavigatorLLM(OpenAIEngine(line, config), Profile.COMPACT),
            templates=FakeTemplateStore(),
            executor=FakeExecutor(lambda request: "7"),
        )
        async with served(app) as url:
            yield url
