"""Server-sent events: heartbeats in silence, and word when the client leaves."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from reasonflux.contracts import ErrorBody, Failure
from reasonflux.observing import logger
from reasonflux.service import HEARTBEAT_SECONDS

STALLED_SECONDS = 60.0
"""A client that takes nothing for so long is let go. Its session goes on: whoever asks again finds it."""

DONE = ServerSentEvent("[DONE]", sep="\n")

Frames = AsyncGenerator[ServerSentEvent, None]


def event_stream(
    frames: Frames,
    *,
    left: Callable[[], Awaitable[None]],
    headers: Mapping[str, str] | None = None,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> Response:
    """Stream the frames. `left` is called when the client goes before their end; not when the service shuts down,
    which gives the session to the next worker."""
    told_all = asyncio.Event()  # a server also reports the client as gone once the response is complete

    async def body() -> Frames:
        async with aclosing(frames):
            async for frame in frames:
                yield frame
        told_all.set()

    async def gone(_: Any) -> None:
        if not told_all.is_set():
            # Shielded: the cancelled session ends the stream, and the stream's end stops whoever watches the client.
            await asyncio.shield(asyncio.ensure_future(left()))

    return _Stream(
        body(),
        headers={"Cache-Control": "no-cache, no-transform", **(headers or {})},
        client_close_handler_callable=gone,
        ping=heartbeat,
        send_timeout=STALLED_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat", sep="\n"),
        sep="\n",
    )


class _Stream(EventSourceResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            logger.info("a client has stopped reading its stream", seconds=self.send_timeout)


def data(frame: Mapping[str, Any], *, event: str | None = None) -> ServerSentEvent:
    """One JSON object; `event` names it where the protocol wants a name."""
    return ServerSentEvent(json.dumps(frame, ensure_ascii=False, separators=(",", ":")), event=event, sep="\n")


def error(failure: Failure) -> ServerSentEvent:
    """An error chunk as OpenAI's clients know it; they raise it."""
    return data(ErrorBody(error=openai_error(failure)).model_dump(mode="json", exclude={"error": {"faults"}}))


def openai_error(failure: Failure) -> ErrorBody.Error:
    return ErrorBody.Error(message=failure.message, type=failure.kind, code=failure.kind, hint=failure.hint)
