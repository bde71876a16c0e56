"""OpenAI's chat completions, so that any OpenAI client can ask. One request is one session."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from navigator.api.narration import Narrator
from navigator.api.openai_shapes import (
    ChatRequest,
    chunk,
    completion,
    content_of,
    extra_of,
    failure_of,
    finish_reason,
    library_of,
    model_card,
    model_names,
    usage_chunk,
)
from navigator.api.opening import Navigator, OpenNavigator
from navigator.errors import SessionNotFound
from navigator.session import advance
from reasonflux.contracts import Entry, ErrorBody, Failure, Session
from reasonflux.errors import ReasonFluxError
from reasonflux.observing import logger
from reasonflux.service import HEARTBEAT_SECONDS, failure_response

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
            "messages": [{"role": "user", "content": "Find the sum of the roots of $x^2 - 7x + 10 = 0$."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    },
}

T = TypeVar("T")


@router.post("/chat/completions", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
async def complete(
    request: Request, navigator: Navigator, asked: Annotated[ChatRequest, Body(openapi_examples=EXAMPLES)]
) -> Response:
    """Solve the problem in the last user message; the way there comes as reasoning, the answer as content.

    Only the last user message is read: system messages and earlier turns are accepted and play no part yet. A client
    that leaves cancels its session, unless it sent `metadata: {"durable": "true"}`; the session's id is in the header
    `X-ReasonFlux-Session`, and `GET /v1/sessions/{id}` tells all about it. `usage` is the sum over all internal calls,
    and `max_completion_tokens` bounds that sum, prompts included.
    """
    library = library_of(asked.model, navigator.libraries)
    if library is None:
        return _no_such_model(asked.model, navigator)
    session_id, _ = await navigator.start(asked.session(library))
    if asked.stream:
        return _streamed(navigator, asked, session_id)
    return await _plain(request, navigator, asked, session_id)


@router.get("/models")
async def models(navigator: Navigator) -> dict[str, Any]:
    """The names that `model` may have: one for each template library."""
    return {"object": "list", "data": [model_card(name) for name in model_names(navigator.libraries)]}


@router.get("/models/{name:path}", response_model=None)
async def model(name: str, navigator: Navigator) -> dict[str, Any] | Response:
    return model_card(name) if name in model_names(navigator.libraries) else _no_such_model(name, navigator)


async def _plain(request: Request, navigator: OpenNavigator, asked: ChatRequest, session_id: str) -> Response:
    finished = await _unless_left(request, _to_the_end(navigator, session_id))
    if finished is None:
        await _left(navigator, asked, session_id)
        return Response(status_code=499)  # nobody reads it
    session, reasoning = finished
    if failed := failure_of(session):
        response = failure_response(failed[0], status=failed[1])
    else:
        response = JSONResponse(completion(session, asked.model, reasoning))
    response.headers[SESSION_HEADER] = session_id
    return response


async def _to_the_end(navigator: OpenNavigator, session_id: str) -> tuple[Session, str]:
    """The finished session and how it went, in words."""
    narrator = Narrator()
    async with aclosing(navigator.journal.follow(session_id)) as items:
        reasoning = "".join([narrator.hear(item) async for item in items])
    return await navigator.session(session_id), reasoning


async def _unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; None when the client left first, and then the work is stopped."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _left(navigator: OpenNavigator, asked: ChatRequest, session_id: str) -> None:
    """The client has gone: nobody waits for this session any more, unless it is meant to go on."""
    logger.info("client left", session=session_id, durable=asked.durable)
    if asked.durable:
        return
    try:
        await navigator.cancel(session_id)
    except SessionNotFound:  # deleted meanwhile
        return


def _streamed(navigator: OpenNavigator, asked: ChatRequest, session_id: str) -> Response:
    told_all = asyncio.Event()  # a server also reports the client as gone once the response is complete

    async def left(_: Any) -> None:
        if not told_all.is_set():
            # Shielded: the cancelled session ends the stream, and the stream's end stops whoever watches the client.
            await asyncio.shield(asyncio.ensure_future(_left(navigator, asked, session_id)))

    async def chunks() -> AsyncGenerator[ServerSentEvent, None]:
        async with aclosing(_chunks(navigator, asked, session_id)) as frames:
            async for frame in frames:
                yield frame
        told_all.set()
        yield ServerSentEvent("[DONE]", sep="\n")

    # Only a client that leaves cancels: a service that shuts down gives the session to the next worker.
    return EventSourceResponse(
        chunks(),
        headers={"Cache-Control": "no-cache, no-transform", SESSION_HEADER: session_id},
        client_close_handler_callable=left,
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat", sep="\n"),
        sep="\n",
    )


async def _chunks(
    navigator: OpenNavigator, asked: ChatRequest, session_id: str
) -> AsyncGenerator[ServerSentEvent, None]:
    try:
        session = await navigator.session(session_id)
        yield _data(
            asked, chunk(session, asked.model, {"role": "assistant", "content": ""}, reasonflux=extra_of(session))
        )
        narrator = Narrator()
        async with aclosing(navigator.journal.follow(session_id, deltas=True)) as items:
            async for item in items:
                if isinstance(item, Entry) and item.seq > session.last_seq:
                    session = advance(session, item)
                if said := narrator.hear(item):
                    thought = {"reasoning": said, "reasoning_content": said}
                    yield _data(asked, chunk(session, asked.model, thought))
        for frame in _ending(session, asked):
            yield frame
    except ReasonFluxError as error:
        yield _error(error.failure)


def _ending(session: Session, asked: ChatRequest) -> list[ServerSentEvent]:
    if failed := failure_of(session):
        return [_error(failed[0])]
    last = chunk(session, asked.model, {}, finish_reason=finish_reason(session), reasonflux=extra_of(session))
    frames = [chunk(session, asked.model, {"content": content_of(session)}), last]
    if asked.include_usage:
        frames.append(usage_chunk(session, asked.model))
    return [_data(asked, frame) for frame in frames]


def _data(asked: ChatRequest, frame: dict[str, Any]) -> ServerSentEvent:
    if asked.include_usage:
        frame = {"usage": None, **frame}
    return ServerSentEvent(json.dumps(frame, ensure_ascii=False, separators=(",", ":")), sep="\n")


def _error(failure: Failure) -> ServerSentEvent:
    error = ErrorBody.Error(message=failure.message, type=failure.kind, code=failure.kind, hint=failure.hint)
    return ServerSentEvent(ErrorBody(error=error).model_dump_json(), sep="\n")


def _no_such_model(name: str, navigator: OpenNavigator) -> Response:
    offered = ", ".join(model_names(navigator.libraries))
    error = ErrorBody.Error(
        message=f"The model {name[:80]!r} does not exist.",
        type="not_found",
        code="model_not_found",
        param="model",
        hint=f"there are: {offered}",
    )
    return JSONResponse(
        ErrorBody(error=error).model_dump(mode="json"), status_code=404, headers={"x-should-retry": "false"}
    )
