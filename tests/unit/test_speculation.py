"""Work begun while the last step is under review: it saves time, and changes nothing but that."""

import asyncio
import re
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import instantiated, planned, reviewed, session_of, started, step

from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.policy import Instantiate, Plan, ReviewStep, decide, decide_ahead
from navigator.ports import Claim
from navigator.runner import Runner
from navigator.session import fold
from navigator.testing import is_review, plan, review
from navigator.testing import step as told
from reasonflux.contracts import (
    ActionDropped,
    ActionKind,
    Budget,
    Delta,
    Entry,
    Event,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Options,
    Outcome,
    Problem,
    Session,
    SessionStarted,
    Tokens,
    Usage,
    Verdict,
)
from reasonflux.testing.fake_engine import Call, FakeEngine
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore

FREELY = Options(speculation=100_000)
CHAIN = planned(step(1, "s1", query=False), step(2, "r1", query=False))


def test_the_next_step_may_begin_while_the_last_is_under_review() -> None:
    session = session_of(started(FREELY), CHAIN, instantiated(1))
    assert decide(session) == (ReviewStep(1, 1),)
    assert decide_ahead(session, plans=False) == (Instantiate(2, 1),)


def test_nothing_begins_ahead_unless_it_was_asked_for() -> None:
    session = session_of(started(), CHAIN, instantiated(1))
    assert decide_ahead(session, plans=True) == ()


def test_nobody_bets_on_a_step_that_gave_no_result() -> None:
    assert decide_ahead(session_of(started(FREELY), CHAIN, instantiated(1, None)), plans=True) == ()


def test_the_next_plan_begins_ahead_only_where_reviews_have_no_say_in_it() -> None:
    horizon = planned(step(1, "s1", query=False), complete=False)
    session = session_of(started(FREELY.model_copy(update={"horizon": 1})), horizon, instantiated(1))
    assert decide_ahead(session, plans=True) == (Plan(),)
    assert decide_ahead(session, plans=False) == ()


def test_the_cap_ends_speculation_when_enough_was_lost() -> None:
    lost = Usage(executor=Tokens(prompt=60, completion=20, calls=1))
    dropped = ActionDropped(action=ActionKind.INSTANTIATE, step_id=2, usage=lost, ahead=True)
    by_plan = dropped.model_copy(update={"ahead": False})
    for drop, may in ((dropped, False), (by_plan, True)):
        session = session_of(started(Options(speculation=90)), CHAIN, instantiated(1), drop)
        assert bool(decide_ahead(session, plans=False)) is may  # the next would cost about 15
        assert session.usage.all.total == 80 + 15


def test_a_result_that_a_verdict_sends_back_was_never_built_upon() -> None:
    retried = session_of(started(FREELY), CHAIN, instantiated(1), reviewed(1, Verdict.RETRY))
    assert decide(retried) == (Instantiate(1, 2),)
    assert retried.step(2).instantiations == ()


class World:
    """Engines that answer the same to the same question; how long they take is drawn anew each time."""

    def __init__(self, seed: int, pace: int) -> None:
        self.seed, self.pace = seed, Random(pace)
        self.executed = 0

    async def navigate(self, call: Call) -> str:
        await self._think()
        chance = self._chance(call.messages)
        if not is_review(call):
            return self._plan(call, chance)
        kinds = (call.schema_ or {})["properties"]["verdict"]["enum"]
        verdict = chance.choice([kind for kind in kinds if kind != "finish"] or ["finish"])
        if verdict == "continue" or (chance.random() < 0.7 and "continue" in kinds):
            return review("continue", f"as {chance.random()}")
        return review(
            verdict,
            "no",
            **(
                {"steps": [told("another way", "s1") | {"id": 900 + len(call.messages)}]} if verdict == "revise" else {}
            ),
        )

    def _plan(self, call: Call, chance: Random) -> str:
        """A chain; with the compact prompts, its next step."""
        asked = re.search(r"plan 1 at a time from (\d+)", call.messages[-1].content)
        first = int(asked[1]) if asked else 1
        numbers = range(first, first + (1 if asked else chance.randint(1, 3)))
        steps = [
            told(f"goal {n} {chance.random()}", "s1", *([f"r{n - 1}"] if self._known(n, asked) else []))
            for n in numbers
        ]
        return plan(*steps, first=first, complete=asked is None or first > 3)

    def _known(self, number: int, asked: re.Match[str] | None) -> bool:
        return number > 1 and (asked is None or f"\nr{number - 1}:" in asked.string)

    async def execute(self, request: InstantiateRequest) -> str:
        self.executed += 1
        await self._think()
        return str(self._chance(request.model_copy(update={"budget": Budget()})).randint(1, 10**6))

    async def _think(self) -> None:
        for _ in range(self.pace.randint(0, 12)):
            await asyncio.sleep(0)

    def _chance(self, asked: object) -> Random:
        return Random(f"{self.seed} {asked!r}")


