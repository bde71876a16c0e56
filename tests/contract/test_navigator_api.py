"""The sessions API: the real app and loop on a journal in memory, with a scripted engine, executor and store."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from navigator.journal import MemoryJournal
from navigator.settings import Settings
from navigator.testing import on_fakes, opened, plan, review, script, step
from reasonflux.client import NavigatorClient
from reasonflux.contracts import (
    CreateSession,
    Delta,
    Effort,
    Entry,
    ErrorBody,
    EventPage,
    FailureKind,
    InstantiateRequest,
    Outcome,
    Session,
    SessionFinished,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    WorkedExample,
)
from reasonflux.errors import ServiceUnavailable
from reasonflux.sse import ServerEvent, read_sse
from reasonflux.testing.serving import served

PROBLEM = {"problem": "Ann has 3 apples. Ben has 4. How many do they have together?"}
SSE = {"Accept": "text/event-stream"}

Executor = Callable[[InstantiateRequest], Awaitable[str]]

VIETA = ThoughtTemplate(
    id="adding-up",
    name="Adding up",
    type=TemplateType.FORMULA_RULE,
    field="arithmetic/sums",
    tags=("sum",),
    description="Add the parts to get the whole.",
    scope=("parts are given",),
    variables={"a": "a part", "b": "another"},
    steps=(TemplateStep(instruction="Add.", formula="whole = a + b"),),
    example=WorkedExample(problem="1 and 2?", bindings={"a": "1", "b": "2"}, answer="3", check="answer - b == a"),
)


def two_steps() -> Any:
    """A navigator that plans two steps and finishes with the second one's result, once for each session."""
    steps = plan(step("find the parts", "s1", "s2"), step("add them up", "r1", template="Adding up"))
    return script([steps] * 9, [review("continue"), review("finish", "it adds up", answer="r2")] * 9)


def solving(**fields: Any) -> Any:
    return on_fakes(two_steps(), lambda request: "7" if request.known else "3", **fields)


class Gate:
    """An executor that says when it is called, and waits to be let through."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, request: InstantiateRequest) -> str:
        self.called.set()
        await self.open.wait()
        return "7"


async def finished(client: httpx.AsyncClient, session_id: str) -> list[ServerEvent]:
    """The session's stream, read to its end: it ends with the session."""
    response = await client.get(f"/v1/sessions/{session_id}/events", headers=SSE)
    assert response.headers["content-type"].startswith("text/event-stream")
    return await sse_events(response)


async def sse_events(response: httpx.Response) -> list[ServerEvent]:
    async def body() -> Any:
        yield response.content

    return [event async for event in read_sse(body())]


def error_of(response: httpx.Response) -> ErrorBody.Error:
    return ErrorBody.model_validate_json(response.content).error


