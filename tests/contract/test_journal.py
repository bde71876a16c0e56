"""What every journal promises: one suite for the one in memory and the one on a real Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from navigator.errors import (
    CommitConflict,
    CursorExpired,
    IdempotencyConflict,
    LeaseLost,
    SessionExists,
    SessionNotFound,
)
from navigator.journal import MemoryJournal, RedisJournal
from navigator.ports import Claim, Journal, Notice
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Budget,
    Delivery,
    Delta,
    Entry,
    Failure,
    FailureKind,
    Options,
    Outcome,
    Problem,
    SessionFinished,
    SessionStarted,
)

MAX_CLAIMS = 3
LONG = 60.0
PATIENCE = 30.0
"""Only a test that fails waits so long."""
EXPIRED = 0.0
"""A lease that has run out as soon as it is given: no test needs to wait for a clock."""

OpenJournal = Callable[..., Journal]


def started(text: str = "What is 1 + 1?") -> SessionStarted:
    return SessionStarted(problem=Problem(text=text))


def note(text: str) -> ActionFailed:
    """Any event that keeps the session running; `text` tells it from others."""
    return ActionFailed(action=ActionKind.PLAN, failure=Failure(kind=FailureKind.INTERNAL, message=text))


def solved() -> SessionFinished:
    return SessionFinished(outcome=Outcome.SOLVED, answer="2")


def delta(text: str, epoch: int = 1) -> Delta:
    return Delta(action=ActionKind.INSTANTIATE, epoch=epoch, text=text)


def texts(entries: tuple[Entry, ...]) -> list[str]:
    return [e.event.failure.message if isinstance(e.event, ActionFailed) else e.event.type for e in entries]


async def claimed(journal: Journal, lease: float = LONG, owner: str = "worker") -> Claim:
    claim = await journal.claim(owner, lease)
    assert claim is not None
    return claim


async def collect(journal: Journal, session_id: str, after: int = 0) -> list[int]:
    return [item.seq async for item in journal.follow(session_id, after) if isinstance(item, Entry)]


async def still_waiting(task: "asyncio.Future[Any]") -> None:
    """Nothing has happened that could end its waiting, and it does wait."""
    done, _ = await asyncio.wait({task}, timeout=0.2)
    assert not done


async def until_following(journal: Journal, session_id: str, live: asyncio.Queue[Entry | Delta]) -> None:
    """Return once a follower's deltas arrive: publishing is best effort until it listens."""
    while True:
        await journal.publish(session_id, delta("anybody there?"))
        try:
            await asyncio.wait_for(live.get(), 0.2)
            break
        except TimeoutError:
            continue
    while not live.empty():
        live.get_nowait()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def open_journal(request: pytest.FixtureRequest) -> AsyncIterator[OpenJournal]:
    """Opens views of one journal, as several processes would have: one object in memory, several on Redis.

    The safety read is longer than any wait in here, so that a follower only gets on when it is told.
    """
    opened: list[Any] = []

    def open_one(**fields: Any) -> Any:
        settings = {"max_claims": MAX_CLAIMS, "safety_read": LONG, **fields}
        if request.param == "memory":
            opened[:] = opened or [MemoryJournal(**settings)]
        else:
            prefix = request.getfixturevalue("redis_prefix")
            url = request.getfixturevalue("redis_url")
            opened.append(RedisJournal(url, prefix=prefix, **settings))
        return opened[-1]

    if request.param == "redis":
        request.getfixturevalue("redis_prefix")
    yield open_one
    for journal in opened:
        await journal.close()


@pytest.fixture
async def journal(open_journal: OpenJournal) -> Journal:
    return open_journal()


