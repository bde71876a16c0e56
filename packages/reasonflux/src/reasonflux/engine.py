"""Talking to an LLM server: any server that speaks OpenAI's chat completions (vLLM, SGLang, Ollama, a hosted API)."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, Field, ValidationError

from reasonflux import tracing
from reasonflux.contracts import Contract, Tokens
from reasonflux.correlation import SESSION_ID, session_id
from reasonflux.engine_port import Engine as Engine
from reasonflux.engine_port import Message as Message
from reasonflux.engine_port import OnDelta as OnDelta
from reasonflux.engine_port import OnUsage as OnUsage
from reasonflux.engine_port import Reply as Reply
from reasonflux.errors import EngineError, EngineRefused, EngineTimeout, EngineUnavailable
from reasonflux.http import CONNECT_SECONDS, LINE_ERRORS, http_client, what_happened
from reasonflux.measuring import EngineWatch
from reasonflux.openai_wire import Completion, Models, Text, Usage, advice, complaint, seconds_to_wait
from reasonflux.sse import read_sse
from reasonflux.tracing import Span

READY_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 8.0
_RUNNING_USAGE = "continuous_usage_stats"

T = TypeVar("T")
Wire = TypeVar("Wire", bound=BaseModel)


class EngineConfig(Contract):
    """Where an engine is. `url` includes the version path: http://127.0.0.1:8010/v1."""

    url: str
    model: str
    key: str | None = Field(default=None, repr=False)
    timeout: float = Field(default=120.0, gt=0, description="seconds for a whole call, retries included")
    retries: int = Field(default=3, ge=0, description="further tries after 429, 5xx and connection errors")


def engine_http(*configs: EngineConfig, max_connections: int = 512) -> httpx.AsyncClient:
    """The client to reach these engines with; see `reasonflux.http.http_client` for what its transport cannot do."""
    longest = max((config.timeout for config in configs), default=120.0)
    return http_client(timeout=longest, max_connections=max_connections)


