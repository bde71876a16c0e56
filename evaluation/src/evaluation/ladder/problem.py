"""A generated problem with its gold trajectory."""

import hashlib
from enum import StrEnum

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


class LadderProblem(Contract):
    """`text` and `answer` are all that a solver may see; `stages` are the gold trajectory."""

    text: str
    answer: str
    stages: tuple[Stage, ...]

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