async def start(
    client: httpx.AsyncClient, body: dict[str, Any] | None = None, *, key: str | None = None
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post("/v1/sessions", json=body or PROBLEM, headers=headers)


# Starting and reading


async def test_a_problem_becomes_a_session_that_is_solved() -> None:
    async with opened(solving(templates=[VIETA])) as client:
        created = await start(client)
        session = Session.model_validate_json(created.content)
        assert created.status_code == 201
        assert created.headers["location"] == f"/v1/sessions/{session.id}"
        assert session.problem.text == PROBLEM["problem"]

        await finished(client, session.id)
        solved = Session.model_validate_json((await client.get(created.headers["location"])).content)

    assert (solved.outcome, solved.answer, solved.rounds) == (Outcome.SOLVED, "7", 2)
    assert solved.steps[1].retrieval is not None
    assert solved.steps[1].retrieval.template == VIETA
    assert solved.usage.navigator.calls == 3
    assert solved.usage.executor.calls == 2


async def test_options_say_how_to_solve() -> None:
    app = on_fakes(script([]), workers=0)
    async with opened(app) as client:
        high = Session.model_validate_json((await start(client, {**PROBLEM, "effort": "high"})).content)
        own = await start(
            client,
            {
                **PROBLEM,
                "effort": "high",
                "budget": {"rounds": 2, "tokens": 100},
                "horizon": 1,
                "review": False,
                "retrieve": False,
                "metadata": {"course": "algebra"},
            },
        )
        session = Session.model_validate_json(own.content)

    assert high.options.budget == Effort.HIGH.budget
    assert (session.options.budget.rounds, session.options.budget.tokens) == (2, 100)
    assert (session.options.horizon, session.options.review, session.options.retrieve) == (1, False, False)
    assert session.metadata == {"course": "algebra"}


async def test_what_may_be_lost_to_bets_is_the_operator_s_to_set_and_the_client_s_to_say() -> None:
    async with opened(on_fakes(script([]), workers=0, speculation=2_000)) as client:
        sessions = [
            Session.model_validate_json((await start(client, {**PROBLEM, **asked})).content)
            for asked in ({}, {"speculation": 0}, {"speculation": 500})
        ]
        negative = await start(client, {**PROBLEM, "speculation": -1})

    assert [session.options.speculation for session in sessions] == [2_000, 0, 500]
    assert negative.status_code == 400


async def test_a_session_can_be_read_while_it_runs() -> None:
    gate = Gate()
    app = on_fakes(script([plan(step("find it", "s1"))], [review("finish", answer="r1")]), gate)
    async with opened(app) as client:
        url = (await start(client)).headers["location"]
        await gate.called.wait()
        running = Session.model_validate_json((await client.get(url)).content)
        gate.open.set()
        await finished(client, running.id)

    assert running.outcome is None
    assert [state.step.goal for state in running.steps] == ["find it"]


async def test_the_list_shows_sessions_newest_first_page_by_page() -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        ids = [(await start(client, {"problem": f"What is 1 + {n}?"})).json()["id"] for n in range(5)]
        first = (await client.get("/v1/sessions", params={"limit": 3})).json()
        second = (await client.get("/v1/sessions", params={"limit": 3, "cursor": first["next_cursor"]})).json()

    assert [item["id"] for item in first["sessions"] + second["sessions"]] == ids[::-1]
    assert first["sessions"][0]["problem"] == "What is 1 + 4?"
    assert second["next_cursor"] is None


# Idempotency


async def test_a_repeated_request_with_the_same_key_starts_nothing() -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        first = await start(client, key="k1")
        again = await start(client, key="k1")
        other = await start(client, key="k2")
        listed = (await client.get("/v1/sessions")).json()["sessions"]

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert again.json()["id"] == first.json()["id"] != other.json()["id"]
    assert len(listed) == 2


async def test_a_key_that_belongs_to_another_request_is_refused() -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        await start(client, key="k1")
        response = await start(client, {"problem": "Something else?"}, key="k1")

    assert response.status_code == 409
    assert error_of(response).type == FailureKind.CONFLICT


# Events


async def test_the_stream_tells_every_entry_once_and_text_in_between() -> None:
    async with opened(solving()) as client:
        session_id = (await start(client)).json()["id"]
        events = await finished(client, session_id)

    entries = [Entry.model_validate_json(event.data) for event in events if event.event != "delta"]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert [event.id for event in events if event.event != "delta"] == [str(entry.seq) for entry in entries]
    assert [event.event for event in events if event.event != "delta"] == [entry.event.type for entry in entries]
    assert isinstance(entries[-1].event, SessionFinished)


@pytest.mark.parametrize("asked_for", [True, False])
async def test_live_text_has_no_id_and_can_be_left_out(asked_for: bool) -> None:
    gate = Gate()
    app = on_fakes(script([plan(step("find it", "s1"))], [review("finish", answer="r1")]), gate)
    params = {} if asked_for else {"deltas": "false"}
    deltas: list[ServerEvent] = []
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=None) as client:
        path = f"/v1/sessions/{(await start(client)).json()['id']}/events"
        async with client.stream("GET", path, params=params, headers=SSE) as response:
            async for event in read_sse(response.aiter_bytes()):
                gate.open.set()  # the follower is there: it has an entry
                deltas += [event] if event.event == "delta" else []

    assert bool(deltas) is asked_for
    assert all(event.id is None and Delta.model_validate_json(event.data).text for event in deltas)


