"""Reports of experiments, and the page that is made of them. Frozen, small, and free of one machine's folders.

in    training/reports/*.json, a `Report` each
out   docs/results/training.md and its plots, training-<report>-<n>.png
run   reasonflux train results        (--check says whether the page is up to date)
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from evaluation.estimates import Estimate, mean, share
from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest
from training.reporting.scores import Difference, Scores, compare
from training.running.run_folder import partial

MAX_REPORT_BYTES = 100_000
MAX_POINTS = 200

Unit = Literal["share", "points", "number"]
_MACHINE_PATH = re.compile(
    r"(?<![\w:/.])(?:/(?:home|root|tmp|work|mnt|opt|var|data|scratch|workspace|Users)/|~/|[A-Z]:\\)"
)


class Row(Contract):
    """One thing that was measured: a mean over trials with its interval."""

    name: str = Field(min_length=1)
    successes: int | None = Field(default=None, ge=0, description="None where a trial is not just right or wrong")
    trials: int = Field(ge=0)
    mean: float
    low: float
    high: float
    unit: Unit = "share"
    extra: dict[str, str] = Field(default_factory=dict, description="further columns by their titles")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if not self.low <= self.mean <= self.high:
            raise ValueError(f"row {self.name}: its mean {self.mean} lies outside {self.low}–{self.high}")
        if self.successes is not None and self.successes > self.trials:
            raise ValueError(f"row {self.name}: more successes than trials")
        return self


class Table(Contract):
    title: str
    rows: tuple[Row, ...] = Field(min_length=1)


class Series(Contract):
    """A line of a plot; `bands` are the intervals of its points, one each, or none."""

    name: str
    points: tuple[tuple[float, float], ...] = Field(min_length=1, max_length=MAX_POINTS)
    bands: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def _one_band_each(self) -> Self:
        if self.bands and len(self.bands) != len(self.points):
            raise ValueError(f"series {self.name}: {len(self.bands)} bands for {len(self.points)} points")
        return self


class Curve(Contract):
    title: str
    x: str
    y: str
    log_y: bool = False
    series: tuple[Series, ...] = Field(min_length=1)


class Report(Contract):
    """One question, how it was asked, and what came out, good or bad."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="also the file's name; the page is in this order")
    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    date: date
    setup: dict[str, str] = Field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    did_not_work: tuple[str, ...] = ()
    """What was tried in vain, with its figures: it has a section of its own on the page."""
    verdict: str = Field(min_length=1)

    @model_validator(mode="after")
    def _of_no_machine(self) -> Self:
        found = [text for text in _texts(self.model_dump()) if _MACHINE_PATH.search(text)]
        if found:
            raise ValueError(f"a folder of one machine in {found[0][:80]!r}: say it relative to the repository")
        return self


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for item in pair for text in _texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _texts(item))


# --- made of outcomes -----------------------------------------------------------------------------------------------


def row(name: str, scores: Scores, extra: Mapping[str, str] | None = None) -> Row:
    """The mean over the problems. Right and wrong are counted; rewards in between are only averaged."""
    values = list(scores.outcomes.values())
    binary = all(value in (0, 1) for value in values)
    estimate = share([value == 1 for value in values]) if binary else mean(values)
    return estimated(name, estimate, successes=round(sum(values)) if binary else None, extra=extra)


def estimated(
    name: str,
    estimate: Estimate,
    *,
    successes: int | None = None,
    unit: Unit = "share",
    extra: Mapping[str, str] | None = None,
) -> Row:
    """A row of an estimate that is there already: rounds, tokens, a reward."""
    return Row(
        name=name,
        successes=successes,
        trials=estimate.n,
        mean=estimate.mean,
        low=min(estimate.low, estimate.mean),
        high=max(estimate.high, estimate.mean),
        unit=unit,
        extra=dict(extra or {}),
    )


def paired(previous: Scores, new: Scores, confidence: float = 0.95) -> Row:
    """The gain of `new` over `previous` on the same problems, in points."""
    found: Difference = compare(previous, new, confidence)
    return Row(
        name=f"{new.name} over {previous.name}",
        trials=found.n,
        mean=found.mean,
        low=found.low,
        high=found.high,
        unit="points",
        extra={"gained": str(found.gained), "lost": str(found.lost)},
    )


def thinned(points: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> tuple[tuple[float, float], ...]:
    """At most `most` of the points, evenly taken, the first and the last among them."""
    if len(points) <= most:
        return tuple(points)
    return tuple(points[round(k * (len(points) - 1) / (most - 1))] for k in range(most))


# --- as files -------------------------------------------------------------------------------------------------------


def save(report: Report, folder: Path) -> Path:
    """Write a report beside the others. What was written into its last version by hand stays: its notes and what did
    not work, unless the new one has its own. Raises InvalidRequest when it is too large to be committed."""
    report = _with_remarks(report, folder / f"{report.id}.json")
    text = report.model_dump_json(indent=1, exclude_defaults=True) + "\n"
    if len(text.encode()) > MAX_REPORT_BYTES:
        raise InvalidRequest(
            f"report {report.id} has {len(text.encode())} bytes, more than the {MAX_REPORT_BYTES} that are committed",
            hint="thin its curves (results.thinned), and leave single outcomes in the run's folder",
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.id}.json"
    partial(path).write_text(text)
    partial(path).replace(path)
    return path


def _with_remarks(report: Report, last: Path) -> Report:
    if not last.exists():
        return report
    before = Report.model_validate_json(last.read_text())
    return report.model_copy(
        update={
            "notes": report.notes or before.notes,
            "did_not_work": report.did_not_work or before.did_not_work,
        }
    )


def read(folder: Path) -> tuple[Report, ...]:
    """All reports of the folder by their ids. Raises InvalidRequest naming the file that is wrong."""
    return tuple(_read(path) for path in sorted(folder.glob("*.json")))


def _read(path: Path) -> Report:
    try:
        report = Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidRequest(f"{path}: {error}", hint="write it anew with the command that made it") from error
    if report.id != path.stem:
        raise InvalidRequest(f"{path} holds the report {report.id}", hint=f"name it {report.id}.json")
    return report
