"""The journal in memory is the model of the one on Redis: any sequence of calls gives the same answers on both."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from navigator.errors import NavigatorError
from navigator.journal import MemoryJournal, RedisJournal
from navigator.ports import Claim, Journal
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Budget,
    Delivery,
    Event,
    Failure,
    FailureKind,
    Options,
    Outcome,
    Problem,
    SessionFinished,
    SessionStarted,
)

MAX_CLAIMS = 4
STARTED = SessionStarted(problem=Problem(text="What is 1 + 1?"))
NOTIFYING = STARTED.model_copy(update={"delivery": Delivery(webhook="https://example.com/done")})
OVERDUE = STARTED.model_copy(update={"options": Options(budget=Budget(seconds=0.0))})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEP = ActionFailed(action=ActionKind.PLAN, failure=Failure(kind=FailureKind.INTERNAL, message="step"))
SOLVED = SessionFinished(outcome=Outcome.SOLVED, answer="2")

LEASES = st.sampled_from([0.0, 0.0, 3600.0])  # run out at once, or not at all during the test: no clock to advance
EVENTS = st.sampled_from([[STEP], [STEP, STEP], [SOLVED], [STEP, SOLVED]])


class BothJournals(RuleBasedStateMachine):
    """Every rule makes the same call on both and compares what comes back, errors included."""

    claims = Bundle("claims")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.ids: list[str] = []

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        ticks = itertools.count(1)
        self.prefix = f"test-{uuid4().hex}"
        self.model = MemoryJournal(clock=lambda: next(ticks) / 1_000_000, max_claims=MAX_CLAIMS)
        self.real = RedisJournal(self.url, prefix=self.prefix, max_claims=MAX_CLAIMS)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._clean_up())
            self.runner.close()

    async def _clean_up(self) -> None:
        for session_id in (*await self.real.list(limit=1000), *await self.real.list("other", limit=1000)):
            await self.real.delete(session_id)
        await self.real.close()

    def both(self, call: Callable[[Journal], Awaitable[Any]]) -> Any:
        expected, got = (self.runner.run(_outcome(call, journal)) for journal in (self.model, self.real))
        assert got == expected
        return got

    def pick(self, n: int) -> str:
        return self.ids[n % len(self.ids)] if self.ids else "nobody"

    @rule(
        key=st.sampled_from([None, None, "a", "b"]),
        print_=st.sampled_from(["x", "y"]),
        tenant=st.booleans(),
        first=st.sampled_from([STARTED, NOTIFYING, OVERDUE]),
    )
    def create(self, key: str | None, print_: str, tenant: bool, first: SessionStarted) -> None:
        session_id = f"s{len(self.ids)}"
        self.ids.append(session_id)
        names = {"tenant": "other" if tenant else "default", "idempotency_key": key, "fingerprint": print_}
        self.both(lambda journal: journal.create(session_id, first, **names))

    @rule(target=claims, lease=LEASES)
    def claim(self, lease: float) -> Claim | None:
        async def claim(journal: Journal) -> Claim | None:
            given = await journal.claim("worker", lease)
            return given and given.model_copy(update={"at": EPOCH})  # each journal has its own clock

        return self.both(claim)

    @rule()
    def backlog(self) -> None:
        async def backlog(journal: Journal) -> Any:
            told = await journal.backlog()
            return (told.waiting, told.working, told.notices)

        self.both(backlog)

    @rule()
    def end_overdue(self) -> None:
        self.both(lambda journal: journal.end_overdue(0.0))

    @rule(settle=st.booleans())
    def notify(self, settle: bool) -> None:
        async def notify(journal: Journal) -> Any:
            notice = await journal.due_notice(3600.0)
            if notice is not None and settle:
                await journal.settle_notice(notice.session_id)
            return notice

        self.both(notify)

    @rule(claim=claims, events=EVENTS, off=st.sampled_from([0, 0, 0, 1, -1]))
    def commit(self, claim: Claim | None, events: list[Event], off: int) -> None:
        if claim is None:
            return

        async def commit_at_the_end(journal: Journal) -> Any:
            try:
                entries = await journal.read(claim.session_id)
            except NavigatorError:
                entries = ()
            return _without_times(await journal.commit(claim, len(entries) + 1 + off, events))

        self.both(commit_at_the_end)

    @rule(claim=claims, lease=LEASES)
    def renew(self, claim: Claim | None, lease: float) -> None:
        if claim is not None:
            self.both(lambda journal: journal.renew(claim, lease))

    @rule(claim=claims)
    def release(self, claim: Claim | None) -> None:
        if claim is not None:
            self.both(lambda journal: journal.release(claim))

    @rule(n=st.integers(0, 5))
    def cancel(self, n: int) -> None:
        self.both(lambda journal: journal.cancel(self.pick(n)))

    @rule(n=st.integers(0, 5))
    def delete(self, n: int) -> None:
        self.both(lambda journal: journal.delete(self.pick(n)))

    @rule(n=st.integers(0, 5), after=st.integers(0, 4), limit=st.none() | st.integers(1, 3))
    def read(self, n: int, after: int, limit: int | None) -> None:
        async def read(journal: Journal) -> Any:
            return _without_times(await journal.read(self.pick(n), after, limit))

        self.both(read)

    @rule(n=st.none() | st.integers(0, 5), limit=st.integers(1, 4))
    def list_page(self, n: int | None, limit: int) -> None:
        self.both(lambda journal: journal.list("default", limit, None if n is None else self.pick(n)))


async def _outcome(call: Callable[[Journal], Awaitable[Any]], journal: Journal) -> Any:
    try:
        return await call(journal)
    except NavigatorError as error:
        return type(error), error.failure


def _without_times(entries: Any) -> list[tuple[int, Event]]:
    return [(entry.seq, entry.event) for entry in entries]


@pytest.mark.redis
def test_memory_and_redis_answer_every_sequence_of_calls_alike(redis_url: str) -> None:
    run_state_machine_as_test(
        lambda: BothJournals(redis_url),
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
