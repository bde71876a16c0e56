"""The dense index: several documents per template, a template is as near as its nearest document.

Rebuilt from the records at every start and never read from a file: a stale or damaged index cannot exist. The vectors
lie in one matrix. Up to `coarse_from` documents every search reads all of them, exactly. Past it, where that costs more
than embedding the query, a coarse FAISS index names the documents that are worth a look, and the matrix says exactly
how near they are. The coarse index is built beside, in a thread, and swapped in when it is done; what was written since
it was begun is read exactly until the next one.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from reasonflux.contracts import ThoughtTemplate
from template_store.ports import Entry, Hit, IndexStats, Vectors

COARSE_FROM = 50_000
"""Documents. There an exact search takes about as long as one embedding (docs/results/index-scale.md)."""
STALE_SHARE = 0.1
"""A coarse index is built anew when more than this share of the documents was written after it was begun."""

Rows = npt.NDArray[np.int64]


def documents(template: ThoughtTemplate) -> dict[str, str]:
    """The texts under which a template can be found by its embedding, by kind."""
    scope = " ".join([template.description, *template.scope])
    steps = " ".join([template.description, *(step.instruction for step in template.steps), *template.formulas])
    return {
        "name": template.name,
        "tags": f"{template.field.replace('/', ' ').replace('-', ' ')}: {', '.join(template.tags)}",
        "scope": f"{template.name}. {scope}",
        "steps": f"{template.name}. {steps}",
    }


def nearest(found: dict[str, dict[str, float]], limit: int) -> list[Hit]:
    """Ranks templates by their nearest document."""
    hits = [Hit(template_id, max(parts.values()), parts) for template_id, parts in found.items()]
    return sorted(hits, key=lambda hit: (-hit.similarity, hit.template_id))[:limit]


def check_shape(entries: Sequence[Entry], dimension: int) -> None:
    """Raises ValueError for vectors that do not belong to an index of this dimension."""
    for entry in entries:
        if entry.vectors.shape != (len(entry.documents), dimension):
            raise ValueError(f"{entry.template_id}: vectors of shape {entry.vectors.shape} do not fit this index")


def ivf_sq8(vectors: Vectors) -> Any:
    """Cells around sampled centres, a byte per number. Looks at one cell in thirty: see docs/results/index-scale.md."""
    count, dimension = vectors.shape
    cells = max(16, int(2 * count**0.5))
    quantiser = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(
        quantiser, dimension, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.max_points_per_centroid = 64
    index.cp.niter = 8
    index.nprobe = max(8, cells // 30)
    sample = np.random.default_rng(0).choice(count, min(count, 64 * cells), replace=False)
    index.train(vectors[np.sort(sample)])
    for start in range(0, count, 50_000):
        index.add(vectors[start : start + 50_000])
    return index


class _Coarse:
    """A FAISS index over the first rows of the matrix, and the rows that were written since it was begun."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self.fresh: set[int] = set()

    def worth_a_look(self, query: Vectors, count: int) -> Rows:
        rows = self.index.search(np.ascontiguousarray(query[None]), count)[1][0]
        return np.concatenate([rows[rows >= 0], np.fromiter(self.fresh, dtype=np.int64, count=len(self.fresh))])


