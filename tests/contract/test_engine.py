"""One suite for every engine: the fake, the real client against the fake server, the real client against vLLM."""

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from reasonflux.contracts import FailureKind, Tokens
from reasonflux.engine import Engine, EngineConfig, Message, OpenAIEngine, Reply, engine_http
from reasonflux.errors import EngineError, EngineRefused, EngineTimeout, EngineUnavailable
from reasonflux.testing.fake_engine import FakeEngine, fake_openai_app
from reasonflux.testing.serving import served

ASK = [Message(role="system", content="You are terse."), Message(role="user", content="What is two plus three?")]
SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"enum": ["continue", "revise"]}, "step": {"type": "integer", "minimum": 1}},
    "required": ["verdict", "step"],
    "additionalProperties": False,
}


@pytest.fixture(params=["fake", "asgi", "socket", pytest.param("vllm", marks=pytest.mark.vllm)])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    if request.param == "fake":
        yield FakeEngine()
    elif request.param == "asgi":
        async with httpx.AsyncClient(transport=httpx.ASGITransport(fake_openai_app())) as http:
            yield OpenAIEngine(http, EngineConfig(url="http://engine/v1", model="fake"))
    elif request.param == "socket":
        async with served(fake_openai_app()) as url, engine_http() as http:
            yield OpenAIEngine(http, EngineConfig(url=f"{url}/v1", model="fake"))
    else:
        live = os.environ.get("REASONFLUX_TEST_VLLM_URL")  # a GPU's, say; else the embedded one
        live = live or f"{request.getfixturevalue('embedded').url('executor_engine')}/v1"
        async with engine_http() as http:
            model = (await OpenAIEngine(http, EngineConfig(url=live, model="")).models())[0]
            yield OpenAIEngine(http, EngineConfig(url=live, model=model))


class TestEveryEngine:
    async def test_reply_has_text_and_usage_of_one_call(self, engine: Engine) -> None:
        reply = await engine.chat(ASK, max_tokens=8)
        assert reply.text
        assert reply.finish_reason in {"stop", "length"}
        assert reply.tokens.prompt > 0
        assert 0 < reply.tokens.completion <= 8
        assert reply.tokens.calls == 1
        assert 0 <= reply.tokens.cached <= reply.tokens.prompt

    async def test_deltas_joined_are_the_text_and_usage_is_the_same(self, engine: Engine) -> None:
        deltas: list[str] = []

        async def keep(text: str) -> None:
            deltas.append(text)

        streamed = await engine.chat(ASK, max_tokens=8, seed=7, on_delta=keep)
        plain = await engine.chat(ASK, max_tokens=8, seed=7)
        assert "".join(deltas) == streamed.text == plain.text
        assert streamed.tokens.completion == plain.tokens.completion > 0
        assert streamed.tokens.prompt == plain.tokens.prompt
        assert streamed.finish_reason == plain.finish_reason

    async def test_a_stream_tells_what_it_has_cost_so_far(self, engine: Engine) -> None:
        counts: list[Tokens] = []

        async def count(tokens: Tokens) -> None:
            counts.append(tokens)

        reply = await engine.chat(ASK, max_tokens=8, on_delta=ignore, on_usage=count)
        assert len(counts) >= 2
        assert counts[0].prompt == reply.tokens.prompt
        assert [each.completion for each in counts] == sorted(each.completion for each in counts)
        assert counts[0].completion < counts[-1].completion == reply.tokens.completion

    async def test_text_is_json_of_the_schema(self, engine: Engine) -> None:
        reply = await engine.chat(ASK, schema=SCHEMA, schema_name="review", max_tokens=64)
        if reply.finish_reason == "stop":
            data = json.loads(reply.text)
            assert set(data) == {"verdict", "step"}
            assert data["verdict"] in {"continue", "revise"}
            assert isinstance(data["step"], int)

    async def test_finish_reason_tells_that_max_tokens_cut_the_text(self, engine: Engine) -> None:
        reply = await engine.chat(ASK, max_tokens=1)
        assert reply.finish_reason == "length"
        assert reply.tokens.completion == 1

    async def test_no_time_left_is_a_timeout(self, engine: Engine) -> None:
        with pytest.raises(EngineTimeout) as caught:
            await engine.chat(ASK, timeout=0)
        assert caught.value.failure.kind is FailureKind.DEADLINE_EXCEEDED

    async def test_an_error_in_on_delta_passes_through(self, engine: Engine) -> None:
        async def fail(_: str) -> None:
            raise httpx.ReadError("of the reader, not of the engine")

        with pytest.raises(httpx.ReadError, match="of the reader"):
            await engine.chat(ASK, max_tokens=8, on_delta=fail)

    async def test_a_timeout_inside_on_delta_is_not_the_engines(self, engine: Engine) -> None:
        async def late(_: str) -> None:
            raise TimeoutError("of the reader")

        with pytest.raises(TimeoutError, match="of the reader"):
            await engine.chat(ASK, max_tokens=8, on_delta=late)


