"""docker compose, profile cpu, for real: built, up and healthy in order, solving, hit, still solving, down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import islice
from uuid import uuid4

import httpx
import pytest
import yaml
from composed import ROOT, SERVICES, Composed

from evaluation.ladder import Split, generate
from reasonflux.client import NavigatorClient
from reasonflux.contracts import Budget, CreateSession, Entry, Outcome, Session
from reasonflux.errors import ReasonFluxError

# Each test stands on the stack that the first one built, which takes longer than a test may elsewhere.
pytestmark = [pytest.mark.timeout(6000), pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

# Long enough for an engine that starts anew on a busy machine.
PATIENCE = Budget(seconds=1200)
PROBLEMS = {problem.text: problem.answer for problem in islice(generate(Split.HELDOUT, [1, 2], seed=20), 8)}
IN_LOAD = 24
RUN = uuid4().hex  # so that a second run on the same stack asks anew
HITS = ("redis", "template-store", "executor", "navigator", "executor-engine", "navigator-engine")


@pytest.fixture
async def navigator(stack: Composed, api_key: str) -> AsyncIterator[NavigatorClient]:
    async with NavigatorClient.open(stack.url, key=api_key) as client:
        yield client


@pytest.fixture(scope="module")
def solved(stack: Composed, api_key: str) -> list[tuple[str, str]]:
    """Problems that these weights solve: what they answer does not change, so it can be expected again."""

    async def attempt() -> list[tuple[str, str]]:
        async with NavigatorClient.open(stack.url, key=api_key) as client:
            with stack.phase(f"{len(PROBLEMS)} ladder problems, one after the other"):
                answers = [(await client.solve(problem)).answer for problem in PROBLEMS]
        return [each for each, answer in zip(PROBLEMS.items(), answers, strict=True) if each[1] == answer]

    return asyncio.run(attempt())


async def accepted(navigator: NavigatorClient, problem: str, key: str) -> Session:
    """Sent again under the same key until it is acknowledged, as a client would."""
    request = CreateSession(problem=problem, budget=PATIENCE)
    while True:
        try:
            return await navigator.create(request, idempotency_key=key)
        except ReasonFluxError as error:
            if not error.failure.retryable:
                raise
        await asyncio.sleep(0.2)


async def followed(navigator: NavigatorClient, session: Session) -> tuple[list[Entry], Session]:
    """Every entry of a session, which the client reads without a gap, and what became of it."""
    async with aclosing(navigator.events(session.id)) as events:
        entries = [event async for event in events if isinstance(event, Entry)]
    return entries, await navigator.get(session.id)


async def finished(navigator: NavigatorClient, session: Session) -> Session:
    """What became of a session, asked again and again while parts of the stack are away."""
    while True:
        try:
            now = await navigator.get(session.id)
            if now.finished:
                return now
        except ReasonFluxError as error:
            if not error.failure.retryable:
                raise
        await asyncio.sleep(0.3)


def test_nothing_is_started_before_what_it_needs_is_healthy(stack: Composed) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in SERVICES:
        for needed in services[name].get("depends_on", {}):
            assert stack.story.index((needed, "healthy")) < stack.story.index((name, "start")), (needed, name)
    assert {name for name, what in stack.story if what == "healthy"} == set(SERVICES)


def test_only_the_api_is_published_and_only_on_loopback(stack: Composed) -> None:
    published = {name: stack.container(name).published for name in SERVICES}
    assert {name: ports for name, ports in published.items() if ports} == {
        "navigator": {"8000/tcp": [f"127.0.0.1:{stack.port}"]}
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_nobody_on_a_file_system_that_it_cannot_write(stack: Composed, service: str) -> None:
    assert stack.inside(service, "id -u").strip() not in {"", "0"}
    assert stack.inside(service, "touch /written 2>/dev/null || echo refused").strip() == "refused"
    capabilities = stack.inside(service, "grep CapEff /proc/self/status").split()[1]
    assert int(capabilities, 16) == 0


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "navigator"])
def test_an_inner_part_has_no_way_out(stack: Composed, service: str) -> None:
    """Its routes are no sign: older engines give a default route and drop what is sent along it."""
    networks = stack.container(service).networks
    assert networks
    assert all(stack.network(name)["Internal"] for name in networks)


async def test_without_a_key_nothing_is_solved(stack: Composed) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{stack.url}/v1/sessions", json={"problem": "1+1"})
    assert answer.status_code == 401


def test_ladder_problems_are_solved_through_the_published_port(solved: list[tuple[str, str]]) -> None:
    """The measured rates are in docs/results; this holds that the images have all that the service needs."""
    assert len(solved) >= len(PROBLEMS) - 2, solved


@pytest.mark.parametrize("service", HITS)
async def test_a_session_outlives_the_crash_of_any_container(
    stack: Composed, navigator: NavigatorClient, solved: list[tuple[str, str]], service: str
) -> None:
    sessions = [
        await accepted(navigator, problem, f"{RUN}-{service}-{number}") for number, (problem, _) in enumerate(solved)
    ]
    with stack.phase(f"{service}: from its crash until all is healthy"):
        await asyncio.to_thread(stack.crash, service)
        await asyncio.to_thread(stack.until_healthy, service, "navigator")
    with stack.phase(f"{service}: from then until {len(sessions)} sessions that were under way have ended"):
        ended = [await finished(navigator, session) for session in sessions]
    assert [(each.outcome, each.answer) for each in ended] == [(Outcome.SOLVED, answer) for _, answer in solved]


async def test_a_restart_of_redis_under_load_loses_nothing(
    stack: Composed, navigator: NavigatorClient, solved: list[tuple[str, str]]
) -> None:
    asked = [solved[number % len(solved)] for number in range(IN_LOAD)]

    async def one(number: int) -> tuple[list[Entry], Session]:
        await asyncio.sleep(number * 0.25)
        return await followed(navigator, await accepted(navigator, asked[number][0], f"{RUN}-load-{number}"))

    async def restarts() -> None:
        await asyncio.sleep(1.5)
        await asyncio.to_thread(stack.compose, "restart", "redis")
        await asyncio.sleep(1.5)
        await asyncio.to_thread(stack.crash, "redis")

    with stack.phase(f"{IN_LOAD} sessions while Redis is restarted once and crashes once"):
        outages = asyncio.create_task(restarts())
        told = await asyncio.gather(*(one(number) for number in range(IN_LOAD)))
        await outages
    assert [session.answer for _, session in told] == [answer for _, answer in asked]
    assert all([entry.seq for entry in entries] == [*range(1, len(entries) + 1)] for entries, _ in told)


async def test_everything_is_there_after_the_whole_stack_was_taken_down_and_up(
    stack: Composed, navigator: NavigatorClient, solved: list[tuple[str, str]]
) -> None:
    problem, answer = solved[0]
    before = await navigator.solve(problem)
    with stack.phase("down"):
        await asyncio.to_thread(stack.compose, "down")
    with stack.phase("up --wait, the second time"):
        await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "--wait-timeout", "1200")
    assert await navigator.get(before.id) == before
    assert (await navigator.solve(problem)).answer == answer
