"""Who waits for a session, and how: leaving, outages of the journal, deadlines in the queue, webhooks, heartbeats."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from navigator.api.streaming import event_stream
from navigator.api.watching import follow
from navigator.errors import JournalUnavailable
from navigator.journal import MemoryJournal
from navigator.metrics import Metrics
from navigator.settings import Settings
from navigator.testing import on_fakes, opened, plan, review, script, step
from navigator.upkeep import Upkeep
from navigator.webhooks import MAX_TRIES, SessionNotice, Webhooks, origin_of, signed
from reasonflux.contracts import (
    Budget,
    Delivery,
    Delta,
    Entry,
    FailureKind,
    InstantiateRequest,
    Options,
    Outcome,
    Problem,
    SessionFinished,
    SessionStarted,
)
from reasonflux.sse import read_sse
from reasonflux.testing.serving import served

SSE = {"Accept": "text/event-stream"}
PROBLEM = {"problem": "What is 3 + 4?"}
HOOKS = "https://hooks.example.com"


class Gate:
    def __init__(self) -> None:
        self.called, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: InstantiateRequest) -> str:
        self.called.set()
        await self.open.wait()
        return "7"


def solving(executor: Any = lambda request: "7", **fields: Any) -> Any:
    return on_fakes(script([plan(step("add", "s1"))] * 9, [review("finish", answer="r1")] * 9), executor, **fields)


async def end_of(journal: MemoryJournal, session_id: str) -> SessionFinished:
    async with aclosing(journal.follow(session_id)) as items:
        last = [item async for item in items][-1]
    assert isinstance(last, Entry)
    assert isinstance(last.event, SessionFinished)
    return last.event


# Leaving


@pytest.mark.parametrize(("chosen", "outcome"), [("cancel", Outcome.CANCELLED), ("continue", Outcome.SOLVED)])
async def test_a_session_ends_with_its_last_follower_when_it_was_told_so(chosen: str, outcome: Outcome) -> None:
    gate, journal = Gate(), MemoryJournal()
    app = solving(gate, journal=journal)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=None) as client:
        made = (await client.post("/v1/sessions", json={**PROBLEM, "on_disconnect": chosen})).json()

        async def look() -> None:
            async with client.stream("GET", f"/v1/sessions/{made['id']}/events", headers=SSE) as response:
                await gate.called.wait()
                async for _ in read_sse(response.aiter_bytes()):
                    return

        await asyncio.gather(look(), look())
        if chosen == "continue":
            gate.open.set()
        end = await end_of(journal, made["id"])

    assert end.outcome is outcome


async def test_one_follower_of_two_may_leave() -> None:
    gate, journal = Gate(), MemoryJournal()
    app = solving(gate, journal=journal)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=None) as client:
        made = (await client.post("/v1/sessions", json={**PROBLEM, "on_disconnect": "cancel"})).json()
        path = f"/v1/sessions/{made['id']}/events"
        async with client.stream("GET", path, headers=SSE) as stays:
            events = read_sse(stays.aiter_bytes())
            await anext(events)
            async with client.stream("GET", path, headers=SSE) as leaves:
                await anext(read_sse(leaves.aiter_bytes()))
            await gate.called.wait()
            metrics = (await client.get("/metrics")).text  # the server has had its turns since
            gate.open.set()
            *_, last = [event async for event in events]

    assert 'outcome="cancelled"} 0.0' in metrics
    assert '"outcome":"solved"' in last.data


async def test_one_follower_may_leave_while_another_follows_at_another_replica() -> None:
    gate, journal = Gate(), MemoryJournal()
    here, there = solving(gate, journal=journal), on_fakes(script([]), journal=journal, workers=0)
    async with served(here) as one, served(there) as two, httpx.AsyncClient(timeout=None) as client:
        made = (await client.post(f"{one}/v1/sessions", json={**PROBLEM, "on_disconnect": "cancel"})).json()
        path = f"/v1/sessions/{made['id']}/events"
        async with client.stream("GET", f"{two}{path}", headers=SSE) as stays:
            events = read_sse(stays.aiter_bytes())
            await anext(events)
            async with client.stream("GET", f"{one}{path}", headers=SSE) as leaves:
                await anext(read_sse(leaves.aiter_bytes()))
            await gate.called.wait()
            await client.get(f"{one}/metrics")  # the server has had its turns since
            gate.open.set()
            *_, last = [event async for event in events]

    assert '"outcome":"solved"' in last.data


# Outages


class Flaky(MemoryJournal):
    """Is away three times: `entries` entries after it is followed, or when it is asked for a session's end."""

    def __init__(self, entries: int, followed: bool) -> None:
        super().__init__()
        self.failing, self.followed, self.outages = entries, followed, 0

    async def ended(self, session_id: str) -> None:
        if not self.followed and self.outages < 3:
            self.outages += 1
            raise JournalUnavailable("Redis is away")
        await super().ended(session_id)

    async def follow(
        self, session_id: str, after: int = 0, *, deltas: bool = False
    ) -> AsyncGenerator[Entry | Delta, None]:
        told = 0
        async with aclosing(super().follow(session_id, after, deltas=deltas)) as items:
            async for item in items:
                if told == self.failing and self.outages < 3:
                    self.outages += 1
                    raise JournalUnavailable("Redis is away")
                told += isinstance(item, Entry)
                yield item


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("entries", [0, 1, 2])
async def test_an_outage_of_the_journal_does_not_break_a_chat_whose_session_runs_on(stream: bool, entries: int) -> None:
    journal = Flaky(entries, followed=stream)
    body = {"model": "reasonflux", "messages": [{"role": "user", "content": "What is 3 + 4?"}], "stream": stream}
    async with opened(solving(journal=journal)) as client:
        response = await client.post("/v1/chat/completions", json=body)

    assert journal.outages > 1
    assert response.status_code == 200
    assert r"\\boxed{7}" in response.text
    assert 'data: {"error"' not in response.text


