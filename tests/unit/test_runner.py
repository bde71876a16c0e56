"""The loop that touches the world, on a journal in memory: what overlaps, what stops, and what is written down."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from navigator.errors import LeaseLost
from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.policy import OUTAGE_TRIES
from navigator.ports import Claim
from navigator.runner import Runner
from navigator.session import fold
from navigator.testing import Outcomes, is_review, plan, review, script, step
from navigator.worker import Worker
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Budget,
    Entry,
    Event,
    FailureKind,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Options,
    Outcome,
    Phase,
    PlanMade,
    Problem,
    Query,
    Retrieval,
    SearchRequest,
    SearchResponse,
    Session,
    SessionFinished,
    SessionStarted,
    Step,
    StepInstantiated,
    ThoughtTemplate,
    Tokens,
    Trajectory,
    Usage,
)
from reasonflux.errors import EngineRefused, EngineUnavailable, NotFound
from reasonflux.testing.fake_engine import Call, FakeEngine, Replies
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore

TWO_AT_ONCE = plan(step("find a", "s1"), step("find b", "s2"))
DEFAULTS = Options()
PATIENCE = 30.0
"""Only a test that fails waits so long."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def runner(journal: MemoryJournal, replies: Replies, outcomes: Outcomes = (), **fields: Any) -> Runner:
    llm = NavigatorLLM(FakeEngine(replies), Profile.INSTRUCT)
    return Runner(journal, llm, FakeTemplateStore(), FakeExecutor(outcomes), **fields)


async def claimed(journal: MemoryJournal, options: Options = DEFAULTS, lease: float = 60.0) -> Claim:
    """A new session, claimed."""
    first = SessionStarted(problem=Problem(text="Ann has 3. Ben has 4. How many have they?"), options=options)
    await journal.create("s", first)
    claim = await journal.claim("worker", lease)
    assert claim is not None
    return claim


async def solve(replies: Replies, outcomes: Outcomes = (), options: Options = DEFAULTS) -> tuple[Session, list[Entry]]:
    journal = MemoryJournal()
    claim = await claimed(journal, options)
    async with asyncio.timeout(PATIENCE):
        session = await runner(journal, replies, outcomes, sleep=lambda seconds: asyncio.sleep(0)).run(claim)
    entries = list(await journal.read("s"))
    assert session == fold("s", entries)
    return session, entries


def types(entries: list[Entry]) -> list[str]:
    return [entry.event.type for entry in entries]


def by_goal(**work: Callable[[], Awaitable[str]]) -> Callable[[InstantiateRequest], Awaitable[str]]:
    """An executor with a function for each goal, named by the goal's last word."""
    return lambda request: work[request.goal.split()[-1]]()


async def test_steps_that_do_not_depend_on_each_other_run_at_the_same_time() -> None:
    together = asyncio.Barrier(2)

    async def executor(request: InstantiateRequest) -> str:
        await together.wait()  # passes only when both are here
        return "3"

    session, _ = await solve(script([TWO_AT_ONCE], [review("continue"), review("finish", answer="r2")]), executor)
    assert session.outcome is Outcome.SOLVED


async def test_a_step_waits_for_the_results_that_it_uses_and_sees_only_what_it_uses() -> None:
    seen: list[InstantiateRequest] = []

    def executor(request: InstantiateRequest) -> str:
        seen.append(request)
        return "7" if request.known else "3"

    chained = plan(step("find a", "s1"), step("find b", "s2", "r1"))
    session, _ = await solve(script([chained], [review("continue"), review("finish", answer="r2")]), executor)

    assert session.answer == "7"
    assert [[s.id for s in request.statements] for request in seen] == [["s1"], ["s2"]]
    assert [[(k.name, k.value) for k in request.known] for request in seen] == [[], [("r1", "3")]]


async def test_templates_come_from_the_library_of_the_session() -> None:
    asked: list[str] = []

    class Store(FakeTemplateStore):
        async def get(self, template_id: str, *, library: str = "math", revision: int | None = None) -> ThoughtTemplate:
            asked.append(f"{template_id} of {library}")
            raise NotFound("there is none")

        async def search(self, request: SearchRequest) -> SearchResponse:
            asked.append(f"{request.queries[0].name} of {request.library}")
            return SearchResponse(retrievals=(Retrieval(query=request.queries[0]),))

    journal = MemoryJournal()
    claim = await claimed(journal, Options(library="chemistry", budget=Budget(rounds=1, seconds=5)))
    steps = (
        Step(id=1, goal="find a", query=Query(name="by query")),
        Step(id=2, goal="find b", template_id="by-id"),
    )
    await journal.commit(claim, 2, [PlanMade(trajectory=Trajectory(abstraction="a small problem", steps=steps))])
    quick = runner(journal, endless_navigator, lambda request: "7", sleep=lambda seconds: asyncio.sleep(0))
    await replace(quick, templates=Store()).run(claim)
    assert set(asked) == {"by query of chemistry", "by-id of chemistry"}


