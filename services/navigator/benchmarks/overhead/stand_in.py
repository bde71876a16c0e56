"""An OpenAI-compatible server without a model and without delay: `python stand_in.py PORT`.

It plays both roles of one fixed problem: a plan of two steps, two instantiations, two reviews. The replies are written
once, so that what a benchmark measures is not this server. `PUT /pieces/N` cuts streamed replies into chunks of N
characters (0: one chunk); `GET /recorded` gives the bodies of the last five calls, for those who repeat the same calls.
"""

import asyncio
import json
import sys
from collections import deque
from functools import cache
from typing import ClassVar, cast

import httptools
import uvloop

CALLS = 5
USAGE = {
    "prompt_tokens": 400,
    "completion_tokens": 40,
    "total_tokens": 440,
    "prompt_tokens_details": {"cached_tokens": 0},
}
PLAN = json.dumps(
    {
        "abstraction": "the sum of two products",
        "steps": [
            {"id": 1, "goal": "multiply the first pair", "template": "", "tags": [], "uses": ["s1"]},
            {"id": 2, "goal": "add the second pair", "template": "", "tags": [], "uses": ["s2", "r1"]},
        ],
        "complete": True,
    }
)
STEPS = (
    json.dumps({"fits": True, "reasoning": "The first pair is 6 and 7.", "expressions": ["6 * 7"]}),
    json.dumps({"fits": True, "reasoning": "The second pair is 3 and 5.", "expressions": ["r1 + 3 * 5"]}),
)
REVIEWS = (
    json.dumps({"reason": "The product of the first pair is right.", "verdict": "continue"}),
    json.dumps({"reason": "The sum is what the problem asks for.", "verdict": "finish", "answer": "r2"}),
)
ANYTHING_ELSE = "The answer is \\boxed{57}."


def reply_to(body: bytes) -> str:
    """Which of the five calls it is; others than our services get a short answer."""
    if b'"instantiation"' in body:
        return STEPS[b"Goal: add the second pair" in body]
    if b'"verdict":{"enum"' in body:
        return REVIEWS[b"Step 2 (" in body]
    if b'"abstraction":{"type"' in body:
        return PLAN
    return ANYTHING_ELSE


@cache
def plain(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    body = _frame("chat.completion", [{"index": 0, "message": message, "finish_reason": "stop"}], USAGE)
    return _response(b"application/json", json.dumps(body).encode())


@cache
def streamed(text: str, pieces: int) -> bytes:
    size = pieces or len(text)
    cuts = [text[start : start + size] for start in range(0, len(text), size)]
    chunks = [_chunk({"content": cut}, None) for cut in cuts] + [_chunk({}, "stop")]
    chunks.append(_frame("chat.completion.chunk", [], USAGE))
    told = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return _response(b"text/event-stream", told.encode())


def chunks_of(pieces: int) -> int:
    """Chunks of one trajectory's five replies."""
    return sum(1 if pieces == 0 else -(-len(text) // pieces) for text in (PLAN, *STEPS, *REVIEWS))


def _chunk(delta: dict[str, str], finish_reason: str | None) -> dict[str, object]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return _frame("chat.completion.chunk", choices, {**USAGE, "completion_tokens": 1})


def _frame(kind: str, choices: list[dict[str, object]], usage: dict[str, object]) -> dict[str, object]:
    head = {"id": "chatcmpl-0", "object": kind, "created": 1_700_000_000, "model": "stand-in"}
    return {**head, "choices": choices, "usage": usage}


def _response(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind, len(body), body)


class Server(asyncio.Protocol):
    """One connection. Requests on it are answered in order, each in one write."""

    pieces: ClassVar[int] = 0
    recorded: ClassVar[deque[bytes]] = deque(maxlen=CALLS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own kind
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path, self._body = url, []

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._transport.write(self._answer(b"".join(self._body)))

    def _answer(self, body: bytes) -> bytes:
        if self._path.endswith(b"/chat/completions"):
            Server.recorded.append(body)
            text = reply_to(body)
            return streamed(text, Server.pieces) if b'"stream":true' in body.replace(b" ", b"") else plain(text)
        if self._path.startswith(b"/pieces/"):
            Server.pieces = int(self._path.rpartition(b"/")[2])
            return _response(b"application/json", b"{}")
        if self._path == b"/recorded":
            return _response(b"application/json", b"[%s]" % b",".join(Server.recorded))
        return _response(b"application/json", b'{"object":"list","data":[{"id":"stand-in","object":"model"}]}')


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
