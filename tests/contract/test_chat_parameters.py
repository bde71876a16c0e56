"""Chat completions over plain HTTP: parameters honoured or refused, events in the chunks, plain engine calls."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from navigator.journal import MemoryJournal
from navigator.testing import on_fakes, opened, plan, review, script, step
from reasonflux.contracts import (
    Entry,
    ErrorBody,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Session,
    SessionFinished,
    Tokens,
)
from reasonflux.engine import Reply
from reasonflux.errors import EngineUnavailable
from reasonflux.sse import read_sse
from reasonflux.testing.fake_engine import Call
from reasonflux.testing.fakes import FakeExecutor

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "What is 3 + 4?"}]


def solving(executor: Any = lambda request: "7", **fields: Any) -> Any:
    return on_fakes(script([plan(step("add", "s1"))] * 9, [review("finish", answer="r1")] * 9), executor, **fields)


async def ask(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(CHAT, json={"model": "reasonflux", "messages": MESSAGES, **fields})


async def chunks_of(response: httpx.Response) -> list[Any]:
    async def body() -> Any:
        yield response.content

    return [json.loads(event.data) async for event in read_sse(body()) if event.data != "[DONE]"]


async def session_of(client: httpx.AsyncClient, response: httpx.Response) -> Session:
    found = await client.get(f"/v1/sessions/{response.headers['x-reasonflux-session']}")
    return Session.model_validate_json(found.content)


# What is asked for


async def test_the_caller_s_sampling_reaches_both_engines_calls() -> None:
    calls: list[Call] = []
    executor = FakeExecutor(lambda request: "7")

    def llm(call: Call) -> str:
        calls.append(call)
        return plan(step("add", "s1")) if len(calls) == 1 else review("finish", answer="r1")

    async with opened(on_fakes(llm, executor=executor)) as client:
        await ask(client, temperature=0.4, seed=1234)

    assert [(call.temperature, call.seed) for call in calls] == [(0.4, 1234)] * 2
    assert (executor.requests[0].sampling.temperature, executor.requests[0].sampling.seed) == (0.4, 1234)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_cap_bounds_what_is_generated_and_not_the_prompts(name: str) -> None:
    async with opened(solving()) as client:
        response = await ask(client, **{name: 100})
        session = await session_of(client, response)

    assert session.options.budget.completion_tokens == 100
    assert session.usage.all.prompt > 100
    assert response.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cap_that_cuts_the_plan_short_is_told_in_words_for_readers(stream: bool) -> None:
    async with opened(solving()) as client:
        response = await ask(client, max_tokens=5, stream=stream)
        frames = await chunks_of(response) if stream else [response.json()]

    told = response.text
    assert [frame["choices"][0]["finish_reason"] for frame in frames][-1] == "length"
    assert "the budget of completion tokens ran out before an answer was found" in told
    assert "the tokens ran out before the navigator's reply was complete" in told  # in the reasoning
    assert "JSON" not in told
    assert "unparsable" not in told


HUGE = 10**30


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"seed": HUGE}, "seed"),
        ({"metadata": {"parent": "x" * 200}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(64)}}, "metadata"),
        ({"metadata": {"note": "x" * 5_000}}, "metadata.note"),
        ({"model": "x" * 300}, "model"),
    ],
)
async def test_numbers_and_lists_that_a_client_sends_have_an_end(asked: dict[str, Any], param: str) -> None:
    async with opened(solving()) as client:
        refused = await ask(client, **asked)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_a_cap_that_is_larger_than_any_budget_is_no_cap() -> None:
    async with opened(solving()) as client:
        response = await ask(client, max_tokens=HUGE, metadata={str(n): "" for n in range(63)}, user="ann")
    assert response.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("stop", "content"), [(r"\boxed", "The answer is "), (["7", "T"], ""), ("9", None)])
async def test_the_content_ends_before_a_stop_sequence(stop: Any, content: str | None) -> None:
    async with opened(solving()) as client:
        plain = (await ask(client, stop=stop)).json()["choices"][0]
        streamed = await chunks_of(await ask(client, stop=stop, stream=True))

    wanted = r"The answer is \boxed{7}" if content is None else content
    assert (plain["message"]["content"], plain["finish_reason"]) == (wanted, "stop")
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in streamed) == wanted


async def test_user_and_metadata_are_kept_with_the_session() -> None:
    async with opened(solving()) as client:
        session = await session_of(client, await ask(client, user="ann", metadata={"course": "algebra"}))

    assert session.metadata == {"user": "ann", "course": "algebra"}


async def test_what_clients_send_and_we_do_not_know_is_ignored() -> None:
    unknown = {
        "top_p": 0.9,
        "logit_bias": {"1": 2},
        "store": False,
        "tools": [],
        "tool_choice": "auto",
        "surprise": [1],
    }
    async with opened(solving()) as client:
        response = await ask(client, **unknown, response_format={"type": "text"}, n=1, stop=None, logprobs=False)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 3}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"temperature": 3}, "temperature"),
        ({"stop": [""]}, "stop"),
        ({"stream_options": {"include_usage": True}}, "body"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(asked: dict[str, Any], param: str) -> None:
    async with opened(solving()) as client:
        response = await ask(client, **asked)

    assert response.status_code == 400
    error = ErrorBody.model_validate_json(response.content).error
    assert (error.type, error.param) == ("invalid_request", param)


async def test_a_repeated_request_with_the_same_key_is_answered_by_the_first_session() -> None:
    async with opened(solving()) as client:
        request = {"model": "reasonflux", "messages": MESSAGES}
        first, again = [await client.post(CHAT, json=request, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert first.json() == again.json()


# What is told


async def test_an_answer_has_every_field_that_clients_rely_on() -> None:
    async with opened(solving()) as client:
        body = (await ask(client)).json()

    assert body["object"] == "chat.completion"
    assert isinstance(body["created"], int)
    assert body["model"] == "reasonflux"
    assert body["id"].startswith("chatcmpl-")
    (choice,) = body["choices"]
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert (choice["message"]["role"], choice["message"]["refusal"]) == ("assistant", None)
    assert isinstance(choice["message"]["content"], str)
    usage = body["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == usage["completion_tokens"] > 0
    assert 0 < usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


async def test_chunks_carry_every_event_of_the_session_typed_and_in_order() -> None:
    journal = MemoryJournal()
    async with opened(solving(journal=journal)) as client:
        response = await ask(client, stream=True)
        chunks = await chunks_of(response)
        entries = await journal.read(response.headers["x-reasonflux-session"])

    told = [chunk["reasonflux"]["entry"] for chunk in chunks if "entry" in chunk.get("reasonflux", {})]
    assert [Entry.model_validate(entry) for entry in told] == list(entries)
    assert isinstance(entries[-1].event, SessionFinished)


async def test_a_failure_in_a_stream_is_one_error_chunk_and_then_the_end() -> None:
    async with opened(on_fakes(lambda call: EngineUnavailable("the engine is down"))) as client:
        response = await ask(client, stream=True, reasoning_effort="low", metadata={"note": "fails"})
        *_, last = await chunks_of(response)

    assert response.status_code == 200
    assert last["error"]["type"] == "engine_unavailable"
    assert response.text.rstrip().endswith("data: [DONE]")


async def test_usage_counts_the_work_that_a_change_of_plan_stopped() -> None:
    """Two steps at once; the review of the first drops the second half-way."""
    begun, never = asyncio.Event(), asyncio.Event()

    class Executor(FakeExecutor):
        async def instantiate(self, request: InstantiateRequest, on_event: Any = None) -> Instantiation:
            if request.goal == "the long way":
                await on_event(InstantiateEvent(spent=Tokens(prompt=50, completion=11, calls=1)))
                begun.set()
                await never.wait()
            await begun.wait()
            return Instantiation(result="7", usage=Tokens(prompt=10, completion=2, calls=1))

    llm = script([plan(step("add", "s1"), step("the long way", "s1"))], [review("finish", answer="r1")])
    async with opened(on_fakes(llm, executor=Executor())) as client:
        session = await session_of(client, await ask(client))

    assert session.answer == "7"
    assert session.usage.executor == Tokens(prompt=60, completion=13, calls=2)


# Plain engine calls


async def direct(reply: Any, **fields: Any) -> tuple[httpx.Response, list[Call]]:
    calls: list[Call] = []

    def llm(call: Call) -> Any:
        calls.append(call)
        return reply

    async with opened(on_fakes(llm)) as client:
        response = await ask(client, **{"model": "reasonflux-direct", **fields})
        assert (await client.get("/v1/sessions")).json()["sessions"] == []
    return response, calls


async def test_a_direct_request_is_one_engine_call_and_no_session() -> None:
    parts = [{"type": "text", "text": "1+1"}]
    messages = [{"role": "developer", "content": "Give a title."}, {"role": "user", "content": parts}]
    fields = {"messages": messages, "max_tokens": 12, "temperature": 0.5, "seed": 3, "reasoning_effort": "high"}
    response, (call,) = await direct("A sum", **fields)

    assert response.json()["choices"][0]["message"]["content"] == "A sum"
    assert response.json()["usage"]["completion_tokens"] == 2
    assert response.json()["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert [(m.role, m.content) for m in call.messages] == [("system", "Give a title."), ("user", "1+1")]
    assert (call.max_tokens, call.temperature, call.seed, call.schema_) == (12, 0.5, 3, None)


async def test_a_direct_stream_tells_the_text_as_it_is_generated() -> None:
    response, _ = await direct("one two three", stream=True, stream_options={"include_usage": True})
    chunks = await chunks_of(response)

    pieces = [c["choices"][0]["delta"].get("content") for c in chunks if c["choices"]]
    assert [piece for piece in pieces if piece] == ["one", " two", " three"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_a_direct_answer_ends_before_a_stop_sequence_that_spans_deltas(stream: bool) -> None:
    response, _ = await direct("one two three four", stop=["wo th"], stream=stream)
    if stream:
        text = "".join(c["choices"][0]["delta"].get("content") or "" for c in await chunks_of(response) if c["choices"])
    else:
        text = response.json()["choices"][0]["message"]["content"]

    assert text == "one t"


async def test_a_direct_answer_that_was_cut_short_says_so() -> None:
    cut = Reply(text="one two", finish_reason="length", tokens=Tokens(prompt=1, completion=2, calls=1))
    response, _ = await direct(cut)
    assert response.json()["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_direct_request_to_a_dead_engine_is_an_error(stream: bool) -> None:
    response, _ = await direct(EngineUnavailable("the engine is down"), stream=stream)
    error = (await chunks_of(response))[-1]["error"] if stream else response.json()["error"]
    assert response.status_code == (200 if stream else 503)
    assert error["type"] == "engine_unavailable"
