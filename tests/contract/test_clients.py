"""The typed clients against small real apps, and the fakes with the same suite as the clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Header
from fastapi.responses import Response

from reasonflux.answering import error_response
from reasonflux.client import ExecutorClient, NavigatorClient, TemplateStoreClient, begun
from reasonflux.contracts import (
    ActionKind,
    CalculateRequest,
    CalculateResponse,
    Calculation,
    CreateSession,
    Delta,
    Effort,
    Entry,
    Event,
    Failure,
    FailureKind,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Outcome,
    PlanMade,
    Problem,
    Query,
    SearchRequest,
    SearchResponse,
    Session,
    SessionFinished,
    SessionStarted,
    StepRestarted,
    TemplatePage,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    Trajectory,
    WorkedExample,
)
from reasonflux.errors import (
    EngineUnavailable,
    InvalidRequest,
    NotFound,
    Overloaded,
    RateLimited,
    ReasonFluxError,
    ServiceUnavailable,
)
from reasonflux.service import create_app, failure_response, sse
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore
from reasonflux.testing.serving import served

AT = datetime(2026, 1, 1, tzinfo=UTC)


def app_of(*routers: APIRouter) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_app(title="test", version="0", lifespan=lifespan, routers=routers)


def line_to(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app))


# The executor


def executor_app(fake: FakeExecutor) -> FastAPI:
    router = APIRouter()

    @router.post("/v1/instantiate")
    async def instantiate(request: InstantiateRequest, accept: Annotated[str, Header()]) -> Response:
        assert accept == "text/event-stream"

        async def events() -> AsyncIterator[tuple[str | None, str, str]]:
            news: list[InstantiateEvent] = []

            async def keep(event: InstantiateEvent) -> None:
                news.append(event)

            with suppress(ReasonFluxError):  # it is the last event, too
                await fake.instantiate(request, keep)
            for event in news:
                name = next(iter(event.model_dump(exclude_none=True)))
                yield None, name, event.model_dump_json(exclude_none=True)

        return sse(events())

    @router.post("/v1/calculate")
    async def calculate(request: CalculateRequest) -> CalculateResponse:
        return CalculateResponse(calculations=await fake.calculate(request.statements, request.names))

    return app_of(router)


MakeExecutor = Callable[..., FakeExecutor | ExecutorClient]


@pytest.fixture(params=["fake", "client"])
async def make_executor(request: pytest.FixtureRequest) -> AsyncIterator[MakeExecutor]:
    async with AsyncExitStack() as stack:

        def make(*outcomes: Any, **settings: Any) -> FakeExecutor | ExecutorClient:
            fake = FakeExecutor(outcomes, **settings)
            if request.param == "fake":
                return fake
            http = line_to(executor_app(fake))
            stack.push_async_callback(http.aclose)
            return ExecutorClient(http, "http://executor/")

        yield make


STEP = InstantiateRequest(goal="add two and three")


class TestExecutor:
    async def test_outcome_comes_with_its_events_in_order(self, make_executor: MakeExecutor) -> None:
        seen: list[InstantiateEvent] = []

        async def keep(event: InstantiateEvent) -> None:
            seen.append(event)

        done = await make_executor("5").instantiate(STEP, keep)
        assert done.result == "5"
        assert "".join(event.delta or "" for event in seen) == done.reasoning
        assert [event.calculation for event in seen if event.calculation] == list(done.calculations)
        assert seen[-1].instantiation == done

    async def test_an_instantiation_with_a_failure_is_an_outcome(self, make_executor: MakeExecutor) -> None:
        unfit = Instantiation(failure=Failure(kind=FailureKind.TEMPLATE_UNFIT, message="does not fit"))
        assert await make_executor(unfit).instantiate(STEP) == unfit

    async def test_no_outcome_is_the_error_that_caused_it(self, make_executor: MakeExecutor) -> None:
        seen: list[InstantiateEvent] = []

        async def keep(event: InstantiateEvent) -> None:
            seen.append(event)

        with pytest.raises(EngineUnavailable, match="engine is down") as caught:
            await make_executor(EngineUnavailable("the engine is down")).instantiate(STEP, keep)
        assert caught.value.failure.retryable
        assert seen[-1].failure == caught.value.failure

    async def test_calculations_stop_after_the_first_error(self, make_executor: MakeExecutor) -> None:
        executor = make_executor(values={"2 + 3": "5", "7": "7"})
        assert await executor.calculate(["2 + 3"], {"a": "1"}) == (Calculation(statement="2 + 3", value="5"),)
        done = await executor.calculate(["2 + 3", "1/0", "7"])
        assert [bool(calculation.error) for calculation in done] == [False, True]


async def test_an_executor_stream_without_an_outcome_is_unavailable() -> None:
    router = APIRouter()

    @router.post("/v1/instantiate")
    async def instantiate() -> Response:
        async def events() -> AsyncIterator[tuple[str | None, str, str]]:
            yield None, "delta", InstantiateEvent(delta="It").model_dump_json()

        return sse(events())

    async with line_to(app_of(router)) as http:
        with pytest.raises(ServiceUnavailable, match="without an outcome"):
            await ExecutorClient(http, "http://executor").instantiate(STEP)


# The template store


def template(name: str, field: str = "algebra/quadratics", **fields: Any) -> ThoughtTemplate:
    return ThoughtTemplate(
        id=name,
        name=name.replace("-", " "),
        type=fields.pop("type", TemplateType.FORMULA_RULE),
        field=field,
        tags=(name.split("-")[0],),
        description=f"How to use {name}.",
        scope=("when it fits",),
        steps=(TemplateStep(instruction="do it"),),
        example=WorkedExample(problem="p", answer="1", check="answer == 1"),
        **fields,
    )


LIBRARY = (
    template("vieta-sum"),
    template("quadratic-formula"),
    template("heron-area", "geometry/triangles", type=TemplateType.PROPERTY_THEOREM),
)


def store_app(fake: FakeTemplateStore) -> FastAPI:
    router = APIRouter(prefix="/v1/templates")

    @router.post("/search")
    async def search(request: SearchRequest) -> SearchResponse:
        return await fake.search(request)

    @router.get("/{template_id}")
    async def get(template_id: str) -> ThoughtTemplate:
        return await fake.get(template_id)

    @router.get("")
    async def page(
        field: str | None = None, type: TemplateType | None = None, cursor: str = "", limit: int = 50
    ) -> TemplatePage:
        return await fake.list(field=field, type=type, cursor=cursor, limit=limit)

    return app_of(router)


@pytest.fixture(params=["fake", "client"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[FakeTemplateStore | TemplateStoreClient]:
    fake = FakeTemplateStore(LIBRARY)
    if request.param == "fake":
        yield fake
    else:
        async with line_to(store_app(fake)) as http:
            yield TemplateStoreClient(http, "http://store")


Store = FakeTemplateStore | TemplateStoreClient


class TestTemplateStore:
    async def test_each_query_gets_its_retrieval_in_order(self, store: Store) -> None:
        queries = (Query(name="heron area"), Query(name="vieta sum"), Query(text="nothing of the kind"))
        answer = await store.search(SearchRequest(queries=queries))
        assert [retrieval.query for retrieval in answer.retrievals] == list(queries)
        chosen = [retrieval.template.id if retrieval.template else None for retrieval in answer.retrievals]
        assert chosen == ["heron-area", "vieta-sum", None]

    async def test_filters_are_hard(self, store: Store) -> None:
        answer = await store.search(SearchRequest(queries=(Query(name="heron area"),), fields=("algebra",)))
        found = {candidate.template_id for candidate in answer.retrievals[0].candidates}
        assert found == {"vieta-sum", "quadratic-formula"}

    async def test_get_finds_by_id_or_says_that_there_is_none(self, store: Store) -> None:
        assert await store.get("vieta-sum") == LIBRARY[0]
        for name in ("none", "a/b", "../readyz", "ü?x=1"):
            with pytest.raises(NotFound):
                await store.get(name)

    async def test_pages_cover_the_library_once(self, store: Store) -> None:
        found, cursor = [], ""
        while True:
            page = await store.list(cursor=cursor, limit=2)
            found += [each.id for each in page.templates]
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
        assert found == ["heron-area", "quadratic-formula", "vieta-sum"]
        assert [each.id for each in (await store.list(field="geometry")).templates] == ["heron-area"]
        assert [each.id for each in (await store.list(type=TemplateType.PROPERTY_THEOREM)).templates] == ["heron-area"]


# The navigator


def journal(*events: Event) -> tuple[Entry, ...]:
    return tuple(Entry(seq=seq, at=AT + timedelta(seconds=seq), event=event) for seq, event in enumerate(events, 1))


JOURNAL = journal(
    SessionStarted(problem=Problem(text="What is 2 + 3?")),
    PlanMade(trajectory=Trajectory(abstraction="addition")),
    StepRestarted(epoch=2),
    SessionFinished(outcome=Outcome.SOLVED, answer="5", explanation="a\u2028b"),
)
DELTA = Delta(action=ActionKind.PLAN, text="{")
Connection = list[Entry | Delta | Exception | ReasonFluxError]


class FakeNavigator:
    """Serves one prepared connection after the other. An exception cuts the connection off."""

    def __init__(self, *connections: Any) -> None:
        self.resumed_at: list[str | None] = []
        self.keys: list[str | None] = []
        self.cancelled: list[str] = []
        self.finished = False
        self._connections = iter(connections)
        self.router = APIRouter()
        self.router.add_api_route("/v1/sessions", self.create, methods=["POST"])
        self.router.add_api_route("/v1/sessions/{name}", self.get)
        self.router.add_api_route("/v1/sessions/{name}/events", self.events, response_model=None)
        self.router.add_api_route("/v1/sessions/{name}/cancel", self.cancel, methods=["POST"])

    async def create(self, request: CreateSession, idempotency_key: Annotated[str | None, Header()] = None) -> Session:
        self.keys.append(idempotency_key)
        return Session(id="one", problem=Problem(text=request.problem), started_at=AT, updated_at=AT)

    async def get(self, name: str) -> Session:
        if name != "one":
            raise NotFound(f"there is no session {name!r}", hint="it may have expired")
        outcome = Outcome.SOLVED if self.finished else None
        return Session(id=name, problem=Problem(text="p"), outcome=outcome, started_at=AT, updated_at=AT)

    async def cancel(self, name: str) -> Session:
        self.cancelled.append(name)
        return await self.get(name)

    async def events(
        self, accept: Annotated[str, Header()], last_event_id: Annotated[str | None, Header()] = None
    ) -> Response:
        assert accept == "text/event-stream"
        self.resumed_at.append(last_event_id)
        items = next(self._connections)
        if isinstance(items, ReasonFluxError):
            return failure_response(items.failure)

        async def stream() -> AsyncIterator[tuple[str | None, str, str]]:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, Entry):
                    self.finished = item.event.type == "session.finished"
                    yield str(item.seq), item.event.type, item.model_dump_json()
                else:
                    yield None, "delta", item.model_dump_json()

        return sse(stream())


@asynccontextmanager
async def navigator(fake: FakeNavigator, **settings: Any) -> AsyncIterator[tuple[NavigatorClient, list[float]]]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with line_to(app_of(fake.router)) as http:
        yield NavigatorClient(http, "http://navigator", sleep=sleep, **settings), waits


async def follow(client: NavigatorClient, after: int = 0) -> list[Entry | Delta]:
    async with aclosing(client.events("one", after)) as events:
        return [event async for event in events]


async def test_events_end_with_the_session() -> None:
    fake = FakeNavigator([JOURNAL[0], DELTA, *JOURNAL[1:]])
    async with navigator(fake) as (client, waits):
        assert await follow(client) == [JOURNAL[0], DELTA, *JOURNAL[1:]]
    assert fake.resumed_at == [None]
    assert waits == []


async def test_a_stream_resumes_by_its_last_event_id_without_gap_or_repeat() -> None:
    fake = FakeNavigator(
        [JOURNAL[0], DELTA, JOURNAL[1]],  # ends early
        ServiceUnavailable("restarting"),
        [JOURNAL[1], JOURNAL[2]],  # repeats what was seen
        [JOURNAL[3]],
    )
    async with navigator(fake) as (client, waits):
        assert await follow(client) == [JOURNAL[0], DELTA, *JOURNAL[1:]]
    assert fake.resumed_at == [None, "2", "2", "3"]
    assert len(waits) == 3
    assert max(waits) <= 0.4


async def test_a_gap_is_never_passed_on() -> None:
    fake = FakeNavigator([JOURNAL[0], JOURNAL[2]], JOURNAL[1:])
    async with navigator(fake) as (client, _):
        assert await follow(client) == list(JOURNAL)
    assert fake.resumed_at == [None, "1"]


async def test_following_starts_after_the_given_entry() -> None:
    fake = FakeNavigator(JOURNAL[2:])
    async with navigator(fake) as (client, _):
        assert await follow(client, after=2) == list(JOURNAL[2:])
    assert fake.resumed_at == ["2"]


async def test_reconnecting_gives_up_when_there_is_no_progress() -> None:
    fake = FakeNavigator(JOURNAL[:1], *[[DELTA]] * 4)
    async with navigator(fake, reconnects=3) as (client, waits):
        with pytest.raises(ServiceUnavailable, match="early"):
            await follow(client)
    assert len(waits) == 3
    assert fake.resumed_at == [None, "1", "1", "1"]


async def test_a_refusal_is_not_asked_again() -> None:
    fake = FakeNavigator(NotFound("no such session"))
    async with navigator(fake) as (client, waits):
        with pytest.raises(NotFound):
            await follow(client)
    assert waits == []


async def test_a_broken_connection_is_resumed_over_real_sockets() -> None:
    fake = FakeNavigator([JOURNAL[0], RuntimeError("cable cut")], JOURNAL[1:])
    async with served(app_of(fake.router)) as url, NavigatorClient.open(url) as client:
        assert await follow(client) == list(JOURNAL)
    assert fake.resumed_at == [None, "1"]


async def test_leaving_a_stream_early_closes_the_connection() -> None:
    closed = asyncio.Event()
    router = APIRouter()

    @router.get("/v1/sessions/one/events", response_model=None)
    async def events() -> Response:
        async def stream() -> AsyncIterator[tuple[str | None, str, str]]:
            try:
                yield "1", JOURNAL[0].event.type, JOURNAL[0].model_dump_json()
                await asyncio.Event().wait()
            finally:
                closed.set()

        return sse(stream())

    async with served(app_of(router)) as url, NavigatorClient.open(url) as client:
        async with aclosing(client.events("one")) as stream:
            assert await anext(stream) == JOURNAL[0]
        await asyncio.wait_for(closed.wait(), 10)


async def test_solve_creates_follows_and_returns_the_session() -> None:
    fake = FakeNavigator(JOURNAL)
    seen: list[Entry | Delta] = []

    async def keep(event: Entry | Delta) -> None:
        seen.append(event)

    async with navigator(fake) as (client, _):
        session = await client.solve("What is 2 + 3?", on_event=keep)
    assert session.outcome is Outcome.SOLVED
    assert seen == list(JOURNAL)


async def test_solve_cancels_the_session_when_its_caller_gives_up() -> None:
    fake = FakeNavigator(JOURNAL, JOURNAL)

    async def refuse(event: Entry | Delta) -> None:
        raise LookupError("seen enough")

    async def wait(event: Entry | Delta) -> None:
        await asyncio.Event().wait()

    async with navigator(fake) as (client, _):
        with pytest.raises(LookupError):
            await client.solve("What is 2 + 3?", on_event=refuse)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.solve("What is 2 + 3?", on_event=wait)
    assert fake.cancelled == ["one", "one"]


async def test_who_leaves_while_a_session_is_made_leaves_none_behind() -> None:
    made, cancelled = asyncio.Event(), list[str]()
    session = Session(id="one", problem=Problem(text="p"), started_at=AT, updated_at=AT)

    class Slow:
        async def create(self, request: CreateSession) -> Session:
            await made.wait()
            return session

        async def cancel(self, session_id: str) -> Session:
            cancelled.append(session_id)
            return session

    beginning = asyncio.create_task(begun(Slow(), CreateSession(problem="What is 2 + 3?")))
    await asyncio.sleep(0)
    beginning.cancel()
    await asyncio.sleep(0)
    made.set()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert cancelled == ["one"]


async def test_create_always_sends_an_idempotency_key() -> None:
    fake = FakeNavigator()
    async with navigator(fake) as (client, _):
        assert (await client.create(CreateSession(problem="p"), "mine")).id == "one"
        await client.create(CreateSession(problem="p"))
    assert fake.keys[0] == "mine"
    assert len(fake.keys[1] or "") == 32


@pytest.mark.parametrize(
    ("refusals", "pause", "slept"),
    [(0, 3.0, []), (2, 3.0, [3.0, 3.0]), (3, 3.0, [3.0, 3.0]), (1, 31.0, []), (1, None, [1.0])],
)
@pytest.mark.parametrize("refusal", [RateLimited, Overloaded])
async def test_create_comes_back_when_it_was_told_to(
    refusal: type[ReasonFluxError], refusals: int, pause: float | None, slept: list[float]
) -> None:
    pauses: list[float] = []
    keys: list[str] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) <= refusals:
            refused = error_response(refusal("no room", retry_after=pause))
            return httpx.Response(429, content=refused.body, headers=dict(refused.headers))
        session = Session(id="one", problem=Problem(text="p"), started_at=AT, updated_at=AT)
        return httpx.Response(201, content=session.model_dump_json())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = NavigatorClient(http, "http://navigator", sleep=sleep)
        if refusals > len(slept):
            with pytest.raises(refusal):
                await client.create(CreateSession(problem="p"))
        else:
            assert (await client.create(CreateSession(problem="p"))).id == "one"
    assert pauses == slept
    assert len(set(keys)) == 1  # so that nothing is started twice


async def test_create_sends_only_what_was_asked_for_so_that_older_navigators_understand() -> None:
    bodies: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        assert request.headers["content-type"] == "application/json"
        session = Session(id="one", problem=Problem(text="p"), started_at=AT, updated_at=AT)
        return httpx.Response(201, content=session.model_dump_json())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = NavigatorClient(http, "http://navigator")
        await client.create(CreateSession(problem="p"))
        await client.create(CreateSession(problem="p", budget=Effort.LOW.budget, parent=None))
    assert bodies[0] == {"problem": "p"}
    assert CreateSession.model_validate(bodies[1]).budget == Effort.LOW.budget


async def test_cancel_returns_the_session() -> None:
    fake = FakeNavigator()
    async with navigator(fake) as (client, _):
        assert (await client.cancel("one")).id == "one"
    assert fake.cancelled == ["one"]


async def test_failures_keep_kind_hint_and_retryability_across_the_wire() -> None:
    fake = FakeNavigator()
    async with navigator(fake) as (client, _):
        with pytest.raises(NotFound) as caught:
            await client.get("two")
    expected = Failure(kind=FailureKind.NOT_FOUND, message="there is no session 'two'", hint="it may have expired")
    assert caught.value.failure == expected


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [(502, ServiceUnavailable, True), (404, NotFound, False), (400, ReasonFluxError, False)],
)
async def test_answers_of_strangers_are_typed_too(status: int, error: type[ReasonFluxError], retryable: bool) -> None:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(status, text="<html>")))
    with pytest.raises(error, match=str(status)) as caught:
        await NavigatorClient(http, "http://navigator").get("one")
    assert caught.value.failure.retryable is retryable


async def test_an_answer_of_another_shape_is_not_tried_again() -> None:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"surprise": 1})))
    with pytest.raises(ServiceUnavailable, match="no Session") as caught:
        await NavigatorClient(http, "http://navigator").get("one")
    assert not caught.value.failure.retryable


async def test_a_service_that_is_down_is_named_with_its_url() -> None:
    async with served(app_of()) as url:
        pass
    async with NavigatorClient.open(url) as client:
        with pytest.raises(ServiceUnavailable, match=url) as caught:
            await client.get("one")
    assert "REASONFLUX_NAVIGATOR_URL" in (caught.value.failure.hint or "")


async def test_an_invalid_request_names_the_field() -> None:
    async with navigator(FakeNavigator()) as (client, _):
        with pytest.raises(InvalidRequest, match="problem"):
            await client.create(CreateSession.model_construct(problem=""))
