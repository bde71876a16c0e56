"""Typed clients of the three services. `NavigatorClient` is the public Python SDK:

    async with NavigatorClient.open("http://127.0.0.1:8000") as navigator:
        session = await navigator.solve("What is the remainder of 7**100 divided by 13?")
        print(session.answer, session.usage.all.total)

Every method raises ReasonFluxError: the service's own failure, or ServiceUnavailable when it cannot be reached.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Protocol

import httpx
from pydantic import Field

from reasonflux.contracts import (
    Budget,
    CalculateRequest,
    CalculateResponse,
    Calculation,
    CreateSession,
    Delta,
    Effort,
    Entry,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Prompt,
    Session,
    SessionFinished,
)
from reasonflux.errors import Overloaded, RateLimited, ReasonFluxError, ServiceUnavailable, from_failure
from reasonflux.http import http_client
from reasonflux.remote import RemoteService, segment
from reasonflux.settings import ReasonFluxSettings
from reasonflux.store_client import TemplateStoreClient as TemplateStoreClient

LONGEST_PAUSE_SECONDS = 30.0
"""Told to come back later than this, the caller had better know."""

LEAVING_SECONDS = 5.0
"""For the cancellation of what nobody waits for any more."""


class Sessions(Protocol):
    """Who begins sessions and ends them: `NavigatorClient`."""

    async def create(self, request: CreateSession) -> Session: ...

    async def cancel(self, session_id: str) -> Session: ...


async def begun(navigator: Sessions, request: CreateSession) -> Session:
    """A new session. A caller that is cancelled while the navigator makes it leaves none behind that runs on."""
    creating = asyncio.ensure_future(navigator.create(request))
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        with suppress(ReasonFluxError, TimeoutError):
            async with asyncio.timeout(LEAVING_SECONDS):
                await navigator.cancel((await creating).id)
        creating.cancel()
        raise


class ClientSettings(ReasonFluxSettings):
    navigator_url: str = "http://127.0.0.1:8000"
    api_key: str | None = Field(default=None, repr=False, description="for a navigator that asks for one")


class ExecutorClient(RemoteService):
    name = "executor"

    async def instantiate(
        self, request: InstantiateRequest, on_event: Callable[[InstantiateEvent], Awaitable[None]] | None = None
    ) -> Instantiation:
        """Carry out one step; `on_event` sees everything as it happens, the outcome included.

        An instantiation with a `failure` is an outcome (the tokens count); an error means there is none.
        """
        async with aclosing(self.stream("POST", "/v1/instantiate", body=request)) as events:
            async for event in events:
                news = self.understand(InstantiateEvent, event.data)
                if on_event is not None:
                    await on_event(news)
                if news.failure is not None:
                    raise from_failure(news.failure)
                if news.instantiation is not None:
                    return news.instantiation
        raise ServiceUnavailable(f"executor at {self.base_url} ended its stream without an outcome")

    async def prompt(self, request: InstantiateRequest) -> Prompt:
        """What the executor's engine would be asked for this step; nothing is carried out."""
        return await self.ask(Prompt, "POST", "/v1/prompt", body=request)

    async def calculate(
        self, statements: Sequence[str], names: Mapping[str, str] | None = None
    ) -> tuple[Calculation, ...]:
        """Evaluate calculator statements in order, up to and including the first that fails."""
        request = CalculateRequest(statements=tuple(statements), names=dict(names or {}))
        return (await self.ask(CalculateResponse, "POST", "/v1/calculate", body=request)).calculations