@pytest.mark.parametrize("way", ["header", "query", "header before query"])
async def test_a_stream_resumes_after_the_last_event_that_the_client_has(way: str) -> None:
    headers = dict(SSE) if way == "query" else {**SSE, "Last-Event-ID": "3"}
    params = {"header": {}, "query": {"after": 3}, "header before query": {"after": 1}}[way]
    async with opened(solving()) as client:
        session_id = (await start(client)).json()["id"]
        whole = [event for event in await finished(client, session_id) if event.event != "delta"]
        response = await client.get(f"/v1/sessions/{session_id}/events", params=params, headers=headers)
        rest = await sse_events(response)

    assert rest == whole[3:]


async def test_without_event_stream_events_come_in_pages() -> None:
    async with opened(solving()) as client:
        session_id = (await start(client)).json()["id"]
        whole = [event for event in await finished(client, session_id) if event.event != "delta"]
        entries: list[Entry] = []
        pages: list[EventPage] = []
        while not pages or not pages[-1].finished:
            params = {"after": len(entries), "limit": 3}
            response = await client.get(f"/v1/sessions/{session_id}/events", params=params)
            pages.append(EventPage.model_validate_json(response.content))
            entries += pages[-1].entries
        beyond = await client.get(f"/v1/sessions/{session_id}/events", params={"after": len(entries)})

    assert [entry.model_dump_json() for entry in entries] == [event.data for event in whole]
    assert all(len(page.entries) == 3 for page in pages[:-1])
    assert EventPage.model_validate_json(beyond.content) == EventPage(session_id=session_id, entries=(), finished=True)


@pytest.mark.parametrize("headers", [SSE, {}])
async def test_a_cursor_beyond_the_end_has_expired(headers: dict[str, str]) -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        session_id = (await start(client)).json()["id"]
        response = await client.get(f"/v1/sessions/{session_id}/events", params={"after": 9}, headers=headers)

    assert response.status_code == 410
    assert error_of(response).type == FailureKind.EXPIRED


async def test_the_public_client_follows_a_session_over_a_real_connection() -> None:
    seen: list[Entry | Delta] = []

    async def keep(item: Entry | Delta) -> None:
        seen.append(item)

    async with served(solving()) as url, NavigatorClient.open(url) as navigator:
        session = await navigator.solve(PROBLEM["problem"], on_event=keep)

    assert session.answer == "7"
    assert [item.seq for item in seen if isinstance(item, Entry)] == list(range(1, session.last_seq + 1))


# Ending


async def test_cancelling_ends_the_session_and_its_streams() -> None:
    gate = Gate()
    async with opened(on_fakes(script([plan(step("find it", "s1"))]), gate)) as client:
        session_id = (await start(client)).json()["id"]
        await gate.called.wait()
        stream = asyncio.create_task(finished(client, session_id))
        cancelled = await client.post(f"/v1/sessions/{session_id}/cancel")
        again = await client.post(f"/v1/sessions/{session_id}/cancel")
        last = (await stream)[-1]
        metrics = (await client.get("/metrics")).text

    assert (cancelled.status_code, again.status_code) == (200, 200)
    assert cancelled.json() == again.json()
    assert cancelled.json()["outcome"] == "cancelled"
    assert last.event == "session.finished"
    assert 'reasonflux_sessions_finished_total{outcome="cancelled"} 1.0' in metrics


async def test_a_deleted_session_is_gone() -> None:
    gate = Gate()
    async with opened(on_fakes(script([plan(step("find it", "s1"))]), gate)) as client:
        url = (await start(client)).headers["location"]
        await gate.called.wait()
        assert (await client.delete(url)).status_code == 204
        statuses = [(await client.get(url)).status_code, (await client.delete(url)).status_code]
        listed = (await client.get("/v1/sessions")).json()["sessions"]

    assert statuses == [404, 404]
    assert listed == []


