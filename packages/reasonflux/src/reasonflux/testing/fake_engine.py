"""An engine without a model, as an object (`FakeEngine`) and as a server (`fake_openai_app`).

`uvicorn reasonflux.testing.fake_engine:create --factory --port 8010` serves one for a whole stack. Its replies come
from the function named in REASONFLUX_FAKE_REPLIES (`package.module:function`), else from `plausible`.
"""

import asyncio
import importlib
import inspect
import json
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from reasonflux.contracts import Contract, Tokens
from reasonflux.engine import Engine, Message, OnDelta, OnUsage, Reply
from reasonflux.errors import EngineError, EngineRefused, EngineTimeout

_TOKEN = re.compile(r"\s*\S+|\s+\Z")

Scripted = str | Reply | Exception
"""One turn of the script: the text of a reply, a whole reply, or an error to raise."""


class Call(Contract):
    """What a fake engine was asked."""

    messages: tuple[Message, ...]
    schema_: dict[str, Any] | None
    temperature: float
    max_tokens: int
    seed: int | None


Replies = Iterable[Scripted] | Callable[[Call], Scripted | Awaitable[Scripted]]


class FakeEngine:
    """An `Engine` that says what it is told to: a sequence of turns, used up one by one, or a function of the call.

    Tokens are words with the white space before them. `cached` counts the words of the longest beginning that the
    prompt shares with an earlier one, so a prompt that grows only at its end shows as cached. `pace`: seconds before
    each delta. `calls` holds every call in order.
    """

    def __init__(self, replies: Replies | None = None, *, pace: float = 0.0) -> None:
        self.calls: list[Call] = []
        self._function = plausible if replies is None else replies if callable(replies) else None
        self._turns = iter(()) if replies is None or callable(replies) else iter(replies)
        self._pace = pace
        self._prompts: list[list[str]] = []

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        schema_name: str = "reply",
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - see Engine.chat
        on_delta: OnDelta | None = None,
        on_usage: OnUsage | None = None,
    ) -> Reply:
        call = Call(messages=tuple(messages), schema_=schema, temperature=temperature, max_tokens=max_tokens, seed=seed)
        self.calls.append(call)
        if timeout is not None and timeout <= 0:
            raise EngineTimeout("the fake engine was given no time")
        try:
            async with asyncio.timeout(timeout) as clock:
                return await self._say(await self._turn(call), call, on_delta, on_usage)
        except TimeoutError as error:
            if not clock.expired():
                raise
            raise EngineTimeout(f"the fake engine gave no complete reply within {timeout:g} s") from error

    async def _turn(self, call: Call) -> Reply:
        if self._function is not None:
            said = self._function(call)
            turn = await said if inspect.isawaitable(said) else said
        else:
            turn = next(self._turns, AssertionError(f"the script ended before call {len(self.calls)}: {call!r}"))
        if isinstance(turn, Exception):
            raise turn
        return turn if isinstance(turn, Reply) else Reply(text=turn, finish_reason="stop", tokens=Tokens())

    async def _say(self, turn: Reply, call: Call, on_delta: OnDelta | None, on_usage: OnUsage | None) -> Reply:
        words = _TOKEN.findall(turn.text)
        said = words[: call.max_tokens]
        cut = len(said) < len(words)
        tokens = turn.tokens if turn.tokens.calls else self._count(call, len(said))
        for heard, word in enumerate(said if on_delta else (), 1):
            assert on_delta is not None
            await asyncio.sleep(self._pace)  # also at 0: others get their turn between two tokens
            if on_usage is not None:
                await on_usage(tokens.model_copy(update={"completion": heard}))
            await on_delta(word)
        return turn.model_copy(
            update={"text": "".join(said), "finish_reason": "length" if cut else turn.finish_reason, "tokens": tokens}
        )

    def _count(self, call: Call, completion: int) -> Tokens:
        prompt = [word for message in call.messages for word in (f"<{message.role}>", *message.content.split())]
        cached = max((_shared(prompt, earlier) for earlier in self._prompts), default=0)
        self._prompts.append(prompt)
        return Tokens(prompt=len(prompt), cached=cached, completion=completion, calls=1)


def plausible(call: Call) -> str:
    """JSON that fits the schema, or a sentence about the last message."""
    if call.schema_ is not None:
        return json.dumps(_instance(call.schema_, call.schema_))
    return f"You said: {call.messages[-1].content}"


