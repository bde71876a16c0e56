"""litellm, refused: what it raises, and whether it comes back when it was told to."""

import json
import sys
from typing import Any

import litellm

url, good, busy, problem = sys.argv[1:]
messages = [{"role": "user", "content": problem}]


def ask(key: str, model: str = "reasonflux", provider: str = "hosted_vllm", **more: Any) -> Any:
    at: Any = {"model": f"{provider}/{model}", "api_base": f"{url}/v1", "api_key": key}
    return litellm.completion(**at, messages=messages, **more)


def refused(key: str, model: str = "reasonflux") -> dict[str, Any] | None:
    try:
        ask(key, model, max_retries=0)
    except litellm.exceptions.APIError as error:
        raise SystemExit(f"not told apart: {error!r}") from error
    except Exception as error:
        return {"error": type(error).__name__, "status": getattr(error, "status_code", None), "says": str(error)}
    return None


report = {"bad key": refused("wrong"), "no such model": refused(good, "poems"), "too many": refused(busy)}
print(json.dumps({**report, "answer": ask(busy, provider="openai").choices[0].message.content}))