class TestAudience:
    async def test_who_leaves_is_told_how_many_others_follow_in_any_process(self, open_journal: OpenJournal) -> None:
        here, there = open_journal(), open_journal()
        async with here.attending("s"):
            assert await here.leave("s") == 0
        async with here.attending("s"), there.attending("s"), there.attending("other"):
            assert await there.leave("s") == 1
        async with here.attending("s"):
            for _ in range(1_000):  # Redis hears a moment later that `there` has gone
                if not await here.leave("s"):
                    return
                await asyncio.sleep(0.01)
        pytest.fail("the one who has gone is still counted")

    async def test_two_that_leave_at_once_do_not_take_each_other_for_one_who_stays(self, journal: Journal) -> None:
        async with journal.attending("s"), journal.attending("s"):
            others = await asyncio.gather(journal.leave("s"), journal.leave("s"))
        assert sorted(others) == [0, 1]
        async with journal.attending("s"), journal.attending("s"):
            assert await journal.leave("s") == 1  # those who have gone are forgotten


class TestAppending:
    async def test_a_session_starts_at_seq_1_and_goes_on_without_gaps(self, journal: Journal) -> None:
        assert await journal.create("s", started()) == "s"
        claim = await claimed(journal)
        first = await journal.commit(claim, 2, [note("a")])
        rest = await journal.commit(claim, 3, [note("b"), note("c"), solved()])

        entries = await journal.read("s")
        assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
        assert texts(entries) == ["session.started", "a", "b", "c", "session.finished"]
        assert entries[1:] == first + rest
        assert entries[0].event == started()

    async def test_entries_carry_the_journals_time_in_utc_and_never_go_back(self, journal: Journal) -> None:
        await journal.create("s", started())
        await journal.commit(await claimed(journal), 2, [note("a"), note("b")])
        times = [entry.at for entry in await journal.read("s")]
        assert times == sorted(times)
        assert all(at.utcoffset() is not None for at in times)

    async def test_reading_pages_from_a_cursor(self, journal: Journal) -> None:
        await journal.create("s", started())
        await journal.commit(await claimed(journal), 2, [note("a"), note("b"), note("c")])
        assert texts(await journal.read("s", after=1, limit=2)) == ["a", "b"]
        assert texts(await journal.read("s", after=3)) == ["c"]
        assert await journal.read("s", after=4) == ()

    async def test_text_survives_as_written(self, journal: Journal) -> None:
        text = 'Find $\\frac{a}{b}$ for "θ" = 1\u2028\n\\beta\t\0🙂'
        await journal.create("s", started(text))
        assert (await journal.read("s"))[0].event == started(text)

    @pytest.mark.parametrize("expected_next", [1, 2, 4])
    async def test_an_append_anywhere_but_at_the_end_is_refused(self, journal: Journal, expected_next: int) -> None:
        await journal.create("s", started())
        claim = await claimed(journal)
        await journal.commit(claim, 2, [note("a")])
        with pytest.raises(CommitConflict):
            await journal.commit(claim, expected_next, [note("a")])
        assert texts(await journal.read("s")) == ["session.started", "a"]

    async def test_a_commit_is_written_whole_or_not_at_all(self, journal: Journal) -> None:
        await journal.create("s", started())
        claim = await claimed(journal)
        for bad in ([], [solved(), note("after the end")]):
            with pytest.raises(ValueError, match=r"session\.finished|at least one"):
                await journal.commit(claim, 2, bad)
        assert len(await journal.read("s")) == 1

    async def test_concurrent_commits_of_one_claim_keep_every_seq_once(self, journal: Journal) -> None:
        await journal.create("s", started())
        claim = await claimed(journal)
        tries = [journal.commit(claim, 2, [note(str(n))]) for n in range(10)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert Counter(type(r) for r in results) == {tuple: 1, CommitConflict: 9}
        assert len(await journal.read("s")) == 2

    async def test_unknown_sessions_are_not_found(self, journal: Journal) -> None:
        with pytest.raises(SessionNotFound):
            await journal.read("nobody")
        with pytest.raises(SessionNotFound):
            await journal.cancel("nobody")
        with pytest.raises(SessionNotFound):
            await journal.delete("nobody")
        with pytest.raises(SessionNotFound):
            await collect(journal, "nobody")


class TestCreating:
    async def test_the_same_key_gives_the_earlier_session_and_writes_nothing(self, journal: Journal) -> None:
        assert await journal.create("s1", started(), idempotency_key="k", fingerprint="f") == "s1"
        assert await journal.create("s2", started(), idempotency_key="k", fingerprint="f") == "s1"
        assert await journal.list() == ("s1",)
        with pytest.raises(SessionNotFound):
            await journal.read("s2")

    async def test_a_key_used_for_another_request_conflicts(self, journal: Journal) -> None:
        await journal.create("s1", started(), idempotency_key="k", fingerprint="f")
        with pytest.raises(IdempotencyConflict):
            await journal.create("s2", started(), idempotency_key="k", fingerprint="g")

    async def test_many_creates_with_one_key_make_one_session(self, journal: Journal) -> None:
        creates = [journal.create(f"s{n}", started(), idempotency_key="k", fingerprint="f") for n in range(20)]
        assert len(set(await asyncio.gather(*creates))) == 1
        assert len(await journal.list()) == 1

    async def test_keys_belong_to_their_tenant_even_with_separators_in_the_names(self, journal: Journal) -> None:
        assert await journal.create("s1", started(), tenant="a", idempotency_key="b:c") == "s1"
        assert await journal.create("s2", started(), tenant="a:b", idempotency_key="c") == "s2"

    async def test_an_id_is_never_used_twice(self, journal: Journal) -> None:
        await journal.create("s", started())
        with pytest.raises(SessionExists):
            await journal.create("s", started("Another?"))
        assert len(await journal.read("s")) == 1

    async def test_sessions_are_listed_newest_first_by_tenant_and_page(self, journal: Journal) -> None:
        for n in range(5):
            await journal.create(f"s{n}", started())
        await journal.create("other", started(), tenant="other")
        assert await journal.list(limit=2) == ("s4", "s3")
        assert await journal.list(limit=2, before="s3") == ("s2", "s1")
        assert await journal.list(limit=2, before="s1") == ("s0",)
        assert await journal.list("other") == ("other",)
        with pytest.raises(CursorExpired):
            await journal.list(before="other")

    async def test_a_deleted_session_is_gone_and_its_worker_fenced(self, journal: Journal) -> None:
        await journal.create("s", started(), idempotency_key="k")
        claim = await claimed(journal)
        await journal.delete("s")
        with pytest.raises(LeaseLost):
            await journal.commit(claim, 2, [note("a")])
        with pytest.raises(SessionNotFound):
            await journal.read("s")
        assert await journal.list() == ()
        assert await journal.claim("worker", LONG) is None
        assert await journal.create("s2", started(), idempotency_key="k") == "s2"


class TestClaiming:
    async def test_twenty_claimers_share_out_the_sessions_without_overlap(self, open_journal: OpenJournal) -> None:
        journals = [open_journal() for _ in range(4)]
        for n in range(7):
            await journals[0].create(f"s{n}", started())
        claims = await asyncio.gather(*(journals[n % 4].claim(f"w{n}", LONG) for n in range(20)))
        taken = [claim.session_id for claim in claims if claim is not None]
        assert sorted(taken) == [f"s{n}" for n in range(7)]

    async def test_the_session_that_waited_longest_is_claimed_first(self, journal: Journal) -> None:
        for name in ("c", "a", "b"):
            await journal.create(name, started())
        assert [(await claimed(journal)).session_id for _ in range(3)] == ["c", "a", "b"]

    async def test_a_leased_session_is_not_claimed_again(self, journal: Journal) -> None:
        await journal.create("s", started())
        await claimed(journal)
        assert await journal.claim("other", LONG) is None

    async def test_an_expired_lease_is_taken_over_with_a_higher_epoch(self, journal: Journal) -> None:
        await journal.create("s", started())
        old = await claimed(journal, EXPIRED, "old")
        new = await claimed(journal, LONG, "new")
        assert (old.epoch, new.epoch, new.attempts) == (1, 2, 2)

    async def test_a_claim_tells_whether_the_last_worker_fell_silent_or_gave_the_session_back(
        self, journal: Journal
    ) -> None:
        await journal.create("s", started())
        first = await claimed(journal)
        await journal.release(first)
        second = await claimed(journal, EXPIRED)
        third = await claimed(journal)
        assert [claim.taken_over for claim in (first, second, third)] == [False, False, True]

    async def test_the_backlog_tells_what_waits_and_what_is_worked_on(self, journal: Journal) -> None:
        nothing = await journal.backlog()
        assert (nothing.waiting, nothing.working, nothing.oldest_wait) == (0, 0, 0.0)
        for name in ("a", "b", "c"):
            await journal.create(name, started())
        claim = await claimed(journal)
        told = await journal.backlog()
        assert (told.waiting, told.working) == (2, 1)
        assert told.oldest_wait > 0
        await journal.commit(claim, 2, [solved()])
        after = await journal.backlog()
        assert (after.waiting, after.working) == (2, 0)

    async def test_a_stale_worker_cannot_commit_renew_or_release(self, journal: Journal) -> None:
        await journal.create("s", started())
        old = await claimed(journal, EXPIRED)
        new = await claimed(journal)
        with pytest.raises(LeaseLost):
            await journal.commit(old, 2, [note("stale")])
        with pytest.raises(LeaseLost):
            await journal.renew(old, LONG)
        await journal.release(old)
        assert await journal.claim("third", LONG) is None
        assert texts(await journal.read("s")) == ["session.started"]
        await journal.commit(new, 2, [note("fresh")])

    async def test_renewing_keeps_the_session_and_a_renewed_lease_ends_too(self, journal: Journal) -> None:
        await journal.create("s", started())
        claim = await claimed(journal, EXPIRED)
        await journal.renew(claim, LONG)
        assert await journal.claim("other", LONG) is None
        await journal.renew(claim, EXPIRED)
        assert (await claimed(journal)).epoch == 2

    async def test_a_released_session_is_free_at_once_and_its_claim_void(self, journal: Journal) -> None:
        await journal.create("s", started())
        claim = await claimed(journal)
        await journal.release(claim)
        with pytest.raises(LeaseLost):
            await journal.commit(claim, 2, [note("late")])
        again = await claimed(journal)
        assert again.epoch > claim.epoch
        await journal.commit(again, 2, [note("a")])

    async def test_a_finished_session_is_neither_claimed_nor_written(self, journal: Journal) -> None:
        await journal.create("s", started())
        claim = await claimed(journal, EXPIRED)
        await journal.commit(claim, 2, [solved()])
        assert await journal.claim("other", LONG) is None
        with pytest.raises(LeaseLost):
            await journal.commit(claim, 3, [note("late")])
        with pytest.raises(LeaseLost):
            await journal.renew(claim, LONG)
        await journal.release(claim)
        assert await journal.claim("other", LONG) is None

    async def test_a_session_that_kills_its_workers_is_finished_as_failed(self, journal: Journal) -> None:
        await journal.create("poison", started())
        attempts = [(await claimed(journal, EXPIRED)).attempts for _ in range(MAX_CLAIMS)]
        await journal.create("healthy", started())
        assert attempts == [1, 2, 3]
        assert (await claimed(journal)).session_id == "healthy"

        last = (await journal.read("poison"))[-1]
        assert last.seq == 2
        assert isinstance(last.event, SessionFinished)
        assert last.event.outcome is Outcome.FAILED
        assert last.event.failure is not None
        assert last.event.failure.kind is FailureKind.INTERNAL

    async def test_a_commit_shows_that_a_session_is_not_poison(self, journal: Journal) -> None:
        await journal.create("s", started())
        for seq in range(2, 2 + 2 * MAX_CLAIMS):
            claim = await claimed(journal, EXPIRED)
            assert claim.attempts == 1
            await journal.commit(claim, seq, [note("progress")])

    async def test_a_cancelled_session_ends_and_fences_its_worker(self, journal: Journal) -> None:
        await journal.create("s", started())
        claim = await claimed(journal, EXPIRED)
        assert await journal.cancel("s") is True
        with pytest.raises(LeaseLost):
            await journal.commit(claim, 2, [note("late")])
        with pytest.raises(LeaseLost):
            await journal.commit(claim, 3, [note("late")])
        assert await journal.cancel("s") is False
        assert await journal.claim("other", LONG) is None
        last = (await journal.read("s"))[-1].event
        assert isinstance(last, SessionFinished)
        assert last.outcome is Outcome.CANCELLED

    async def test_cancelling_while_committing_ends_with_exactly_one_finish(self, journal: Journal) -> None:
        for n in range(10):
            await journal.create(f"s{n}", started())
            claim = await claimed(journal)
            await asyncio.gather(journal.commit(claim, 2, [solved()]), journal.cancel(f"s{n}"), return_exceptions=True)
            assert texts(await journal.read(f"s{n}")) == ["session.started", "session.finished"]


class TestWaking:
    async def test_a_sleeping_worker_wakes_when_a_session_is_created(self, open_journal: OpenJournal) -> None:
        sleeper, other = open_journal(), open_journal()
        waking = asyncio.create_task(sleeper.wake(LONG))
        await still_waiting(waking)
        await other.create("s", started())
        await asyncio.wait_for(waking, 20)
        assert await sleeper.claim("worker", LONG) is not None

    async def test_a_sleeping_worker_wakes_when_a_session_is_released(self, open_journal: OpenJournal) -> None:
        sleeper, other = open_journal(), open_journal()
        await other.create("s", started())
        claim = await claimed(other)
        waking = asyncio.create_task(sleeper.wake(LONG))
        await still_waiting(waking)
        await other.release(claim)
        await asyncio.wait_for(waking, 20)

    async def test_a_sleeping_worker_wakes_when_a_lease_runs_out(self, journal: Journal) -> None:
        await journal.create("s", started())
        await claimed(journal, 0.3)
        while await journal.claim("heir", LONG) is None:
            await asyncio.wait_for(journal.wake(LONG), 20)

    async def test_nobody_sleeps_while_something_is_free(self, journal: Journal) -> None:
        await journal.create("s", started())
        await asyncio.wait_for(journal.wake(LONG), 20)

    async def test_sleep_ends_when_its_time_is_over(self, journal: Journal) -> None:
        await asyncio.wait_for(journal.wake(0.01), 20)


class TestFollowing:
    async def test_every_cursor_sees_the_rest_exactly_once_while_commits_go_on(self, open_journal: OpenJournal) -> None:
        writer, reader = open_journal(), open_journal()
        await writer.create("s", started())
        followers = [asyncio.create_task(collect(reader, "s")) for _ in range(3)]
        claim = await claimed(writer)
        for seq in range(2, 40):
            await writer.commit(claim, seq, [note(str(seq))])
            followers.append(asyncio.create_task(collect(open_journal() if seq % 13 == 0 else reader, "s", seq // 2)))
        await writer.commit(claim, 40, [note("40"), solved()])

        seen = await asyncio.wait_for(asyncio.gather(*followers), 60)
        assert all(list(seqs) == list(range(seqs[0], 42)) for seqs in seen)
        assert [seqs[0] for seqs in seen] == [1, 1, 1, *(seq // 2 + 1 for seq in range(2, 40))]

    async def test_a_finished_session_is_replayed_from_every_cursor_and_ends(self, journal: Journal) -> None:
        await journal.create("s", started())
        await journal.commit(await claimed(journal), 2, [note("a"), note("b"), solved()])
        for after in range(5):
            assert await collect(journal, "s", after) == list(range(after + 1, 5))

    async def test_a_journal_longer_than_a_page_is_followed_whole(self, journal: Journal) -> None:
        await journal.create("s", started())
        await journal.commit(await claimed(journal), 2, [*(note(str(n)) for n in range(700)), solved()])
        assert await collect(journal, "s") == list(range(1, 703))

    async def test_a_follower_sees_cancellation(self, journal: Journal) -> None:
        await journal.create("s", started())
        follower = asyncio.create_task(collect(journal, "s"))
        await still_waiting(follower)
        await journal.cancel("s")
        assert await asyncio.wait_for(follower, 20) == [1, 2]

    async def test_a_cursor_beyond_the_end_is_refused(self, journal: Journal) -> None:
        await journal.create("s", started())
        with pytest.raises(CursorExpired):
            await collect(journal, "s", after=2)

    async def test_a_follower_of_a_deleted_session_is_told(self, journal: Journal) -> None:
        await journal.create("s", started())
        async with aclosing(journal.follow("s")) as stream:
            await anext(stream)
            waiting = asyncio.ensure_future(anext(stream))
            await still_waiting(waiting)
            await journal.delete("s")
            with pytest.raises(SessionNotFound):
                await asyncio.wait_for(waiting, 20)

    async def test_live_text_arrives_in_order_between_the_entries(self, open_journal: OpenJournal) -> None:
        writer, reader = open_journal(), open_journal()
        await writer.create("s", started())
        claim = await claimed(writer)
        live: asyncio.Queue[Entry | Delta] = asyncio.Queue()

        async def listen() -> None:
            async for item in reader.follow("s", deltas=True):
                live.put_nowait(item)

        listener = asyncio.create_task(listen())
        await until_following(writer, "s", live)
        for text in ("a", "b", "c"):
            await writer.publish("s", delta(text))
        got = []
        while "c" not in got:
            item = await asyncio.wait_for(live.get(), 20)
            got += [item.text] if isinstance(item, Delta) and item.text != "anybody there?" else []
        assert got == ["a", "b", "c"]
        await writer.commit(claim, 2, [solved()])
        await asyncio.wait_for(listener, 20)
        assert isinstance(live.get_nowait(), Entry)

    async def test_text_of_a_fenced_worker_is_not_shown(self, open_journal: OpenJournal) -> None:
        writer, reader = open_journal(), open_journal()
        await writer.create("s", started())
        await claimed(writer, EXPIRED)
        new = await claimed(writer)
        live: asyncio.Queue[Entry | Delta] = asyncio.Queue()

        async def listen() -> None:
            async for item in reader.follow("s", deltas=True):
                live.put_nowait(item)

        listener = asyncio.create_task(listen())
        assert isinstance(await asyncio.wait_for(live.get(), 20), Entry)
        await writer.publish("s", delta("stale", epoch=1))
        await writer.publish("s", delta("fresh", epoch=2))
        shown = await asyncio.wait_for(live.get(), 20)
        assert isinstance(shown, Delta)
        assert shown.text == "fresh"
        await writer.commit(new, 2, [solved()])
        await asyncio.wait_for(listener, 20)

    async def test_followers_without_deltas_get_entries_only(self, journal: Journal) -> None:
        await journal.create("s", started())
        async with aclosing(journal.follow("s")) as stream:
            await anext(stream)
            waiting = asyncio.ensure_future(anext(stream))
            await journal.publish("s", delta("text"))
            await journal.commit(await claimed(journal), 2, [note("a")])
            assert isinstance(await asyncio.wait_for(waiting, 20), Entry)

    async def test_leaving_early_and_coming_back_loses_nothing(self, journal: Journal) -> None:
        await journal.create("s", started())
        claim = await claimed(journal)
        seen: list[int] = []
        for seq in range(2, 12):
            async with aclosing(journal.follow("s", after=len(seen))) as stream:
                first = await asyncio.wait_for(anext(stream), 20)
                assert isinstance(first, Entry)
                seen.append(first.seq)
            await journal.commit(claim, seq, [note(str(seq))])
        assert seen == list(range(1, 11))


# Deadlines, retention, webhooks


def within(seconds: float) -> SessionStarted:
    return started().model_copy(update={"options": Options(budget=Budget(seconds=seconds))})


async def until_listed(journal: Journal, count: int) -> None:
    while len(await journal.list()) > count:  # noqa: ASYNC110 - nobody announces that something has expired
        await asyncio.sleep(0.005)


async def test_a_claim_tells_the_journal_s_time(journal: Journal) -> None:
    await journal.create("s", started())
    (first,) = await journal.read("s")
    claim = await claimed(journal)
    (written,) = await journal.commit(claim, 2, [note("a")])
    assert first.at <= claim.at <= written.at


async def test_a_session_past_its_deadline_is_ended_and_its_worker_fenced(journal: Journal) -> None:
    await journal.create("late", within(0.0))
    await journal.create("in time", within(LONG))
    claim = await claimed(journal)

    assert await journal.end_overdue(LONG) == ()
    assert await journal.end_overdue(0.0) == ("late",)
    assert await journal.end_overdue(0.0) == ()
    end = (await journal.read("late"))[-1].event
    assert isinstance(end, SessionFinished)
    assert (end.outcome, end.failure and end.failure.kind) == (Outcome.UNSOLVED, FailureKind.DEADLINE_EXCEEDED)
    with pytest.raises(LeaseLost):
        await journal.commit(claim, 2, [note("too late")])
    assert len(await journal.read("in time")) == 1


async def test_a_session_that_finished_in_time_is_not_overdue(journal: Journal) -> None:
    await journal.create("s", within(0.0))
    await journal.commit(await claimed(journal), 2, [solved()])
    assert await journal.end_overdue(0.0) == ()


async def test_a_finished_session_expires_and_takes_its_idempotency_key_and_its_place_in_the_list_along(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal(retention=0.001)
    await journal.create("kept", started())
    await journal.create("s", started(), idempotency_key="k", fingerprint="f")
    await journal.cancel("s")
    await until_listed(journal, 1)

    with pytest.raises(SessionNotFound):
        await journal.read("s")
    with pytest.raises(CursorExpired):
        await journal.list(before="s")
    assert await journal.list() == ("kept",)
    assert await journal.create("new", started(), idempotency_key="k", fingerprint="other") == "new"


async def test_a_webhook_is_due_once_its_session_has_finished_until_it_is_settled(journal: Journal) -> None:
    told = started().model_copy(update={"delivery": Delivery(webhook="https://example.com/")})
    await journal.create("s", told)
    await journal.create("silent", started())
    assert await journal.due_notice(EXPIRED) is None
    for session_id in ("s", "silent"):
        await journal.cancel(session_id)

    assert await journal.due_notice(EXPIRED) == Notice(session_id="s", tries=1)
    assert await journal.due_notice(LONG) == Notice(session_id="s", tries=2)
    assert await journal.due_notice(LONG) is None
    await journal.settle_notice("s")
    assert await journal.due_notice(EXPIRED) is None


async def test_a_deleted_session_is_neither_overdue_nor_told(journal: Journal) -> None:
    told = within(0.0).model_copy(update={"delivery": Delivery(webhook="https://example.com/")})
    await journal.create("running", told)
    await journal.create("finished", told)
    await journal.cancel("finished")
    for session_id in ("running", "finished"):
        await journal.delete(session_id)

    assert await journal.end_overdue(0.0) == ()
    assert await journal.due_notice(LONG) is None


async def test_a_long_list_is_read_in_pages_past_what_has_expired(open_journal: OpenJournal) -> None:
    journal = open_journal(retention=0.001)
    names = [f"s{n}" for n in range(9)]
    for name in names:
        await journal.create(name, started())
    for name in names[2:7]:
        await journal.cancel(name)
    await until_listed(journal, 4)

    first = await journal.list(limit=3)
    assert first == ("s8", "s7", "s1")
    assert await journal.list(limit=3, before=first[-1]) == ("s0",)


async def test_who_waits_for_the_end_hears_of_it_however_it_comes(journal: Journal) -> None:
    async def end(session_id: str) -> None:
        if session_id == "solved":
            await journal.commit(claims[session_id], 2, [solved()])
        elif session_id == "cancelled":
            await journal.cancel(session_id)
        else:
            await journal.delete(session_id)

    claims = {}
    for session_id in ("solved", "cancelled", "deleted"):
        await journal.create(session_id, started())
        claims[session_id] = await claimed(journal)
        waiting = asyncio.create_task(journal.ended(session_id))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await end(session_id)
        async with asyncio.timeout(PATIENCE):
            await waiting


async def test_progress_is_no_end(journal: Journal) -> None:
    await journal.create("s", started())
    waiting = asyncio.create_task(journal.ended("s"))
    await journal.commit(await claimed(journal), 2, [note("on the way")])
    await asyncio.sleep(0.05)
    assert not waiting.done()
    waiting.cancel()


async def test_who_waits_for_an_end_that_has_come_does_not_wait(journal: Journal) -> None:
    await journal.create("s", started())
    await journal.cancel("s")
    async with asyncio.timeout(PATIENCE):
        await journal.ended("s")
        await journal.ended("never there")
