"""OpenAI's chat completions, so that any OpenAI client can ask. One request is one session."""

from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Request
from fastapi.responses import JSONResponse, Response

from navigator.api import direct, streaming
from navigator.api.chat_request import ChatRequest
from navigator.api.chat_shapes import chunk, completion, cut, finish_reason, usage_chunk
from navigator.api.models import no_such_model
from navigator.api.narration import Narrator
from navigator.api.opening import Navigator, OpenNavigator
from navigator.api.outcome import content_of, extra_of, failure_of
from navigator.api.watching import unless_left
from navigator.session import advance, fold
from reasonflux.contracts import Entry, Session
from reasonflux.errors import ReasonFluxError
from reasonflux.service import failure_response

router = APIRouter(prefix="/v1", tags=["OpenAI"])

SESSION_HEADER = "X-ReasonFlux-Session"

EXAMPLES: dict[str, Any] = {
    "plain": {
        "value": {
            "model": "reasonflux",
            "messages": [{"role": "user", "content": "What is the remainder when 7^100 is divided by 13?"}],
            "reasoning_effort": "medium",
        }
    },
    "streaming": {
        "value": {
            "model": "reasonflux/math",
            "messages": [{"role": "user", "content": "What is the larger root of x^2 - 7x + 10 = 0?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    },
    "a follow-up": {
        "value": {
            "model": "reasonflux",
            "messages": [
                {"role": "user", "content": "What is the sum of the first 20 odd numbers?"},
                {"role": "assistant", "content": "The answer is \\boxed{400}"},
                {"role": "user", "content": "And of the first 30?"},
            ],
        }
    },
}


@router.post("/chat/completions", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
async def complete(
    request: Request,
    navigator: Navigator,
    asked: Annotated[ChatRequest, Body(openapi_examples=EXAMPLES)],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Solve the problem in the last user message; the way there comes as reasoning, the answer as content.

    Earlier messages are the conversation that it follows up; system messages play no part. `usage` is the sum over all
    internal calls, and `max_completion_tokens` bounds what they generate together. Chunks of a stream carry the
    session's events, typed, in `reasonflux.entry`. A client that leaves cancels its session, unless it sent
    `metadata: {"durable": "true"}`; the session's id is in the header `X-ReasonFlux-Session`, and
    `GET /v1/sessions/{id}` tells all about it. Tools, other formats than text and `n` > 1 are refused; parameters that
    are not listed here are ignored. The model `reasonflux-direct` is one plain engine call.
    """
    choice = navigator.models.get(asked.model)
    if choice is None:
        return no_such_model(asked.model, navigator)
    if choice.library is None:
        return await direct.answer(request, navigator, asked, choice.engine)
    session_id, _ = await navigator.start(asked.session(choice.library, choice.engine), idempotency_key)
    if asked.stream:
        return streaming.event_stream(
            _chunks(navigator, asked, session_id),
            left=lambda: navigator.left(session_id),
            headers={SESSION_HEADER: session_id},
            heartbeat=navigator.heartbeat,
        )
    return await _plain(request, navigator, asked, session_id)


async def _plain(request: Request, navigator: OpenNavigator, asked: ChatRequest, session_id: str) -> Response:
    finished = await unless_left(request, _to_the_end(navigator, session_id), lambda: navigator.left(session_id))
    if finished is None:
        return Response(status_code=499)  # nobody reads it
    session, reasoning = finished
    if failed := failure_of(session):
        response = failure_response(failed[0], status=failed[1])
    else:
        response = JSONResponse(completion(session, asked.model, reasoning, asked.stops))
    response.headers[SESSION_HEADER] = session_id
    return response


async def _to_the_end(navigator: OpenNavigator, session_id: str) -> tuple[Session, str]:
    """The finished session and how it went, in words."""
    entries, narrator = await navigator.to_the_end(session_id), Narrator()
    return fold(session_id, entries), "".join(narrator.hear(entry) for entry in entries)


async def _chunks(navigator: OpenNavigator, asked: ChatRequest, session_id: str) -> streaming.Frames:
    narrator, session = Narrator(), None
    try:
        async with aclosing(navigator.follow(session_id, deltas=True)) as items:
            async for item in items:
                said = narrator.hear(item)
                thought: dict[str, Any] = {"reasoning": said, "reasoning_content": said} if said else {}
                entry = item if isinstance(item, Entry) else None
                if session is None:
                    assert entry is not None
                    session = fold(session_id, [entry])
                    thought = {"role": "assistant", "content": "", **thought}
                elif entry is not None:
                    session = advance(session, entry)
                if entry is not None and session.finished:
                    for frame in _ending(session, asked, thought, entry):
                        yield frame
                elif entry is not None:
                    yield _data(asked, chunk(session, asked.model, thought, reasonflux=extra_of(session, entry)))
                elif said:
                    yield _data(asked, chunk(session, asked.model, thought))
    except ReasonFluxError as error:
        yield streaming.error(error.failure)
    yield streaming.DONE


def _ending(session: Session, asked: ChatRequest, thought: dict[str, Any], entry: Entry) -> list[Any]:
    if failed := failure_of(session):
        return [streaming.error(failed[0])]
    content = {**thought, "content": cut(content_of(session), asked.stops)}
    extra = extra_of(session, entry)
    last = chunk(session, asked.model, {}, finish_reason=finish_reason(session), reasonflux=extra)
    frames = [chunk(session, asked.model, content), last]
    if asked.include_usage:
        frames.append(usage_chunk(session, asked.model))
    return [_data(asked, frame) for frame in frames]


def _data(asked: ChatRequest, frame: dict[str, Any]) -> Any:
    return streaming.data({"usage": None, **frame} if asked.include_usage else frame)