async def test_time_in_the_queue_counts_against_the_deadline() -> None:
    clock = Clock()
    journal = MemoryJournal(clock=clock)
    options = Options(budget=Budget(seconds=60))
    await journal.create("s", SessionStarted(problem=Problem(text="What is 3 + 4?"), options=options))
    clock.now += 61
    claim = await journal.claim("worker", 60.0)
    assert claim is not None
    session = await runner(journal, script([])).run(claim)

    assert session.outcome is Outcome.UNSOLVED
    assert session.last_failure is not None
    assert session.last_failure.kind is FailureKind.BUDGET_EXHAUSTED
    assert session.usage.all.calls == 0


async def test_the_end_is_committed_with_the_review_that_leads_to_it() -> None:
    commits: list[int] = []

    class Counting(MemoryJournal):
        async def commit(self, claim: Claim, expected_next: int, events: Sequence[Event]) -> tuple[Entry, ...]:
            commits.append(len(events))
            return await super().commit(claim, expected_next, events)

    journal = Counting()
    claim = await claimed(journal)
    replies = script([plan(step("find it", "s1"))], [review("finish", answer="r1")])
    await runner(journal, replies, ["3"]).run(claim)
    entries = await journal.read("s")

    assert types(list(entries))[-2:] == ["step.reviewed", "session.finished"]
    assert commits[-1] == 2


async def test_what_a_stopped_call_has_cost_is_counted_once() -> None:
    """Both steps are on the engine; one is reviewed and finishes the session while the other is half-way."""
    half_way, counted = asyncio.Event(), Tokens(prompt=30, completion=8, calls=1)

    class Executor(FakeExecutor):
        async def instantiate(self, request: InstantiateRequest, on_event: Any = None) -> Instantiation:
            if request.goal.endswith("b"):
                await on_event(InstantiateEvent(spent=Tokens(prompt=30, completion=1, calls=1)))
                await on_event(InstantiateEvent(spent=counted))
                half_way.set()
                await asyncio.Event().wait()
            await half_way.wait()
            return Instantiation(result="3", usage=Tokens(prompt=7, completion=1, calls=1))

    journal = MemoryJournal()
    claim = await claimed(journal)
    own = replace(runner(journal, script([TWO_AT_ONCE], [review("finish", answer="r1")])), executor=Executor())
    session = await own.run(claim)
    entries = list(await journal.read("s"))

    assert session.usage.executor == Tokens(prompt=37, completion=9, calls=2)
    assert types(entries)[-2:] == ["action.dropped", "session.finished"]
    assert session == fold("s", entries)


async def test_an_action_that_failed_half_way_tells_what_it_has_cost() -> None:
    spent = Tokens(prompt=30, completion=8, calls=1)

    class Executor(FakeExecutor):
        async def instantiate(self, request: InstantiateRequest, on_event: Any = None) -> Instantiation:
            await on_event(InstantiateEvent(spent=spent))
            raise EngineRefused("broke off")

    journal = MemoryJournal()
    claim = await claimed(journal)
    session = await replace(runner(journal, script([TWO_AT_ONCE])), executor=Executor()).run(claim)

    assert session.outcome is Outcome.FAILED
    assert session.usage.executor.calls >= 1
    assert session.usage.navigator.calls == 1


async def test_a_revision_stops_the_work_on_the_steps_that_it_drops() -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def first() -> str:
        await begun.wait()  # the other one is under way
        return "3"

    async def dropped() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "never"

    async def better() -> str:
        await stopped.wait()
        return "7"

    shorter = review("revise", "there is a shorter way", steps=[{"id": 3, **step("find c", "s1", "r1")}])
    session, entries = await solve(
        script([TWO_AT_ONCE], [shorter, review("finish", answer="r3")]), by_goal(a=first, b=dropped, c=better)
    )

    assert (session.outcome, session.answer, session.revisions) == (Outcome.SOLVED, "7", 1)
    assert session.step(2).phase is Phase.DROPPED
    assert [e.event.step_id for e in entries if isinstance(e.event, StepInstantiated)] == [1, 3]


async def test_a_retry_tells_the_executor_what_to_mind() -> None:
    seen: list[InstantiateRequest] = []

    def executor(request: InstantiateRequest) -> str:
        seen.append(request)
        return "7"

    reviews = [review("retry", "mind the sign"), review("finish", answer="r1")]
    session, _ = await solve(script([plan(step("find a", "s1"))], reviews), executor)

    assert [(request.attempt, request.feedback) for request in seen] == [(1, None), (2, "mind the sign")]
    assert session.rounds == 2