async def solved(options: Options, world: World, profile: Profile = Profile.INSTRUCT) -> tuple[Session, list[Entry]]:
    journal, claim = await begun(options)
    llm = NavigatorLLM(FakeEngine(world.navigate), profile)
    runner = Runner(journal, llm, FakeTemplateStore(), FakeExecutor(world.execute))
    async with asyncio.timeout(60.0):
        await runner.run(claim)
    entries = list(await journal.read("s"))
    return fold("s", entries), entries


async def begun(options: Options, journal: MemoryJournal | None = None) -> tuple[MemoryJournal, Claim]:
    journal = journal or MemoryJournal()
    await journal.create("s", SessionStarted(problem=Problem(text="Ann has 3. How many have they?"), options=options))
    claim = await journal.claim("worker", 60.0)
    assert claim is not None
    return journal, claim


def trajectory(entries: list[Entry]) -> list[Event]:
    return [entry.event for entry in entries[1:] if not isinstance(entry.event, ActionDropped)]


def without_reuse(event: Event) -> str:
    """What happened, but for what the cache of a fake engine remembers of other runs."""
    return event.model_dump_json(exclude={"usage": True, "instantiation": {"usage"}})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(Profile), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_speculation_changes_neither_the_trajectory_nor_the_answer(
    profile: Profile, seed: int, pace: int, other: int
) -> None:
    """Chains: where steps are independent of each other, their order is chance with and without speculation."""
    budget = Budget(rounds=30, tokens=10**8, seconds=600_000)
    options = Options(budget=budget, horizon=1 if profile is Profile.COMPACT else None)
    freely = options.model_copy(update={"speculation": 100_000})
    plain, plain_entries = asyncio.run(solved(options, World(seed, pace), profile))
    ahead, ahead_entries = asyncio.run(solved(freely, World(seed, other), profile))
    assert [*map(without_reuse, trajectory(ahead_entries))] == [*map(without_reuse, trajectory(plain_entries))]
    assert (ahead.outcome, ahead.answer, ahead.rounds) == (plain.outcome, plain.answer, plain.rounds)
    dropped = [entry.event for entry in ahead_entries if isinstance(entry.event, ActionDropped)]
    assert all(drop.ahead for drop in dropped)
    assert ahead.speculated == sum(drop.usage.all.total for drop in dropped)


class Turn:
    """Says when each of two things has begun, and lets the review end only after that."""

    def __init__(self, verdict: str) -> None:
        self.verdict, self.second_begun, self.reviewed = verdict, asyncio.Event(), asyncio.Event()
        self.results: list[str] = []
        self.hold: asyncio.Event | None = None
        """Where there is one, no review ends before it."""

    async def navigate(self, call: Call) -> str:
        if not is_review(call):
            return plan(told("first", "s1"), told("second", "r1"))
        if self.hold is not None:
            await self.hold.wait()
        if not self.results:
            self.results.append("reviewing")
            await self.second_begun.wait()
            self.reviewed.set()
            return review(self.verdict, "so it is", **({"answer": "1"} if self.verdict == "finish" else {}))
        return review("continue")

    async def execute(self, request: InstantiateRequest) -> str:
        if request.goal == "second":
            self.second_begun.set()
        return "2" if request.goal == "second" else "1"


@pytest.mark.parametrize("verdict", ["continue", "retry", "finish"])
async def test_the_next_step_runs_during_the_review_and_is_paid_for_whatever_the_verdict(verdict: str) -> None:
    world = Turn(verdict)
    session, entries = await solved_by(world, FREELY)
    assert session.outcome is Outcome.SOLVED
    drops = [entry.event for entry in entries if isinstance(entry.event, ActionDropped)]
    assert [drop.ahead for drop in drops] == ([] if verdict == "continue" else [True])
    assert session.speculated == (0 if verdict == "continue" else 25)
    calls = {"continue": 2, "retry": 4, "finish": 2}[verdict]
    assert session.usage.executor.calls == calls


