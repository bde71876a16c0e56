"""OpenAI's Python client, unmodified. Each parameter by itself: tests/contract/test_openai_client.py."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from clients.installed import FOLLOW_UP, PROBLEM
from openai.types.responses import Response

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

ANSWER = r"The answer is \boxed{820}"
ASKED: Any = {"model": "reasonflux", "messages": [{"role": "user", "content": PROBLEM}]}


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
async def waiting(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as found:
        yield found


def check_usage(usage: Any) -> None:
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens_details.reasoning_tokens == usage.completion_tokens > 0


def test_chat_completions_give_answer_reasoning_and_usage(client: openai.OpenAI) -> None:
    answer: Any = client.chat.completions.create(**ASKED)
    assert (answer.object, answer.choices[0].finish_reason) == ("chat.completion", "stop")
    assert answer.choices[0].message.content == ANSWER
    assert "common difference" in answer.choices[0].message.reasoning
    check_usage(answer.usage)


async def test_the_asynchronous_client_streams_the_same(waiting: openai.AsyncOpenAI) -> None:
    stream = await waiting.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    told = [part for delta in deltas if (part := getattr(delta, "reasoning", None))]
    assert len(told) > 3, "in parts, however fast the weights are; test_leaving.py shows that none waits for the next"
    check_usage(chunks[-1].usage)


def test_a_chat_goes_on_from_the_answer_that_the_client_sends_back(client: openai.OpenAI) -> None:
    messages: Any = [
        *ASKED["messages"],
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": FOLLOW_UP},
    ]
    answer = client.chat.completions.create(model="reasonflux", messages=messages)
    assert answer.choices[0].message.content == r"The answer is \boxed{1000}"


def test_a_response_is_streamed_and_followed_up(client: openai.OpenAI) -> None:
    with client.responses.stream(model="reasonflux", input=PROBLEM) as stream:
        kinds = [event.type for event in stream]
        first = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.reasoning_summary_text.delta" in kinds
    assert first.output_text == ANSWER
    second = client.responses.create(model="reasonflux", input=FOLLOW_UP, previous_response_id=first.id)
    assert second.output_text == r"The answer is \boxed{1000}"
    assert second.previous_response_id == first.id


def test_a_background_stream_that_broke_off_goes_on_where_it_stopped(client: openai.OpenAI) -> None:
    with client.responses.create(model="reasonflux", input=PROBLEM, background=True, stream=True) as stream:
        opening: Any = next(iter(stream))  # and leaves
    rest: Any = list(client.responses.retrieve(opening.response.id, stream=True, starting_after=0))
    numbers = [event.sequence_number for event in rest]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0
    assert rest[-1].type == "response.completed"
    assert rest[-1].response.output_text == ANSWER


async def test_a_background_response_is_answered_at_once_and_retrieved_when_done(waiting: openai.AsyncOpenAI) -> None:
    made = await waiting.responses.create(model="reasonflux", input=PROBLEM, background=True)
    assert made.background
    found = await until_done(waiting, made)
    assert (found.status, found.output_text) == ("completed", ANSWER)


async def until_done(client: openai.AsyncOpenAI, response: Response) -> Response:
    async with asyncio.timeout(120):
        while response.status in ("queued", "in_progress"):
            await asyncio.sleep(0.1)  # as the API wants it: background responses are polled
            response = await client.responses.retrieve(response.id)
    return response