async def test_a_takeover_goes_on_from_the_journal_and_says_so() -> None:
    clock = Clock()
    journal = MemoryJournal(clock=clock)
    claim = await claimed(journal, lease=60.0)
    under_way = asyncio.Event()

    async def never(request: InstantiateRequest) -> str:
        under_way.set()
        await asyncio.Event().wait()
        return "never"

    dying = asyncio.create_task(runner(journal, script([plan(step("find a", "s1"))]), never).run(claim))
    await under_way.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await journal.claim("another", 60.0) is None  # nobody gave it back
    clock.now += 61.0
    taken = await journal.claim("another", 60.0)
    assert taken is not None

    session = await runner(journal, script([], [review("finish", answer="r1")]), ["7"]).run(taken)

    assert session.answer == "7"
    assert types(list(await journal.read("s"))) == [
        "session.started",
        "plan.made",
        "step.restarted",
        "step.instantiated",
        "step.reviewed",
        "session.finished",
    ]


async def test_a_lost_lease_stops_the_work_and_writes_nothing() -> None:
    journal = MemoryJournal()
    claim = await claimed(journal)
    under_way, stopped = asyncio.Event(), asyncio.Event()

    async def endless(request: InstantiateRequest) -> str:
        under_way.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "never"

    work = runner(journal, script([plan(step("find a", "s1"))]), endless, lease_seconds=0.03)
    running = asyncio.create_task(work.run(claim))
    await under_way.wait()
    assert await journal.cancel("s")
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(PATIENCE):
            await running

    assert stopped.is_set()
    assert types(list(await journal.read("s"))) == ["session.started", "plan.made", "session.finished"]


async def test_what_the_work_of_a_cancelled_session_has_cost_is_told_once() -> None:
    """No entry can tell of it: nothing follows the end of a session."""
    half_way, lost = asyncio.Event(), list[Usage]()

    class Executor(FakeExecutor):
        async def instantiate(self, request: InstantiateRequest, on_event: Any = None) -> Instantiation:
            if request.goal.endswith("b"):
                await on_event(InstantiateEvent(spent=Tokens(prompt=30, completion=8, calls=1)))
                half_way.set()
                await asyncio.Event().wait()
            await half_way.wait()
            assert await journal.cancel("s")
            return Instantiation(result="3", usage=Tokens(prompt=7, completion=1, calls=1))

    journal = MemoryJournal()
    claim = await claimed(journal)
    own = runner(journal, script([TWO_AT_ONCE]), lost=lambda session, usage: lost.append(usage))
    with pytest.raises(LeaseLost):
        await replace(own, executor=Executor()).run(claim)

    (usage,) = lost
    assert usage.executor in (
        Tokens(prompt=37, completion=9, calls=2),  # the result came first, and could not be written
        Tokens(prompt=30, completion=8, calls=1),  # the cancellation came first
    )


async def test_work_that_ends_after_the_lease_was_lost_is_not_written() -> None:
    journal = MemoryJournal()
    claim = await claimed(journal)

    async def cancelled_meanwhile(request: InstantiateRequest) -> str:
        assert await journal.cancel("s")
        return "7"

    with pytest.raises(LeaseLost):
        await runner(journal, script([plan(step("find a", "s1"))]), cancelled_meanwhile).run(claim)
    assert types(list(await journal.read("s"))) == ["session.started", "plan.made", "session.finished"]


async def test_the_deadline_ends_in_a_typed_failure() -> None:
    async def endless(request: InstantiateRequest) -> str:
        await asyncio.Event().wait()
        return "never"

    options = Options(budget=Budget(seconds=0.3))
    session, entries = await solve(script([plan(step("find a", "s1"))]), endless, options)

    failed = entries[-2].event
    assert isinstance(failed, ActionFailed)
    assert (failed.action, failed.step_id) == (ActionKind.INSTANTIATE, 1)
    assert failed.failure.kind is FailureKind.DEADLINE_EXCEEDED
    assert session.outcome is Outcome.UNSOLVED


async def test_an_outage_that_passes_is_survived() -> None:
    down = EngineUnavailable("the engine is down")
    session, entries = await solve(
        script([down, down, plan(step("find a", "s1"))], [review("finish", answer="r1")]), ["7"]
    )
    assert session.outcome is Outcome.SOLVED
    assert types(entries)[1:4] == ["action.failed", "action.failed", "plan.made"]


async def test_an_outage_that_stays_ends_the_session_as_failed() -> None:
    session, entries = await solve(lambda call: EngineUnavailable("the engine is down"))
    assert types(entries) == ["session.started", *["action.failed"] * OUTAGE_TRIES, "session.finished"]
    assert session.outcome is Outcome.FAILED
    assert session.last_failure is not None
    assert session.last_failure.kind is FailureKind.ENGINE_UNAVAILABLE


