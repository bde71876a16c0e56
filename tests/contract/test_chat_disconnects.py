"""A chat client that leaves: its session is cancelled, unless it was meant to go on."""

import asyncio
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from navigator.journal import MemoryJournal
from navigator.testing import on_fakes, plan, review, script, step
from reasonflux.contracts import Entry, InstantiateRequest, Outcome, SessionFinished
from reasonflux.sse import read_sse
from reasonflux.testing.serving import served

CHAT = "/v1/chat/completions"


class Gate:
    """An executor that says when it is called, and waits to be let through."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, request: InstantiateRequest) -> str:
        self.called.set()
        await self.open.wait()
        return "7"


def question(**fields: Any) -> dict[str, Any]:
    return {"model": "reasonflux", "messages": [{"role": "user", "content": "What is 3 + 4?"}], **fields}


def navigator(gate: Gate, journal: MemoryJournal) -> Any:
    return on_fakes(script([plan(step("add", "s1"))], [review("finish", answer="r1")]), gate, journal=journal)


async def end_of_the_only_session(journal: MemoryJournal) -> SessionFinished:
    (session_id,) = await journal.list()
    async with aclosing(journal.follow(session_id)) as items:
        last = [item async for item in items][-1]
    assert isinstance(last, Entry)
    assert isinstance(last.event, SessionFinished)
    return last.event


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_its_session(stream: bool) -> None:
    gate, journal = Gate(), MemoryJournal()
    async with served(navigator(gate, journal)) as url, httpx.AsyncClient(base_url=url, timeout=None) as client:

        async def ask() -> None:
            async with client.stream("POST", CHAT, json=question(stream=stream)) as response:
                async for _ in read_sse(response.aiter_bytes()):
                    pass

        asking = asyncio.create_task(ask())
        await gate.called.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        end = await end_of_the_only_session(journal)

    assert not gate.open.is_set()
    assert end.outcome is Outcome.CANCELLED


@pytest.mark.parametrize("stream", [False, True])
async def test_a_durable_session_goes_on_without_its_client(stream: bool) -> None:
    gate, journal = Gate(), MemoryJournal()
    app = navigator(gate, journal)
    async with app.router.lifespan_context(app):
        asked = question(stream=stream, metadata={"durable": "true"})
        await served_until_the_client_leaves(app, asked, leaves=gate.called)
        gate.open.set()
        end = await end_of_the_only_session(journal)

    assert (end.outcome, end.answer) == (Outcome.SOLVED, "7")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_service_that_stops_cancels_nobody(stream: bool) -> None:
    """The stream breaks off, and the session waits for the next worker."""
    gate, journal = Gate(), MemoryJournal()
    async with httpx.AsyncClient(timeout=None) as client:
        async with served(navigator(gate, journal)) as url:
            asking = asyncio.create_task(client.post(f"{url}{CHAT}", json=question(stream=stream)))
            await gate.called.wait()
        await asyncio.gather(asking, return_exceptions=True)
    (session_id,) = await journal.list()
    entries = await journal.read(session_id)

    assert not any(isinstance(entry.event, SessionFinished) for entry in entries)
    assert await journal.claim("the next worker", 15.0) is not None


async def served_until_the_client_leaves(app: Any, body: dict[str, Any], leaves: asyncio.Event) -> None:
    """One request, at the ASGI seam: returns when the app has dealt with the client's leaving."""
    request = httpx.Request("POST", f"http://navigator{CHAT}", json=body)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": CHAT,
        "raw_path": CHAT.encode(),
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": ("navigator", 80),
        "client": ("127.0.0.1", 1),
    }
    parts = iter([{"type": "http.request", "body": request.content, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for part in parts:
            return part
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        pass

    await app(scope, receive, send)
