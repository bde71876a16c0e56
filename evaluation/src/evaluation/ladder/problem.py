"""A generated problem with its gold trajectory."""

import hashlib
from enum import StrEnum

from pydantic import Field

from reasonflux.contracts import Contract

HELDOUT_SHARE = 5  # one text in five


class Split(StrEnum):
    TRAIN = "train"
    HELDOUT = "heldout"


class Stage(Contract):
    """One template applied to one part of a problem: the gold instantiation of one step."""

    id: int
    family: str
    template_id: str
    goal: str
    uses: tuple[str, ...]
    """Statements (s2) and earlier results (r1), in reading order."""
    bindings: dict[str, str]
    """Template variable → a number, or the earlier result `r1` that supplies it; in reading order."""
    result: str
    """Exact: an integer or a fraction p/q."""


class StageSketch(Contract):
    """How one stage is told, without its numbers."""

    family: str
    wording: int
    """Which of the family's wordings."""
    fed: dict[str, int]
    """Template variable → the earlier stage whose result supplies it."""
    words: dict[str, str]
    """The chosen word of each of the family's choices."""
    closing: str | None
    """The sentence that names the quantity or asks for it; None where the wording asks in its own words."""
    distractor: str | None = None
    """A sentence before the stage that has nothing to do with it."""


class Sketch(Contract):
    """A problem without its numbers: all problems of one sketch have the same statements and gold trajectory."""

    symbols: tuple[str, ...]
    """The name of each stage's result in the text."""
    stages: tuple[StageSketch, ...]


class LadderProblem(Contract):
    """`text` and `answer` are all that a solver may see; `stages` are the gold trajectory.

    `sketch` is what similar problems are made from (`compose.similar`).
    """

    text: str
    answer: str
    stages: tuple[Stage, ...]
    sketch: Sketch = Field(repr=False)

    @property
    def id(self) -> str:
        return digest(self.text)[:16]

    @property
    def depth(self) -> int:
        return len(self.stages)

    @property
    def split(self) -> Split:
        return split_of(self.text)


def digest(text: str) -> str:
    """SHA-256 of the text up to case and white space, so that look-alikes fall on the same side of the split."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()


def split_of(text: str) -> Split:
    return Split.HELDOUT if int(digest(text), 16) % HELDOUT_SHARE == 0 else Split.TRAIN
