"""OpenAI's own Python client, unmodified, against the navigator over a real connection."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
import uvicorn

from navigator.testing import is_review, on_fakes, plan, review, step
from reasonflux.contracts import InstantiateRequest, Instantiation
from reasonflux.errors import EngineRefused, EngineUnavailable
from reasonflux.testing.fake_engine import Call, Scripted
from reasonflux.testing.fakes import Outcome

QUESTION: Any = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "What is 1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": [{"type": "text", "text": "What is the sum of 3 and 4?"}]},
]


def navigator_llm(call: Call) -> Scripted:
    """Plans by what the problem says; so one server serves every test here."""
    said = " ".join(message.content for message in call.messages)
    if "unreachable" in said:
        return EngineUnavailable("the engine is down")
    if "refused" in said:
        return EngineRefused("the engine has no such model")
    if is_review(call):
        if "conjecture" in said:
            return review("finish", "it is an open problem", answer=None)
        if said.count('"verdict"') == 1:  # the one in the instructions: the first review
            return review("retry", "mind the sign")
        return review("finish", "it adds up", answer="r1")
    return plan(step("add them up", "s1", template="Adding up"), abstraction="a sum")


def executor(request: InstantiateRequest) -> Outcome:
    return Instantiation(reasoning=f"Attempt {request.attempt}: 3 + 4 = 7.", result="7")


class ThreadedServer(uvicorn.Server):
    """Says when it serves; signals are the test runner's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = threading.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A navigator in a thread of its own, so that the synchronous client can wait for it."""
    app = on_fakes(navigator_llm, executor)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = ThreadedServer(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        assert server.serving.wait(30)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as found:
        yield found


def check_answer(answer: Any) -> None:
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.content.endswith(r"\boxed{7}")
    assert choice.message.reasoning == choice.message.reasoning_content
    assert "mind the sign" in choice.message.reasoning
    assert answer.id == f"chatcmpl-{answer.reasonflux['session_id']}"
    assert answer.reasonflux["outcome"] == "solved"
    assert answer.reasonflux["rounds"] == 2


def check_usage(usage: Any) -> None:
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens_details.reasoning_tokens == usage.completion_tokens > 0
    assert usage.prompt_tokens >= usage.prompt_tokens_details.cached_tokens > 0  # prompts grow at the end


def check_chunks(chunks: list[Any]) -> None:
    *told, last, usage = chunks
    assert told[0].choices[0].delta.role == "assistant"
    assert last.choices[0].finish_reason == "stop"
    assert last.reasonflux["outcome"] == "solved"
    assert len({chunk.id for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta for chunk in told]
    assert "".join(delta.content or "" for delta in deltas) == r"The answer is \boxed{7}"
    reasoning = "".join(getattr(delta, "reasoning", None) or "" for delta in deltas)
    assert reasoning == "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    told_in_order = ["a sum", "add them up", "Attempt 1: 3 + 4 = 7.", "\nStep 1 is tried again", "attempt 2"]
    places = [reasoning.index(part) for part in told_in_order]
    assert places == sorted(places)
    assert not usage.choices
    check_usage(usage.usage)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_plain_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="reasonflux", messages=QUESTION)
    check_answer(answer)
    check_usage(answer.usage)


def test_a_streamed_answer(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(
        model="reasonflux/math", messages=QUESTION, stream=True, stream_options=options
    )
    check_chunks(list(stream))


def test_the_streaming_helper_of_the_client(client: openai.OpenAI) -> None:
    """It keeps a running snapshot and refuses chunks that do not add up."""
    with client.chat.completions.stream(model="reasonflux", messages=QUESTION) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == r"The answer is \boxed{7}"


async def test_the_asynchronous_client(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        answer = await client.chat.completions.create(model="reasonflux", messages=QUESTION)
        check_answer(answer)
        stream = await client.chat.completions.create(
            model="reasonflux", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        check_chunks([chunk async for chunk in stream])


def test_usage_is_only_sent_when_asked_for(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="reasonflux", messages=QUESTION, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_only_the_last_user_message_is_the_problem(client: openai.OpenAI, url: str) -> None:
    answer: Any = client.chat.completions.create(model="reasonflux", messages=QUESTION)
    session = client.get(f"/sessions/{answer.reasonflux['session_id']}", cast_to=dict[str, Any])
    assert session["problem"]["text"] == "What is the sum of 3 and 4?"


def test_unknown_parameters_are_ignored(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="reasonflux", messages=QUESTION, top_p=0.9, presence_penalty=1, extra_body={"surprise": 1, "tools": []}
    )
    check_answer(answer)


@pytest.mark.parametrize(("effort", "rounds"), [("minimal", 6), ("low", 6), ("medium", 16), ("high", 48), (None, 16)])
def test_reasoning_effort_is_a_budget(client: openai.OpenAI, effort: Any, rounds: int) -> None:
    asked = {} if effort is None else {"reasoning_effort": effort}
    answer: Any = client.chat.completions.create(model="reasonflux", messages=QUESTION, **asked)
    session = client.get(f"/sessions/{answer.reasonflux['session_id']}", cast_to=dict[str, Any])
    assert session["options"]["budget"]["rounds"] == rounds


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_budget_of_tokens_that_runs_out_ends_in_length(client: openai.OpenAI, name: str) -> None:
    cap: Any = {name: 5}
    answer = client.chat.completions.create(model="reasonflux", messages=QUESTION, **cap)
    assert answer.choices[0].finish_reason == "length"
    assert (answer.choices[0].message.content or "").startswith("I could not solve this problem: ")


def test_an_unsolved_problem_is_said_to_be_unsolved(client: openai.OpenAI) -> None:
    answer: Any = client.chat.completions.create(
        model="reasonflux", messages=[{"role": "user", "content": "Prove the Collatz conjecture."}]
    )
    assert answer.choices[0].message.content == "I could not solve this problem: it is an open problem"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.reasonflux["outcome"] == "unsolved"


@pytest.mark.parametrize(("problem", "status"), [("An unreachable engine?", 503), ("A refused call?", 502)])
def test_a_failure_of_the_service_is_an_error(client: openai.OpenAI, problem: str, status: int) -> None:
    messages: Any = [{"role": "user", "content": problem}]
    with pytest.raises(openai.InternalServerError) as plain:
        client.chat.completions.create(model="reasonflux", messages=messages)
    assert plain.value.status_code == status
    assert plain.value.response.headers["x-reasonflux-session"]

    with pytest.raises(openai.APIError, match="engine") as streamed:
        list(client.chat.completions.create(model="reasonflux", messages=messages, stream=True))
    assert streamed.value.code == plain.value.code


@pytest.mark.parametrize("model", ["gpt-5", "reasonflux/poems", "reasonflux/", ""])
def test_a_model_that_is_not_on_offer_is_not_found(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model=model, messages=QUESTION)
    assert (error.value.code, error.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 20_001}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            "messages",
        ),
        ({"reasoning_effort": "heroic"}, "reasoning_effort"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_a_request_that_does_not_fit_names_its_fault(client: openai.OpenAI, asked: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**{"model": "reasonflux", "messages": QUESTION, **asked})
    assert error.value.param == param


def test_models_are_the_libraries(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["reasonflux", "reasonflux/math", "reasonflux-direct"]
    assert client.models.retrieve("reasonflux/math").id == "reasonflux/math"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")
