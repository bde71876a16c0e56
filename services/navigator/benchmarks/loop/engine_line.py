"""The line between the services and their engines: an OpenAI-compatible server that notes every call.

    /HOW/ROLE/v1/chat/completions       HOW: real, replayed or scripted; with -single one call of a session at a time

`real` hands the call to the role's engine. `replayed` gives the reply that the engine gave to the same messages before,
and `scripted` what a script says, both at the pace of a larger engine. The replies of `scripted` are counted in words
and pieces of punctuation, and its cache is counted as vLLM's works: whole blocks from the prompt's beginning.
"""

import asyncio
import hashlib
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from calls import Call

from reasonflux.observing import SESSION_ID

BLOCK = 16
"""Tokens of a cache block, vLLM's own choice on GPUs."""
_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])")

Script = Callable[[str, list[dict[str, str]]], str]
"""What a role says to these messages."""


@dataclass(frozen=True)
class Pace:
    """Seconds for a call's first token, for each prompt token that is not cached, and for each token of the reply."""

    first: float = 0.02
    prompt: float = 0.0001
    token: float = 0.01


@dataclass
class EngineLine:
    engines: Mapping[str, str]
    """By role: where its real engine is, /v1 included."""
    script: Script
    pace: Pace = field(default_factory=Pace)
    calls: list[Call] = field(default_factory=list)
    _replies: dict[str, list[bytes]] = field(default_factory=dict)
    _blocks: set[str] = field(default_factory=set)
    _turns: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[str]:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/{how}/{role}/v1/chat/completions", self._chat)
        app.router.add_get("/{how}/{role}/v1/models", self._models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        async with aiohttp.ClientSession() as self._http:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": f"reasonflux-tiny-{request.match_info['role']}"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        how, _, single = request.match_info["how"].partition("-")
        role, session = request.match_info["role"], request.headers.get(SESSION_ID, "")
        async with self._turns[session] if single else nullcontext():
            began, body = time.perf_counter(), await request.read()
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            usage: dict[str, Any] = {}
            try:
                async for event in self._events(how, role, body):
                    usage = _usage(event) or usage
                    await response.write(event + b"\n\n")
                await response.write_eof()
            except ConnectionResetError:  # a bet that is lost: the caller hung up
                pass
            finally:
                self.calls.append(_call(session, role, began, usage))
        return response

    async def _events(self, how: str, role: str, body: bytes) -> AsyncIterator[bytes]:
        if how == "scripted":
            events = self._scripted(role, json.loads(body)["messages"])
        elif how == "replayed":
            events = await self._recorded(role, body)
        else:
            async for event in self._asked(role, body):
                yield event
            return
        usage = next(found for event in reversed(events) if (found := _usage(event)))
        told = _call("", role, 0.0, usage)
        await asyncio.sleep(self.pace.first + self.pace.prompt * (told.prompt - told.cached))
        due = time.perf_counter()
        for event in events:
            due += self.pace.token
            if _text(event):
                await asyncio.sleep(due - time.perf_counter())
            yield event

    async def _asked(self, role: str, body: bytes) -> AsyncIterator[bytes]:
        """The role's own engine, whose replies are kept."""
        kept: list[bytes] = []
        url, headers = f"{self.engines[role]}/chat/completions", {"content-type": "application/json"}
        async with self._http.post(url, data=body, headers=headers) as response:
            response.raise_for_status()
            rest = b""
            async for data in response.content.iter_any():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    kept.append(event)
                    yield event
        self._replies.setdefault(_asks(role, body), kept)

    async def _recorded(self, role: str, body: bytes) -> list[bytes]:
        if (key := _asks(role, body)) not in self._replies:
            async for _ in self._asked(role, body):
                pass
        return self._replies[key]

    def _scripted(self, role: str, messages: list[dict[str, str]]) -> list[bytes]:
        prompt = _TOKEN.findall("".join(f"<{message['role']}>{message['content']}" for message in messages))
        words = _TOKEN.findall(self.script(role, messages))
        cached = self._cached(role, prompt)
        counts = {"prompt_tokens": len(prompt), "prompt_tokens_details": {"cached_tokens": cached}}
        events = [
            _chunk({"content": word}, None, {**counts, "completion_tokens": told}) for told, word in enumerate(words, 1)
        ]
        return [*events, _chunk({}, "stop", {**counts, "completion_tokens": len(words)}), b"data: [DONE]"]

    def _cached(self, role: str, prompt: list[str]) -> int:
        """Tokens in blocks that an earlier prompt began with; from now on those of this one are known."""
        digest, cached, fresh = hashlib.sha256(role.encode()), 0, False
        for start in range(0, len(prompt) - BLOCK + 1, BLOCK):
            digest.update("".join(prompt[start : start + BLOCK]).encode())
            fresh = fresh or digest.hexdigest() not in self._blocks
            cached += 0 if fresh else BLOCK
            self._blocks.add(digest.hexdigest())
        return min(cached, len(prompt) - 1)


def _asks(role: str, body: bytes) -> str:
    """What makes two calls the same: what is left of a budget is no part of it."""
    asked = json.loads(body)
    return json.dumps([role, asked["messages"], asked.get("seed"), asked["temperature"]])


def _chunk(delta: dict[str, str], finish_reason: str | None, usage: dict[str, Any]) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    head = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "scripted"}
    return b"data: " + json.dumps({**head, "choices": choices, "usage": usage}).encode()


def _told(event: bytes) -> dict[str, Any]:
    data = event.removeprefix(b"data: ").strip()
    return json.loads(data) if data.startswith(b"{") else {}


def _usage(event: bytes) -> dict[str, Any]:
    return _told(event).get("usage") or {}


def _text(event: bytes) -> str:
    choices = _told(event).get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


def _call(session: str, role: str, began: float, usage: dict[str, Any]) -> Call:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return Call(session, role, began, time.perf_counter(), prompt, cached, completion)
