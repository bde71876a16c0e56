"""litellm, left early: a stream that is closed, a call that runs out of time."""

import asyncio
import sys
from typing import Any

import litellm

url, problem, way = sys.argv[1:]
asked: Any = {
    "model": "hosted_vllm/reasonflux",
    "api_base": f"{url}/v1",
    "api_key": "none",
    "messages": [{"role": "user", "content": problem}],
    "max_retries": 0,
}


async def stream() -> None:
    chunks: Any = await litellm.acompletion(**asked, stream=True)
    async for chunk in chunks:
        if said := getattr(chunk.choices[0].delta, "reasoning_content", None):
            print("heard", said)
            break
    await chunks.aclose()
    print("left", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # the process stays, so that its end is not what closes the connection


def timeout() -> None:
    try:
        litellm.completion(**asked, timeout=2)
    except litellm.Timeout as error:
        print("error", type(error).__name__)
    print("left", flush=True)
    sys.stdin.read()


if way == "stream":
    asyncio.run(stream())
else:
    timeout()
