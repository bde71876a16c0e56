"""`reasonflux train …`: every stage has its command; each is a part of the whole run and goes on where it stopped."""

import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasonflux.errors import InvalidRequest

if TYPE_CHECKING:
    from training.weights.registry import Registry

app = typer.Typer(help="Train navigator and executor weights.", no_args_is_help=True)

Config = Annotated[Path, typer.Option(help="a file of training/configs")]
Library = Annotated[Path, typer.Option(help="template library")]
Runs = Annotated[Path, typer.Option(help="where runs are kept, a folder for each config")]
Data = Annotated[Path | None, typer.Option(help="conversations to tune a pretrained model on (JSONL)")]
Log = Annotated[
    Path | None,
    typer.Option(help="a file that gets a dated line for each stage", show_default="LOG.md in the run's folder"),
]
Again = Annotated[bool, typer.Option("--again", help="run it though it is done")]

TINY = Path("training/configs/tiny-cpu.yaml")
LIBRARY = Path("services/template-store/library")
RUNS = Path("training/runs")
_FIRST = "What it stands on runs first where it is not done."


class Published(StrEnum):
    """Whose weights a run publishes."""

    NAVIGATOR = "navigator"
    EXECUTOR = "executor"


Role = Annotated[Published, typer.Option(help="whose weights")]


@app.callback()
def main() -> None:
    """Train navigator and executor weights."""
    warnings.filterwarnings("ignore", message="TRL currently supports vLLM")  # we sample through its API


@app.command()
def run(
    config: Config = TINY,
    library: Library = LIBRARY,
    runs: Runs = RUNS,
    data: Data = None,
    until: Annotated[str | None, typer.Option(help="run only this stage, such as dpo.1, and what it stands on")] = None,
    force: Annotated[str | None, typer.Option(help="run this stage and those after it again")] = None,
    log: Log = None,
    stages: Annotated[bool, typer.Option("--stages", help="tell what each stage is due for; run nothing")] = False,
) -> None:
    """Every stage of a config, from the library to published weights; goes on where it stopped."""
    _run(config, library, runs, data, until, force, log, only_tell=stages)


def _run(
    config: Path, library: Path, runs: Path, data: Path | None, until: str | None, force: str | None, log: Path | None,
    *, only_tell: bool = False,
) -> None:  # fmt: skip
    from training import settings
    from training.course import Course
    from training.running import pipeline  # torch is slow to import: only when it is needed
    from training.running.progress import Progress

    folder = runs / config.stem
    course = Course(settings.load(config), folder, library, data)
    stages = course.stages()
    due = pipeline.due(stages, folder, until=until, force=force)
    if only_tell:
        for name, why in due.items():
            typer.echo(f"{name:20} {why.value}")
        return
    course.look_ahead(name for name, why in due.items() if why is not pipeline.Due.DONE)
    pipeline.run(stages, folder, Progress(config.stem, log or folder / "LOG.md"), until=until, force=force)


def _stage(name: str, what: str) -> None:
    """The command of one stage: the run up to it."""

    def command(
        config: Config = TINY,
        library: Library = LIBRARY,
        runs: Runs = RUNS,
        data: Data = None,
        again: Again = False,
        log: Log = None,
    ) -> None:
        _run(config, library, runs, data, name, name if again else None, log)

    app.command(name, help=f"{what} {_FIRST}")(command)


def _stage_of_round(name: str, what: str) -> None:
    """The command of a stage that every round has."""

    def command(
        config: Config = TINY,
        library: Library = LIBRARY,
        runs: Runs = RUNS,
        data: Data = None,
        number: Annotated[int, typer.Option("--round", min=1, help="which round")] = 1,
        again: Again = False,
        log: Log = None,
    ) -> None:
        stage = f"{name}.{number}"
        _run(config, library, runs, data, stage, stage if again else None, log)

    app.command(name, help=f"{what} {_FIRST}")(command)


_stage("corpus", "Write the corpus that a pretrained model is tuned on.")
_stage("sft", "Fine-tune on the corpus: from scratch for tiny models, TRL for pretrained ones.")
_stage_of_round("rollouts", "Sample trajectories from the served navigator.")
_stage_of_round("rewards", "Carry them out on similar problems, paper Eq. 3.")
_stage_of_round("pairs", "Make preferences of them.")
_stage_of_round("dpo", "Tune the navigator on the preferences, paper Eq. 4.")
_stage("grpo", "The variant that learns from the reward itself, where the config has a section grpo.")
_stage("publish", "Publish the best weights, if they are better than those before.")


@app.command()
def evaluate(
    of: Annotated[str, typer.Option(help="whose weights: sft, dpo.1, …; published: those that are shipped")] = "sft",
    config: Config = TINY,
    library: Library = LIBRARY,
    runs: Runs = RUNS,
    data: Data = None,
    log: Log = None,
) -> None:
    """Greedy and sampled success, trajectory reward and costs on held-out problems."""
    _run(config, library, runs, data, f"evaluate.{of}", None, log)