async def test_a_follower_gives_up_when_the_journal_stays_away() -> None:
    class Gone(MemoryJournal):
        async def follow(self, *_: Any, **__: Any) -> AsyncGenerator[Entry | Delta, None]:
            raise JournalUnavailable("Redis is away")
            yield

    async def at_once(_: float) -> None:
        return None

    with pytest.raises(JournalUnavailable):
        async for _ in follow(Gone(), "s", sleep=at_once):
            pass


# Deadlines


async def test_a_session_that_no_worker_takes_ends_at_its_deadline_with_a_typed_failure() -> None:
    journal = MemoryJournal()
    body = {**PROBLEM, "budget": {"seconds": 0.05}}
    async with opened(on_fakes(script([]), journal=journal, workers=0)) as client:
        made = (await client.post("/v1/sessions", json=body)).json()
        end = await end_of(journal, made["id"])
        metrics = (await client.get("/metrics")).text

    assert (end.outcome, end.failure and end.failure.kind) == (Outcome.UNSOLVED, FailureKind.DEADLINE_EXCEEDED)
    assert 'reasonflux_sessions_finished_total{outcome="unsolved"} 1.0' in metrics


async def test_a_chat_whose_deadline_passes_is_told_what_is_known_so_far() -> None:
    """The second step hangs in an executor that hears of no deadline."""
    hanging = asyncio.Event()

    async def executor(request: InstantiateRequest) -> str:
        if request.known:
            await hanging.wait()
        return "3"

    steps = plan(step("find the parts", "s1"), step("add them up", "r1"))
    app = on_fakes(script([steps], [review("continue")]), executor)
    async with opened(app) as client:
        made = await client.post("/v1/sessions", json={**PROBLEM, "budget": {"seconds": 0.3}})
        await client.get(f"{made.headers['location']}/events", headers=SSE)
        response = (await client.get(f"/v1/responses/resp_{made.json()['id']}")).json()

    assert (response["status"], response["reasonflux"]["failure"]["kind"]) == ("incomplete", "deadline_exceeded")
    assert response["reasonflux"]["results"] == [{"name": "r1", "goal": "find the parts", "value": "3", "symbol": None}]
    assert "find the parts: 3" in response["output"][1]["content"][0]["text"]


