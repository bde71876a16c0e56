"""Keys, tenants and limits over HTTP: the real app and loop, with keys and admission in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import openai
import pytest
from fastapi.routing import APIRoute

from navigator.access.door import Door
from navigator.access.keys import Caller, Scope, mint
from navigator.access.limits import Limits
from navigator.access.memory import MemoryAdmission, MemoryKeys
from navigator.access.visit import Visit
from navigator.api import streaming
from navigator.errors import JournalUnavailable
from navigator.journal import MemoryJournal
from navigator.testing import on_fakes, opened, plan, review, script, step
from reasonflux.client import NavigatorClient
from reasonflux.contracts import CreateSession, ErrorBody, InstantiateEvent, InstantiateRequest, Instantiation, Tokens
from reasonflux.errors import Forbidden, RateLimited, Unauthorized
from reasonflux.testing.fake_engine import Call
from reasonflux.testing.fakes import FakeExecutor
from reasonflux.testing.serving import served

NOW = datetime.now(UTC)
PROBLEM = {"problem": "What is 3 + 4?"}
CHAT = {"model": "reasonflux", "messages": [{"role": "user", "content": "What is 3 + 4?"}]}
DIRECT = {**CHAT, "model": "reasonflux-direct"}


class House:
    """A navigator with keys for two tenants. Its sessions wait for a worker, unless there are some."""

    def __init__(self, *, workers: int = 0, replies: Any = None, keys: Any = None, **settings: Any) -> None:
        self.keys, self.admission, self.journal = keys or MemoryKeys(), MemoryAdmission(), MemoryJournal()
        told = replies or script([plan(step("add", "s1"))] * 9, [review("finish", answer="r1")] * 9)
        self.app = on_fakes(
            told,
            lambda _: "7",
            keys=self.keys,
            admission=self.admission,
            journal=self.journal,
            workers=workers,
            **{"access": "keys", **settings},
        )

    async def key(self, tenant: str = "acme", **fields: Any) -> dict[str, str]:
        """A new key, as a header."""
        key, record = mint(tenant, NOW, **fields)
        await self.keys.keep(record)
        return {"Authorization": f"Bearer {key}"}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[httpx.AsyncClient]:
        async with opened(self.app) as client:
            yield client


def error_of(response: httpx.Response) -> ErrorBody.Error:
    return ErrorBody.model_validate_json(response.content).error


async def finish(client: httpx.AsyncClient, session_id: str, headers: dict[str, str]) -> None:
    await client.get(f"/v1/sessions/{session_id}/events", headers={**headers, "Accept": "text/event-stream"})


# Keys


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer sk-proj-abc"},
        {"Authorization": f"Bearer rf_{'0' * 16}_{'a' * 43}"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
    ],
)
async def test_without_a_good_key_nothing_under_v1_is_reached(sent: dict[str, str]) -> None:
    house = House()
    async with house.open() as client:
        answers = [
            await client.get("/v1/models", headers=sent),
            await client.post("/v1/chat/completions", json=CHAT, headers=sent),
            await client.post("/v1/sessions", content=b"{no json", headers=sent),
            await client.get("/v1/nowhere", headers=sent),
        ]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert {error_of(answer).type for answer in answers} == {"unauthorized"}
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert answers[0].headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("prefix", "path", "reached"),
    [
        ("/api", "/api/v1/models", True),
        ("/api", "/v1/models", True),
        ("/api", "/apiv1/models", False),
        ("/api/", "/api/v1/models", False),
        ("/v1", "/v1/v1/models", True),
        ("/v1", "/v1/models", False),
    ],
)
async def test_no_prefix_of_a_proxy_leads_past_the_door(prefix: str, path: str, reached: bool) -> None:
    house = House()
    async with house.app.router.lifespan_context(house.app):
        line = httpx.ASGITransport(house.app, root_path=prefix)
        async with httpx.AsyncClient(transport=line, base_url="http://navigator") as client:
            stranger = await client.get(path)
            known = await client.get(path, headers=await house.key())
    assert stranger.status_code in (401, 404)
    assert (known.status_code == 200) is reached


async def test_probes_and_documentation_need_no_key() -> None:
    async with House().open() as client:
        answers = [await client.get(path) for path in ("/", "/healthz", "/readyz", "/metrics", "/openapi.json")]
    assert [answer.status_code for answer in answers] == [200] * 5


async def test_every_other_route_is_behind_the_door() -> None:
    """So a new route under another prefix has to be thought about."""
    app = House().app
    outside = {route.path for route in app.routes if isinstance(route, APIRoute) and not route.path.startswith("/v1/")}
    assert outside == {"/", "/healthz", "/readyz", "/metrics"}


async def test_a_revoked_or_expired_key_is_refused_from_the_next_request_on() -> None:
    house = House()
    async with house.open() as client:
        key, record = mint("acme", NOW)
        await house.keys.keep(record)
        headers = {"Authorization": f"Bearer {key}"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200
        await house.keys.drop(record.id)
        assert (await client.get("/v1/models", headers=headers)).status_code == 401
        late = await house.key(expires_at=NOW - timedelta(seconds=1))
        assert (await client.get("/v1/models", headers=late)).status_code == 401


async def test_a_key_that_may_read_cannot_solve_and_the_other_way_round() -> None:
    house = House()
    async with house.open() as client:
        reader = await house.key(scopes=frozenset({Scope.READ}))
        solver = await house.key(scopes=frozenset({Scope.SOLVE}))
        created = await client.post("/v1/sessions", json=PROBLEM, headers=solver)
        path = f"/v1/sessions/{created.json()['id']}"
        seen = await client.get(path, headers=reader)
        refused = [
            await client.post("/v1/sessions", json=PROBLEM, headers=reader),
            await client.post("/v1/chat/completions", json=CHAT, headers=reader),
            await client.delete(path, headers=reader),
            await client.get(path, headers=solver),
        ]

    assert (created.status_code, seen.status_code) == (201, 200)
    assert [answer.status_code for answer in refused] == [403] * 4
    assert error_of(refused[0]).type == "forbidden"


async def test_a_reader_that_leaves_ends_no_session() -> None:
    house = House()
    async with house.open() as client:
        asked = {**PROBLEM, "on_disconnect": "cancel"}
        created = await client.post("/v1/sessions", json=asked, headers=await house.key())
        ended = []
        for scope in (Scope.READ, Scope.SOLVE):
            caller, no_gate = Caller(tenant="acme", scopes=frozenset({scope})), cast(Any, None)
            navigator = house.app.state.navigator_for(Visit(caller, no_gate))
            await navigator.left(created.json()["id"])
            ended.append((await navigator.session(created.json()["id"])).finished)
    assert ended == [False, True]


async def test_keys_that_cannot_be_looked_up_let_nobody_in() -> None:
    class Away(MemoryKeys):
        async def find(self, key_id: str) -> Any:
            raise JournalUnavailable("Redis is away")

    house = House(keys=Away())
    async with house.open() as client:
        answer = await client.get("/v1/models", headers=await house.key())
    assert answer.status_code == 503


async def test_without_keys_asked_for_everybody_is_the_default_tenant() -> None:
    house = House(access="open")
    async with house.open() as client:
        plain = await client.post("/v1/sessions", json=PROBLEM)
        with_key = await client.get(f"/v1/sessions/{plain.json()['id']}", headers=await house.key())
    assert (plain.status_code, with_key.status_code) == (201, 200)


# Tenants


async def test_the_sessions_of_another_tenant_are_not_there_on_any_route() -> None:
    house = House(workers=2)
    async with house.open() as client:
        ours, theirs = await house.key("acme"), await house.key("other")
        created = await client.post("/v1/sessions", json=PROBLEM, headers=ours)
        session_id = created.json()["id"]
        await finish(client, session_id, ours)
        paths = [f"/v1/sessions/{session_id}", f"/v1/sessions/{session_id}/events", f"/v1/responses/resp_{session_id}"]
        parents = [
            ("/v1/sessions", {**PROBLEM, "parent": session_id}),
            ("/v1/chat/completions", {**CHAT, "metadata": {"parent": session_id}}),
            ("/v1/responses", {"model": "reasonflux", "input": "1+1?", "previous_response_id": f"resp_{session_id}"}),
        ]
        strange = [
            *[await client.get(path, headers=theirs) for path in paths],
            await client.get(paths[1], headers={**theirs, "Accept": "text/event-stream"}),
            await client.get(f"{paths[2]}?stream=true", headers=theirs),
            await client.post(f"/v1/sessions/{session_id}/cancel", headers=theirs),
            await client.post(f"/v1/responses/resp_{session_id}/cancel", headers=theirs),
            await client.delete(paths[0], headers=theirs),
            await client.delete(paths[2], headers=theirs),
            *[await client.post(path, json=body, headers=theirs) for path, body in parents],
        ]
        listed = await client.get("/v1/sessions", headers=theirs)
        cursor = await client.get(f"/v1/sessions?cursor={session_id}", headers=theirs)
        missing = await client.get(f"/v1/sessions/{'0' * 32}", headers=theirs)
        own = [await client.get(path, headers=ours) for path in paths]

    assert [answer.status_code for answer in strange] == [404] * len(strange)
    assert strange[0].text.replace(session_id, "") == missing.text.replace("0" * 32, "")
    assert listed.json()["sessions"] == []
    assert cursor.status_code == 410
    assert [answer.status_code for answer in own] == [200] * 3


async def test_an_idempotency_key_belongs_to_its_tenant() -> None:
    house = House()
    async with house.open() as client:
        told = []
        for tenant in ("acme", "other", "acme"):
            headers = {**await house.key(tenant), "Idempotency-Key": "once"}
            told.append(await client.post("/v1/sessions", json=PROBLEM, headers=headers))

    assert [answer.status_code for answer in told] == [201, 201, 200]
    ids = [answer.json()["id"] for answer in told]
    assert ids[0] == ids[2] != ids[1]


# Limits


async def test_a_tenants_limit_of_sessions_counts_over_all_its_keys_and_ends_with_them() -> None:
    house = House(tenant_sessions=1)
    async with house.open() as client:
        first, second, other = await house.key(), await house.key(), await house.key("other")
        running = await client.post("/v1/sessions", json=PROBLEM, headers=first)
        refused = await client.post("/v1/sessions", json=PROBLEM, headers=second)
        assert (await client.post("/v1/sessions", json=PROBLEM, headers=other)).status_code == 201
        await client.post(f"/v1/sessions/{running.json()['id']}/cancel", headers=first)
        again = await client.post("/v1/sessions", json=PROBLEM, headers=second)
        await client.delete(f"/v1/sessions/{again.json()['id']}", headers=second)
        third = await client.post("/v1/sessions", json=PROBLEM, headers=second)

    assert refused.status_code == 429
    assert error_of(refused).type == error_of(refused).code == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-should-retry"] == "true"
    assert (again.status_code, third.status_code) == (201, 201)


async def test_clients_that_ask_one_after_another_never_meet_a_limit_of_one_at_a_time() -> None:
    house = House(workers=2, tenant_sessions=1)
    async with house.open() as client:
        headers = await house.key()
        answers = [await client.post("/v1/chat/completions", json=CHAT, headers=headers) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 8


async def test_requests_a_minute_are_told_in_every_answer_that_starts_work() -> None:
    house = House(workers=2, tenant_requests=2, tenant_tokens=100_000)
    async with house.open() as client:
        headers = await house.key()
        answers = [
            await client.post("/v1/chat/completions", json={**CHAT, "stream": True}, headers=headers),
            await client.post("/v1/responses", json={"model": "reasonflux", "input": "1+1?"}, headers=headers),
            await client.post("/v1/chat/completions", json=CHAT, headers=headers),
        ]
        read = await client.get("/v1/models", headers=headers)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit-tokens"] == "100000"
    assert int(answers[2].headers["retry-after"]) >= 20
    assert read.status_code == 200
    assert "x-ratelimit-limit-requests" not in read.headers


async def test_tokens_are_counted_as_they_were_spent() -> None:
    house = House(workers=2, tenant_tokens=1_000_000)
    async with house.open() as client:
        headers = await house.key()
        created = await client.post("/v1/chat/completions", json=CHAT, headers=headers)
        spent = created.json()["usage"]["total_tokens"]
        later = await client.post("/v1/chat/completions", json=CHAT, headers=headers)

    before, after = (int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in (created, later))
    assert spent > 0
    assert 1_000_000 - before > spent  # an estimate
    assert before - after <= spent  # given back, and what was spent taken instead
    counted = house.app.state.registry.get_sample_value("reasonflux_tenant_tokens_total", {"tenant": "acme"})
    assert counted == 2 * spent


async def test_a_tenants_own_limits_go_before_the_defaults() -> None:
    house = House(tenant_requests=1)
    await house.keys.set_limits("acme", Limits(requests=3))
    async with house.open() as client:
        ours, theirs = await house.key("acme"), await house.key("other")
        told = [await client.post("/v1/sessions", json=PROBLEM, headers=ours) for _ in range(4)]
        other = [await client.post("/v1/sessions", json=PROBLEM, headers=theirs) for _ in range(2)]

    assert [answer.status_code for answer in told] == [201, 201, 201, 429]
    assert [answer.status_code for answer in other] == [201, 429]


async def test_a_repeated_request_is_neither_counted_nor_refused() -> None:
    house = House(tenant_requests=1, tenant_sessions=1)
    async with house.open() as client:
        headers = {**await house.key(), "Idempotency-Key": "once"}
        told = [await client.post("/v1/sessions", json=PROBLEM, headers=headers) for _ in range(3)]
        other = await client.post("/v1/sessions", json={"problem": "1+1?"}, headers=headers)
    assert [answer.status_code for answer in told] == [201, 200, 200]
    assert other.status_code == 409


async def test_a_full_deployment_refuses_early_and_says_when_to_come_back() -> None:
    house = House(access="open", room_sessions=2)
    async with house.open() as client:
        told = [await client.post("/v1/sessions", json=PROBLEM) for _ in range(3)]
        metrics = (await client.get("/metrics")).text

    assert [answer.status_code for answer in told] == [201, 201, 429]
    assert error_of(told[2]).type == "overloaded"
    assert int(told[2].headers["retry-after"]) >= 1
    assert 'reasonflux_requests_refused_total{reason="room"} 1.0' in metrics
    assert len(await house.journal.list()) == 2


async def test_plain_engine_calls_are_counted_too() -> None:
    called, gate = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> str:
        called.set()
        await gate.wait()
        return "a title"

    house = House(replies=slow, tenant_sessions=1)
    async with house.open() as client:
        headers = await house.key()
        first = asyncio.create_task(client.post("/v1/chat/completions", json=DIRECT, headers=headers))
        await called.wait()
        refused = await client.post("/v1/chat/completions", json={**DIRECT, "stream": True}, headers=headers)
        gate.set()
        assert (await first).status_code == 200
        after = await client.post("/v1/chat/completions", json={**DIRECT, "stream": True}, headers=headers)

    assert refused.status_code == 429
    assert after.status_code == 200
    assert after.text.endswith("data: [DONE]\n\n")


async def test_a_plain_engine_call_that_its_client_leaves_is_not_free() -> None:
    called = asyncio.Event()

    async def endless(call: Call) -> str:
        called.set()
        await asyncio.Event().wait()
        return ""

    house = House(replies=endless)
    async with house.open() as client:
        asked = client.post("/v1/chat/completions", json=DIRECT, headers=await house.key())
        leaving = asyncio.create_task(asked)
        await called.wait()
        leaving.cancel()
        await asyncio.wait((leaving,))

    counted = house.app.state.registry.get_sample_value("reasonflux_tenant_tokens_total", {"tenant": "acme"})
    assert counted is not None
    assert counted >= 1_024


async def test_what_a_cancelled_session_had_under_way_is_charged() -> None:
    half_way, spent = asyncio.Event(), Tokens(prompt=5_000, completion=8, calls=1)

    class Executor(FakeExecutor):
        async def instantiate(self, request: InstantiateRequest, on_event: Any = None) -> Instantiation:
            await on_event(InstantiateEvent(spent=spent))
            half_way.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody wakes it")

    house = House(workers=1, executor=Executor(), tenant_tokens=1_000_000)
    async with house.open() as client:
        headers = await house.key()
        created = await client.post("/v1/sessions", json=PROBLEM, headers=headers)
        await half_way.wait()
        ended = await client.post(f"/v1/sessions/{created.json()['id']}/cancel", headers=headers)

    planned = ended.json()["usage"]["navigator"]
    registry = house.app.state.registry
    counted = registry.get_sample_value("reasonflux_tenant_tokens_total", {"tenant": "acme"})
    assert counted == planned["prompt"] + planned["completion"] + spent.total
    labels = {"role": "executor", "kind": "prompt", "engine": "default"}
    assert registry.get_sample_value("reasonflux_tokens_total", labels) == spent.prompt


async def test_a_session_that_could_not_be_created_holds_no_place() -> None:
    house = House(tenant_sessions=1)
    create, faults = house.journal.create, [JournalUnavailable("Redis is away")]

    async def failing(*args: Any, **fields: Any) -> str:
        if faults:
            raise faults.pop()
        return await create(*args, **fields)

    house.journal.create = failing  # type: ignore[method-assign]
    async with house.open() as client:
        headers = await house.key()
        told = [await client.post("/v1/sessions", json=PROBLEM, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in told] == [503, 201]


# Size, and other web pages


async def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    house = House(access="open", max_body_bytes=2_000)

    async def dripping() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    async with house.open() as client:
        told = [
            await client.post("/v1/sessions", json={"problem": "x" * 3_000}),
            await client.post("/v1/sessions", content=dripping(), headers={"Content-Type": "application/json"}),
            await client.post("/v1/sessions", json={"problem": "x" * 1_000}),
        ]
    assert [answer.status_code for answer in told] == [413, 413, 201]
    assert error_of(told[0]).type == "invalid_request"


async def test_headers_have_an_end() -> None:
    async with House(access="open").open() as client:
        refused = await client.get("/v1/models", headers={"X-Long": "x" * 70_000})
    assert (refused.status_code, error_of(refused).type) == (431, "invalid_request")


async def test_a_body_that_stops_on_its_way_is_not_waited_for() -> None:
    app = House(access="open").app

    async def stuck() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    said: list[dict[str, Any]] = []

    async def hear(message: Any) -> None:
        said.append(message)

    async with app.router.lifespan_context(app):
        door = Door(app.build_middleware_stack(), max_body_bytes=1_000, body_seconds=0.05)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"9")]
        scope = {"type": "http", "method": "POST", "path": "/v1/sessions", "headers": headers, "query_string": b""}
        await door({**scope, "app": app, "http_version": "1.1"}, stuck, hear)
    assert said[0]["status"] == 408


async def test_a_tenant_has_so_many_requests_open_at_a_time_and_others_have_theirs() -> None:
    house = House(tenant_open_requests=1)
    async with served(house.app) as url, httpx.AsyncClient(base_url=url, timeout=None) as client:
        ours, theirs = await house.key("acme"), await house.key("other")
        created = await client.post("/v1/sessions", json=PROBLEM, headers=ours)
        path = f"/v1/sessions/{created.json()['id']}"
        stream = {**ours, "Accept": "text/event-stream"}
        async with client.stream("GET", f"{path}/events", headers=stream) as watching:
            lines = watching.aiter_lines()
            await anext(lines)
            refused = await client.get(path, headers=ours)
            other = await client.get("/v1/models", headers=theirs)
            await house.journal.cancel(created.json()["id"])
            async for _ in lines:
                pass
        for _ in range(200):  # the server closes a moment after the client has read it all
            if not (again := await client.get(path, headers=ours)).is_error:
                break
            await asyncio.sleep(0.01)

    assert (refused.status_code, error_of(refused).type) == (429, "rate_limit_exceeded")
    assert (other.status_code, again.status_code) == (200, 200)


async def test_a_client_that_stops_reading_is_let_go() -> None:
    async def frames() -> streaming.Frames:
        for _ in range(3):
            yield streaming.DONE

    async def unread(_: Any) -> None:
        await asyncio.Event().wait()

    async def still_there() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def left() -> None:
        raise AssertionError("it has not left")

    response: Any = streaming.event_stream(frames(), left=left)
    response.send_timeout = 0.05
    async with asyncio.timeout(30):
        await response({"type": "http", "method": "GET", "path": "/", "headers": []}, still_there, unread)


ORIGIN = {"Origin": "https://app.example.com"}


async def test_other_web_pages_may_not_call_by_default() -> None:
    async with House().open() as client:
        asked = await client.options("/v1/models", headers={**ORIGIN, "Access-Control-Request-Method": "GET"})
        answer = await client.get("/healthz", headers=ORIGIN)
    assert asked.status_code == 401
    assert not [name for name in (*asked.headers, *answer.headers) if name.startswith("access-control")]


async def test_pages_that_the_operator_names_may_call_and_read_refusals() -> None:
    house = House(cors_origins=("https://app.example.com",))
    async with house.open() as client:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        asked = await client.options("/v1/chat/completions", headers={**ORIGIN, **preflight})
        refused = await client.post("/v1/chat/completions", json=CHAT, headers=ORIGIN)
        stranger = await client.get("/v1/models", headers={**await house.key(), "Origin": "https://evil.example"})

    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert "retry-after" in refused.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-credentials" not in refused.headers
    assert "access-control-allow-origin" not in stranger.headers


# Clients


async def test_our_client_sends_its_key_and_gets_typed_refusals() -> None:
    house = House(workers=2, tenant_requests=1)
    key = (await house.key())["Authorization"].removeprefix("Bearer ")
    reader = (await house.key(scopes=frozenset({Scope.READ})))["Authorization"].removeprefix("Bearer ")
    async with served(house.app) as url:
        async with NavigatorClient.open(url, key=key) as navigator:
            assert (await navigator.solve("What is 3 + 4?")).answer == "7"
            with pytest.raises(RateLimited) as limited:
                await navigator.create(CreateSession(problem="What is 1 + 1?"))
        async with NavigatorClient.open(url) as navigator:
            with pytest.raises(Unauthorized):
                await navigator.get("s")
        async with NavigatorClient.open(url, key=reader) as navigator:
            with pytest.raises(Forbidden):
                await navigator.create(CreateSession(problem="What is 1 + 1?"))

    assert limited.value.failure.retryable
    assert limited.value.retry_after is not None
    assert limited.value.retry_after > 30


async def test_openais_client_raises_its_own_errors_and_reads_the_headers() -> None:
    house = House(workers=2, tenant_requests=1)
    key = (await house.key())["Authorization"].removeprefix("Bearer ")
    asked: Any = {"model": "reasonflux", "messages": CHAT["messages"]}
    async with served(house.app) as url:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            raw = await client.chat.completions.with_raw_response.create(**asked)
            with pytest.raises(openai.RateLimitError) as limited:
                await client.chat.completions.create(**asked)
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.models.list()

    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert limited.value.code == "rate_limit_exceeded"
