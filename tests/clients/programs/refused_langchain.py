"""langchain-openai's ChatOpenAI, refused: what it raises, by OpenAI's names, and whether it comes back when told to."""

import json
import sys
from typing import Any

import openai
from langchain_openai import ChatOpenAI

url, good, busy, problem = sys.argv[1:]


def llm(key: Any, model: str = "reasonflux", **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=f"{url}/v1", api_key=key, **more)


def refused(key: str, model: str = "reasonflux") -> dict[str, Any] | None:
    try:
        llm(key, model, max_retries=0).invoke(problem)
    except openai.APIStatusError as error:
        kind = next(one for one in type(error).__mro__ if one.__module__.startswith("openai"))
        return {"error": kind.__name__, "status": error.status_code, "says": error.message}
    return None


report = {"bad key": refused("wrong"), "no such model": refused(good, "poems"), "too many": refused(busy)}
print(json.dumps({**report, "answer": llm(busy).invoke(problem).text}))
