"""A session as a response of OpenAI's Responses API: a view, nothing of its own is kept. Pure."""

from collections.abc import Iterable
from typing import Any

from navigator.api.narration import Narrator
from navigator.api.outcome import content_of, extra_of, failure_of, library_model, ran_out
from navigator.api.response_request import PREFIX
from reasonflux.contracts import Entry, OnDisconnect, Outcome, Session


def narration(entries: Iterable[Entry]) -> str:
    """How it went, in words, as the journal tells it: the same for every reader."""
    narrator = Narrator()
    return "".join([narrator.hear(entry) for entry in entries])


def response(session: Session, reasoning: str) -> dict[str, Any]:
    """The whole response as it stands; output is complete once the session has finished."""
    budget, sampling = session.options.budget, session.options.sampling
    return {
        "id": f"{PREFIX}{session.id}",
        "object": "response",
        "created_at": int(session.started_at.timestamp()),
        "completed_at": int(session.updated_at.timestamp()) if session.finished else None,
        "status": status(session),
        "error": _error(session),
        "incomplete_details": {"reason": "max_output_tokens"} if ran_out(session) else None,
        "background": session.delivery.on_disconnect is OnDisconnect.CONTINUE,
        "instructions": session.instructions or None,
        "max_output_tokens": budget.completion_tokens,
        "metadata": session.metadata,
        "model": library_model(session),
        "output": output(session, reasoning) if session.finished else [],
        "parallel_tool_calls": False,
        "previous_response_id": session.parent and f"{PREFIX}{session.parent}",
        "reasoning": {"effort": None, "summary": "detailed"},
        "store": True,
        "temperature": sampling.temperature or 0.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "none",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage(session) if session.finished else None,
        "reasonflux": extra_of(session),
    }


def status(session: Session) -> str:
    if session.outcome is Outcome.CANCELLED:
        return "cancelled"
    if session.outcome is Outcome.FAILED:
        return "failed"
    if session.finished:
        return "incomplete" if ran_out(session) else "completed"
    return "queued" if session.last_seq == 1 else "in_progress"


def output(session: Session, reasoning: str) -> list[dict[str, Any]]:
    """The way there, and the answer when there is one to give."""
    told = [reasoning_item(session, reasoning)]
    return told if failure_of(session) else [*told, message_item(session, content_of(session))]


def reasoning_item(session: Session, text: str | None) -> dict[str, Any]:
    """With None it has only begun."""
    summary = [] if text is None else [{"type": "summary_text", "text": text}]
    return {"id": f"rs_{session.id}", "type": "reasoning", "summary": summary, "status": _item_status(text)}


def message_item(session: Session, text: str | None) -> dict[str, Any]:
    """With None it has only begun."""
    content = [] if text is None else [text_part(text)]
    return {
        "id": f"msg_{session.id}",
        "type": "message",
        "role": "assistant",
        "status": _item_status(text),
        "content": content,
    }


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage(session: Session) -> dict[str, Any]:
    """The sum over all internal calls; all that is generated is reasoning."""
    spent = session.usage.all
    return {
        "input_tokens": spent.prompt,
        "input_tokens_details": {"cached_tokens": spent.cached, "cache_write_tokens": 0},
        "output_tokens": spent.completion,
        "output_tokens_details": {"reasoning_tokens": spent.completion},
        "total_tokens": spent.total,
    }


def _item_status(text: str | None) -> str:
    return "in_progress" if text is None else "completed"


def _error(session: Session) -> dict[str, Any] | None:
    if session.outcome is not Outcome.FAILED:
        return None
    failed = failure_of(session)
    assert failed is not None
    return {"code": "server_error", "message": failed[0].message}
