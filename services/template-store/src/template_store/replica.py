"""One named library as this process serves it: its templates in memory, an index over the active ones.

It is read whole once, then follows the library's changes. A change is applied by its revision, so that it does no harm
when it comes twice or late, and a write of this process is applied before it is answered.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from reasonflux.contracts import (
    LibraryInfo,
    SearchRequest,
    SearchResponse,
    TemplateChange,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
)
from reasonflux.errors import ReasonFluxError, ServiceUnavailable
from reasonflux.observing import logger
from template_store.errors import ChangesLost, TemplateNotFound
from template_store.ports import Records
from template_store.retrieval import ranking
from template_store.retrieval.retriever import Retriever

PATIENCE_SECONDS = 5.0
"""How long one wait for changes takes when there are none."""
_AGAIN_SECONDS = (0.05, 1.0)


def within(field: str, asked: str) -> bool:
    """Whether a field path is the asked one or lies below it."""
    return field == asked or field.startswith(f"{asked}/")


@dataclass(frozen=True)
class Listing:
    """Which templates to list; None and empty mean all."""

    field: str | None = None
    type: TemplateType | None = None
    tag: str | None = None
    status: TemplateStatus | None = None

    def admits(self, template: ThoughtTemplate) -> bool:
        return (
            (self.field is None or within(template.field, self.field))
            and (self.type is None or template.type is self.type)
            and (self.tag is None or ranking.fold(self.tag) in map(ranking.fold, template.tags))
            and (self.status is None or template.status is self.status)
        )


class Replica:
    """Reads come from memory and go on while Redis is away; `trouble` says what keeps it from following."""

    def __init__(
        self,
        name: str,
        records: Records,
        retriever: Retriever,
        *,
        patience: float = PATIENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.trouble: ReasonFluxError | None = None
        self._records = records
        self._retriever = retriever
        self._patience = patience
        self._sleep = sleep
        self._templates: dict[str, ThoughtTemplate] = {}
        self._heard = 0
        """Every change up to this one is applied."""
        self._seen = 0
        """The latest change that is applied: this process's own writes run ahead of what it has heard."""
        self._applying = asyncio.Lock()

    async def reload(self) -> None:
        """Take over the records as they are, whatever was held before. What is held unchanged costs nothing."""
        async with self._applying:
            snapshot = await self._records.load(self.name)
            fresh = {template.id: template for template in snapshot.templates}
            gone = self._templates.keys() - fresh.keys()
            await self._index([t for key, t in fresh.items() if self._templates.get(key) != t], gone)
            self._templates = fresh
            self._heard = self._seen = snapshot.seq

    async def apply(self, changes: Iterable[TemplateChange]) -> None:
        """Make these changes visible here: in any order, any number of times."""
        async with self._applying:
            newest: dict[str, ThoughtTemplate] = {}
            for change in changes:
                held = newest.get(change.template_id) or self._templates.get(change.template_id)
                if held is None or held.revision < change.revision:
                    newest[change.template_id] = change.template
                self._seen = max(self._seen, change.seq)
            await self._index(newest.values(), ())
            self._templates.update(newest)

    async def _index(self, changed: Iterable[ThoughtTemplate], gone: Iterable[str]) -> None:
        templates = list(changed)
        active = [template for template in templates if template.status is TemplateStatus.ACTIVE]
        hidden = [template.id for template in templates if template.status is not TemplateStatus.ACTIVE]
        if hidden or gone:
            self._retriever.delete([*hidden, *gone])
        if active:
            await self._retriever.upsert(active)

    async def follow(self) -> None:
        """Apply what others write, for ever. After an interruption everything is read again: Redis may have come back
        from an older state, and then went on from there."""
        interrupted = False
        while True:
            try:
                if interrupted:
                    await self.reload()
                    interrupted = False
                changes = await self._records.changes(self.name, self._heard, self._patience)
                await self.apply(changes)
                self._heard = changes[-1].seq if changes else self._heard
                self.trouble = None
            except ChangesLost:
                interrupted = True
            except Exception as error:
                if self.trouble is None:
                    logger.warning("library does not follow its changes", library=self.name, error=str(error))
                self.trouble = error if isinstance(error, ReasonFluxError) else ServiceUnavailable(repr(error))
                interrupted = True
                await self._sleep(random.uniform(*_AGAIN_SECONDS))

    def get(self, template_id: str) -> ThoughtTemplate:
        """Raises TemplateNotFound."""
        if template_id not in self._templates:
            raise TemplateNotFound(template_id)
        return self._templates[template_id]

    def held(self, template_id: str) -> ThoughtTemplate | None:
        return self._templates.get(template_id)

    def page(self, listing: Listing, *, after: str = "", limit: int = 50) -> tuple[list[ThoughtTemplate], str | None]:
        """The next `limit` templates by id past `after`, and the id to go on from (None at the end)."""
        rest = [t for key, t in sorted(self._templates.items()) if key > after and listing.admits(t)]
        return rest[:limit], rest[limit - 1].id if len(rest) > limit else None

    def each(self, listing: Listing) -> Iterator[ThoughtTemplate]:
        """All of them by id, as of now."""
        return (t for _, t in sorted(self._templates.items()) if listing.admits(t))

    async def search(self, request: SearchRequest) -> SearchResponse:
        """One retrieval per query, among the active templates."""
        found = await self._retriever.search(
            request.queries, top_k=request.top_k, fields=request.fields, types=request.types
        )
        return SearchResponse(retrievals=tuple(found))

    def info(self) -> LibraryInfo:
        counts = Counter(template.status for template in self._templates.values())
        return LibraryInfo(name=self.name, revision=self._seen, counts={s: counts[s] for s in TemplateStatus})
