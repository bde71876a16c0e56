"""What reaches an engine is built by us: of a client's request, only the words of the problem and what may be set.

Real HTTP bodies are looked at: an app that speaks OpenAI's protocol stands where the engine is.
"""

import json

import httpx
import pytest
from fastapi import FastAPI

from navigator.app import build
from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.settings import Settings
from navigator.testing import is_review, opened, plan, review, step
from reasonflux.engine import EngineConfig, OpenAIEngine
from reasonflux.testing.fake_engine import Call, fake_openai_app
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore

ALLOWED = {
    "model",
    "messages",
    "temperature",
    "max_tokens",
    "seed",
    "response_format",
    "stream",
    "stream_options",
}
MARK = "http://elsewhere.example/v1"
"""What must not be found in any request to an engine: where a client would like us to call, among others."""

SMUGGLED = {
    "base_url": MARK,
    "api_base": MARK,
    "api_key": MARK,
    "engine_url": MARK,
    "extra_body": {"guided_json": MARK},
    "extra_headers": {"x": MARK},
    "guided_regex": MARK,
    "chat_template": MARK,
    "documents": [{"text": MARK}],
    "lora_request": {"path": MARK},
    "logit_bias": {"1": 100},
    "user": MARK,
    "metadata": {"note": MARK},
    "best_of": 20,
    "priority": -1,
    "kv_transfer_params": {"remote_host": MARK},
}


def reply(call: Call) -> str:
    if call.schema_ is None:
        return "A title"
    return review("finish", answer="r1") if is_review(call) else plan(step("add", "s1"))


class Engine:
    """Hears what it is asked, over HTTP."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        told = httpx.ASGITransport(fake_openai_app(reply, models=("m",)))
        self.line = httpx.AsyncClient(transport=told, event_hooks={"request": [self._note]})

    async def _note(self, request: httpx.Request) -> None:
        self.asked.append(request)


def app_on(engine: Engine) -> FastAPI:
    config = EngineConfig(url="http://engine/v1", model="m")
    return build(
        journal=MemoryJournal(),
        llm=NavigatorLLM(OpenAIEngine(engine.line, config), Profile.INSTRUCT),
        templates=FakeTemplateStore(()),
        executor=FakeExecutor(lambda _: "7"),
        settings=Settings(navigator_workers=2),
    )


def assert_built_by_us(engine: Engine) -> None:
    assert engine.asked
    for request in engine.asked:
        body = json.loads(request.content)
        assert str(request.url) == "http://engine/v1/chat/completions"
        assert set(body) <= ALLOWED
        assert body["model"] == "m"
        assert MARK not in request.content.decode()
        assert MARK not in str(request.headers)


@pytest.mark.parametrize("model", ["reasonflux", "reasonflux-direct"])
async def test_nothing_of_a_chat_passes_through_to_an_engine_but_its_words(model: str) -> None:
    engine = Engine()
    asked = {"model": model, "messages": [{"role": "user", "content": "What is 3 + 4?", "name": MARK}], **SMUGGLED}
    async with opened(app_on(engine)) as client:
        answer = await client.post("/v1/chat/completions", json=asked, headers={"X-Engine-Url": MARK})
    assert answer.status_code == 200, answer.text
    assert_built_by_us(engine)


async def test_nothing_of_a_response_passes_through_to_an_engine_but_its_words() -> None:
    engine = Engine()
    asked = {"model": "reasonflux", "input": "What is 3 + 4?", **SMUGGLED}
    async with opened(app_on(engine)) as client:
        answer = await client.post("/v1/responses", json=asked)
    assert answer.status_code == 200, answer.text
    assert_built_by_us(engine)


@pytest.mark.parametrize("field", ["engine_url", "base_url", "url"])
async def test_a_session_that_names_a_backend_is_refused(field: str) -> None:
    engine = Engine()
    async with opened(app_on(engine)) as client:
        unknown = await client.post("/v1/sessions", json={"problem": "1 + 1?", field: MARK})
        profile = await client.post("/v1/sessions", json={"problem": "1 + 1?", "engine": MARK})
    assert (unknown.status_code, profile.status_code) == (400, 400)
    assert engine.asked == []
