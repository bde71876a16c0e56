"""`reasonflux eval …`"""

import time
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evaluation.ladder import Split
from evaluation.runs import Journal, LadderRun, read
from reasonflux.cli.app import navigator_url, wait_for
from reasonflux.client import NavigatorClient
from reasonflux.contracts import Effort
from reasonflux.errors import InvalidRequest, ReasonFluxError, ServiceUnavailable

app = typer.Typer(
    help="Measure on problems with known answers.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
out = Console(highlight=False)

SplitOption = Annotated[Split, typer.Option(help="heldout is for measuring; train only to compare with it")]
DepthOption = Annotated[str, typer.Option("--depth", help="numbers of steps, such as 1,2,3")]
FamiliesOption = Annotated[str, typer.Option(help="only these families, such as gcd,lcm; default: all")]
SeedOption = Annotated[int, typer.Option(help="another seed gives other problems")]


@app.callback()
def main() -> None:
    """Measure on problems with known answers."""


@app.command()
def ladder(
    split: SplitOption = Split.HELDOUT,
    limit: Annotated[int, typer.Option(min=0, help="how many problems, balanced over the depths")] = 100,
    depth: DepthOption = "1,2,3",
    json: Annotated[
        Path | None, typer.Option(help="the report; Markdown (.md) and the result file (.jsonl) are written beside it")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with this result file, with its own options")] = None,
    seed: SeedOption = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="problems solved at the same time")] = 8,
    families: FamiliesOption = "",
    outside: Annotated[int, typer.Option(min=0, help="further problems that no template solves")] = 0,
    url: Annotated[str | None, typer.Option("--navigator-url", help="default: the running stack's")] = None,
    effort: Annotated[Effort, typer.Option(help="how hard to try")] = Effort.MEDIUM,
    horizon: Annotated[int | None, typer.Option(min=1, help="steps planned at a time; default: all")] = None,
    review: Annotated[bool, typer.Option(help="let the navigator read every result")] = True,
    templates: Annotated[bool, typer.Option(help="retrieve thought templates")] = True,
) -> None:
    """Solve generated problems of known depth with the running stack, and report."""
    if resume is not None and json is not None:
        raise InvalidRequest("--resume and --json exclude each other", hint="--resume FILE appends to FILE")
    spec = LadderRun(
        split=split, depths=_depths(depth), limit=limit, families=_names(families), outside=outside, seed=seed,
        effort=effort, horizon=horizon, review=review, templates=templates,
    )  # fmt: skip
    path = json and json.with_suffix(".jsonl")
    wait_for(run_ladder(spec, path, resume, url or navigator_url(), concurrency))


async def run_ladder(spec: LadderRun, path: Path | None, resume: Path | None, url: str | None, concurrency: int) -> int:
    """The command's work: a new run, stored at `path` if given, or the one in `resume`. Returns the exit code."""
    from evaluation.showing import live, show, store
    from evaluation.strategies.reasonflux import ReasonFlux

    async with NavigatorClient.open(url) as navigator:
        await reachable(navigator)
        journal = Journal.resume(resume) if resume is not None else Journal.begin(path, spec)
        strategy = ReasonFlux(navigator, journal.run.spec.request(), journal.run.id)
        try:
            began = time.monotonic()
            await live(out, journal, strategy, concurrency)
            out.print(f"[dim]{time.monotonic() - began:.0f} s[/]")
        except ReasonFluxError as error:
            if journal.path is None:
                raise
            raise _stopped(error, journal.path) from error
        finally:
            journal.close()
    if journal.path is not None:
        written = store(journal.path)
        out.print(f"[dim]{', '.join(map(str, (journal.path, *written)))}[/]", soft_wrap=True)
    show(out, journal.run, journal.attempts)
    return 0


async def reachable(navigator: NavigatorClient) -> None:
    """Return when the navigator answers. Raises ServiceUnavailable that says what to do."""
    try:
        async with navigator.response("GET", "/healthz"):
            return
    except ReasonFluxError as error:
        hint = "start the stack with `make up`, or say where it runs with --navigator-url"
        raise ServiceUnavailable(error.failure.message, hint=hint) from error


def _stopped(error: ReasonFluxError, path: Path) -> ReasonFluxError:
    hint = f"what is done is kept: go on with `reasonflux eval ladder --resume {path}`"
    return ReasonFluxError(error.failure.message, hint=hint, kind=error.failure.kind)


@app.command("show")
def show_file(
    file: Annotated[Path, typer.Argument(help="a result file")],
    markdown: Annotated[bool, typer.Option(help="print Markdown, with the failures")] = False,
) -> None:
    """Print the report of a stored run again."""
    from evaluation import report
    from evaluation.showing import show

    run, attempts = read(file)
    if markdown:
        typer.echo(report.markdown(report.report(run, attempts)), nl=False)
    else:
        show(out, run, attempts)


@app.command()
def problems(
    split: SplitOption = Split.HELDOUT,
    limit: Annotated[int, typer.Option(min=1, help="how many")] = 5,
    depth: DepthOption = "2",
    seed: SeedOption = 0,
    families: FamiliesOption = "",
) -> None:
    """Print example problems of the ladder with their gold trajectories."""
    from evaluation.ladder import generate
    from evaluation.showing import show_problem

    spec = LadderRun(split=split, depths=_depths(depth), limit=0, families=_names(families), seed=seed)
    spec.tasks()  # refuses depths and families that do not exist
    for problem in islice(generate(split, spec.depths, seed=seed, families=spec.families or None), limit):
        show_problem(out, problem)


def _depths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidRequest(f"{text!r} tells no depths", hint="such as --depth 1,2,3") from error


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
