"""langchain-openai's ChatOpenAI: invoke, stream, batch, a conversation, and the same over the Responses API."""

import asyncio
import json
import sys
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

url, problem, follow_up = sys.argv[1:]
at: Any = {"model": "reasonflux", "base_url": f"{url}/v1", "api_key": "none", "max_retries": 0, "stream_usage": True}
llm = ChatOpenAI(**at)
responses = ChatOpenAI(**at, use_responses_api=True, reasoning={"effort": "low", "summary": "auto"})


def streamed(model: ChatOpenAI) -> Any:
    first, *others = [*model.stream(problem)]
    return sum(others, first)


def told(message: Any) -> dict[str, Any]:
    blocks = [block for block in message.content if isinstance(block, dict) and block["type"] == "reasoning"]
    metadata = message.response_metadata
    return {
        "text": message.text,
        "usage": message.usage_metadata,
        "reasoning": "".join(part["text"] for block in blocks for part in block["summary"]),
        "finish_reason": metadata.get("finish_reason") or metadata.get("status"),
    }


plain = llm.invoke([SystemMessage("You are terse."), HumanMessage(problem)])
report = {
    "invoke": told(plain),
    "stream": told(streamed(llm)),
    "ainvoke": told(asyncio.run(llm.ainvoke(problem))),
    "batch": [message.text for message in llm.batch([problem, problem])],
    "conversation": told(llm.invoke([HumanMessage(problem), plain, HumanMessage(follow_up)])),
    "responses": told(responses.invoke(problem)),
    "responses stream": told(streamed(responses)),
}
print(json.dumps(report))