async def test_text_of_work_begun_ahead_is_heard_only_once_it_counts() -> None:
    journal = Listening()
    session, _ = await solved_by(Turn("finish"), FREELY, journal)
    assert session.usage.executor.calls == 2
    assert {delta.step_id for delta in journal.heard if delta.action is ActionKind.INSTANTIATE} == {1}


class Listening(MemoryJournal):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Delta] = []

    async def publish(self, session_id: str, delta: Delta) -> bool:
        self.heard.append(delta)
        return True


async def solved_by(world: Turn, options: Options, journal: MemoryJournal | None = None) -> tuple[Session, list[Entry]]:
    journal, claim = await begun(options, journal)
    runner = Runner(
        journal,
        NavigatorLLM(FakeEngine(world.navigate), Profile.INSTRUCT),
        FakeTemplateStore(),
        FakeExecutor(world.execute),
    )
    async with asyncio.timeout(30.0):
        session = await runner.run(claim)
    return session, list(await journal.read("s"))


async def test_a_bet_that_costs_more_than_may_be_lost_is_stopped_and_the_step_begins_again_when_it_is_due() -> None:
    class Greedy(FakeExecutor):
        """Its first try of the second step never ends; it says what that has cost so far."""

        stopped, tries = asyncio.Event(), 0

        async def instantiate(self, request: InstantiateRequest, on_event: Any = None) -> Instantiation:
            if request.goal == "first":
                return Instantiation(result="1", usage=Tokens(prompt=20, completion=5, calls=1))
            self.tries += 1
            if self.tries > 1:
                return Instantiation(result="2", usage=Tokens(prompt=20, completion=5, calls=1))
            try:
                for heard in range(1, 10_000):
                    await on_event(InstantiateEvent(spent=Tokens(prompt=20, completion=heard, calls=1)))
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.stopped.set()
                raise
            raise AssertionError("it went on for ever")

    executor = Greedy()

    async def navigate(call: Call) -> str:
        if not is_review(call):
            return plan(told("first", "s1"), told("second", "r1"))
        await executor.stopped.wait()
        return review("continue")

    journal, claim = await begun(Options(speculation=40))
    runner = Runner(journal, NavigatorLLM(FakeEngine(navigate), Profile.INSTRUCT), FakeTemplateStore(), executor)
    async with asyncio.timeout(30.0):
        session = await runner.run(claim)
    assert (session.outcome, session.answer) == (Outcome.SOLVED, "2")
    assert session.speculated == 41  # heard when it was one token too many
    assert session.usage.executor == Tokens(prompt=60, completion=5 + 21 + 5, calls=3)


def test_no_more_begins_ahead_than_may_be_lost() -> None:
    fan = planned(*(step(n, "s1" if n == 1 else "r1", query=False) for n in range(1, 6)))
    for cap, bets in ((14, 0), (15, 1), (44, 2), (1_000, 4)):
        session = session_of(started(Options(speculation=cap)), fan, instantiated(1))  # which cost 15
        assert decide_ahead(session, plans=False) == tuple(Instantiate(n, 1) for n in range(2, 2 + bets))


async def test_a_takeover_during_speculation_loses_the_bet_and_nothing_else() -> None:
    """The worker pauses past its lease while it reviews; the one that takes over knows nothing of the bet."""
    world = Turn("continue")
    world.hold = asyncio.Event()
    journal, claim = await begun(FREELY)
    lost: list[Usage] = []
    llm, templates = NavigatorLLM(FakeEngine(world.navigate), Profile.INSTRUCT), FakeTemplateStore()
    first = Runner(journal, llm, templates, FakeExecutor(world.execute), lost=lambda session, usage: lost.append(usage))
    paused = asyncio.create_task(first.run(claim))
    await world.second_begun.wait()
    before = await journal.read("s")
    paused.cancel()
    await asyncio.gather(paused, return_exceptions=True)
    assert await journal.read("s") == before  # nothing of the bet was written
    assert sum(usage.executor.calls for usage in lost) == 1  # and yet it is charged

    await journal.release(claim)
    again = await journal.claim("another", 60.0)
    assert again is not None
    world.hold.set()
    async with asyncio.timeout(30.0):
        session = await Runner(journal, llm, templates, FakeExecutor(world.execute)).run(again)
    assert (session.outcome, session.answer, session.rounds) == (Outcome.SOLVED, "2", 2)
    assert session.speculated == 0