class FaissIndex:
    """Implements ports.Index. The store uses it from its event loop only; coarse indexes are built in a thread."""

    def __init__(
        self, dimension: int, *, coarse_from: int = COARSE_FROM, coarse: Callable[[Vectors], Any] = ivf_sq8
    ) -> None:
        # Torch and FAISS each bring an OpenMP pool; a search is one thread's work, more only get in each other's way.
        faiss.omp_set_num_threads(1)
        self._dimension = dimension
        self._coarse_from, self._build = coarse_from, coarse
        self._matrix: Vectors = np.zeros((0, dimension), dtype=np.float32)
        self._used = 0
        """Rows of the matrix that were ever written; the rest is room to grow."""
        self._owners: list[tuple[str, str] | None] = []
        """Template and kind of document of each row; None is a tombstone: the row is zero and may be written again."""
        self._free: list[int] = []
        self._rows: dict[str, list[int]] = {}
        self._widest = 1
        self._coarse: _Coarse | None = None
        self._begun: tuple[threading.Thread, list[_Coarse], set[int]] | None = None

    def upsert(self, entries: Sequence[Entry]) -> None:
        check_shape(entries, self._dimension)
        latest = {entry.template_id: entry for entry in entries}
        self.delete(latest)
        self._make_room(sum(len(entry.documents) for entry in latest.values()))
        for entry in latest.values():
            rows = [self._free.pop() if self._free else self._append() for _ in entry.documents]
            self._matrix[rows] = entry.vectors
            for row, kind in zip(rows, entry.documents, strict=True):
                self._owners[row] = (entry.template_id, kind)
            self._rows[entry.template_id] = rows
            self._widest = max(self._widest, len(rows))
            self._written(rows)
        self._tend()

    def delete(self, template_ids: Collection[str]) -> None:
        for template_id in template_ids:
            for row in self._rows.pop(template_id, ()):
                self._owners[row] = None
                self._matrix[row] = 0.0
                self._free.append(row)

    def _append(self) -> int:
        self._owners.append(None)
        self._used += 1
        return self._used - 1

    def _make_room(self, rows: int) -> None:
        """The old matrix stays as it is for a thread that reads it."""
        wanted = self._used + max(0, rows - len(self._free))
        if wanted > len(self._matrix):
            grown = np.zeros((max(wanted, int(1.3 * len(self._matrix)), 64), self._dimension), dtype=np.float32)
            grown[: self._used] = self._matrix[: self._used]
            self._matrix = grown

    def _written(self, rows: Sequence[int]) -> None:
        if self._coarse is not None:
            self._coarse.fresh.update(rows)
        if self._begun is not None:
            self._begun[2].update(rows)

    def _tend(self) -> None:
        """Takes over a coarse index that is done, and begins one when it is time."""
        if self._begun is not None and not self._begun[0].is_alive():
            _, done, since = self._begun
            self._begun = None
            if done:
                [self._coarse] = done
                self._coarse.fresh = since
        stale = self._coarse is None or len(self._coarse.fresh) > STALE_SHARE * self._used
        if self._used >= self._coarse_from and stale and self._begun is None:
            vectors, built = self._matrix[: self._used], list[_Coarse]()
            thread = threading.Thread(target=lambda: built.append(_Coarse(self._build(vectors))), daemon=True)
            self._begun = (thread, built, set())
            thread.start()

    def settle(self) -> None:
        """Waits for the coarse index that is being built, if one is."""
        if self._begun is not None:
            self._begun[0].join()
            self._tend()

    def search(self, queries: Vectors, limit: int, among: Collection[str] | None = None) -> list[list[Hit]]:
        if not self._rows or limit < 1:
            return [[] for _ in range(len(queries))]
        self._tend()
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        # A template's weaker documents must not cost a better template its place.
        count = min(self._used, limit * self._widest + min(len(self._free), 1000))
        if among is not None:
            chosen = [template_id for template_id in among if template_id in self._rows]
            return [self._among(query, chosen, limit) for query in queries]
        if self._coarse is not None:
            return [self._ranked(query, self._coarse.worth_a_look(query, count), limit) for query in queries]
        _, rows = faiss.knn(queries, self._matrix[: self._used], count, metric=faiss.METRIC_INNER_PRODUCT)
        return [self._ranked(query, found, limit) for query, found in zip(queries, rows, strict=True)]

    def _among(self, query: Vectors, template_ids: Sequence[str], limit: int) -> list[Hit]:
        rows = [row for template_id in template_ids for row in self._rows[template_id]]
        return self._ranked(query, np.array(rows, dtype=np.int64), limit)

    def _ranked(self, query: Vectors, rows: Rows, limit: int) -> list[Hit]:
        """The nearest templates that own these rows, with all of their documents."""
        similarities = self._matrix[rows] @ query
        best: dict[str, float] = {}
        for row, similarity in zip(rows.tolist(), similarities.tolist(), strict=True):
            owner = self._owners[row]
            if owner is not None and similarity > best.get(owner[0], -2.0):
                best[owner[0]] = similarity
        first = sorted(best, key=lambda template_id: (-best[template_id], template_id))[:limit]
        return sorted(self.compare(query, first), key=lambda hit: (-hit.similarity, hit.template_id))

    def compare(self, query: Vectors, template_ids: Sequence[str]) -> list[Hit]:
        known = [template_id for template_id in template_ids if template_id in self._rows]
        rows = [row for template_id in known for row in self._rows[template_id]]
        similarities = iter((self._matrix[rows] @ query).tolist() if rows else ())
        hits = []
        for template_id in known:
            parts = {}
            for row in self._rows[template_id]:
                _, kind = self._owners[row]  # type: ignore[misc]  # a row of a template has an owner
                parts[kind] = next(similarities)
            hits.append(Hit(template_id, max(parts.values()), parts))
        return hits

    def snapshot(self) -> list[Entry]:
        return [
            Entry(template_id, tuple(self._owners[row][1] for row in rows), self._matrix[rows].copy())  # type: ignore[index]
            for template_id, rows in self._rows.items()
        ]

    def stats(self) -> IndexStats:
        kind = "exact" if self._coarse is None else type(self._coarse.index).__name__
        return IndexStats(len(self._rows), self._used - len(self._free), self._dimension, f"faiss {kind}")