# Webhooks


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Hooks.Example.com/a?b=c", HOOKS),
        ("https://hooks.example.com:443/", HOOKS),
        ("https://hooks.example.com:8443/", f"{HOOKS}:8443"),
        ("http://hooks.example.com/", "http://hooks.example.com"),
        ("https://hooks.example.com@169.254.169.254/", None),
        ("https://user:secret@hooks.example.com/", None),
        ("https://hooks.example.com\\@evil.example.com/", None),
        ("https://hooks.example.com.evil.example.com/", "https://hooks.example.com.evil.example.com"),
        ("file:///etc/passwd", None),
        ("gopher://hooks.example.com/", None),
        ("https://hooks.example.com:port/", None),
        ("https://[::1]:80/", "https://[::1]:80"),
        ("//hooks.example.com", None),
    ],
)
def test_the_origin_of_a_url_is_its_scheme_host_and_port(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("listed", ["hooks.example.com", "https://hooks.example.com/path", "ftp://x.org", "https://"])
def test_only_origins_can_be_listed_for_webhooks(listed: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        Settings(webhook_origins=(listed,))


class Hook:
    """What a webhook's server sees."""

    def __init__(self, *statuses: int) -> None:
        self.requests: list[httpx.Request] = []
        self.statuses = iter(statuses)
        self.called = asyncio.Event()

    def line(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.called.set()
        return httpx.Response(next(self.statuses, 200), headers={"location": "http://169.254.169.254/"})


async def test_a_webhook_is_told_when_the_session_has_finished() -> None:
    hook = Hook()
    body = {**PROBLEM, "webhook": f"{HOOKS}/done", "metadata": {"order": "7"}}
    async with hook.line() as line, opened(solving(http=line, webhook_origins=(HOOKS,))) as client:
        made = (await client.post("/v1/sessions", json=body)).json()
        await hook.called.wait()

    (request,) = hook.requests
    notice = SessionNotice.model_validate_json(request.content)
    assert str(request.url) == f"{HOOKS}/done"
    assert notice == SessionNotice(session_id=made["id"], outcome=Outcome.SOLVED, metadata={"order": "7"})


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


def test_messages_are_signed_as_standard_webhooks_has_it() -> None:
    """The example that the libraries of Standard Webhooks are tested with."""
    headers = signed((SECRET,), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_webhook_carries_a_signature_for_each_secret_and_its_message_s_id() -> None:
    hook = Hook()
    settings: Any = {"webhook_origins": (HOOKS,), "webhook_secrets": (OTHER_SECRET, SECRET)}
    async with hook.line() as line, opened(solving(http=line, **settings)) as client:
        made = (await client.post("/v1/sessions", json={**PROBLEM, "webhook": f"{HOOKS}/done"})).json()
        await hook.called.wait()

    (request,) = hook.requests
    headers, body = request.headers, request.content.decode()
    assert headers["webhook-id"] == made["id"]
    expected = signed((OTHER_SECRET, SECRET), made["id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected["webhook-signature"]
    assert len(headers["webhook-signature"].split()) == 2


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, really not!"])
def test_a_secret_that_is_none_is_refused_at_start(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        Settings(webhook_secrets=(secret,))


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://169.254.169.254/", "https://localhost/"])
async def test_no_webhook_goes_where_the_operator_did_not_say(url: str) -> None:
    async with opened(solving(webhook_origins=(HOOKS,))) as client:
        response = await client.post("/v1/sessions", json={**PROBLEM, "webhook": url})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "webhook"


async def test_a_webhook_that_fails_is_called_again_and_given_up_in_the_end() -> None:
    now = 0.0
    journal = MemoryJournal(clock=lambda: now)
    first = SessionStarted(problem=Problem(text="1+1?"), delivery=Delivery(webhook=f"{HOOKS}/done"))
    await journal.create("s", first)
    await journal.cancel("s")
    hook = Hook(*[503, 302] * MAX_TRIES)
    async with hook.line() as line:
        webhooks = Webhooks(journal, line, (HOOKS,))
        for _ in range(MAX_TRIES + 3):
            await webhooks.send_due()
            await webhooks.send_due()  # not due yet
            now += 100_000.0

    assert len(hook.requests) == MAX_TRIES  # and no redirect was followed
    assert {request.url.host for request in hook.requests} == {"hooks.example.com"}


async def test_upkeep_goes_on_after_an_outage_and_after_a_bug() -> None:
    faults: list[Exception] = [JournalUnavailable("Redis is away"), RuntimeError("a bug")]
    done = asyncio.Event()

    class Troubled(MemoryJournal):
        async def end_overdue(self, grace: float) -> tuple[str, ...]:
            if faults:
                raise faults.pop()
            ended = await super().end_overdue(0.0)
            done.set()
            return ended

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    journal = Troubled()
    options = Options(budget=Budget(seconds=0))
    await journal.create("s", SessionStarted(problem=Problem(text="1+1?"), options=options))
    async with httpx.AsyncClient() as line:
        upkeep = Upkeep(journal, Webhooks(journal, line, ()), Metrics(CollectorRegistry()), at_once)
        task = asyncio.create_task(upkeep.run())
        await done.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert (await end_of(journal, "s")).outcome is Outcome.UNSOLVED


# Heartbeats


async def test_a_quiet_stream_has_heartbeats() -> None:
    beats = asyncio.Event()
    sent: list[bytes] = []

    async def quiet() -> Any:
        await beats.wait()
        return
        yield

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if b": heartbeat\n\n" in b"".join(sent):
            beats.set()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def nobody() -> None:
        return None

    response = event_stream(quiet(), left=nobody, heartbeat=0.01)
    await response({"type": "http", "method": "GET"}, receive, send)
    assert beats.is_set()
