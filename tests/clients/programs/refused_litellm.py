"""litellm, refused: what it raises, and whether it comes back when it was told to."""

import json
import sys
from typing import Any

import litellm
from litellm.router import Router

url, good, busy, problem = sys.argv[1:]
messages = [{"role": "user", "content": problem}]


def at(key: str, model: str = "reasonflux") -> dict[str, Any]:
    return {"model": f"hosted_vllm/{model}", "api_base": f"{url}/v1", "api_key": key}


def refused(key: str, model: str = "reasonflux") -> dict[str, Any] | None:
    try:
        litellm.completion(**at(key, model), messages=messages)
    except litellm.exceptions.APIError as error:
        raise SystemExit(f"not told apart: {error!r}") from error
    except Exception as error:
        return {"error": type(error).__name__, "status": getattr(error, "status_code", None), "says": str(error)}
    return None


report = {"bad key": refused("wrong"), "no such model": refused(good, "poems"), "too many": refused(busy)}
patient = Router(model_list=[{"model_name": "maths", "litellm_params": at(busy)}])
answer: Any = patient.completion(model="maths", messages=messages)
print(json.dumps({**report, "answer": answer.choices[0].message.content}))
