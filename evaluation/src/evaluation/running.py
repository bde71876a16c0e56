"""Runs on a terminal: carried out from their begin or from where they stopped, and their reports."""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from evaluation import report
from evaluation.attempt import Attempt, Verdict
from evaluation.ladder import LadderProblem
from evaluation.opening import Places, engine_named, needs_engine, opened
from evaluation.plots import draw
from evaluation.runs import Journal, RunSpec, carry_out
from evaluation.solving.solver import Solve, Solver
from evaluation.strategies.catalogue import label
from reasonflux.errors import InvalidRequest, ReasonFluxError

RESULTS = Path(".reasonflux/eval")
"""Where result files go that nobody named."""
SHOWN_FAILURES = 8
WIDE = 130
"""Columns of a terminal that shows every column of a report; a narrower one shows some."""
NARROW = ("", "problems", "right (95%)", "tokens", "rounds", "tokens per right")

out = Console(highlight=False)


async def start(
    spec: RunSpec,
    path: Path | None,
    places: Places,
    concurrency: int,
    engine: str | None = None,
    model: str | None = None,
    *,
    plots: bool = False,
) -> int:
    """A new run, stored at `path` or under `.reasonflux/eval`. Returns the exit code."""
    if needs_engine(spec):
        if engine is None:
            hint = "say where its engine runs: --engine http://HOST:PORT/v1 (any OpenAI-compatible server)"
            raise InvalidRequest(f"{label(spec.strategy)} calls an engine itself", hint=hint)
        spec = spec.model_copy(update={"engine": await engine_named(engine, model, places.engine_key)})
    async with opened(spec, places):  # refuses what is not there before a file is made
        journal = Journal.begin(path or _unused(spec), spec)
    return await finish(journal, places, concurrency, plots=plots)


async def finish(journal: Journal, places: Places, concurrency: int, *, plots: bool = False) -> int:
    """Carry a run out to its end, store and show its report. Returns the exit code."""
    spec = journal.run.spec
    try:
        async with opened(spec, places) as means:
            solver = Solver(spec.strategy, means, journal.run.id, spec.seed, spec.samples)
            began = time.monotonic()
            await live(out, journal, solver, concurrency)
            out.print(f"[dim]{time.monotonic() - began:.0f} s[/]")
    except ReasonFluxError as error:
        if journal.path is None or not journal.attempts:
            raise
        hint = f"what is done is kept: go on with `reasonflux eval {spec.questions.name} --resume {journal.path}`"
        told = f"{error.failure.hint}; {hint}" if error.failure.hint else hint
        raise ReasonFluxError(error.failure.message, hint=told, kind=error.failure.kind) from error
    finally:
        journal.close()
    found = report.report(journal.run, journal.attempts)
    if journal.path is not None:
        written = store(found, journal.path, plots=plots)
        out.print(f"[dim]{', '.join(map(str, (journal.path, *written)))}[/]", soft_wrap=True)
    show(out, found)
    return exit_code(out, journal.attempts)


def exit_code(console: Console, attempts: Sequence[Attempt]) -> int:
    """1 where no attempt came to an end of its own, so that nothing was measured."""
    if not attempts or any(attempt.verdict is not Verdict.FAILED for attempt in attempts):
        return 0
    console.print("[red]every attempt failed, so nothing was measured[/]; mend the cause above and run it anew")
    return 1


def _unused(spec: RunSpec) -> Path:
    """A result file that is not there yet."""
    name = "".join(sign if sign.isalnum() or sign in "@.-" else "-" for sign in spec.title.replace(", ", "."))
    numbered = (RESULTS / f"{name}.{number}.jsonl" for number in range(1, 10_000))
    return next(path for path in numbered if not path.exists())


# --- on the screen ----------------------------------------------------------------------------------------------------