class TestScriptedEngines:
    """What needs a script: the fake and the real client on top of it fail alike."""

    @pytest.fixture(params=["fake", "asgi"])
    async def scripted(self, request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Engine]]:
        opened: list[httpx.AsyncClient] = []

        def make(*turns: Any) -> Engine:
            fake = FakeEngine(turns)
            if request.param == "fake":
                return fake
            opened.append(httpx.AsyncClient(transport=httpx.ASGITransport(fake_openai_app(fake))))
            return OpenAIEngine(opened[-1], EngineConfig(url="http://engine/v1", model="fake", retries=0))

        yield make
        for http in opened:
            await http.aclose()

    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("error", [EngineRefused("no"), EngineUnavailable("down")], ids=lambda e: type(e).__name__)
    async def test_failures_are_typed(
        self, scripted: Callable[..., Engine], error: EngineError, streaming: bool
    ) -> None:
        async def ignore(_: str) -> None: ...

        with pytest.raises(type(error)) as caught:
            await scripted(error).chat(ASK, on_delta=ignore if streaming else None)
        assert caught.value.failure.kind is error.failure.kind
        assert caught.value.failure.retryable is error.failure.retryable

    async def test_reasoning_is_apart_from_the_text(self, scripted: Callable[..., Engine]) -> None:
        deltas: list[str] = []

        async def keep(text: str) -> None:
            deltas.append(text)

        turn = Reply(text="five", reasoning="2 + 3", finish_reason="stop", tokens=Tokens())
        engine = scripted(turn, turn)
        assert (await engine.chat(ASK)).reasoning == "2 + 3"
        streamed = await engine.chat(ASK, on_delta=keep)
        assert (streamed.text, streamed.reasoning, deltas) == ("five", "2 + 3", ["five"])

    async def test_a_prompt_that_grows_at_its_end_is_served_from_the_cache(
        self, scripted: Callable[..., Engine]
    ) -> None:
        engine = scripted("five", "six")
        first = await engine.chat(ASK)
        grown = [*ASK, Message(role="assistant", content="five"), Message(role="user", content="plus one?")]
        second = await engine.chat(grown)
        assert first.tokens.cached == 0
        assert second.tokens.cached == first.tokens.prompt


# The real client alone, against what servers do on the wire.

Handler = Callable[[httpx.Request], httpx.Response]


def client(*answers: httpx.Response | Exception, retries: int = 3, **config: Any) -> tuple[OpenAIEngine, list[Any]]:
    """An engine whose server gives these answers in turn, and the log of requests and waits."""
    log: list[Any] = []
    turns = iter(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        log.append(request)
        answer = next(turns)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(seconds: float) -> None:
        log.append(seconds)

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    settings = EngineConfig(url="http://engine/v1/", model="m", retries=retries, **config)
    return OpenAIEngine(http, settings, sleep=sleep), log


def completion(text: str = "five", **fields: Any) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return httpx.Response(200, json={"choices": [choice], **fields})


def stream(*frames: dict[str, Any] | str) -> httpx.Response:
    lines = [frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False) for frame in frames]
    body = "".join(f"data: {line}\n\n" for line in lines)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body.encode())


def piece(text: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}], "usage": None}


async def ignore(_: str) -> None: ...


@pytest.mark.parametrize(
    "trouble",
    [httpx.Response(429), httpx.Response(500), httpx.Response(503), httpx.ConnectError("no"), httpx.ConnectTimeout("")],
    ids=["429", "500", "503", "refused", "aiohttp-refused"],
)
async def test_a_passing_trouble_is_tried_again_with_growing_jitter(trouble: httpx.Response | Exception) -> None:
    engine, log = client(trouble, trouble, completion())
    assert (await engine.chat(ASK)).text == "five"
    waits = [entry for entry in log if isinstance(entry, float)]
    assert len(waits) == 2
    assert 0 <= waits[0] <= 0.25
    assert 0 <= waits[1] <= 0.5


