"""A study: several runs that answer one question together, as YAML.

Every run has its own result file and goes on where it stopped. What is kept of each is a report without its failures,
from which pages and plots are drawn.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator
from rich.table import Table
from rich.text import Text

from evaluation.opening import Places
from evaluation.questions import BenchmarkQuestions, ExampleQuestions, LadderQuestions
from evaluation.report import Report, report
from evaluation.running import finish, out, start
from evaluation.runs import Chains, Journal, RunSpec
from evaluation.runs import read as read_run
from evaluation.solving.model import Limits
from evaluation.strategies.catalogue import AnyStrategy, label, parse
from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest

Metric = Literal["right", "tokens", "rounds", "calls", "tokens_per_right", "rounds_per_right", "templates"]


class Plot(Contract):
    """One picture. `by_depth`: a metric against the depth, a line for each run. `cost`: success against tokens, a point
    for each run, those of one strategy joined. `within`: what is solved by attempts of at most so many tokens, a line
    for each run. `bars`: a metric of each run."""

    kind: Literal["by_depth", "cost", "within", "bars"]
    metric: Metric = "right"
    title: str
    only: tuple[str, ...] = ()
    """Runs that it shows; none named: all."""


class StudyRun(Contract):
    """One run of a study."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.@_-]*$")
    benchmark: str = "ladder"
    questions: Annotated[LadderQuestions | ExampleQuestions, Field(discriminator="kind")] = LadderQuestions()
    """Of the ladder or a library's examples; a benchmark has `limit`."""
    limit: int | None = Field(default=None, ge=1)
    strategy: AnyStrategy
    samples: int = Field(default=1, ge=1)
    seed: int = 0
    limits: Limits = Limits()
    chains: Chains = "chat"
    of: str | None = None
    """The run whose samples are taken as whole solutions instead of new ones."""
    note: str = ""

    @field_validator("strategy", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return parse(value) if isinstance(value, str) else value

    def spec(self, recorded: str | None = None) -> RunSpec:
        """`recorded`: the result file of the run `of`. Raises BenchmarkMissing, BenchmarkUnreadable."""
        questions = (
            self.questions
            if self.benchmark == "ladder"
            else BenchmarkQuestions.find(self.benchmark, limit=self.limit, seed=self.seed)
        )
        return RunSpec(
            questions=questions, strategy=self.strategy, samples=self.samples, seed=self.seed, limits=self.limits,
            chains="recorded" if self.of else self.chains, recorded=recorded,
        )  # fmt: skip

    @property
    def attempts(self) -> int | None:
        """None: as many as the benchmark has."""
        if self.benchmark != "ladder":
            return self.limit and self.limit * self.samples
        beyond = self.questions.outside if isinstance(self.questions, LadderQuestions) else 0
        return (self.questions.limit + beyond) * self.samples


class Study(Contract):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    question: str
    runs: tuple[StudyRun, ...] = Field(min_length=1)
    plots: tuple[Plot, ...] = ()
    findings: tuple[str, ...] = ()
    """What came out, in words; written when it is known."""
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, content: Any) -> Any:
        """`defaults` stand in every run that does not say otherwise; a run without a name is called by its strategy."""
        if not isinstance(content, dict) or "defaults" not in content:
            return content
        given = {key: value for key, value in content.items() if key != "defaults"}
        runs = [{"strategy": run} if isinstance(run, str) else run for run in given.get("runs", ())]
        given["runs"] = [_named({**content["defaults"], **run}) for run in runs]
        return given

    @model_validator(mode="after")
    def _names_differ(self) -> "Study":
        names = [run.name for run in self.runs]
        if len(set(names)) < len(names):
            raise ValueError("two runs have the same name")
        for place, run in enumerate(self.runs):
            if run.of is not None and run.of not in names[:place]:
                raise ValueError(f"{run.name} takes the samples of {run.of!r}, which is no earlier run")
        return self


class Kept(Contract):
    """What is kept of a study: its question and the reports of its runs so far."""

    study: Study
    reports: dict[str, Report] = Field(default_factory=dict)

    def told_by(self, study: Study) -> "Kept":
        """The same reports, in the words and pictures that the study has now."""
        now = {name: getattr(study, name) for name in ("question", "plots", "findings", "notes")}
        return self.model_copy(update={"study": self.study.model_copy(update=now)})


