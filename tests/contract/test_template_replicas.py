"""Replicas of a library: any order of changes leads to the same place, and nobody stays behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from templates import template

from calculator import evaluate_in_process
from reasonflux.contracts import (
    Calculation,
    ChangeKind,
    Query,
    SearchRequest,
    TemplateChange,
    TemplateStatus,
    ThoughtTemplate,
)
from template_store import seeding
from template_store.editing import Author, Editor
from template_store.errors import LibraryNotFound, RecordsUnavailable, RevisionConflict
from template_store.libraries import Libraries
from template_store.ports import Draft, Records, Vectors
from template_store.quality.checks import Checks
from template_store.records import MemoryRecords
from template_store.replica import Listing, Replica
from template_store.retrieval.embedding import EmbeddingCache
from template_store.retrieval.index import documents
from template_store.retrieval.retriever import Retriever
from template_store.testing import ExactIndex, WordEmbedder

ALL = Listing()


class InProcess:
    """The calculator for templates that this suite wrote itself."""

    async def evaluate(self, statements: Any, names: Any = None) -> tuple[Calculation, ...]:
        return evaluate_in_process(statements, names or {})


def replica(records: Records, **how: Any) -> Replica:
    embedder = WordEmbedder()
    retriever = Retriever(embedder, ExactIndex(embedder.dimension), None, threshold=0.3)
    return Replica("math", records, retriever, **how)


async def change(records: Records, wanted: ThoughtTemplate, expected: int = 0) -> TemplateChange:
    [outcome] = await records.write("math", [Draft(wanted, ChangeKind.UPDATED, expected)])
    assert isinstance(outcome, TemplateChange)
    return outcome


async def found(library: Replica, name: str) -> list[str]:
    [retrieval] = (await library.search(SearchRequest(queries=(Query(name=name),), top_k=100))).retrievals
    return [candidate.template_id for candidate in retrieval.candidates]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a replica announces itself in no other way
            await asyncio.sleep(0.005)


@pytest.fixture
async def following() -> AsyncIterator[Callable[[Replica], None]]:
    tasks: list[asyncio.Task[None]] = []
    yield lambda library: tasks.append(asyncio.create_task(library.follow()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(TemplateStatus))), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(steps=STEPS, data=st.data())
def test_changes_in_any_order_and_number_lead_to_the_records(
    steps: list[tuple[int, TemplateStatus]], data: st.DataObject
) -> None:
    async def told() -> None:
        records = MemoryRecords()
        revisions: dict[int, int] = {}
        made = []
        for number, (which, status) in enumerate(steps):
            wanted = template(f"number-{which}", status=status, description=f"Written as number {number}.")
            made.append(await change(records, wanted, revisions.get(which, 0)))
            revisions[which] = made[-1].revision
        library = replica(records)
        shuffled = data.draw(st.permutations(made + data.draw(st.lists(st.sampled_from(made)))))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
        for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True):
            await library.apply(shuffled[start:end])
        kept = {each.id: each for each in (await records.load("math")).templates}
        assert {each.id: each for each in library.each(ALL)} == kept
        active = {key for key, each in kept.items() if each.status is TemplateStatus.ACTIVE}
        assert set(await found(library, "number")) == active
        assert library.info().revision == len(steps)

    asyncio.run(told())


async def test_two_replicas_converge(following: Callable[[Replica], None]) -> None:
    records = MemoryRecords()
    one, two = replica(records), replica(records)
    for library in (one, two):
        await library.reload()
        following(library)
    editor = Editor(records, Checks(InProcess()))
    for n in range(6):
        await editor.create([one, two][n % 2], template(f"number-{n}"), Author())
    await editor.move(one, "number-3", TemplateStatus.RETIRED, None, Author())
    await until(lambda: [*one.each(ALL)] == [*two.each(ALL)] and one.info() == two.info())
    assert "number-3" not in await found(two, "number 3")


async def test_a_write_is_found_by_the_replica_that_made_it_before_it_is_answered() -> None:
    records = MemoryRecords()
    library = replica(records)  # it does not follow at all
    await Editor(records, Checks(InProcess())).create(library, template(), Author())
    assert await found(library, "double it") == ["double-it"]


async def test_a_replica_that_was_away_for_longer_than_changes_are_kept_converges(
    following: Callable[[Replica], None],
) -> None:
    records = MemoryRecords(kept_changes=2)
    library = replica(records)
    await library.reload()
    for n in range(9):
        await change(records, template(f"number-{n}"))
    await change(records, template("number-4", status=TemplateStatus.RETIRED), 1)
    following(library)
    await until(lambda: library.info().revision == 10)
    assert len([*library.each(ALL)]) == 9
    assert "number-4" not in await found(library, "number")


class Faltering(MemoryRecords):
    """Records that can be taken away, and come back from an older state."""

    away = False

    async def changes(self, library: str, after: int, patience: float) -> tuple[TemplateChange, ...]:
        if self.away:
            raise RecordsUnavailable("it is away")
        return await super().changes(library, after, patience)

    def fall_back(self, older: MemoryRecords) -> None:
        self._shelves = older._shelves


async def test_searches_go_on_while_redis_is_away_and_the_trouble_is_told(following: Callable[[Replica], None]) -> None:
    records = Faltering()
    await change(records, template())
    library = replica(records, patience=0.01)
    await library.reload()
    following(library)
    records.away = True
    await until(lambda: library.trouble is not None)
    assert await found(library, "double it") == ["double-it"]
    await change(records, template("written-meanwhile"))
    records.away = False
    await until(lambda: library.trouble is None)
    assert library.get("written-meanwhile")


async def test_after_an_outage_the_records_are_believed_even_if_they_are_older(
    following: Callable[[Replica], None],
) -> None:
    records, older = Faltering(), MemoryRecords()
    await change(records, template("lost"))
    library = replica(records, patience=0.01)
    await library.reload()
    following(library)
    records.away = True
    await until(lambda: library.trouble is not None)
    await change(older, template("kept"))
    records.fall_back(older)
    records.away = False
    await until(lambda: library.trouble is None)
    assert [each.id for each in library.each(ALL)] == ["kept"]
    assert await found(library, "template") == ["kept"]


async def test_concurrent_editors_lose_no_change_that_was_acknowledged() -> None:
    records = MemoryRecords()
    library = replica(records)
    editor = Editor(records, Checks(InProcess()))
    await editor.create(library, template(), Author())

    async def edit(n: int) -> str | None:
        current = await records.get("math", "double-it")
        wanted = current.model_copy(update={"tags": (*current.tags[-10:], f"editor {n}")})
        await asyncio.sleep(0)
        try:
            return (await editor.update(library, wanted, current.revision, Author())).tags[-1]
        except RevisionConflict:
            return None

    told = [tag for tag in await asyncio.gather(*(edit(n) for n in range(12))) if tag]
    history = await records.history("math", "double-it")
    assert [each.template.tags[-1] for each in history[1:]] == told
    assert library.get("double-it") == history[-1].template


async def test_a_library_of_another_replica_is_opened_when_it_is_asked_for() -> None:
    records = MemoryRecords()
    here, there = Libraries(records, lambda _: replica(records)), Libraries(records, lambda _: replica(records))
    with pytest.raises(LibraryNotFound, match="no library 'math'"):
        await here.find("math")
    _, new = await there.create("math")
    assert new
    assert (await here.find("math")).name == "math"
    assert [library.name for library in await here.all()] == ["math"]
    _, again = await here.create("math")
    assert not again
    await here.close()
    await there.close()


# The library folder

FILES = (template("first"), template("second"), template("third"))


async def synced(records: Records, *files: ThoughtTemplate) -> dict[str, int]:
    return dict(await seeding.sync(records, "math", files))


async def test_a_folder_is_taken_over_once() -> None:
    records = MemoryRecords()
    assert await synced(records, *FILES) == {"created": 3}
    assert await synced(records, *FILES) == {}
    assert (await records.load("math")).seq == 3


async def test_a_changed_file_updates_what_nobody_edited_and_leaves_an_edited_one_alone() -> None:
    records = MemoryRecords()
    await synced(records, *FILES)
    await change(records, template("second", description="Edited by somebody."), 1)
    changed = [each.model_copy(update={"description": "The file says more now."}) for each in FILES]
    assert await synced(records, changed[0], changed[1], FILES[2]) == {"updated": 1, "left alone": 1}
    held = {each.id: each.description for each in (await records.load("math")).templates}
    assert held["first"] == "The file says more now."
    assert held["second"] == "Edited by somebody."
    assert await synced(records, changed[0], changed[1], FILES[2]) == {"left alone": 1}


async def test_a_file_that_is_gone_retires_its_template_unless_it_was_edited_and_comes_back() -> None:
    records = MemoryRecords()
    await synced(records, *FILES)
    await change(records, template("second", description="Edited by somebody."), 1)
    assert await synced(records, FILES[2]) == {"retired": 1, "left alone": 1}
    status = {each.id: each.status for each in (await records.load("math")).templates}
    assert status["first"] is TemplateStatus.RETIRED
    assert status["second"] is TemplateStatus.ACTIVE
    assert await synced(records, FILES[2]) == {"left alone": 1}
    assert await synced(records, *FILES) == {"updated": 1}
    assert (await records.get("math", "first")).status is TemplateStatus.ACTIVE


async def test_a_renamed_file_keeps_its_templates_name() -> None:
    records = MemoryRecords()
    await synced(records, *FILES)
    moved = FILES[0].model_copy(update={"id": "renamed"})
    assert await synced(records, moved, *FILES[1:]) == {"retired": 1, "created": 1}


async def test_what_did_not_come_from_a_file_is_left_alone() -> None:
    records = MemoryRecords()
    await change(records, template("first", description="Somebody's own template."))
    await change(records, template("own", name=FILES[1].name))
    assert await synced(records, *FILES) == {"created": 1, "left alone": 2}
    assert (await records.get("math", "first")).description == "Somebody's own template."
    assert await synced(records) == {"retired": 1}


async def test_two_replicas_that_start_at_once_double_nothing() -> None:
    records = MemoryRecords()
    await synced(records, FILES[0])
    changed = (FILES[0].model_copy(update={"description": "The file says more now."}), *FILES[1:])
    await asyncio.gather(*(synced(records, *changed) for _ in range(4)))
    assert {each.id: each.revision for each in (await records.load("math")).templates} == {
        "first": 2,
        "second": 1,
        "third": 1,
    }
    assert (await records.load("math")).seq == 4


# Embeddings


class Counting(WordEmbedder):
    """Counts the texts that it had to embed."""

    def __init__(self) -> None:
        self.texts = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        return await super().embed(texts)


async def test_a_start_with_an_unchanged_library_embeds_nothing_anew(tmp_path: Path) -> None:
    records = MemoryRecords()
    await synced(records, *FILES)

    async def started() -> tuple[Replica, Counting]:
        embedder = Counting()
        index = ExactIndex(embedder.dimension)
        library = Replica("math", records, Retriever(embedder, index, EmbeddingCache(tmp_path), threshold=0.3))
        await library.reload()
        return library, embedder

    library, first = await started()
    assert first.texts > 0
    assert (await started())[1].texts == 0
    await library.apply([await change(records, template("added"))])
    assert (await started())[1].texts <= len(documents(template("added"))), "a change costs at most itself"