async def test_retry_after_is_respected() -> None:
    engine, log = client(httpx.Response(429, headers={"retry-after": "7"}), completion())
    await engine.chat(ASK)
    assert 7 <= log[1] <= 7.25


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    engine, log = client(httpx.Response(503, headers={"retry-after": "3600"}), completion())
    with pytest.raises(EngineUnavailable, match="503"):
        await engine.chat(ASK, timeout=30)
    assert len(log) == 1


async def test_retries_are_bounded_and_the_error_names_url_and_remedy() -> None:
    engine, log = client(*[httpx.ConnectError("refused")] * 9, retries=2)
    with pytest.raises(EngineUnavailable) as caught:
        await engine.chat(ASK)
    assert len([entry for entry in log if isinstance(entry, httpx.Request)]) == 3
    assert "http://engine/v1" in caught.value.failure.message
    assert "_ENGINE_URL" in (caught.value.failure.hint or "")
    assert caught.value.failure.retryable


@pytest.mark.parametrize(
    ("status", "remedy"), [(400, "message says"), (401, "_ENGINE_KEY"), (404, "_ENGINE_MODEL"), (307, "message says")]
)
async def test_a_refusal_is_not_tried_again_and_says_what_to_do(status: int, remedy: str) -> None:
    engine, log = client(httpx.Response(status, json={"error": {"message": "because"}}))
    with pytest.raises(EngineRefused, match="because") as caught:
        await engine.chat(ASK)
    assert len(log) == 1
    assert remedy in (caught.value.failure.hint or "")
    assert not caught.value.failure.retryable


async def test_a_server_without_json_schema_is_refused_with_a_hint() -> None:
    engine, _ = client(httpx.Response(400, json={"error": {"message": "response_format is not supported"}}))
    with pytest.raises(EngineRefused) as caught:
        await engine.chat(ASK, schema=SCHEMA)
    assert "json_schema" in (caught.value.failure.hint or "")


async def test_the_request_carries_schema_seed_usage_option_and_key() -> None:
    engine, log = client(stream(piece("five", "stop"), "[DONE]"), key="secret")
    await engine.chat(ASK, schema=SCHEMA, schema_name="review", seed=3, temperature=0.7, max_tokens=9, on_delta=ignore)
    body = json.loads(log[0].content)
    assert str(log[0].url) == "http://engine/v1/chat/completions"
    assert log[0].headers["authorization"] == "Bearer secret"
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "review", "schema": SCHEMA, "strict": False},
    }
    assert (body["seed"], body["temperature"], body["max_tokens"], body["stream"]) == (3, 0.7, 9, True)
    assert body["stream_options"] == {"include_usage": True}
    assert "secret" not in repr(engine.config)


async def test_usage_reads_cached_tokens_and_survives_nulls() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}
    engine, _ = client(completion(usage=usage), completion(usage={**usage, "prompt_tokens_details": None}))
    assert (await engine.chat(ASK)).tokens == Tokens(prompt=10, cached=8, completion=2, calls=1)
    assert (await engine.chat(ASK)).tokens == Tokens(prompt=10, completion=2, calls=1)


async def test_a_server_that_ignores_usage_counts_as_zeros() -> None:
    engine, _ = client(completion(), stream(piece("five", "stop"), "[DONE]"))
    assert (await engine.chat(ASK)).tokens == Tokens(calls=1)
    assert (await engine.chat(ASK, on_delta=ignore)).tokens == Tokens(calls=1)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_both_names_of_reasoning_are_read(field: str) -> None:
    message = {"role": "assistant", "content": None, field: "hmm"}
    plain = httpx.Response(200, json={"choices": [{"message": message, "finish_reason": "stop"}]})
    engine, _ = client(plain, stream(piece(**{field: "h"}), piece(**{field: "mm"}), piece("5", "stop"), "[DONE]"))
    assert await engine.chat(ASK) == Reply(text="", reasoning="hmm", finish_reason="stop", tokens=Tokens(calls=1))
    assert (await engine.chat(ASK, on_delta=ignore)).reasoning == "hmm"


async def test_a_stream_may_break_before_its_first_token_but_not_after() -> None:
    engine, log = client(stream(piece(role="assistant")), stream(piece("five", "stop"), "[DONE]"))
    assert (await engine.chat(ASK, on_delta=ignore)).text == "five"
    engine, log = client(stream(piece("fi")), stream(piece("five", "stop"), "[DONE]"))
    with pytest.raises(EngineUnavailable, match="broke off"):
        await engine.chat(ASK, on_delta=ignore)
    assert len(log) == 1


