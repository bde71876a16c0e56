"""What the store needs from the world. Adapters: embedding.SentenceEmbedder, index.FaissIndex; testing.ExactIndex."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from reasonflux.contracts import Calculation

Vectors = npt.NDArray[np.float32]
"""One unit vector per row."""

Calculate = Callable[[Sequence[str], Mapping[str, str]], tuple[Calculation, ...]]
"""Evaluates calculator statements in order, given named expressions; never raises for bad input."""


class Embedder(Protocol):
    """Turns text into unit vectors whose inner product is their similarity."""

    @property
    def version(self) -> str:
        """Names the weights: vectors of different versions must not be compared."""
        ...

    @property
    def dimension(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One row per text, in order."""
        ...

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, but remembers recent texts."""
        ...


@dataclass(frozen=True)
class Entry:
    """A template as the index holds it: one row of `vectors` per document, named in `documents`."""

    template_id: str
    documents: tuple[str, ...]
    vectors: Vectors


@dataclass(frozen=True)
class Hit:
    """A template found. `similarity` is the greatest of `parts`, which holds one similarity per document."""

    template_id: str
    similarity: float
    parts: dict[str, float]


@dataclass(frozen=True)
class IndexStats:
    templates: int
    documents: int
    dimension: int
    kind: str


class Index(Protocol):
    """Nearest templates by inner product. Held in memory, built from records."""

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Adds templates, replacing those that are there. Raises ValueError for a wrong dimension."""
        ...

    def delete(self, template_ids: Collection[str]) -> None:
        """Forgets templates; ids that are not there are passed over."""
        ...

    def search(self, queries: Vectors, limit: int, among: Collection[str] | None = None) -> list[list[Hit]]:
        """For each query row, at most `limit` templates (only those `among`, if given), nearest first, ties by id."""
        ...

    def stats(self) -> IndexStats: ...
