"""What the store needs from the world.

Adapters: embedding.SentenceEmbedder, index.FaissIndex, records.RedisRecords; testing.ExactIndex, records.MemoryRecords.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from reasonflux.contracts import Calculation, ChangeKind, TemplateChange, ThoughtTemplate
from template_store.errors import NameTaken, RevisionConflict, TemplateExists, TemplateNotFound

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

    def compare(self, query: Vectors, template_ids: Sequence[str]) -> list[Hit]:
        """These templates, in order, against one query; ids that are not there are passed over."""
        ...

    def snapshot(self) -> list[Entry]:
        """Everything that it holds, as it was given: what another index needs to stand in."""
        ...

    def stats(self) -> IndexStats: ...


Refusal = TemplateExists | TemplateNotFound | RevisionConflict | NameTaken
"""Why a draft was not carried out."""


@dataclass(frozen=True)
class Draft:
    """A change that is asked for: the whole template as it shall be; its `revision` is given by the records."""

    template: ThoughtTemplate
    kind: ChangeKind
    expected: int
    """The revision that it was made from; 0 for a template that is new."""
    by: str = ""
    note: str = ""
    seed: str | None = None
    """Remember that this revision came from a seed of this digest."""


@dataclass(frozen=True)
class Snapshot:
    """A library as of revision `seq`. Templates may be newer: changes after `seq` may be in it already."""

    seq: int
    templates: tuple[ThoughtTemplate, ...]


@dataclass(frozen=True)
class Seed:
    """What a seed file looked like when it was last taken over, and the revision that this made."""

    digest: str
    revision: int


class Records(Protocol):
    """The templates of named libraries, every change of them, and the order of the changes: the system of record.

    Every method may raise RecordsUnavailable. After it a write may or may not have taken effect.
    """

    async def create_library(self, library: str) -> bool:
        """Make the library known. False: it was known before."""
        ...

    async def libraries(self) -> tuple[str, ...]:
        """The names of all libraries, sorted."""
        ...

    async def write(self, library: str, drafts: Sequence[Draft]) -> tuple[TemplateChange | Refusal, ...]:
        """Carry out each draft in one atomic step of its own, in order; one outcome for each.

        Refused is what was not made from the current revision, and a name that another template of the library has
        which is not retired (names are compared as `records.unique_name` does). A write that is repeated by the
        adapter itself, as its reply was lost, takes effect once.
        """
        ...

    async def get(self, library: str, template_id: str) -> ThoughtTemplate:
        """The template as it is now, whatever a replica has heard. Raises TemplateNotFound."""
        ...

    async def load(self, library: str) -> Snapshot: ...

    async def changes(self, library: str, after: int, patience: float) -> tuple[TemplateChange, ...]:
        """Some of the changes with seq > `after`, in order and without a gap; waits up to `patience` seconds for the
        first. Raises ChangesLost when they are not kept any more, or the library is not as far as `after`."""
        ...

    async def history(self, library: str, template_id: str) -> tuple[TemplateChange, ...]:
        """Every change of one template, oldest first. Raises TemplateNotFound."""
        ...

    async def at(self, library: str, template_id: str, revision: int) -> TemplateChange:
        """The change that made this revision. Raises RevisionNotFound."""
        ...

    async def seeds(self, library: str) -> dict[str, Seed]:
        """The last seed of each template that ever came from one."""
        ...

    async def ping(self) -> None:
        """Return when the records answer."""
        ...

    async def close(self) -> None: ...
