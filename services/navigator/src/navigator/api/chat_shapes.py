"""What goes back to a chat client. Pure."""

from collections.abc import Iterable
from typing import Any

from navigator.api.outcome import content_of, extra_of, ran_out
from reasonflux.contracts import Session, Tokens


def finish_reason(session: Session) -> str:
    """`length` when the budget ran out, in tokens, rounds or time."""
    return "length" if ran_out(session) else "stop"


def cut(text: str, stops: Iterable[str]) -> str:
    """The text before the first stop sequence in it."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places, default=len(text))]


def usage(spent: Tokens, *, reasoning: int) -> dict[str, Any]:
    return {
        "prompt_tokens": spent.prompt,
        "completion_tokens": spent.completion,
        "total_tokens": spent.total,
        "prompt_tokens_details": {"cached_tokens": spent.cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def usage_of(session: Session) -> dict[str, Any]:
    """The sum over all internal calls. Our engines write nothing but reasoning: the answer's sentence is composed from
    a step's result without them, so all completion tokens are reasoning tokens."""
    spent = session.usage.all
    return usage(spent, reasoning=spent.completion)


def completion(session: Session, model: str, reasoning: str, stops: Iterable[str]) -> dict[str, Any]:
    """The body of a plain answer."""
    message = {
        "role": "assistant",
        "content": cut(content_of(session), stops),
        "refusal": None,
        "reasoning": reasoning,
        "reasoning_content": reasoning,
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(session)}
    return {
        **frame(_id(session), model, "chat.completion", _created(session)),
        "choices": [choice],
        "usage": usage_of(session),
        "reasonflux": extra_of(session),
    }


def chunk(
    session: Session, model: str, delta: dict[str, Any], *, finish_reason: str | None = None, **extra: Any
) -> dict[str, Any]:
    """One chunk of a streamed answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    named = frame(_id(session), model, "chat.completion.chunk", _created(session))
    return {**named, "choices": [choice], **extra}


def usage_chunk(session: Session, model: str) -> dict[str, Any]:
    """The last chunk of a stream that was asked to include the usage."""
    named = frame(_id(session), model, "chat.completion.chunk", _created(session))
    return {**named, "choices": [], "usage": usage_of(session)}


def frame(name: str, model: str, kind: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": created, "model": model}


def _id(session: Session) -> str:
    return f"chatcmpl-{session.id}"


def _created(session: Session) -> int:
    return int(session.started_at.timestamp())