class OpenAIEngine:
    """The real engine. `http` is shared and stays the caller's to close (see `engine_http`). `watch` hears of calls."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        config: EngineConfig,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        watch: EngineWatch | None = None,
    ) -> None:
        self.config = config
        self._watch = watch
        self._http = http
        self._sleep = sleep
        self._base = config.url.rstrip("/")
        self._tells_running_usage = True  # until it refuses: vLLM and SGLang do, hosted APIs may not know the option

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
        """See `Engine.chat`. Cancelling the call closes the connection, so the server stops generating."""
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": [message.model_dump() for message in messages],
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        if seed is not None:
            body["seed"] = seed
        if schema is not None:
            # Not strict: hosted APIs refuse strict schemas that have optional fields or maps; vLLM holds to both.
            wrapped = {"name": schema_name, "schema": schema, "strict": False}
            body["response_format"] = {"type": "json_schema", "json_schema": wrapped}
        if on_delta is not None:
            running = {_RUNNING_USAGE: True} if on_usage is not None and self._tells_running_usage else {}
            body |= {"stream": True, "stream_options": {"include_usage": True, **running}}
        seconds = self.config.timeout if timeout is None else min(timeout, self.config.timeout)
        with self._watched(body) as span:
            ears = _Ears(on_delta, on_usage)
            reply = await self._within(seconds, lambda deadline: self._persist(body, ears, deadline, span))
            _tell(span, reply)
        return reply

    async def models(self) -> tuple[str, ...]:
        """The names of the models that the server offers; one quick try, for readiness checks. Raises EngineError."""

        async def ask(_: float) -> tuple[str, ...]:
            async with self._send("GET", "/models", None) as response:
                return tuple(model.id for model in self._parse(Models, await self._read(response)).data)

        try:
            return await self._within(READY_SECONDS, ask)
        except _TryAgain as again:
            raise again.error from again.__cause__

    async def ready(self) -> None:
        """Return when the server is up and offers the configured model; raise EngineError naming what is missing."""
        offered = await self.models()
        if self.config.model not in offered:
            raise EngineRefused(
                f"the engine at {self._base} does not offer the model {self.config.model!r}",
                hint=f"it offers {', '.join(offered) or 'none'}: set the role's …_ENGINE_MODEL to one of them",
            )

    async def _within(self, seconds: float, call: Callable[[float], Awaitable[T]]) -> T:
        """`call(deadline)`, cut off after `seconds`. The deadline is on the event loop's clock."""
        late = EngineTimeout(
            f"the engine at {self._base} gave no complete reply within {max(0.0, seconds):g} s",
            hint="give the call more time, ask for fewer tokens, or give the engine more capacity",
        )
        if seconds <= 0:
            raise late
        try:
            async with asyncio.timeout(seconds) as clock:
                return await call(asyncio.get_running_loop().time() + seconds)
        except TimeoutError as error:
            if not clock.expired():  # someone else's timeout, such as one inside on_delta
                raise
            raise late from error

    @contextmanager
    def _watched(self, body: dict[str, Any]) -> Iterator[Span]:
        """A span around a call, and its outcome for who counts."""
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self.config.model,
            "gen_ai.request.max_tokens": body["max_tokens"],
            "gen_ai.request.temperature": body["temperature"],
            "server.address": self._base,
        }
        started, outcome = time.perf_counter(), "answered"
        try:
            with tracing.span(f"chat {self.config.model}", "client", asked) as span:
                yield span
        except EngineError as error:
            outcome = error.failure.kind.value
            raise
        except BaseException:
            outcome = "cancelled"
            raise
        finally:
            if self._watch is not None:
                self._watch.ended(outcome, time.perf_counter() - started)

    async def _persist(self, body: dict[str, Any], ears: "_Ears", deadline: float, span: Span) -> Reply:
        """Try until there is a reply, the retries are used up, or the next wait would outlast the deadline."""
        attempt = 0
        while True:
            try:
                return await self._attempt(body, ears, span)
            except EngineRefused as error:
                if _RUNNING_USAGE not in str(error) or not body["stream_options"].pop(_RUNNING_USAGE, None):
                    raise
                self._tells_running_usage = False
                continue
            except _TryAgain as again:
                # Jitter keeps callers that failed together from coming back together.
                wait = again.retry_after + random.uniform(0.0, min(LONGEST_BACKOFF_SECONDS, 0.25 * 2.0**attempt))
                if attempt == self.config.retries or asyncio.get_running_loop().time() + wait >= deadline:
                    raise again.error from again.__cause__
                await self._sleep(wait)
            attempt += 1
            span.tell("reasonflux.retries", attempt)
            if self._watch is not None:
                self._watch.tried_again()

    async def _attempt(self, body: dict[str, Any], ears: "_Ears", span: Span) -> Reply:
        async with self._send("POST", "/chat/completions", body, span.headers()) as response:
            if body.get("stream") and "text/event-stream" in response.headers.get("content-type", ""):
                return await self._read_stream(response, ears)
            completion = self._parse(Completion, await self._read(response))
        choice = completion.choice
        if choice is None:
            raise self._foreign(complaint(str(completion.error or "no choices")))
        message = choice.message or Text()
        text = message.said
        if text:  # a server that ignores `stream`
            await ears.hear(text)
        return Reply(
            text=text,
            reasoning=message.thinking,
            finish_reason=choice.finish_reason or "stop",
            tokens=(completion.usage or Usage()).tokens,
        )

    async def _read_stream(self, response: httpx.Response, ears: "_Ears") -> Reply:
        text: list[str] = []
        reasoning: list[str] = []
        finish_reason, usage = "stop", Usage()
        try:
            async with aclosing(self._chunks(response)) as chunks:
                async for chunk in chunks:
                    if chunk.usage is not None:
                        usage = chunk.usage
                        await ears.count(usage.tokens)
                    if (choice := chunk.choice) is not None:
                        finish_reason = choice.finish_reason or finish_reason
                        piece = choice.delta or Text()
                        reasoning.append(piece.thinking)
                        if said := piece.said:
                            text.append(said)
                            await ears.hear(said)
        except _TryAgain as again:
            if text:  # the reader has seen tokens: only the caller knows how to start over
                raise again.error from again.__cause__
            raise
        return Reply(text="".join(text), reasoning="".join(reasoning), finish_reason=finish_reason, tokens=usage.tokens)

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[Completion, None]:
        """The chunks of a stream, to its proper end. Raises _TryAgain when it breaks off before that."""
        finished = False
        try:
            async for event in read_sse(response.aiter_bytes()):
                if event.data == "[DONE]":
                    return
                chunk = self._parse(Completion, event.data)
                if chunk.error:
                    raise self._broken_off(complaint(event.data))
                finished = finished or bool(chunk.choice and chunk.choice.finish_reason)
                yield chunk
        except LINE_ERRORS as error:
            if not finished:
                raise self._broken_off(what_happened(error)) from error
        if not finished:
            raise self._broken_off("the stream ended without a finish_reason")

    @asynccontextmanager
    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None, joining: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[httpx.Response]:
        """An open response with status 200. Raises _TryAgain or EngineRefused otherwise."""
        headers = {**joining, "Authorization": f"Bearer {self.config.key}"} if self.config.key else {**joining}
        if session := session_id():  # a router in front of several engines keeps the session where its prefix is cached
            headers[SESSION_ID] = session
        limits = httpx.Timeout(None, connect=CONNECT_SECONDS)  # the call's deadline bounds the rest
        try:
            request = self._http.build_request(method, self._base + path, json=body, headers=headers, timeout=limits)
            response = await self._http.send(request, stream=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            hint = "it looks like http://HOST:PORT/v1"
            raise EngineRefused(f"the engine's URL {self._base!r} cannot be used: {error}", hint=hint) from error
        except LINE_ERRORS as error:
            unreachable = EngineUnavailable(
                f"cannot reach the engine at {self._base}: {what_happened(error)}",
                hint="start it, or set the role's …_ENGINE_URL to where it runs (with /v1)",
            )
            raise _TryAgain(unreachable) from error
        try:
            if response.status_code != 200:
                raise self._refusal(response, await self._read(response), with_schema="response_format" in (body or {}))
            yield response
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        try:
            return await response.aread()
        except LINE_ERRORS as error:
            raise self._broken_off(what_happened(error)) from error

    def _parse(self, shape: type[Wire], content: bytes | str) -> Wire:
        try:
            return shape.model_validate_json(content)
        except ValidationError as error:
            raise self._foreign(complaint(content)[:120] or "an empty body") from error

    def _foreign(self, sent: str) -> EngineRefused:
        message = f"{self._base} does not answer like an OpenAI-compatible server"
        hint = "check the role's …_ENGINE_URL; it usually ends in /v1"
        return EngineRefused(f"{message}; it sent: {sent}", hint=hint, logged=message)

    def _broken_off(self, why: str) -> "_TryAgain":
        message = f"the engine at {self._base} broke off its reply"
        return _TryAgain(EngineUnavailable(f"{message}: {why}", hint="look into the engine's log", logged=message))

    def _refusal(self, response: httpx.Response, content: bytes, *, with_schema: bool) -> Exception:
        status, said = response.status_code, complaint(content)
        known = f"the engine at {self._base} answered {status} for model {self.config.model!r}"
        message = f"{known}: {said}"
        if status == 429 or status >= 500:
            hint = "lower the load or give the engine more capacity" if status == 429 else "look into the engine's log"
            wait = seconds_to_wait(response.headers.get("retry-after"))
            return _TryAgain(EngineUnavailable(message, hint=hint, logged=known), retry_after=wait)
        return EngineRefused(message, hint=advice(status, said.lower(), with_schema), logged=known)


def _tell(span: Span, reply: Reply) -> None:
    span.tell("gen_ai.usage.input_tokens", reply.tokens.prompt)
    span.tell("gen_ai.usage.output_tokens", reply.tokens.completion)
    span.tell("gen_ai.usage.cache_read.input_tokens", reply.tokens.cached)
    span.tell("reasonflux.finish_reason", reply.finish_reason)


@dataclass(frozen=True)
class _Ears:
    """Who listens to a call."""

    on_delta: OnDelta | None
    on_usage: OnUsage | None

    async def hear(self, text: str) -> None:
        if self.on_delta is not None:
            await self.on_delta(text)

    async def count(self, tokens: Tokens) -> None:
        if self.on_usage is not None:
            await self.on_usage(tokens)


class _TryAgain(Exception):
    """A failed attempt that may be repeated; `error` is what the caller sees when it is not."""

    def __init__(self, error: EngineError, *, retry_after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after