async def test_a_refusal_is_not_tried_again() -> None:
    session, entries = await solve(script([EngineRefused("no such model")]))
    assert types(entries) == ["session.started", "action.failed", "session.finished"]
    assert session.outcome is Outcome.FAILED


async def test_replies_that_cannot_be_read_are_repaired_and_then_a_failure_whose_tokens_count() -> None:
    calls: list[Call] = []

    def nonsense(call: Call) -> str:
        calls.append(call)
        return "I would rather not."

    session, entries = await solve(nonsense)

    assert len(calls) == 3  # one and two repairs
    assert len(calls[1].messages) == len(calls[0].messages) + 2
    failed = entries[1].event
    assert isinstance(failed, ActionFailed)
    assert failed.failure.kind is FailureKind.UNPARSABLE_REPLY
    assert session.usage.navigator.calls == 3
    assert session.outcome is Outcome.UNSOLVED


async def test_a_bug_ends_the_session_instead_of_hanging_it() -> None:
    def broken(request: InstantiateRequest) -> str:
        raise ZeroDivisionError("a bug")

    session, _ = await solve(script([plan(step("find a", "s1"))]), broken)
    assert session.outcome is Outcome.FAILED
    assert session.last_failure is not None
    assert session.last_failure.kind is FailureKind.INTERNAL


async def test_the_observer_sees_every_entry_that_was_committed_once() -> None:
    journal = MemoryJournal()
    claim = await claimed(journal)
    seen: list[tuple[int, Entry]] = []
    replies = script([plan(step("find a", "s1"))], [review("finish", answer="r1")])
    work = runner(journal, replies, ["7"], observe=lambda session, entry: seen.append((session.last_seq, entry)))
    await work.run(claim)

    assert [entry for _, entry in seen] == list(await journal.read("s", after=1))
    assert all(last_seq == entry.seq for last_seq, entry in seen)


# The worker


class Crowd:
    """An executor that counts who is in it, and lets everybody out at once."""

    def __init__(self, expected: int) -> None:
        self.full = asyncio.Event()
        self.open = asyncio.Event()
        self._expected, self._inside = expected, 0

    async def __call__(self, request: InstantiateRequest) -> str:
        self._inside += 1
        if self._inside == self._expected:
            self.full.set()
        await self.open.wait()
        return "7"


def endless_navigator(call: Call) -> str:
    return review("finish", answer="r1") if is_review(call) else plan(step("find a", "s1"))


async def outcome_of(journal: MemoryJournal, session_id: str) -> Outcome:
    async for item in journal.follow(session_id):
        if isinstance(item, Entry) and isinstance(item.event, SessionFinished):
            return item.event.outcome
    raise AssertionError("a stream ends with session.finished")


async def test_a_worker_carries_on_as_many_sessions_at_a_time_as_it_may() -> None:
    journal, crowd = MemoryJournal(), Crowd(expected=2)
    for n in range(3):
        await journal.create(f"s{n}", SessionStarted(problem=Problem(text="What is 3 + 4?")))
    worker = asyncio.create_task(Worker(runner(journal, endless_navigator, crowd), "worker", concurrency=2).run())
    async with asyncio.timeout(PATIENCE):
        await crowd.full.wait()
        left = await journal.claim("a bystander", 60.0)
        assert left is not None  # the third was left for others
        await journal.release(left)
        crowd.open.set()
        outcomes = [await outcome_of(journal, f"s{n}") for n in range(3)]
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)

    assert outcomes == [Outcome.SOLVED] * 3


async def test_a_worker_that_stops_gives_its_sessions_back_at_once() -> None:
    journal, crowd = MemoryJournal(), Crowd(expected=1)
    await journal.create("s", SessionStarted(problem=Problem(text="What is 3 + 4?")))
    worker = asyncio.create_task(Worker(runner(journal, endless_navigator, crowd), "worker").run())
    await crowd.full.wait()
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)

    claim = await journal.claim("the next", 60.0)
    assert claim is not None
    assert claim.session_id == "s"


async def test_a_worker_wakes_up_for_a_new_session() -> None:
    asleep = asyncio.Event()

    class Sleepy(MemoryJournal):
        async def wake(self, seconds: float = 10.0) -> None:
            asleep.set()
            await super().wake(PATIENCE)

    journal = Sleepy()
    worker = asyncio.create_task(Worker(runner(journal, endless_navigator, lambda request: "7"), "worker").run())
    async with asyncio.timeout(PATIENCE / 2):
        await asleep.wait()
        await journal.create("s", SessionStarted(problem=Problem(text="What is 3 + 4?")))
        assert await outcome_of(journal, "s") is Outcome.SOLVED
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
