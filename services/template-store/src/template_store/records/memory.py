"""The records in memory: the verified stand-in for Redis. Nothing outlives the process."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reasonflux.contracts import TemplateChange, ThoughtTemplate
from template_store.errors import (
    ChangesLost,
    NameTaken,
    RevisionConflict,
    RevisionNotFound,
    TemplateExists,
    TemplateNotFound,
)
from template_store.ports import Draft, Refusal, Seed, Snapshot
from template_store.records.naming import unique_name


@dataclass
class _Shelf:
    """One library."""

    seq: int = 0
    records: dict[str, ThoughtTemplate] = field(default_factory=dict)
    history: dict[str, list[TemplateChange]] = field(default_factory=dict)
    changes: list[TemplateChange] = field(default_factory=list)
    seeds: dict[str, Seed] = field(default_factory=dict)


class MemoryRecords:
    """Implements ports.Records. Processes cannot share it, but several replicas in one process can."""

    def __init__(self, *, clock: Callable[[], float] = time.time, kept_changes: int = 10_000) -> None:
        self._clock = clock
        self._kept = kept_changes
        self._libraries: set[str] = set()
        self._shelves: dict[str, _Shelf] = {}
        self._written = asyncio.Condition()

    async def create_library(self, library: str) -> bool:
        known = library in self._libraries
        self._libraries.add(library)
        return not known

    async def libraries(self) -> tuple[str, ...]:
        return tuple(sorted(self._libraries))

    async def write(self, library: str, drafts: Sequence[Draft]) -> tuple[TemplateChange | Refusal, ...]:
        shelf = self._shelf(library)
        async with self._written:
            outcomes = tuple(self._write(library, shelf, draft) for draft in drafts)
            self._written.notify_all()
        return outcomes

    def _write(self, library: str, shelf: _Shelf, draft: Draft) -> TemplateChange | Refusal:
        wanted = draft.template
        if refusal := _refusal(shelf, draft):
            return refusal
        shelf.seq += 1
        template = wanted.model_copy(update={"revision": draft.expected + 1})
        change = TemplateChange(
            seq=shelf.seq,
            library=library,
            template_id=template.id,
            revision=template.revision,
            kind=draft.kind,
            at=datetime.fromtimestamp(self._clock(), UTC),
            by=draft.by,
            note=draft.note,
            template=template,
        )
        shelf.records[template.id] = template
        shelf.history.setdefault(template.id, []).append(change)
        shelf.changes.append(change)
        del shelf.changes[: -self._kept]
        if draft.seed is not None:
            shelf.seeds[template.id] = Seed(draft.seed, template.revision)
        return change

    async def get(self, library: str, template_id: str) -> ThoughtTemplate:
        try:
            return self._shelf(library).records[template_id]
        except KeyError:
            raise TemplateNotFound(template_id) from None

    async def load(self, library: str) -> Snapshot:
        shelf = self._shelf(library)
        return Snapshot(shelf.seq, tuple(shelf.records.values()))

    async def changes(self, library: str, after: int, patience: float) -> tuple[TemplateChange, ...]:
        shelf = self._shelf(library)
        if shelf.seq == after:
            try:
                async with asyncio.timeout(patience), self._written:
                    await self._written.wait_for(lambda: shelf.seq != after)
            except TimeoutError:
                return ()
        following = tuple(change for change in shelf.changes if change.seq > after)
        if not following or following[0].seq != after + 1:
            raise ChangesLost(library, after)
        return following

    async def history(self, library: str, template_id: str) -> tuple[TemplateChange, ...]:
        changes = self._shelf(library).history.get(template_id)
        if changes is None:
            raise TemplateNotFound(template_id)
        return tuple(changes)

    async def at(self, library: str, template_id: str, revision: int) -> TemplateChange:
        for change in self._shelf(library).history.get(template_id, ()):
            if change.revision == revision:
                return change
        raise RevisionNotFound(template_id, revision)

    async def seeds(self, library: str) -> dict[str, Seed]:
        return dict(self._shelf(library).seeds)

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def _shelf(self, library: str) -> _Shelf:
        return self._shelves.setdefault(library, _Shelf())


def _refusal(shelf: _Shelf, draft: Draft) -> Refusal | None:
    wanted = draft.template
    current = shelf.records.get(wanted.id)
    if (current.revision if current else 0) != draft.expected:
        if current is None:
            return TemplateNotFound(wanted.id)
        if draft.expected == 0:
            return TemplateExists(wanted.id, current.revision)
        return RevisionConflict(wanted.id, draft.expected, current.revision)
    name = unique_name(wanted)
    for other in shelf.records.values():
        if name and other.id != wanted.id and unique_name(other) == name:
            return NameTaken(wanted.name, other.id)
    return None
