"""OpenAI's client, left early: a stream that is closed, a call that runs out of time, a task that is cancelled."""

import asyncio
import sys
from typing import Any

import openai

url, problem, way = sys.argv[1:]
at: Any = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}
asked: Any = {"model": "reasonflux", "messages": [{"role": "user", "content": problem}]}


def stream(client: openai.OpenAI) -> None:
    with client.chat.completions.create(**asked, stream=True) as chunks:
        print("heard", next(said for chunk in chunks if (said := getattr(chunk.choices[0].delta, "reasoning", None))))


def response_stream(client: openai.OpenAI) -> None:
    with client.responses.create(model="reasonflux", input=problem, stream=True) as events:
        deltas = (event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
        print("heard", next(delta for delta in deltas if delta))


def timeout(client: openai.OpenAI) -> None:
    try:
        client.with_options(timeout=2).chat.completions.create(**asked)
    except openai.APITimeoutError as error:
        print("error", type(error).__name__)


async def cancelled_task() -> None:
    async with openai.AsyncOpenAI(**at) as client:
        task = asyncio.create_task(client.chat.completions.create(**asked))
        await asyncio.wait([task], timeout=2)
        task.cancel()
        await asyncio.wait([task])
        left()


def left() -> None:
    """The process stays, so that its end is not what closes the connection."""
    print("left", flush=True)
    sys.stdin.read()


if way == "task":
    asyncio.run(cancelled_task())
else:
    with openai.OpenAI(**at) as kept:
        {"stream": stream, "responses": response_stream, "timeout": timeout}[way](kept)
        left()
