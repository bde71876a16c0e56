"""`reasonflux-direct`: one plain engine call, for the short side requests of chat clients (titles, tags, suggestions).

Nothing of the client's body reaches the engine but the messages' text and the parameters named here.
"""

import asyncio
import time
from typing import Any
from uuid import uuid4

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from navigator.access.limits import CHARS_OF_A_TOKEN
from navigator.api import streaming
from navigator.api.chat_request import ChatRequest
from navigator.api.chat_shapes import cut, frame, usage
from navigator.api.opening import OpenNavigator
from navigator.api.watching import unless_left
from reasonflux.contracts import Tokens
from reasonflux.engine import Message, OnDelta, Reply
from reasonflux.errors import ReasonFluxError

MAX_TOKENS = 1_024
SECONDS = 600.0
"""After which a call is over in any case."""
_ROLES: dict[str, Any] = {"system": "system", "developer": "system", "assistant": "assistant"}


async def answer(request: Request, navigator: OpenNavigator, asked: ChatRequest, engine: str) -> Response:
    """The engine's own reply to the conversation."""
    name, created = f"chatcmpl-{uuid4().hex}", int(time.time())
    await navigator.visit.enter(name, _estimated(asked), SECONDS)
    if asked.stream:
        frames = _chunks(navigator, asked, engine, name, created)
        return streaming.event_stream(frames, left=_nothing, headers={}, heartbeat=navigator.heartbeat)
    reply = await unless_left(request, _ask(navigator, asked, engine, name))
    if reply is None:
        return Response(status_code=499)  # nobody reads it
    message = {"role": "assistant", "content": cut(reply.text, asked.stops), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply, asked)}
    body = {**frame(name, asked.model, "chat.completion", created), "choices": [choice], "usage": _usage(reply)}
    return JSONResponse(body)


async def _ask(
    navigator: OpenNavigator, asked: ChatRequest, engine: str, name: str, on_delta: OnDelta | None = None
) -> Reply:
    told = Tokens()

    async def count(tokens: Tokens) -> None:
        nonlocal told
        told = tokens

    cost: int | None = None
    try:
        reply = await navigator.llm.on(engine).engine.chat(
            [Message(role=_ROLES.get(role, "user"), content=text) for role, text in asked.said if text],
            temperature=asked.temperature or 0.0,
            seed=asked.seed,
            max_tokens=_most(asked),
            on_delta=on_delta,
            on_usage=count,
        )
        cost = reply.tokens.total
    except ReasonFluxError:
        cost = told.total
        raise
    finally:
        # Of a call that its client left, what the engine had told by then; if it tells only at the end, the estimate:
        # else all that was read of a stream would be free.
        navigator.visit.left(name, cost if cost is not None else told.total or _estimated(asked))
    navigator.metrics.count_direct(reply.tokens, engine)
    return reply


def _most(asked: ChatRequest) -> int:
    return min(asked.cap or MAX_TOKENS, MAX_TOKENS)


def _estimated(asked: ChatRequest) -> int:
    return _most(asked) + sum(len(text) for _, text in asked.said) // CHARS_OF_A_TOKEN


async def _chunks(
    navigator: OpenNavigator, asked: ChatRequest, engine: str, name: str, created: int
) -> streaming.Frames:
    def told(delta: dict[str, Any], finish_reason: str | None = None) -> Any:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data({"choices": [choice]})

    def _data(fields: dict[str, Any]) -> Any:
        unsaid = {"usage": None} if asked.include_usage else {}
        return streaming.data({**frame(name, asked.model, "chat.completion.chunk", created), **unsaid, **fields})

    pieces: asyncio.Queue[str | None] = asyncio.Queue()
    stop = StopAt(asked.stops)
    task = asyncio.create_task(_ask(navigator, asked, engine, name, pieces.put))
    task.add_done_callback(lambda _: pieces.put_nowait(None))
    try:
        yield told({"role": "assistant", "content": ""})
        while (piece := await pieces.get()) is not None:
            if text := stop.feed(piece):
                yield told({"content": text})
        reply = await task
        if text := stop.rest():
            yield told({"content": text})
        yield told({}, _finish_reason(reply, asked))
        if asked.include_usage:
            yield _data({"choices": [], "usage": _usage(reply)})
    except ReasonFluxError as error:
        yield streaming.error(error.failure)
    finally:
        # The client has left: the engine stops generating. Waited for without being awaited, because who cancels us
        # would cancel the task once more then, in the middle of closing its connection, and the engine would go on.
        task.cancel()
        await asyncio.wait((task,))
    yield streaming.DONE


class StopAt:
    """Lets text through up to the first stop sequence; what may be the beginning of one waits."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops, self._held, self._over = stops, "", False

    def feed(self, text: str) -> str:
        if self._over:
            return ""
        self._held += text
        told = cut(self._held, self._stops)
        if told != self._held:
            self._over = True
            return told
        keep = max((self._begun(stop) for stop in self._stops), default=0)
        place = len(self._held) - keep
        told, self._held = self._held[:place], self._held[place:]
        return told

    def rest(self) -> str:
        """What was held back and is no stop sequence after all."""
        return "" if self._over else self._held

    def _begun(self, stop: str) -> int:
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)


def _finish_reason(reply: Reply, asked: ChatRequest) -> str:
    stopped = cut(reply.text, asked.stops) != reply.text
    return "stop" if stopped or reply.finish_reason != "length" else "length"


def _usage(reply: Reply) -> dict[str, Any]:
    return usage(reply.tokens, reasoning=0)


async def _nothing() -> None:
    """The stream's end stops the call."""