def fake_openai_app(replies: Replies | Engine | None = None, *, models: Sequence[str] = ("fake",)) -> Starlette:
    """An ASGI app that speaks /v1/chat/completions (plain and streaming) and /v1/models.

    Scripted errors become HTTP: EngineRefused 400, EngineTimeout a silence without end, another EngineError 503. The
    engine is at `app.state.engine`; `app.state.abandoned` counts the streams that a client left before their end.
    """
    engine: Engine = replies if hasattr(replies, "chat") else FakeEngine(replies)  # type: ignore[assignment]

    async def listing(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": model, "object": "model"} for model in models]})

    async def completions(request: Request) -> Response:
        body = await request.json()
        if body["model"] not in models:
            return _error(404, f"The model `{body['model']}` does not exist.")
        run = _Run(engine, body)
        return await (run.stream(app) if body.get("stream") else run.plain())

    app = Starlette(routes=[Route("/v1/models", listing), Route("/v1/chat/completions", completions, methods=["POST"])])
    app.state.engine = engine
    app.state.abandoned = 0
    return app


def create() -> Starlette:
    """The uvicorn factory."""
    module, _, function = os.environ.get("REASONFLUX_FAKE_REPLIES", "").partition(":")
    replies = getattr(importlib.import_module(module), function) if module else None
    pace = float(os.environ.get("REASONFLUX_FAKE_PACE", "0"))
    models = tuple(os.environ.get("REASONFLUX_FAKE_MODELS", "fake").split(","))
    return fake_openai_app(FakeEngine(replies, pace=pace), models=models)


class _Run:
    """One chat completion over HTTP."""

    def __init__(self, engine: Engine, body: dict[str, Any]) -> None:
        self._engine = engine
        self._body = body
        self._pieces: asyncio.Queue[tuple[str, Tokens | None] | None] = asyncio.Queue()
        options = body.get("stream_options") or {}
        self._with_usage, self._running_usage = options.get("include_usage"), options.get("continuous_usage_stats")
        self._spent: Tokens | None = None

    async def _chat(self, on_delta: OnDelta | None = None, on_usage: OnUsage | None = None) -> Reply:
        wrapped = (self._body.get("response_format") or {}).get("json_schema") or {}
        try:
            return await self._engine.chat(
                [Message.model_validate(message) for message in self._body["messages"]],
                schema=wrapped.get("schema"),
                temperature=self._body.get("temperature", 1.0),
                max_tokens=self._body.get("max_tokens", 1024),
                seed=self._body.get("seed"),
                on_delta=on_delta,
                on_usage=on_usage,
            )
        except EngineTimeout:
            await asyncio.Event().wait()
            raise

    async def plain(self) -> Response:
        try:
            reply = await self._chat()
        except EngineError as error:
            return _refusal(error)
        message = {"role": "assistant", "content": reply.text, "reasoning": reply.reasoning or None}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
        return JSONResponse(self._frame("chat.completion", choices=[choice], usage=_usage(reply.tokens)))

    async def stream(self, app: Starlette) -> Response:
        """The status waits for the first token, as in real servers, so that a refusal is a plain 4xx or 5xx."""

        async def put(piece: str) -> None:
            self._pieces.put_nowait((piece, self._spent))

        async def count(tokens: Tokens) -> None:
            self._spent = tokens if self._running_usage else None

        task = asyncio.create_task(self._chat(put, count))
        task.add_done_callback(lambda _: self._pieces.put_nowait(None))
        first = await self._pieces.get()
        if first is None and isinstance(error := task.exception(), EngineError):
            return _refusal(error)

        async def body() -> AsyncIterator[str]:
            try:
                piece = first
                while piece is not None:
                    yield self._chunk({"content": piece[0]}, spent=piece[1])
                    piece = await self._pieces.get()
                reply = await task
                yield self._chunk({"reasoning": reply.reasoning or None}, reply.finish_reason)
                if self._with_usage:
                    yield _data(self._frame("chat.completion.chunk", choices=[], usage=_usage(reply.tokens)))
                yield "data: [DONE]\n\n"
            except EngineError as error:
                yield _data({"error": {"message": error.failure.message, "type": "server_error", "code": 500}})
            finally:
                app.state.abandoned += task.cancel()

        return StreamingResponse(body(), media_type="text/event-stream")

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, spent: Tokens | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _data(self._frame("chat.completion.chunk", choices=[choice], usage=spent and _usage(spent)))

    def _frame(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {
            "id": "chatcmpl-fake",
            "object": kind,
            "created": int(time.time()),
            "model": self._body["model"],
            **fields,
        }


def _data(frame: dict[str, Any]) -> str:
    return f"data: {json.dumps(frame)}\n\n"


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
    }


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "fake", "code": status}}, status_code=status)


def _refusal(error: EngineError) -> Response:
    return _error(400 if isinstance(error, EngineRefused) else 503, error.failure.message)


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _instance(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """The plainest value that fits a JSON schema of the kind that pydantic writes."""
    if "$ref" in schema:
        return _instance(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    if "anyOf" in schema:
        return _instance(schema["anyOf"][-1], root)
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            return {
                key: _instance(value, root) for key, value in schema.get("properties", {}).items() if key in required
            }
        case "array":
            return [_instance(schema.get("items", {}), root)] * schema.get("minItems", 0)
        case "string":
            return "x" * max(1, schema.get("minLength", 1))
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return None