class NavigatorClient(RemoteService):
    """Sessions: create, follow, cancel.

    `reconnects`: how often in a row `events` may fail to make progress. `returns`: how often `create` comes back to a
    navigator that had no room (429), each time when it was told to.
    """

    name = "navigator"

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        *,
        key: str | None = None,
        reconnects: int = 8,
        returns: int = 2,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(http, base_url, key=key)
        self._reconnects, self._returns = reconnects, returns
        self._sleep = sleep

    @classmethod
    @asynccontextmanager
    async def open(cls, base_url: str | None = None, *, key: str | None = None) -> "AsyncIterator[NavigatorClient]":
        """A client with its own connections, at `base_url` or REASONFLUX_NAVIGATOR_URL, with `key` or
        REASONFLUX_API_KEY."""
        settings = ClientSettings()
        async with http_client() as http:
            yield cls(http, base_url or settings.navigator_url, key=key or settings.api_key)

    async def create(self, request: CreateSession, idempotency_key: str | None = None) -> Session:
        """Start a session. With the same key and request, the session that was created first is returned.

        Raises RateLimited or Overloaded when it came back in vain, or would have to wait for long.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex, "Content-Type": "application/json"}
        # Only what was asked for: a navigator older than this client refuses fields that it does not know.
        asked = request.model_dump_json(exclude_unset=True).encode()
        left = self._returns
        while True:
            try:
                return await self.ask(Session, "POST", "/v1/sessions", content=asked, headers=headers)
            except (RateLimited, Overloaded) as error:
                if not left or error.retry_after is None or error.retry_after > LONGEST_PAUSE_SECONDS:
                    raise
                await self._sleep(error.retry_after)
                left -= 1

    async def get(self, session_id: str) -> Session:
        """Raises NotFound."""
        return await self.ask(Session, "GET", f"/v1/sessions/{segment(session_id)}")

    async def cancel(self, session_id: str) -> Session:
        """Stop a session and return it as it stands; one that has finished already stays as it is."""
        return await self.ask(Session, "POST", f"/v1/sessions/{segment(session_id)}/cancel")

    async def events(self, session_id: str, after: int = 0) -> AsyncGenerator[Entry | Delta, None]:
        """Committed entries with seq > `after`, each once and without a gap, and live text; ends with the session.

        Reconnects by itself. Close it (`contextlib.aclosing`) when leaving early.
        """
        last, failures = after, 0
        while True:
            try:
                async with aclosing(self._connection(session_id, last)) as items:
                    async for item in items:
                        if isinstance(item, Entry):
                            last, failures = item.seq, 0
                        yield item
                        if isinstance(item, Entry) and isinstance(item.event, SessionFinished):
                            return
            except ReasonFluxError as error:
                if not error.failure.retryable or failures >= self._reconnects:
                    raise
            if failures and await self._ended(session_id, last):
                return
            await self._sleep(random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2.0**failures))
            failures += 1

    async def _ended(self, session_id: str, last: int) -> bool:
        """Whether nothing follows `last`: a reader that begins behind the end waits for nothing."""
        session = await self.get(session_id)
        return session.finished and session.last_seq <= last

    async def solve(
        self,
        problem: str,
        *,
        effort: Effort = Effort.MEDIUM,
        budget: Budget | None = None,
        parent: str | None = None,
        on_event: Callable[[Entry | Delta], Awaitable[None]] | None = None,
    ) -> Session:
        """Create a session, follow it to its end and return it. `outcome` tells whether there is an answer.

        `parent`: the id of a finished session that this question follows up. Left early (cancelled, out of time, or
        `on_event` raised), it cancels the session; one that has to outlive its caller: `create`, then `events`.
        """
        session = await begun(self, CreateSession(problem=problem, effort=effort, budget=budget, parent=parent))
        try:
            async with aclosing(self.events(session.id)) as events:
                async for event in events:
                    if on_event is not None:
                        await on_event(event)
        except (Exception, asyncio.CancelledError):
            with suppress(ReasonFluxError, TimeoutError):  # its own budget ends it all the same
                async with asyncio.timeout(LEAVING_SECONDS):
                    await self.cancel(session.id)
            raise
        return await self.get(session.id)

    async def _connection(self, session_id: str, last: int) -> AsyncGenerator[Entry | Delta, None]:
        """What one connection brings; always ends with ServiceUnavailable unless the reader leaves first."""
        headers = {"Last-Event-ID": str(last)} if last else {}
        path = f"/v1/sessions/{segment(session_id)}/events"
        async with aclosing(self.stream("GET", path, headers=headers)) as events:
            async for event in events:
                if event.event == "delta":
                    yield self.understand(Delta, event.data)
                    continue
                entry = self.understand(Entry, event.data)
                if entry.seq > last + 1:
                    raise ServiceUnavailable(f"the stream of session {session_id} skips from {last} to {entry.seq}")
                if entry.seq == last + 1:
                    last = entry.seq
                    yield entry
        raise ServiceUnavailable(f"navigator at {self.base_url} ended the stream of session {session_id} early")
