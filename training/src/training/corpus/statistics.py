"""What a written corpus holds, counted while it is written: as JSON, and as Markdown to read."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from evaluation.ladder import Split
from reasonflux.contracts import Contract

_SAID = {"train": "to train on", "heldout": "held out", "too_long": "too long"}


class Lengths(Contract):
    """Tokens of whole conversations (contents only, without the chat template's marks), and of what is learned."""

    total: int
    learned: int
    mean: float
    median: int
    p95: int
    longest: int


class Group(Contract):
    """The conversations of one source and kind."""

    source: str
    kind: str
    train: int = 0
    heldout: int = 0
    learned_messages: int = 0
    duplicates: int = Field(default=0, description="dropped: the same conversation stands in the corpus already")
    contaminated: int = Field(default=0, description="dropped: shares words with a benchmark's problem")
    too_long: int = Field(default=0, description="dropped: more tokens than allowed")
    lengths: Lengths | None = None


class Overlap(Contract):
    """Which sample was dropped for which benchmark problem; neither's words are repeated here."""

    source: str
    problem: str | None
    benchmark: str
    benchmark_problem: str


class Statistics(Contract):
    inputs: str = Field(description="the digest of everything that the corpus was made from")
    groups: tuple[Group, ...]
    problems: dict[Split, int] = Field(description="different problems on each side; none is on both")
    left_out: dict[str, dict[str, int]] = Field(description="by source: why something gave no conversation")
    overlaps: tuple[Overlap, ...] = Field(description="the first ones that were dropped as contaminated")
    benchmarks: tuple[str, ...] = Field(description="what the corpus was compared with")

    @property
    def train(self) -> int:
        return sum(group.train for group in self.groups)

    @property
    def heldout(self) -> int:
        return sum(group.heldout for group in self.groups)


def lengths(sizes: Sequence[int], learned: int) -> Lengths | None:
    """None when nothing was counted."""
    if not sizes:
        return None
    ordered = sorted(sizes)
    return Lengths(
        total=sum(ordered),
        learned=learned,
        mean=round(sum(ordered) / len(ordered), 1),
        median=ordered[len(ordered) // 2],
        p95=ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        longest=ordered[-1],
    )


def became_of(sources: Mapping[str, str], found: Statistics) -> str:
    """What each source gave, in one sentence. `sources`: the config's name of each, and its samples' name."""
    told = (
        f"{field} gave {', '.join(f'{count} {what}' for what, count in _counts(source, found)) or 'nothing'}"
        for field, source in sources.items()
    )
    return "; ".join(told) or "no source is named"


def _counts(source: str, found: Statistics) -> Iterator[tuple[str, int]]:
    """The side or the reason, and how many, where there are any."""
    own = [group for group in found.groups if group.source == source]
    for what in ("train", "heldout", "duplicates", "contaminated", "too_long"):
        if count := sum(getattr(group, what) for group in own):
            yield _SAID.get(what, what), count
    yield from ((f"left out ({why})", count) for why, count in found.left_out.get(source, {}).items())


def markdown(found: Statistics) -> str:
    """The statistics as a page."""
    compared = ", ".join(found.benchmarks) or "nothing: name benchmark files with `against`"
    parts = [
        "# Corpus",
        f"{found.train} conversations to train on ({found.problems[Split.TRAIN]} problems), {found.heldout} held out "
        f"({found.problems[Split.HELDOUT]} problems). Compared with: {compared}.",
        _table(
            ["source", "kind", "train", "held out", "learned messages", "duplicates", "contaminated", "too long"],
            [
                [g.source, g.kind, g.train, g.heldout, g.learned_messages, g.duplicates, g.contaminated, g.too_long]
                for g in found.groups
            ],
        ),
    ]
    counted = [(g, g.lengths) for g in found.groups if g.lengths is not None]
    if counted:
        rows = [[g.source, g.kind, n.total, n.learned, n.mean, n.median, n.p95, n.longest] for g, n in counted]
        header = ["source", "kind", "tokens", "learned", "mean", "median", "95%", "longest"]
        parts += ["## Tokens", _table(header, rows)]
    if any(found.left_out.values()):
        rows = [[source, why, count] for source, counts in found.left_out.items() for why, count in counts.items()]
        parts += ["## Left out", _table(["source", "why", "count"], rows)]
    if found.overlaps:
        rows = [[o.source, (o.problem or "–")[:16], f"{o.benchmark}/{o.benchmark_problem}"] for o in found.overlaps]
        parts += ["## Contaminated", _table(["source", "problem", "benchmark"], rows)]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---" if n < 2 else "---:" for n in range(len(header))], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
