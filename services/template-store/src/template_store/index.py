"""The dense index: several documents per template, a template is as near as its nearest document.

Rebuilt from the records at every start and never read from a file: a stale or damaged index cannot exist. The inner
products are exact (IndexFlatIP); past the size where a measurement says so, another FAISS index takes its place here.
"""

from collections.abc import Collection, Sequence

import faiss
import numpy as np

from reasonflux.contracts import ThoughtTemplate
from template_store.ports import Entry, Hit, IndexStats, Vectors


def documents(template: ThoughtTemplate) -> dict[str, str]:
    """The texts under which a template can be found, by kind."""
    scope = " ".join([template.description, *template.scope])
    steps = " ".join([template.description, *(step.instruction for step in template.steps), *template.formulas])
    return {
        "name": template.name,
        "tags": f"{template.field.replace('/', ' ').replace('-', ' ')}: {', '.join(template.tags)}",
        "scope": scope,
        "steps": f"{template.name}. {steps}",
    }


def nearest(found: dict[str, dict[str, float]], limit: int) -> list[Hit]:
    """Ranks templates by their nearest document."""
    hits = [Hit(template_id, max(parts.values()), parts) for template_id, parts in found.items()]
    return sorted(hits, key=lambda hit: (-hit.similarity, hit.template_id))[:limit]


class FaissIndex:
    """Implements ports.Index. Not thread-safe; the store uses it from its event loop only."""

    def __init__(self, dimension: int) -> None:
        # Torch and FAISS each bring an OpenMP pool; at this size more threads only get in each other's way.
        faiss.omp_set_num_threads(1)
        self._dimension = dimension
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
        self._documents: dict[int, tuple[str, str]] = {}
        self._rows: dict[str, list[int]] = {}
        self._next = 0

    def upsert(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.vectors.shape != (len(entry.documents), self._dimension):
                raise ValueError(f"{entry.template_id}: vectors of shape {entry.vectors.shape} do not fit this index")
        latest = {entry.template_id: entry for entry in entries}
        self.delete(latest)
        for entry in latest.values():
            rows = list(range(self._next, self._next + len(entry.documents)))
            self._next += len(rows)
            self._index.add_with_ids(np.ascontiguousarray(entry.vectors), np.array(rows, dtype=np.int64))
            self._rows[entry.template_id] = rows
            self._documents.update(
                (row, (entry.template_id, kind)) for row, kind in zip(rows, entry.documents, strict=True)
            )

    def delete(self, template_ids: Collection[str]) -> None:
        rows = [row for template_id in template_ids for row in self._rows.pop(template_id, ())]
        if rows:
            self._index.remove_ids(faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)))
            for row in rows:
                del self._documents[row]

    def search(self, queries: Vectors, limit: int, among: Collection[str] | None = None) -> list[list[Hit]]:
        # Every document is asked for: a filter or a template's weaker documents must not cost a better template.
        if not self._documents or limit < 1:
            return [[] for _ in range(len(queries))]
        allowed = None if among is None else frozenset(among)
        similarities, rows = self._index.search(np.ascontiguousarray(queries), len(self._documents))
        answers = []
        for query_similarities, query_rows in zip(similarities.tolist(), rows.tolist(), strict=True):
            found: dict[str, dict[str, float]] = {}
            for similarity, row in zip(query_similarities, query_rows, strict=True):
                template_id, kind = self._documents[row]
                if allowed is None or template_id in allowed:
                    found.setdefault(template_id, {})[kind] = similarity
            answers.append(nearest(found, limit))
        return answers

    def stats(self) -> IndexStats:
        return IndexStats(len(self._rows), int(self._index.ntotal), self._dimension, "faiss.IndexFlatIP")
