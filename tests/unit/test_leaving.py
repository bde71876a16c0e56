"""Told to stop, a service first finishes what it has begun, and a session's calls carry its name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.ports import Claim
from navigator.runner import Runner
from navigator.testing import plan, review, script, step
from navigator.worker import Worker
from reasonflux.client import ExecutorClient
from reasonflux.contracts import InstantiateRequest, Problem, SessionStarted
from reasonflux.draining import Drain
from reasonflux.engine import EngineConfig, Message, OpenAIEngine
from reasonflux.observing import of_session, session_id
from reasonflux.service import create_app
from reasonflux.testing.fake_engine import FakeEngine, fake_openai_app
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore

PATIENCE = 30.0
"""Only a test that fails waits so long."""


class Step:
    """An executor whose step takes until it is let go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, request: InstantiateRequest) -> str:
        self.begun.set()
        await self.go_on.wait()
        return "3"


CHAIN = plan(step("find a", "s1"), step("find b", "s2", "r1"))
STARTED = SessionStarted(problem=Problem(text="Ann has 3. Ben has 4. How many have they?"))


@asynccontextmanager
async def working(journal: MemoryJournal, executor: Step) -> AsyncIterator[Worker]:
    replies = script([CHAIN], [review("continue"), review("finish", answer="r2")])
    llm = NavigatorLLM(FakeEngine(replies), Profile.INSTRUCT)
    worker = Worker(Runner(journal, llm, FakeTemplateStore(), FakeExecutor(executor)), "first")
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(PATIENCE):
            yield worker
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def types(journal: MemoryJournal) -> list[str]:
    return [entry.event.type for entry in await journal.read("s")]


async def test_a_step_under_way_is_committed_and_the_session_given_back_before_the_next_step() -> None:
    journal, executor = MemoryJournal(), Step()
    await journal.create("s", STARTED)
    async with working(journal, executor) as worker:
        await executor.begun.wait()
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        executor.go_on.set()
        await draining
        told = await types(journal)
        assert told[-1] == "step.instantiated"
        assert "session.finished" not in told
        taken = await journal.claim("second", 60.0)
        assert taken is not None, "another worker has it at once, not when the lease has run out"


async def test_a_worker_that_leaves_claims_nothing_more() -> None:
    journal = MemoryJournal()
    async with working(journal, Step()) as worker:
        await worker.drain()
        await journal.create("s", STARTED)
        await asyncio.sleep(0.05)
        assert await journal.claim("second", 60.0) is not None


async def test_stopping_a_worker_at_once_gives_back_what_is_under_way() -> None:
    journal, executor = MemoryJournal(), Step()
    await journal.create("s", STARTED)
    async with working(journal, executor):
        await executor.begun.wait()
    assert "step.instantiated" not in await types(journal)
    assert await journal.claim("second", 60.0) is not None


class Stumbling(MemoryJournal):
    """A journal whose first claim fails as no journal should."""

    stumbled = False

    async def claim(self, owner: str, lease_seconds: float) -> Claim | None:
        if not self.stumbled:
            self.stumbled = True
            raise RuntimeError("a bug")
        return await super().claim(owner, lease_seconds)


async def test_a_bug_while_claiming_does_not_end_the_worker() -> None:
    journal, executor = Stumbling(), Step()
    await journal.create("s", STARTED)
    async with working(journal, executor):
        await executor.begun.wait()
    assert journal.stumbled


class Kit:
    """A service with one slow answer, and its drain."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.drain = Drain(patience)
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        router = APIRouter()

        @router.get("/slow")
        async def slow() -> str | None:
            self.begun.set()
            await self.go_on.wait()
            return session_id()

        @router.get("/quick")
        async def quick() -> str | None:
            return session_id()

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            yield

        app = create_app(title="kit", version="0", lifespan=lifespan, routers=[router], drain=self.drain)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kit")


async def test_a_leaving_service_is_not_ready_but_alive_and_finishes_its_answers() -> None:
    kit = Kit()
    async with asyncio.timeout(PATIENCE), kit.http as http:
        assert (await http.get("/readyz")).status_code == 200
        answer = asyncio.create_task(http.get("/slow"))
        await kit.begun.wait()
        leaving = asyncio.create_task(kit.drain.leave())
        await kit.drain.told.wait()
        refused = await http.get("/readyz")
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "service_unavailable")
        assert (await http.get("/healthz")).status_code == 200
        assert not leaving.done()
        kit.go_on.set()
        assert (await answer).status_code == 200
        await leaving


async def test_answers_of_a_leaving_service_close_their_connection() -> None:
    kit = Kit()
    async with kit.http as http:
        assert "connection" not in (await http.get("/quick")).headers
        await kit.drain.leave()
        assert (await http.get("/quick")).headers["connection"] == "close"


async def test_leaving_waits_for_its_patience_and_no_longer() -> None:
    kit = Kit(patience=0.05)
    async with asyncio.timeout(PATIENCE), kit.http as http:
        answer = asyncio.create_task(http.get("/slow"))
        await kit.begun.wait()
        await kit.drain.leave()
        assert not answer.done()
        answer.cancel()


async def test_leaving_goes_on_when_something_cannot_be_finished() -> None:
    drain = Drain(PATIENCE)

    async def fails() -> None:
        raise RuntimeError("a bug")

    async with asyncio.timeout(PATIENCE):
        with drain.before_leaving(fails):
            await drain.leave()


async def test_a_session_is_named_to_the_engine_and_only_inside_of_it() -> None:
    seen: list[str | None] = []

    async def note(request: httpx.Request) -> None:
        seen.append(request.headers.get("x-session-id"))

    transport = httpx.ASGITransport(fake_openai_app())
    async with httpx.AsyncClient(transport=transport, event_hooks={"request": [note]}) as http:
        engine = OpenAIEngine(http, EngineConfig(url="http://engine/v1", model="fake"))
        with of_session("5f"):
            await engine.chat([Message(role="user", content="1 + 1")], max_tokens=4)
        await engine.chat([Message(role="user", content="1 + 1")], max_tokens=4)
    assert seen == ["5f", None]


async def test_a_session_is_named_from_service_to_service() -> None:
    kit = Kit()
    async with kit.http as http:
        with of_session("5f"):
            async with ExecutorClient(http, "http://kit").response("GET", "/quick") as response:
                assert (await response.aread()) == b'"5f"'
        assert (await http.get("/quick")).json() is None


@pytest.mark.parametrize("name", ["", "a b", "x" * 200, 'a"b'])
async def test_a_session_name_that_could_harm_a_log_is_not_taken_over(name: str) -> None:
    kit = Kit()
    async with kit.http as http:
        assert (await http.get("/quick", headers={"x-session-id": name})).json() is None
