"""What OpenAI-compatible servers send back, read leniently: fields may be unknown, missing or null."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import BaseModel

from reasonflux.contracts import Tokens


class Text(BaseModel):
    """A message, or the piece of one in a stream."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None

    @property
    def said(self) -> str:
        return self.content or ""

    @property
    def thinking(self) -> str:
        """Servers disagree on the field's name; some send both with the same text."""
        return self.reasoning or self.reasoning_content or ""


class PromptDetails(BaseModel):
    cached_tokens: int | None = None


class Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None

    @property
    def tokens(self) -> Tokens:
        """One call's tokens; zeros where the server does not say."""
        details = self.prompt_tokens_details or PromptDetails()
        return Tokens(
            prompt=max(0, self.prompt_tokens or 0),
            cached=max(0, details.cached_tokens or 0),
            completion=max(0, self.completion_tokens or 0),
            calls=1,
        )


class Choice(BaseModel):
    message: Text | None = None
    delta: Text | None = None
    finish_reason: str | None = None


class Completion(BaseModel):
    """A whole reply, or one chunk of a streamed one: there is one for every token, so no Python runs to read it."""

    choices: list[Choice] | None = None
    error: Any = None
    """Some servers answer 200 and put their error here; vLLM does in the middle of a stream."""
    usage: Usage | None = None

    @property
    def choice(self) -> Choice | None:
        """We ask for one."""
        return self.choices[0] if self.choices else None


class Models(BaseModel):
    class Model(BaseModel):
        id: str

    data: list[Model]


def complaint(content: bytes | str) -> str:
    """What an error body says, in at most 500 characters, whatever its shape."""
    try:
        body: Any = json.loads(content)
        error = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(error, dict):
            error = error.get("message") or error.get("detail") or error
        said = str(error)
    except ValueError:
        said = content.decode("utf-8", errors="replace") if isinstance(content, bytes) else content
    return " ".join(said.split())[:500]


def advice(status: int, said: str, with_schema: bool) -> str:
    """What the operator can do about a 4xx answer. `said` is the server's message in lower case."""
    if status in (401, 403):
        return "set the role's …_ENGINE_KEY to a key that this server accepts"
    if status == 404:
        return "check the role's …_ENGINE_MODEL, and that …_ENGINE_URL ends in the API's path, usually /v1"
    if "context length" in said or "maximum context" in said:
        return "shorten the problem or lower max_tokens, or serve the model with a longer context"
    if with_schema:
        return (
            "the request asked for JSON-schema output (response_format json_schema): use a server and model that "
            "support it, such as vLLM"
        )
    return "the server's message says what it did not accept"


def seconds_to_wait(retry_after: str | None) -> float:
    """A Retry-After header, in seconds from now: a number or an HTTP date; anything else is 0."""
    if retry_after is None:
        return 0.0
    try:
        if retry_after.strip().isdigit():
            return float(retry_after)
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
