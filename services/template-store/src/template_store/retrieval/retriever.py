"""The search: the dense index and BM25 over the active templates kept in step, and the ranking by both.

Each shortlists its nearest, the union is scored in full. So the cost of a search hardly grows with the library.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reasonflux.contracts import Candidate, Query, Retrieval, TemplateType, ThoughtTemplate
from template_store.ports import Embedder, Entry, Hit, Index, IndexStats
from template_store.retrieval import ranking
from template_store.retrieval.bm25 import Bm25
from template_store.retrieval.embedding_cache import EmbeddingCache
from template_store.retrieval.index import documents

SHORTLIST = 50
"""Templates taken over from each of the two, at the least."""


@dataclass(frozen=True)
class Scored:
    """A shortlisted template and what speaks for it."""

    template: ThoughtTemplate
    parts: dict[str, float]
    documents: dict[str, float]
    relevance: float


class Retriever:
    """Finds templates for queries. Every template given to it can be found."""

    def __init__(self, embedder: Embedder, index: Index, cache: EmbeddingCache | None, *, threshold: float) -> None:
        self.threshold = threshold
        self._embedder = embedder
        self._index = index
        self._cache = cache
        self._records: dict[str, ThoughtTemplate] = {}
        self._names: dict[str, set[str]] = {}
        self._bm25 = Bm25()

    async def upsert(self, templates: Iterable[ThoughtTemplate]) -> None:
        """Adds templates, replacing those with the same id; the next search finds them."""
        records = {template.id: template for template in templates}
        kinds = {template.id: documents(template) for template in records.values()}
        texts = [text for found in kinds.values() for text in found.values()]
        vectors = await (self._cache.embed(self._embedder, texts) if self._cache else self._embedder.embed(texts))
        entries, row = [], 0
        for template_id, found in kinds.items():
            entries.append(Entry(template_id, tuple(found), vectors[row : row + len(found)]))
            row += len(found)
        # No await from here on: a search sees all of the change or none of it.
        self._index.upsert(entries)
        self._forget(records)
        for template in records.values():
            self._records[template.id] = template
            self._names.setdefault(ranking.fold(template.name), set()).add(template.id)
            self._bm25.upsert(template.id, ranking.full_text(template))

    def delete(self, template_ids: Collection[str]) -> None:
        """Forgets templates; ids that are not there are passed over."""
        self._index.delete(template_ids)
        self._bm25.delete(template_ids)
        self._forget(template_ids)

    def _forget(self, template_ids: Iterable[str]) -> None:
        for template_id in template_ids:
            template = self._records.pop(template_id, None)
            if template is not None:
                self._names[ranking.fold(template.name)].discard(template_id)

    def stats(self) -> IndexStats:
        return self._index.stats()

    async def search(
        self, queries: Sequence[Query], *, top_k: int, fields: Sequence[str] = (), types: Sequence[TemplateType] = ()
    ) -> tuple[Retrieval, ...]:
        """One retrieval per query. `fields` (paths or their ancestors) and `types` are hard filters."""
        vectors = await self._embedder.embed_queries([ranking.query_text(query) for query in queries])
        scored = self.shortlist(queries, vectors, max(SHORTLIST, top_k), self._admitted(fields, types))
        return tuple(self._retrieval(query, found, top_k) for query, found in zip(queries, scored, strict=True))

    def shortlist(
        self,
        queries: Sequence[Query],
        vectors: npt.NDArray[np.float32],
        limit: int,
        among: set[str] | None = None,
    ) -> list[list[Scored]]:
        """The nearest templates by embedding, by words and by exact name, for each query, in no order."""
        near = self._index.search(vectors, limit, among)
        found = []
        for query, vector, hits in zip(queries, vectors, near, strict=True):
            shares = self._bm25.scores(ranking.query_text(query))
            known = {hit.template_id for hit in hits}
            others = self._worded(shares, limit, among) | self._named(query, among)
            hits = [*hits, *self._index.compare(vector, sorted(others - known))]
            found.append([self._scored(query, hit, float(shares[self._bm25.slot(hit.template_id)])) for hit in hits])
        return found

    def _worded(self, shares: npt.NDArray[np.float64], limit: int, among: set[str] | None) -> set[str]:
        """The first `limit` by BM25 that are admitted."""
        if among is not None:
            admitted = np.zeros(len(shares), dtype=bool)
            admitted[[self._bm25.slot(template_id) for template_id in among]] = True
            shares = np.where(admitted, shares, 0.0)
        first = np.argpartition(shares, -limit)[-limit:] if len(shares) > limit else np.arange(len(shares))
        keys = self._bm25.keys
        return {key for slot in first if shares[slot] > 0 and (key := keys[slot]) is not None}

    def _named(self, query: Query, among: set[str] | None) -> set[str]:
        named = self._names.get(ranking.fold(query.name), set()) if query.name else set()
        return named if among is None else named & among

    def _admitted(self, fields: Sequence[str], types: Sequence[TemplateType]) -> set[str] | None:
        if not (fields or types):
            return None
        return {
            template.id
            for template in self._records.values()
            if (not fields or any(template.field == f or template.field.startswith(f"{f}/") for f in fields))
            and (not types or template.type in types)
        }

    def _scored(self, query: Query, hit: Hit, bm25: float) -> Scored:
        template = self._records[hit.template_id]
        found = ranking.parts(query, template, hit.similarity, bm25)
        return Scored(template, found, hit.parts, ranking.relevance(found))

    def _retrieval(self, query: Query, scored: list[Scored], top_k: int) -> Retrieval:
        ordered = sorted(scored, key=lambda found: (-found.relevance, found.template.id))
        rivals = ranking.rivals([found.relevance for found in ordered])
        candidates = tuple(
            Candidate(
                template_id=found.template.id,
                name=found.template.name,
                score=ranking.score(found.relevance, rival),
                parts=found.parts,
                matched=ranking.matched(found.parts, found.documents),
            )
            for found, rival in zip(ordered[:top_k], rivals, strict=False)
        )
        chosen = candidates[0] if candidates and candidates[0].score >= self.threshold else None
        return Retrieval(
            query=query, candidates=candidates, template=self._records[chosen.template_id] if chosen else None
        )
