"""One suite for the records in memory and on a real Redis."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
import redis
from cutting_proxy import CuttingProxy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from templates import template

from reasonflux.contracts import ChangeKind, TemplateChange, TemplateStatus, ThoughtTemplate
from template_store.errors import (
    ChangesLost,
    NameTaken,
    RecordsUnavailable,
    RevisionConflict,
    RevisionNotFound,
    TemplateExists,
    TemplateNotFound,
)
from template_store.ports import Draft, Records, Refusal, Seed
from template_store.records import MemoryRecords, RedisRecords

MakeRecords = Callable[..., Records]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def make_records(request: pytest.FixtureRequest) -> AsyncIterator[MakeRecords]:
    """Records that keep about as many changes as they are told to."""
    opened: list[Records] = []

    def make(kept_changes: int = 10_000) -> Records:
        if request.param == "memory":
            ticks = itertools.count(1_800_000_000)
            opened.append(MemoryRecords(clock=lambda: float(next(ticks)), kept_changes=kept_changes))
        else:
            url, prefix = request.getfixturevalue("redis_url"), request.getfixturevalue("redis_prefix")
            opened.append(RedisRecords(url, prefix=prefix, kept_changes=kept_changes))
        return opened[-1]

    yield make
    for records in opened:
        await records.close()


@pytest.fixture
def records(make_records: MakeRecords) -> Records:
    return make_records()


async def write(
    records: Records,
    wanted: ThoughtTemplate,
    expected: int = 0,
    *,
    kind: ChangeKind = ChangeKind.UPDATED,
    seed: str | None = None,
) -> TemplateChange | Refusal:
    [outcome] = await records.write("math", [Draft(wanted, kind, expected, "ada", "because", seed)])
    return outcome


async def written(records: Records, wanted: ThoughtTemplate, expected: int = 0) -> TemplateChange:
    outcome = await write(records, wanted, expected)
    assert isinstance(outcome, TemplateChange)
    return outcome


async def test_a_new_template_has_revision_one_whatever_it_says(records: Records) -> None:
    change = await write(records, template(revision=7), kind=ChangeKind.CREATED)
    assert isinstance(change, TemplateChange)
    assert (change.seq, change.revision, change.kind, change.by, change.note) == (
        1,
        1,
        ChangeKind.CREATED,
        "ada",
        "because",
    )
    assert change.template == template(revision=1)
    assert change.at.tzinfo is not None
    assert (await records.load("math")).templates == (template(),)
    assert await records.get("math", "double-it") == template()


async def test_a_change_is_made_from_the_current_revision_or_not_at_all(records: Records) -> None:
    await written(records, template())
    assert (await written(records, template(description="Says something else."), 1)).revision == 2
    late = await write(records, template(description="Says it too late."), 1)
    assert isinstance(late, RevisionConflict)
    assert late.current == 2
    assert "revision 2, not 1" in late.failure.message
    assert isinstance(await write(records, template(), 0), TemplateExists)
    assert isinstance(await write(records, template("nobody"), 3), TemplateNotFound)
    assert (await records.load("math")).seq == 2


async def test_no_two_templates_in_use_share_a_name(records: Records) -> None:
    await written(records, template("first", name="Sum of Squares"))
    clash = await write(records, template("second", name="sum  of squares!"))
    assert isinstance(clash, NameTaken)
    assert clash.param == "name"
    assert "'first'" in clash.failure.message
    await written(records, template("first", name="Sum of Squares", status=TemplateStatus.RETIRED), 1)
    await written(records, template("second", name="sum of squares"))
    assert isinstance(await write(records, template("first", name="Sum of Squares"), 2), NameTaken)


async def test_a_name_that_was_changed_is_free_again(records: Records) -> None:
    await written(records, template("first", name="Old name"))
    await written(records, template("first", name="New name"), 1)
    await written(records, template("second", name="Old name"))
    assert isinstance(await write(records, template("third", name="New name")), NameTaken)


async def test_names_without_latin_letters_are_told_apart(records: Records) -> None:
    await written(records, template("first", name="Теорема Пифагора"))
    await written(records, template("second", name="Теорема Виета"))
    assert isinstance(await write(records, template("third", name="теорема  виета")), NameTaken)


async def test_each_draft_of_a_batch_stands_alone(records: Records) -> None:
    wanted = [template(f"number-{n}") for n in range(250)]
    wanted[120] = wanted[7]
    outcomes = await records.write("math", [Draft(each, ChangeKind.IMPORTED, 0) for each in wanted])
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, TemplateChange)] == [120]
    assert [outcome.seq for outcome in outcomes if isinstance(outcome, TemplateChange)] == list(range(1, 250))
    assert len((await records.load("math")).templates) == 249


async def test_the_history_has_every_revision_and_reads_each_as_it_was(records: Records) -> None:
    changes = [await written(records, template(description=f"Description number {n}."), n) for n in range(12)]
    assert await records.history("math", "double-it") == tuple(changes)
    assert (await records.at("math", "double-it", 5)).template.description == "Description number 4."
    with pytest.raises(RevisionNotFound, match="no revision 13"):
        await records.at("math", "double-it", 13)
    for beyond in (2**53, 2**53 + 1, 10**25):
        with pytest.raises(RevisionNotFound):
            await records.at("math", "double-it", beyond)
    with pytest.raises(TemplateNotFound):
        await records.history("math", "nobody")
    with pytest.raises(TemplateNotFound):
        await records.get("math", "nobody")


async def test_changes_come_in_order_from_the_cursor_on(records: Records) -> None:
    made = [await written(records, template(f"number-{n}")) for n in range(5)]
    assert await records.changes("math", 0, 0.01) == tuple(made)
    assert await records.changes("math", 3, 0.01) == tuple(made[3:])
    assert await records.changes("math", 5, 0.01) == ()
    assert await records.changes("empty", 0, 0.01) == ()


async def test_who_waits_hears_a_change_when_it_is_made(records: Records) -> None:
    waiting = asyncio.create_task(records.changes("math", 0, 30))
    while not waiting.done():
        await asyncio.sleep(0)
        held = (await records.load("math")).seq
        if held == 0:
            made = await written(records, template())
    assert await waiting == (made,)


async def test_a_cursor_that_the_trimmed_changes_do_not_reach_is_lost(make_records: MakeRecords) -> None:
    records = make_records(kept_changes=3)
    for n in range(200):
        await written(records, template(f"number-{n}"))
    with pytest.raises(ChangesLost):
        await records.changes("math", 0, 0.01)
    assert (await records.changes("math", 199, 0.01))[0].seq == 200
    assert len((await records.load("math")).templates) == 200


async def test_a_cursor_beyond_the_library_is_lost(records: Records) -> None:
    await written(records, template())
    with pytest.raises(ChangesLost):
        await records.changes("math", 9, 0.01)


async def test_seeds_remember_the_revision_that_a_file_made(records: Records) -> None:
    await write(records, template("from-file"), seed="abc")
    await write(records, template("by-hand"))
    await write(records, template("from-file", description="Edited by hand."), 1)
    assert await records.seeds("math") == {"from-file": Seed("abc", 1)}
    await write(records, template("from-file"), 2, seed="def with space")
    assert await records.seeds("math") == {"from-file": Seed("def with space", 3)}


async def test_libraries_are_made_once_and_know_nothing_of_each_other(records: Records) -> None:
    assert await records.libraries() == ()
    assert await records.create_library("math") is True
    assert await records.create_library("math") is False
    assert await records.create_library("chemistry") is True
    assert await records.libraries() == ("chemistry", "math")
    await written(records, template())
    assert (await records.load("chemistry")).templates == ()
    [outcome] = await records.write("chemistry", [Draft(template(), ChangeKind.CREATED, 0)])
    assert isinstance(outcome, TemplateChange)
    assert (outcome.seq, outcome.library) == (1, "chemistry")


async def test_of_concurrent_changes_from_one_revision_one_is_made(records: Records) -> None:
    await written(records, template())
    drafts = [template(description=f"Writer number {n} was here.") for n in range(20)]
    outcomes = await asyncio.gather(*(write(records, each, 1) for each in drafts))
    made = [outcome for outcome in outcomes if isinstance(outcome, TemplateChange)]
    assert len(made) == 1
    assert all(isinstance(outcome, RevisionConflict) for outcome in outcomes if outcome is not made[0])
    assert await records.get("math", "double-it") == made[0].template
    assert [change.revision for change in await records.history("math", "double-it")] == [1, 2]


# What only the records on Redis can promise


@pytest.fixture
async def on_redis(own_redis) -> AsyncIterator[RedisRecords]:
    opened = RedisRecords(own_redis.url)
    yield opened
    await opened.close()


@pytest.mark.redis
async def test_a_write_whose_reply_was_lost_is_acknowledged_and_made_once(own_redis) -> None:
    async with CuttingProxy(own_redis.port) as proxy:
        records = RedisRecords(proxy.url)
        await written(records, template("warm"))  # so that the script is known, and the reply lost is the real one
        proxy.cut_next_reply = True
        made = await written(records, template())
        assert proxy.cuts == 1
        assert made.revision == 1
        assert await records.history("math", "double-it") == (made,)
        proxy.cut_next_reply = True
        outcomes = await records.write("math", [Draft(template(f"n-{n}"), ChangeKind.IMPORTED, 0) for n in range(50)])
        assert [outcome.seq for outcome in outcomes if isinstance(outcome, TemplateChange)] == list(range(3, 53))
        await records.close()


@pytest.mark.redis
async def test_the_script_is_sent_again_when_the_server_forgot_it(own_redis, on_redis: RedisRecords) -> None:
    await written(on_redis, template("first"))
    with redis.Redis(port=own_redis.port) as client:
        client.script_flush()
    await written(on_redis, template("second"))


@pytest.mark.redis
async def test_every_key_of_a_library_carries_its_tag_and_no_other(own_redis, on_redis: RedisRecords) -> None:
    await on_redis.create_library("math")
    await write(on_redis, template(), seed="abc")
    with redis.Redis(port=own_redis.port, decode_responses=True) as client:
        keys = set(client.scan_iter())
    kinds = ("changes", "heads", "history:double-it", "names", "records", "seeds", "seq")
    assert keys == {"rf:libraries", *(f"rf:{{lib:math}}:{kind}" for kind in kinds)}


@pytest.mark.redis
async def test_an_unreachable_redis_is_a_typed_failure() -> None:
    records = RedisRecords("redis://127.0.0.1:1/0")
    for call in (records.ping(), records.load("math"), records.changes("math", 0, 0.01), write(records, template())):
        with pytest.raises(RecordsUnavailable) as caught:
            await call
        assert caught.value.failure.retryable
        assert "REASONFLUX_REDIS_URL" in (caught.value.failure.hint or "")
    await records.close()


WRITES = st.lists(
    st.tuples(
        st.integers(0, 2),  # the template
        st.integers(-1, 1),  # how far the expected revision is off
        st.integers(0, 3),  # the name
        st.sampled_from(list(TemplateStatus)),
        st.sampled_from([None, "abc", "def"]),
    ),
    max_size=25,
)


@pytest.mark.redis
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=WRITES, cut=st.integers(1, 5))
def test_the_records_in_memory_are_the_model_of_those_on_redis(
    redis_url: str, redis_prefix: str, writes: list[tuple[int, int, int, TemplateStatus, str | None]], cut: int
) -> None:
    async def drafted() -> list[Draft]:
        """The writes, made from revisions that are right, or off by one."""
        scratch, drafts = MemoryRecords(), []
        for which, off, name, status, seed in writes:
            wanted = template(f"number-{which}", name=f"The name {name}", status=status)
            current = {each.id: each.revision for each in (await scratch.load("math")).templates}.get(wanted.id, 0)
            drafts.append(Draft(wanted, ChangeKind.UPDATED, max(0, current + off), "ada", f"off by {off}", seed))
            await scratch.write("math", drafts[-1:])
        return drafts

    async def told(records: Records, drafts: list[Draft]) -> list[object]:
        """Everything that can be seen of the records while and after these writes, but the time."""
        seen: list[object] = []
        for start in range(0, len(drafts), cut):
            seen += map(_comparable, await records.write("math", drafts[start : start + cut]))
        snapshot = await records.load("math")
        seen += [snapshot.seq, sorted(snapshot.templates, key=lambda each: each.id), await records.seeds("math")]
        seen += map(_comparable, await records.changes("math", 0, 0.001))
        for template_id in sorted(each.id for each in snapshot.templates):
            seen += map(_comparable, await records.history("math", template_id))
        return seen

    async def compared() -> None:
        real = RedisRecords(redis_url, prefix=f"{redis_prefix}:{uuid4().hex}")
        drafts = await drafted()
        assert await told(real, drafts) == await told(MemoryRecords(), drafts)
        await real.close()

    asyncio.run(compared())


def _comparable(outcome: TemplateChange | Refusal) -> object:
    return outcome.model_copy(update={"at": None}) if isinstance(outcome, TemplateChange) else str(outcome)
