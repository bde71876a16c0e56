"""langchain-openai's ChatOpenAI, left early: a stream that is closed, a call that runs out of time."""

import sys
from typing import Any

import openai
from langchain_openai import ChatOpenAI

url, problem, way = sys.argv[1:]
at: Any = {"model": "reasonflux", "base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}

if way == "stream":
    llm = ChatOpenAI(**at, use_responses_api=True)
    parts: Any = llm.stream(problem)
    blocks = (block for part in parts for block in part.content)
    print("heard", next(one["text"] for block in blocks for one in block.get("summary", []) if one.get("text")))
    parts.close()
else:
    try:
        ChatOpenAI(**at, timeout=2).invoke(problem)
    except openai.APITimeoutError as error:
        print("error", type(error).__name__)
print("left", flush=True)
sys.stdin.read()  # the process stays, so that its end is not what closes the connection