async def live(console: Console, journal: Journal, solve: Solve, concurrency: int) -> None:
    """Carry the run out to its end behind a progress bar."""
    tasks = journal.run.spec.questions.tasks()
    progress = Progress(
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TextColumn("{task.fields[standing]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
    )
    with progress:
        total = len(tasks) * journal.run.spec.samples
        bar = progress.add_task("solving", total=total, completed=len(journal.attempts), standing="")

        def moved(_: Attempt) -> None:
            progress.update(bar, completed=len(journal.attempts), standing=standing(journal.attempts))

        await carry_out(tasks, solve, journal, concurrency, moved)
        progress.update(bar, standing=standing(journal.attempts))


def standing(attempts: Sequence[Attempt]) -> str:
    """Accuracy and cost so far: `71.2% right · 1,204 tokens each · 2.4M in all`. It fits on a narrow terminal."""
    if not attempts:
        return ""
    right = sum(attempt.right for attempt in attempts) / len(attempts)
    tokens = sum(attempt.usage.all.total for attempt in attempts)
    return f"{100 * right:.1f}% right · {tokens / len(attempts):,.0f} tokens each · {_short(tokens)} in all"


def _short(count: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def store(found: report.Report, journal: Path, *, plots: bool = False) -> tuple[Path, ...]:
    """Write a report beside its result file, as JSON and as Markdown, with its plots; returns where."""
    as_json, as_markdown = journal.with_suffix(".json"), journal.with_suffix(".md")
    as_json.write_text(found.model_dump_json(indent=2) + "\n")
    as_markdown.write_text(report.markdown(found))
    drawn = draw(found, journal) if plots and find_spec("matplotlib") else ()
    return as_json, as_markdown, *drawn


def show(console: Console, found: report.Report) -> None:
    """Print the report's tables, costs and first failures."""
    console.print(Text(found.run.spec.title, style="bold"))
    for score in found.scores:
        console.print(Text(f"{score.name}: {report.percent(score.value)}"))
    shown = [place for place, column in enumerate(report.COLUMNS) if console.width >= WIDE or column in NARROW]
    for title, rows in report.tables(found):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
        for place in shown:
            table.add_column(report.COLUMNS[place], justify="right" if place else "left", no_wrap=place > 0)
        for row in rows:
            cells = report.cells(row)
            table.add_row(*(Text(cells[place]) for place in shown))
        console.print(table)
        console.print()
    verdicts = found.overall.verdicts.items()
    console.print(Text(", ".join(f"{count:,} {verdict.value}" for verdict, count in verdicts if count)))
    for line in report.costs(found):
        console.print(Text(line))
    for attempt in found.failures[:SHOWN_FAILURES]:
        console.print()
        given, wanted = attempt.answer or "no answer", attempt.task.gold or "to decline"
        console.print(Text(f"{attempt.verdict.value}: {given}, expected {wanted}", style="yellow"))
        if attempt.failure:
            console.print(
                Text(" → ".join(filter(None, (attempt.failure.message, attempt.failure.hint))), style="yellow")
            )
        console.print(Text(attempt.task.text))
        if attempt.session:
            console.print(Text(f"reasonflux trace {attempt.session}", style="dim"))
    if len(found.failures) > SHOWN_FAILURES:
        console.print(Text(f"… and {len(found.failures) - SHOWN_FAILURES} more", style="dim"))


def show_problem(console: Console, problem: LadderProblem) -> None:
    """A problem and its gold trajectory."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("step", "goal", "template", "uses", "bindings", "result"):
        table.add_column(column, overflow="fold")
    for stage in problem.stages:
        bindings = ", ".join(f"{name} = {value}" for name, value in stage.bindings.items())
        told = (f"r{stage.id}", stage.goal, stage.template_id, " ".join(stage.uses), bindings, stage.result)
        table.add_row(*map(Text, told))
    console.print(Panel(Text(problem.text), title=problem.id, title_align="left", border_style="cyan"))
    console.print(table)
    console.print(Text(f"answer: {problem.answer}\n"))
