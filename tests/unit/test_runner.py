"""The runner and the worker against a journal in memory and scripted engines."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from journals import started

from navigator.errors import LeaseLost
from navigator.journal.memory import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.runner import Runner
from navigator.worker import Worker
from reasonflux.contracts import (
    Budget,
    Delta,
    Entry,
    FailureKind,
    InstantiateRequest,
    Instantiation,
    Options,
    Outcome,
    Phase,
    Session,
    StepInstantiated,
    StepRestarted,
)
from reasonflux.engine import Engine
from reasonflux.errors import EngineUnavailable
from reasonflux.testing.fake_engine import Call, FakeEngine
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore

LEASE = 30.0
ONE = {"id": 1, "goal": "add", "template": "", "tags": [], "uses": ["s1"]}
TWO = {"id": 2, "goal": "add too", "template": "", "tags": [], "uses": ["s1"]}
SUM = {"id": 3, "goal": "meet", "template": "", "tags": [], "uses": ["s2", "r1", "r2"]}
BRANCHES = json.dumps({"abstraction": "two that meet", "steps": [ONE, TWO, SUM]})
SINGLE = json.dumps({"abstraction": "a sum", "steps": [ONE]})
CONTINUE = json.dumps({"reason": "ok", "verdict": "continue"})
FINISH = json.dumps({"reason": "done", "verdict": "finish", "answer": "r1"})

Scripted = Callable[[InstantiateRequest], str | Awaitable[str]]


def runner_with(
    engine: Engine, executor: FakeExecutor, journal: MemoryJournal, *, lease: float = LEASE, repairs: int = 1
) -> Runner:
    llm = NavigatorLLM(engine, Profile.COMPACT, repairs)
    return Runner(journal, llm, FakeTemplateStore(), executor, lease_seconds=lease)


async def solve(runner: Runner, options: Options | None = None) -> Session:
    await runner.journal.create("s", started(options))
    claim = await runner.journal.claim("w", LEASE)
    assert claim is not None
    return await runner.run(claim)


async def test_a_problem_is_planned_carried_out_reviewed_and_answered() -> None:
    engine, executor = FakeEngine([SINGLE, FINISH]), FakeExecutor(["20"])
    session = await solve(runner_with(engine, executor, MemoryJournal()))
    assert (session.outcome, session.answer, session.rounds) == (Outcome.SOLVED, "20", 1)
    assert session.usage.navigator.calls == 2
    assert session.usage.executor.calls == 1


async def test_steps_that_need_no_result_of_each_other_run_at_the_same_time() -> None:
    both_under_way, under_way = asyncio.Event(), set[str]()

    async def carry_out(request: InstantiateRequest) -> str:
        if not request.known:
            under_way.add(request.goal)
            if len(under_way) == 2:
                both_under_way.set()
            await both_under_way.wait()
        return str(2 * len(request.known) + 3)

    engine = FakeEngine([BRANCHES, CONTINUE, CONTINUE, json.dumps({"reason": "", "verdict": "finish", "answer": "r3"})])
    executor = FakeExecutor(carry_out)
    session = await solve(runner_with(engine, executor, MemoryJournal()))
    assert session.answer == "7"
    assert [known.name for known in executor.requests[-1].known] == ["r1", "r2"]


async def test_the_executor_sees_only_what_the_step_uses() -> None:
    executor = FakeExecutor(["5", "6", "7"])
    engine = FakeEngine([BRANCHES, CONTINUE, CONTINUE, CONTINUE])
    await solve(runner_with(engine, executor, MemoryJournal()))
    assert [statement.id for statement in executor.requests[0].statements] == ["s1"]
    assert [statement.id for statement in executor.requests[2].statements] == ["s2"]


async def test_a_change_of_plan_cancels_work_on_dropped_steps() -> None:
    cancelled = asyncio.Event()
    second_started = asyncio.Event()

    async def carry_out(request: InstantiateRequest) -> str:
        if request.goal == "add too":
            second_started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        if request.goal == "add":
            await second_started.wait()
        return "5"

    revise = json.dumps({"reason": "shorter", "verdict": "revise", "steps": [{**ONE, "id": 4, "goal": "only"}]})
    engine = FakeEngine([BRANCHES, revise, json.dumps({"reason": "", "verdict": "finish", "answer": "r4"})])
    session = await solve(runner_with(engine, FakeExecutor(carry_out), MemoryJournal()))
    assert cancelled.is_set()
    assert session.answer == "5"
    assert session.step(2).phase is Phase.DROPPED


async def test_a_retry_tells_the_executor_why() -> None:
    retry = json.dumps({"reason": "mind the sign", "verdict": "retry"})
    executor = FakeExecutor(["5", "6"])
    session = await solve(runner_with(FakeEngine([SINGLE, retry, FINISH]), executor, MemoryJournal()))
    assert [(r.attempt, r.feedback) for r in executor.requests] == [(1, None), (2, "mind the sign")]
    assert session.answer == "6"


async def test_an_unusable_reply_is_asked_for_again_and_its_tokens_count() -> None:
    engine = FakeEngine(["I think 4", SINGLE, FINISH])
    session = await solve(runner_with(engine, FakeExecutor(["5"]), MemoryJournal()))
    assert session.outcome is Outcome.SOLVED
    assert session.usage.navigator.calls == 3


async def test_replies_that_stay_unusable_end_unsolved_with_their_tokens_counted() -> None:
    engine = FakeEngine(["no", "no", "no", "no"])
    session = await solve(runner_with(engine, FakeExecutor(), MemoryJournal()))
    assert session.outcome is Outcome.UNSOLVED
    assert session.last_failure is not None
    assert session.last_failure.kind is FailureKind.UNPARSABLE_REPLY
    assert session.usage.navigator.calls == 2


async def test_an_engine_that_stays_down_fails_the_session_after_three_tries() -> None:
    engine = FakeEngine([EngineUnavailable("down")] * 3)
    session = await solve(runner_with(engine, FakeExecutor(), MemoryJournal()))
    assert session.outcome is Outcome.FAILED
    assert len(engine.calls) == 3


async def test_a_bug_in_an_adapter_ends_the_session_instead_of_hanging_it() -> None:
    def broken(request: InstantiateRequest) -> str:
        raise ZeroDivisionError

    session = await solve(runner_with(FakeEngine([SINGLE]), FakeExecutor(broken), MemoryJournal()))
    assert session.outcome is Outcome.FAILED
    assert session.last_failure is not None
    assert session.last_failure.kind is FailureKind.INTERNAL


async def test_the_deadline_stops_a_step_that_hangs() -> None:
    async def hang(request: InstantiateRequest) -> str:
        await asyncio.Event().wait()
        return "never"

    options = Options(budget=Budget(seconds=0.2))
    session = await solve(runner_with(FakeEngine([SINGLE]), FakeExecutor(hang), MemoryJournal()), options)
    assert session.outcome is Outcome.UNSOLVED
    assert session.explanation


async def test_a_takeover_goes_on_where_the_journal_ends() -> None:
    journal = MemoryJournal()
    await journal.create("s", started())
    first = await journal.claim("w1", 0.0)
    assert first is not None
    died = asyncio.Event()

    async def die(request: InstantiateRequest) -> str:
        died.set()
        await asyncio.Event().wait()
        return "never"

    task = asyncio.create_task(runner_with(FakeEngine([SINGLE]), FakeExecutor(die), journal).run(first))
    await died.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    engine = FakeEngine([FINISH])
    second = await journal.claim("w2", LEASE)
    assert second is not None
    session = await runner_with(engine, FakeExecutor(["5"]), journal).run(second)
    assert session.answer == "5"
    entries = await journal.read("s")
    assert [e.event.epoch for e in entries if isinstance(e.event, StepRestarted)] == [second.epoch]
    assert sum(isinstance(e.event, StepInstantiated) for e in entries) == 1
    assert engine.calls[0].messages[1].content == SINGLE.replace(": ", ":").replace(", ", ",")


async def test_a_worker_that_lost_its_session_stops_and_writes_nothing() -> None:
    journal = MemoryJournal()
    await journal.create("s", started())
    claim = await journal.claim("w1", LEASE)
    assert claim is not None

    async def lose(request: InstantiateRequest) -> str:
        await journal.cancel("s")
        return "5"

    with pytest.raises(LeaseLost):
        await runner_with(FakeEngine([SINGLE]), FakeExecutor(lose), journal).run(claim)
    entries = await journal.read("s")
    assert not any(isinstance(e.event, StepInstantiated) for e in entries)


async def test_a_lost_lease_interrupts_work_under_way() -> None:
    journal = MemoryJournal()
    await journal.create("s", started())
    claim = await journal.claim("w1", 0.03)
    assert claim is not None

    async def hang(request: InstantiateRequest) -> str:
        await journal.cancel("s")
        await asyncio.Event().wait()
        return "never"

    runner = runner_with(FakeEngine([SINGLE]), FakeExecutor(hang), journal, lease=0.03)
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(runner.run(claim), 10)


async def test_text_is_shown_live_and_never_stored() -> None:
    journal = MemoryJournal()
    await journal.create("s", started())
    claim = await journal.claim("w", LEASE)
    assert claim is not None

    async def watch() -> list[Entry | Delta]:
        return [item async for item in journal.follow("s", deltas=True)]

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    done = Instantiation(reasoning="two and three", result="5")
    await runner_with(FakeEngine([SINGLE, FINISH]), FakeExecutor([done]), journal).run(claim)
    seen = await watcher
    text = "".join(i.text for i in seen if isinstance(i, Delta) and i.step_id == 1 and i.action == "instantiate")
    assert text == "two and three"
    assert len([i for i in seen if isinstance(i, Entry)]) == len(await journal.read("s"))


async def test_a_stopped_worker_gives_its_sessions_back_at_once() -> None:
    journal = MemoryJournal()
    under_way = asyncio.Event()

    async def hang(request: InstantiateRequest) -> str:
        under_way.set()
        await asyncio.Event().wait()
        return "never"

    runner = runner_with(FakeEngine([SINGLE]), FakeExecutor(hang), journal)
    working = asyncio.create_task(Worker(runner, "w1", concurrency=4).run())
    await journal.create("s", started())
    await under_way.wait()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert await journal.claim("w2", LEASE) is not None


async def test_a_worker_carries_many_sessions_on_at_the_same_time() -> None:
    journal, barrier = MemoryJournal(), asyncio.Barrier(3)

    async def meet(request: InstantiateRequest) -> str:
        await barrier.wait()
        return "5"

    def reply(call: Call) -> str:
        return SINGLE if call.messages[-1].content.startswith("navigator") else FINISH

    runner = runner_with(FakeEngine(reply), FakeExecutor(meet), journal)
    working = asyncio.create_task(Worker(runner, "w", concurrency=3).run())
    for name in "abc":
        await journal.create(name, started())
    for name in "abc":
        last = [item async for item in journal.follow(name)][-1]
        assert isinstance(last, Entry)
        assert last.event.type == "session.finished"
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