@app.command()
def versions(config: Config = TINY, runs: Runs = RUNS, role: Role = Published.NAVIGATOR) -> None:
    """List the versions that a run has published, and where `rollback` leads."""
    registry = _registry(config, runs, role)
    current, before = registry.current(), registry.before()
    for version in registry.versions():
        mark = "current" if version == current else "rollback" if version == before else ""
        scores = version.scores
        greedy = f"greedy {100 * scores.mean:.1f}% of {len(scores.outcomes)}" if scores else "not scored"
        typer.echo(f"{version.number:>3}  {mark:8}  {greedy:21}  {version.reason}")
    if current is None:
        typer.echo(f"{role}: nothing is published in {registry.folder}; a run publishes at its end")
    elif before is None:
        typer.echo(f"{role}: there is no version before the current one to roll back to")


@app.command()
def rollback(config: Config = TINY, runs: Runs = RUNS, role: Role = Published.NAVIGATOR) -> None:
    """Publish the version before again; `versions` lists them."""
    version = _registry(config, runs, role).rollback()
    typer.echo(f"{role}: version {version.number} is back ({version.reason})")


def _registry(config: Path, runs: Path, role: Published) -> "Registry":
    """Where a run keeps what it has published. Raises InvalidRequest when its config publishes nothing."""
    from training import settings
    from training.weights.registry import Registry

    told = settings.load(config).publish
    if told is None:
        raise InvalidRequest(f"{config} publishes nothing", hint="its section `publish` names a folder")
    return Registry(runs / config.stem / "published" / role.value, copy=told.to / role.value)


@app.command()
def diagnose(
    navigator: Annotated[Path, typer.Option(help="its weights, or its folder in a run that still trains")] = Path(
        "models/reasonflux-tiny/navigator"
    ),
    executor: Annotated[Path, typer.Option(help="its weights, or its folder in a run that still trains")] = Path(
        "models/reasonflux-tiny/executor"
    ),
    limit: Annotated[int, typer.Option(min=1, help="held-out problems, balanced over the depths")] = 200,
    depth: Annotated[str, typer.Option(help="numbers of steps, such as 1,2,3")] = "1,2,3",
    seed: Annotated[int, typer.Option(help="another seed gives other problems")] = 0,
    examples: Annotated[int, typer.Option(min=0, help="errors shown of each kind")] = 3,
    config: Config = TINY,
    library: Library = LIBRARY,
) -> None:
    """Try trained weights on held-out problems without any server, and list their errors by kind."""
    from rich.console import Console

    from training import diagnose as stage
    from training.stages import tiny
    from training.weights import greedy

    try:
        depths = tuple(int(part) for part in depth.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{depth!r} are no depths; write 1,2,3", param_hint="--depth") from error
    roles = greedy.speaker("navigator", navigator, config), greedy.speaker("executor", executor, config)
    found = stage.run(*roles, tiny.read_library(library), depths, limit, seed)
    stage.show(Console(highlight=False), found, examples)


@app.command()
def teacher(
    pairs: Annotated[Path, typer.Option(help="JSON lines of problem, solution and answer")],
    url: Annotated[str, typer.Option(help="the teacher LLM's server, with /v1")],
    model: Annotated[str, typer.Option(help="the teacher LLM")],
    store: Annotated[str, typer.Option(help="the template store, which offers candidates")],
    out: Annotated[Path, typer.Option(help="where trajectories and rejects are kept")] = Path("training/runs/teacher"),
    name: Annotated[str, typer.Option("--library", help="the store's library")] = "math",
    key_env: Annotated[str | None, typer.Option(help="the environment variable with the server's key")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="problems under way at once")] = 8,
    library: Annotated[Path, typer.Option("--templates", help="the same library's files")] = LIBRARY,
) -> None:
    """Let an LLM tell trajectories from solved problems; goes on where it stopped."""
    import asyncio

    from training.corpus import teaching

    engine = teaching.Teacher(url=url, model=model, key_env=key_env)
    told = asyncio.run(teaching.run(engine, pairs, store, name, library, out, concurrency))
    typer.echo(f"{told.kept} trajectories in {out}, {told.verified} verified; {told.rejected} rejected")


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="binding, depth, preference or structure")],
    runs: Runs = RUNS,
    only: Annotated[str | None, typer.Option(help="run only this stage, such as bind.invented")] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="run nothing: report on what has ended")] = False,
) -> None:
    """Carry a study out (binding, depth), or report on runs that have ended (preference, structure)."""
    from training.studies import reporting

    typer.echo(str(reporting.report(name, runs, LIBRARY, only, report_only)))


@app.command("dry-run")
def dry_run(config: Config = Path("training/configs/qwen2.5-7b.yaml")) -> None:
    """Build the real trainers of a config on a tiny stand-in of its model, and print memory and time on paper."""
    from training.scale import dry_run as stage

    stage.run(config)


@app.command()
def results(
    reports: Annotated[Path, typer.Option(help="the reports of experiments")] = Path("training/reports"),
    page: Annotated[Path, typer.Option("--to", help="where the page and its plots go")] = Path("docs/results"),
    check: Annotated[bool, typer.Option("--check", help="only say whether the page is up to date")] = False,
) -> None:
    """Write docs/results/training.md from the reports."""
    from training.reporting import results_page

    if not check:
        for path in results_page.generate(reports, page):
            typer.echo(str(path))
    elif stale := results_page.stale(reports, page):
        raise InvalidRequest(f"not up to date: {', '.join(stale)}", hint="write them anew: reasonflux train results")