async def test_an_error_inside_the_stream_is_read() -> None:
    engine, _ = client(stream(piece("fi"), {"error": {"message": "out of memory", "code": 500}}, "[DONE]"))
    with pytest.raises(EngineUnavailable, match="out of memory"):
        await engine.chat(ASK, on_delta=ignore)


async def test_line_separators_inside_the_text_survive() -> None:
    text = "a\u2028b\u0085c\x0bd \\frac{1}{2} θ"
    engine, _ = client(stream(piece(text, "stop"), "[DONE]"))
    assert (await engine.chat(ASK, on_delta=ignore)).text == text


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"[]", b"{}", b'{"choices": []}'])
async def test_something_else_at_the_url_is_named(body: bytes) -> None:
    engine, log = client(httpx.Response(200, content=body))
    with pytest.raises(EngineRefused, match="OpenAI-compatible"):
        await engine.chat(ASK)
    assert len(log) == 1


async def test_a_compressed_reply_is_read() -> None:
    packed = gzip.compress(completion().content)
    engine, _ = client(httpx.Response(200, headers={"content-encoding": "gzip"}, content=packed))
    assert (await engine.chat(ASK)).text == "five"


@pytest.mark.parametrize("url", ["localhost:8010/v1", "ftp://engine/v1", "http://engine:port/v1"])
async def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    async with engine_http() as http:
        with pytest.raises(EngineRefused, match="URL"):
            await OpenAIEngine(http, EngineConfig(url=url, model="m")).chat(ASK)


async def test_ready_names_the_model_that_is_missing() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(fake_openai_app(models=("a", "b")))) as http:
        await OpenAIEngine(http, EngineConfig(url="http://engine/v1", model="a")).ready()
        with pytest.raises(EngineRefused, match="'c'") as caught:
            await OpenAIEngine(http, EngineConfig(url="http://engine/v1", model="c")).ready()
    assert "a, b" in (caught.value.failure.hint or "")


async def test_an_engine_that_is_down_is_unavailable_over_the_real_transport() -> None:
    async with served(fake_openai_app()) as url:
        pass
    async with engine_http() as http:
        engine = OpenAIEngine(http, EngineConfig(url=f"{url}/v1", model="fake", retries=0))
        with pytest.raises(EngineUnavailable, match="cannot reach"):
            await engine.chat(ASK)
        with pytest.raises(EngineUnavailable, match="cannot reach"):
            await engine.models()


async def test_a_server_that_speaks_no_http_is_unavailable() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server, engine_http() as http:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        with pytest.raises(EngineUnavailable):
            await OpenAIEngine(http, EngineConfig(url=url, model="m", retries=0)).chat(ASK)


async def test_a_server_that_knows_no_running_usage_is_asked_without_it_from_then_on() -> None:
    asked: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        options = json.loads(request.content)["stream_options"]
        asked.append(options)
        if "continuous_usage_stats" in options:
            said = "Unrecognized request argument supplied: stream_options.continuous_usage_stats"
            return httpx.Response(400, json={"error": {"message": said}})
        choice = {"index": 0, "message": {"content": "5"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice]})

    async def count(_: Tokens) -> None:
        raise AssertionError("nothing is told")

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http:
        engine = OpenAIEngine(http, EngineConfig(url="http://engine/v1", model="m"))
        replies = [await engine.chat(ASK, on_delta=ignore, on_usage=count) for _ in range(2)]

    assert [reply.text for reply in replies] == ["5", "5"]
    assert ["continuous_usage_stats" in options for options in asked] == [True, False, False]


@pytest.mark.parametrize("streaming", [False, True])
async def test_cancelling_the_call_ends_the_generation(streaming: bool) -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()

    class Endless:
        async def chat(self, *_: Any, on_delta: Any = None, **__: Any) -> Reply:
            try:
                if on_delta:
                    await on_delta("first")
                asked.set()
                await asyncio.Event().wait()
                raise AssertionError
            finally:
                stopped.set()

    app = fake_openai_app(Endless())
    async with served(app) as url, engine_http() as http:
        engine = OpenAIEngine(http, EngineConfig(url=f"{url}/v1", model="fake"))
        call = asyncio.create_task(engine.chat(ASK, on_delta=ignore if streaming else None))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        if streaming:
            await asyncio.wait_for(stopped.wait(), 10)


async def test_a_silent_engine_is_a_timeout() -> None:
    async with served(fake_openai_app([EngineTimeout("silence")])) as url, engine_http() as http:
        engine = OpenAIEngine(http, EngineConfig(url=f"{url}/v1", model="fake"))
        with pytest.raises(EngineTimeout, match=r"within 0\.2 s"):
            await engine.chat(ASK, timeout=0.2)