def _named(run: dict[str, Any]) -> dict[str, Any]:
    named = str(run.get("strategy", "")).lower()
    return {"name": "".join(sign if sign.isalnum() or sign in "@._-" else "-" for sign in named), **run}


def read(path: Path, scale: float = 1.0) -> Study:
    """A study with `scale` of its problems. Raises InvalidRequest that says what to mend."""
    try:
        study = Study.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no study {path}", hint="studies are in evaluation/studies") from error
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{path} is not YAML: {error}", hint="compare it with evaluation/studies") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InvalidRequest(f"{path}: {where}: {fault['msg']}", hint="compare it with evaluation/studies") from error
    return study if scale == 1.0 else study.model_copy(update={"runs": tuple(_scaled(study.runs, scale))})


def _scaled(runs: Iterable[StudyRun], scale: float) -> Iterable[StudyRun]:
    for run in runs:
        fewer = {"limit": ceil(run.questions.limit * scale)}
        if isinstance(run.questions, LadderQuestions):
            fewer["outside"] = ceil(run.questions.outside * scale)
        yield run.model_copy(
            update={
                "questions": run.questions.model_copy(update=fewer),
                "limit": run.limit and ceil(run.limit * scale),
            }
        )


async def carry_out(
    study: Study, to: Path, reports: Path, places: Places, concurrency: int,
    engine: str | None, model: str | None, only: Sequence[str] = (),
) -> int:  # fmt: skip
    """Every run (or `only` those named) to its end, in order. Its report is kept as soon as it is there. Returns the
    exit code."""
    strangers = set(only) - {run.name for run in study.runs}
    if strangers:
        told = ", ".join(run.name for run in study.runs)
        raise InvalidRequest(f"{study.name} has no run {', '.join(sorted(strangers))}", hint=f"it has {told}")
    for run in study.runs:
        if only and run.name not in only:
            continue
        path = result_file(to, study, run.name)
        spec = run.spec(str(result_file(to, study, run.of)) if run.of else None)
        out.print(f"[bold]{study.name}: {run.name}[/]")
        if path.exists():
            journal = Journal.resume(path)
            if _asked(journal.run.spec) != _asked(spec):
                journal.close()
                hint = f"give another folder with --to, or move {path} away"
                raise InvalidRequest(f"{path} belongs to another version of the study", hint=hint)
            await finish(journal, places, concurrency)
        else:
            await start(spec, path, places, concurrency, engine, model)
        keep(study, run, to, reports)
    return 0


def _asked(spec: RunSpec) -> RunSpec:
    return spec.model_copy(update={"engine": None})


def result_file(to: Path, study: Study, run: str) -> Path:
    return to / study.name / f"{run}.jsonl"


def keep(study: Study, run: StudyRun, to: Path, reports: Path) -> Path:
    """Add a run's report to what is kept of the study. Returns where."""
    path = reports / f"{study.name}.json"
    earlier = Kept.model_validate_json(path.read_text(encoding="utf-8")).reports if path.exists() else {}
    found = {**earlier, run.name: report(*read_run(result_file(to, study, run.name))).summary}
    kept = Kept(study=study, reports={one.name: found[one.name] for one in study.runs if one.name in found})
    reports.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(kept.model_dump_json(exclude_none=True) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def show(study: Study, to: Path) -> None:
    """What a study takes and how far it is, on the terminal."""
    table = Table(title=f"{study.name}: {study.question}", title_justify="left", box=None, pad_edge=False)
    for column in ("run", "strategy", "attempts", "done"):
        table.add_column(column, justify="right" if column in ("attempts", "done") else "left", overflow="fold")
    for name, strategy, attempts, done in standing(study, to):
        table.add_row(*map(Text, (name, strategy, "all" if attempts is None else f"{attempts:,}", f"{done:,}")))
    out.print(table)


def standing(study: Study, to: Path) -> list[tuple[str, str, int | None, int]]:
    """For each run: its name, its strategy, the attempts that it takes and those that are done."""
    found = []
    for run in study.runs:
        path = result_file(to, study, run.name)
        done = len(read_run(path)[1]) if path.exists() else 0
        found.append((run.name, label(run.strategy), run.attempts, done))
    return found
