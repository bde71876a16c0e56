"""Stand-ins that pass the same tests as the real adapters, for tests that need no model."""

import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from template_store.ports import Entry, Hit, IndexStats, Vectors
from template_store.retrieval.bm25 import words
from template_store.retrieval.index import check_shape, nearest


class ExactIndex:
    """Implements ports.Index with one inner product per document, written to be obviously right."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._entries: dict[str, Entry] = {}

    def upsert(self, entries: Sequence[Entry]) -> None:
        check_shape(entries, self._dimension)
        self._entries.update((entry.template_id, entry) for entry in entries)

    def delete(self, template_ids: Collection[str]) -> None:
        for template_id in template_ids:
            self._entries.pop(template_id, None)

    def search(self, queries: Vectors, limit: int, among: Collection[str] | None = None) -> list[list[Hit]]:
        entries = [e for e in self._entries.values() if among is None or e.template_id in among]
        return [nearest({e.template_id: _similarities(e, query) for e in entries}, limit) for query in queries]

    def compare(self, query: Vectors, template_ids: Sequence[str]) -> list[Hit]:
        found = {key: _similarities(self._entries[key], query) for key in template_ids if key in self._entries}
        return [Hit(key, max(parts.values()), parts) for key, parts in found.items()]

    def snapshot(self) -> list[Entry]:
        return list(self._entries.values())

    def stats(self) -> IndexStats:
        rows = sum(len(entry.documents) for entry in self._entries.values())
        return IndexStats(len(self._entries), rows, self._dimension, "exact")


def _similarities(entry: Entry, query: Vectors) -> dict[str, float]:
    return dict(zip(entry.documents, (entry.vectors @ query).tolist(), strict=True))


class WordEmbedder:
    """Implements ports.Embedder by hashing words into a vector: equal words are near, meaning is unknown to it."""

    version = "words@1"
    dimension = 256

    async def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in words(text) or [text]:
                row[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % self.dimension] += 1.0
            row /= np.linalg.norm(row)
        return rows

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return await self.embed(texts)