async def test_stopping_the_service_gives_unfinished_sessions_to_the_next_worker() -> None:
    gate, journal = Gate(), MemoryJournal()
    async with opened(on_fakes(script([plan(step("find it", "s1"))]), gate, journal=journal)) as client:
        session_id = (await start(client)).json()["id"]
        await gate.called.wait()
    assert [entry.event.type for entry in await journal.read(session_id)] == ["session.started", "plan.made"]

    gate.open.set()
    async with opened(on_fakes(script([], [review("finish", answer="r1")]), gate, journal=journal)) as client:
        events = await finished(client, session_id)

    assert [e.event for e in events if e.event != "delta"][2:] == [
        "step.restarted",
        "step.instantiated",
        "step.reviewed",
        "session.finished",
    ]


# Refusals


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind", "names"),
    [
        ("GET", "/v1/sessions/none", None, 404, FailureKind.NOT_FOUND, "none"),
        ("GET", "/v1/sessions/none/events", None, 404, FailureKind.NOT_FOUND, "none"),
        ("POST", "/v1/sessions/none/cancel", None, 404, FailureKind.NOT_FOUND, "none"),
        ("GET", "/v1/sessions?cursor=none", None, 410, FailureKind.EXPIRED, "none"),
        ("POST", "/v1/sessions", {**PROBLEM, "parent": "none"}, 404, FailureKind.NOT_FOUND, "parent"),
        ("POST", "/v1/sessions", {**PROBLEM, "webhook": "https://x.org/"}, 400, FailureKind.INVALID_REQUEST, "webhook"),
        ("GET", "/v1/sessions?limit=0", None, 400, FailureKind.INVALID_REQUEST, "limit"),
        ("POST", "/v1/sessions", {"problem": ""}, 400, FailureKind.INVALID_REQUEST, "problem"),
        ("POST", "/v1/sessions", {"problem": " \n"}, 400, FailureKind.INVALID_REQUEST, "problem"),
        ("POST", "/v1/sessions", {"problem": "x" * 20_001}, 400, FailureKind.INVALID_REQUEST, "problem"),
        ("POST", "/v1/sessions", {**PROBLEM, "libary": "math"}, 400, FailureKind.INVALID_REQUEST, "libary"),
        ("POST", "/v1/sessions", {**PROBLEM, "library": "poems"}, 400, FailureKind.INVALID_REQUEST, "poems"),
        ("POST", "/v1/sessions", {**PROBLEM, "horizon": 0}, 400, FailureKind.INVALID_REQUEST, "horizon"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_typed_error(
    method: str, path: str, body: dict[str, Any] | None, status: int, kind: FailureKind, names: str
) -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        response = await client.request(method, path, json=body)

    assert response.status_code == status
    assert error_of(response).type == kind
    assert names in error_of(response).message


@pytest.mark.parametrize("last", ["abc", "-1", "1.5", "²", "9" * 40])
async def test_a_last_event_id_that_is_no_seq_is_refused(last: str) -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        url = (await start(client)).headers["location"]
        headers = [(b"accept", b"text/event-stream"), (b"last-event-id", last.encode())]
        response = await client.get(f"{url}/events", headers=headers)

    assert response.status_code == 400
    assert error_of(response).type == FailureKind.INVALID_REQUEST


# Watching the service


TURN = {"problem": "1+1?"}
STEP = {"id": 1, "goal": "add", "result": "2"}


@pytest.mark.parametrize(
    "fields",
    [
        {"budget": {"rounds": 10**6}},
        {"budget": {"tokens": 10**15}},
        {"budget": {"completion_tokens": 10**15}},
        {"budget": {"seconds": 10**9}},
        {"budget": {"samples": 10**6}},
        {"horizon": 10**6},
        {"sampling": {"seed": 2**63}},
        {"turns": [TURN] * 65},
        {"turns": [{**TURN, "steps": [STEP] * 65}]},
        {"turns": [{**TURN, "reply": "x" * 20_001}]},
        {"turns": [{**TURN, "steps": [{**STEP, "calculations": ["1"] * 65}]}]},
        {"metadata": {str(n): "" for n in range(65)}},
        {"library": "x" * 200},
    ],
)
async def test_nothing_that_a_client_sends_is_without_bounds(fields: dict[str, Any]) -> None:
    async with opened(solving()) as client:
        refused = await client.post("/v1/sessions", json={**PROBLEM, **fields})
    assert refused.status_code == 400


async def test_a_template_that_the_library_does_not_have_is_refused_by_its_name() -> None:
    async with opened(solving(templates=[VIETA])) as client:
        refused = await start(client, {**PROBLEM, "templates": [VIETA.id, "nope"]})
        taken = await start(client, {**PROBLEM, "templates": [VIETA.id]})

    assert (refused.status_code, taken.status_code) == (400, 201)
    error = refused.json()["error"]
    assert error["param"] == "templates"
    assert "'nope'" in error["message"]


async def test_metrics_are_read_off_the_committed_entries() -> None:
    async with opened(solving()) as client:
        session_id = (await start(client)).json()["id"]
        await finished(client, session_id)
        usage = Session.model_validate_json((await client.get(f"/v1/sessions/{session_id}")).content).usage
        lines = (await client.get("/metrics")).text.splitlines()

    assert 'reasonflux_sessions_finished_total{outcome="solved"} 1.0' in lines
    assert "reasonflux_session_rounds_sum 2.0" in lines
    tokens = 'reasonflux_tokens_total{engine="default"'
    assert f'{tokens},kind="prompt",role="navigator"}} {float(usage.navigator.prompt)}' in lines
    assert f'{tokens},kind="completion",role="executor"}} {float(usage.executor.completion)}' in lines
    assert 'reasonflux_steps_reviewed_total{verdict="finish"} 1.0' in lines
    assert "reasonflux_retrieval_abstentions_total 1.0" in lines


async def test_readiness_names_everything_that_is_missing() -> None:
    async def engine_is_down() -> None:
        raise ServiceUnavailable("the engine is down")

    async def store_is_down() -> None:
        raise ServiceUnavailable("the store is down")

    async with opened(on_fakes(script([]), checks=[engine_is_down, store_is_down])) as client:
        response = await client.get("/readyz")

    assert response.status_code == 503
    assert "the engine is down" in error_of(response).message
    assert "the store is down" in error_of(response).message


async def test_an_api_without_workers_is_ready_while_the_engine_is_away() -> None:
    async def engine_is_down() -> None:
        raise ServiceUnavailable("the engine is down")

    async with opened(on_fakes(script([]), checks=[engine_is_down], workers=0)) as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_the_root_points_to_the_documentation_and_bodies_have_examples() -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        root = (await client.get("/")).json()
        described = (await client.get(root["openapi"])).json()

    for path in ("/v1/sessions", "/v1/chat/completions", "/v1/responses"):
        body = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert body["examples"]
    examples = described["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert all(CreateSession.model_validate(example["value"]) for example in examples.values())


async def test_a_follower_that_leaves_early_ends_nothing() -> None:
    gate = Gate()
    journal = MemoryJournal()
    app = on_fakes(script([plan(step("find it", "s1"))], [review("finish", answer="r1")]), gate, journal=journal)
    async with served(app) as url, NavigatorClient.open(url) as navigator:
        session = await navigator.create(CreateSession(problem="What is 3 + 4?"))
        async with aclosing(navigator.events(session.id)) as events:
            await anext(events)
        await gate.called.wait()
        gate.open.set()
        async with aclosing(journal.follow(session.id)) as items:
            last = [item async for item in items][-1]

    assert isinstance(last, Entry)
    assert isinstance(last.event, SessionFinished)
    assert last.event.outcome is Outcome.SOLVED


@pytest.mark.parametrize(
    ("model", "chosen", "profile"),
    [
        ("reasonflux-tiny-navigator", None, "compact"),
        ("Qwen/Qwen2.5-7B-Instruct", None, "instruct"),
        ("my-finetune", "compact", "compact"),
    ],
)
def test_the_prompts_follow_the_model_unless_they_are_chosen(model: str, chosen: Any, profile: str) -> None:
    found = Settings(navigator_engine_model=model, navigator_profile=chosen)
    assert found.profile == profile
