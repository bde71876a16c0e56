"""OpenAI's client, refused: what it raises, and whether it comes back when it was told to."""

import json
import sys
from typing import Any

import openai

url, good, busy, problem = sys.argv[1:]
messages: Any = [{"role": "user", "content": problem}]


def refused(key: str, model: str = "reasonflux") -> dict[str, Any] | None:
    try:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            client.chat.completions.create(model=model, messages=messages)
    except openai.APIStatusError as error:
        return {"error": type(error).__name__, "status": error.status_code, "says": error.message}
    return None


report = {"bad key": refused("wrong"), "no such model": refused(good, "poems"), "too many": refused(busy)}
with openai.OpenAI(base_url=f"{url}/v1", api_key=busy) as patient:
    answer = patient.chat.completions.create(model="reasonflux", messages=messages)
print(json.dumps({**report, "answer": answer.choices[0].message.content}))
