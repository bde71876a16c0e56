"""litellm: the two providers that fit, streams, its exceptions, and a Router, which is what its proxy stands on."""

import asyncio
import json
import sys
from typing import Any

import litellm
from litellm.router import Router

url, problem, follow_up = sys.argv[1:]
messages = [{"role": "user", "content": problem}]
at: Any = {"api_base": f"{url}/v1", "api_key": "none"}


def told(response: Any) -> dict[str, Any]:
    choice, usage = response.choices[0], response.usage
    return {
        "text": choice.message.content,
        "reasoning": choice.message.reasoning_content,
        "finish_reason": choice.finish_reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
        "session": getattr(response, "reasonflux", {}).get("session_id"),
        "reasoning_tokens": usage.completion_tokens_details.reasoning_tokens,
    }


def asked(model: str, **more: Any) -> dict[str, Any]:
    return told(litellm.completion(model=model, messages=messages, **at, **more))


def streamed(model: str) -> dict[str, Any]:
    more: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks: Any = [*litellm.completion(model=model, messages=messages, **at, **more)]
    return told(litellm.stream_chunk_builder(chunks, messages=messages))


def refused(model: str, **more: Any) -> str | None:
    try:
        asked(model, num_retries=0, **more)
    except Exception as error:
        return type(error).__name__
    return None


router = Router(
    model_list=[
        {"model_name": "maths", "litellm_params": {"model": "hosted_vllm/reasonflux", **at}},
        {"model_name": "titles", "litellm_params": {"model": "hosted_vllm/reasonflux-direct", **at}},
    ]
)
report = {
    "openai": asked("openai/reasonflux"),
    "hosted_vllm": asked("hosted_vllm/reasonflux"),
    "openai stream": streamed("openai/reasonflux"),
    "hosted_vllm stream": streamed("hosted_vllm/reasonflux"),
    "async": told(asyncio.run(litellm.acompletion(model="hosted_vllm/reasonflux", messages=messages, **at))),
    "router": told(router.completion(model="maths", messages=messages)),
    "effort": asked("hosted_vllm/reasonflux", reasoning_effort="low", max_tokens=2000),
    "no such model": refused("openai/poems"),
    "two answers": refused("openai/reasonflux", n=2),
}
print(json.dumps(report))
