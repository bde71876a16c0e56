"""The store: records, the dense index and BM25 kept in step, and the search over all three."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from reasonflux.contracts import (
    Candidate,
    Query,
    Retrieval,
    SearchRequest,
    SearchResponse,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
)
from template_store import ranking
from template_store.embedding import EmbeddingCache
from template_store.errors import LibraryNotFound, TemplateNotFound
from template_store.index import documents
from template_store.ports import Embedder, Entry, Hit, Index, IndexStats


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


class TemplateStore:
    """Only active templates are found by search; all of them can be listed and read."""

    def __init__(
        self, embedder: Embedder, index: Index, cache: EmbeddingCache | None, *, library: str, threshold: float
    ) -> None:
        self.library = library
        self.threshold = threshold
        self._embedder = embedder
        self._index = index
        self._cache = cache
        self._records: dict[str, ThoughtTemplate] = {}
        self._bm25 = ranking.Bm25({})

    async def upsert(self, templates: Iterable[ThoughtTemplate]) -> None:
        """Adds templates, replacing those with the same id; the next search finds them."""
        records = {template.id: template for template in templates}
        kinds = {t.id: documents(t) for t in records.values() if t.status is TemplateStatus.ACTIVE}
        texts = [text for found in kinds.values() for text in found.values()]
        vectors = await (self._cache.embed(self._embedder, texts) if self._cache else self._embedder.embed(texts))
        entries, row = [], 0
        for template_id, found in kinds.items():
            entries.append(Entry(template_id, tuple(found), vectors[row : row + len(found)]))
            row += len(found)
        # No await from here on: a search sees all of the change or none of it.
        self._index.delete(records.keys() - kinds.keys())
        self._index.upsert(entries)
        self._records.update(records)
        self._reread()

    def delete(self, template_ids: Collection[str]) -> None:
        """Forgets templates; ids that are not there are passed over."""
        self._index.delete(template_ids)
        for template_id in template_ids:
            self._records.pop(template_id, None)
        self._reread()

    def _reread(self) -> None:
        active = (t for t in self._records.values() if t.status is TemplateStatus.ACTIVE)
        self._bm25 = ranking.Bm25({template.id: ranking.full_text(template) for template in active})

    def get(self, template_id: str) -> ThoughtTemplate:
        """Raises TemplateNotFound."""
        if template_id not in self._records:
            raise TemplateNotFound(template_id)
        return self._records[template_id]

    def list(self, listing: Listing, *, after: str = "", limit: int = 50) -> tuple[list[ThoughtTemplate], str | None]:
        """The next `limit` templates by id past `after`, and the id to go on from (None at the end)."""
        rest = [t for key, t in sorted(self._records.items()) if key > after and listing.admits(t)]
        return rest[:limit], rest[limit - 1].id if len(rest) > limit else None

    def stats(self) -> IndexStats:
        return self._index.stats()

    async def search(self, request: SearchRequest) -> SearchResponse:
        """One retrieval per query. Raises LibraryNotFound."""
        if request.library != self.library:
            raise LibraryNotFound(request.library, self.library)
        vectors = await self._embedder.embed_queries([ranking.query_text(query) for query in request.queries])
        among = self._admitted(request)
        # Every admitted template is scored: one that is far by embedding may still be meant by its words.
        hits = self._index.search(vectors, len(self._records), among)
        retrievals = (
            self._retrieval(query, found, request.top_k) for query, found in zip(request.queries, hits, strict=True)
        )
        return SearchResponse(retrievals=tuple(retrievals))

    def _admitted(self, request: SearchRequest) -> set[str] | None:
        if not (request.fields or request.types):
            return None
        return {
            template.id
            for template in self._records.values()
            if (not request.fields or any(within(template.field, field) for field in request.fields))
            and (not request.types or template.type in request.types)
        }

    def _retrieval(self, query: Query, hits: Iterable[Hit], top_k: int) -> Retrieval:
        bm25 = self._bm25.scores(ranking.query_text(query))
        candidates = []
        for hit in hits:
            template = self._records[hit.template_id]
            parts = ranking.parts(query, template, hit.similarity, bm25[hit.template_id])
            candidates.append(
                Candidate(template_id=template.id, name=template.name, score=ranking.score(parts), parts=parts)
            )
        candidates.sort(key=lambda candidate: (-candidate.score, candidate.template_id))
        best = candidates[0] if candidates and candidates[0].score >= self.threshold else None
        return Retrieval(
            query=query,
            candidates=tuple(candidates[:top_k]),
            template=self._records[best.template_id] if best else None,
        )
