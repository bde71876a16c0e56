"""A run on the terminal: while it goes on, and its report."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from evaluation import report
from evaluation.attempt import Attempt
from evaluation.ladder import LadderProblem
from evaluation.plots import draw
from evaluation.runs import Journal, carry_out
from evaluation.strategies.solver import Solve

SHOWN_FAILURES = 8


async def live(console: Console, journal: Journal, solve: Solve, concurrency: int) -> None:
    """Carry the run out to its end behind a progress bar."""
    tasks = journal.run.spec.questions.tasks()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[standing]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
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
    """Accuracy and cost so far: `71.2% right · 1,204 tokens each`."""
    if not attempts:
        return ""
    right = sum(attempt.right for attempt in attempts) / len(attempts)
    tokens = sum(attempt.usage.all.total for attempt in attempts)
    return f"{100 * right:.1f}% right · {tokens / len(attempts):,.0f} tokens each · {tokens:,} in all"


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
    for title, rows in report.tables(found):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
        for position, column in enumerate(report.COLUMNS):
            table.add_column(column, justify="right" if position else "left", no_wrap=position == 2)
        for row in rows:
            table.add_row(*map(Text, report.cells(row)))
        console.print(table)
        console.print()
    for line in report.costs(found):
        console.print(Text(line))
    for attempt in found.failures[:SHOWN_FAILURES]:
        console.print()
        console.print(Text(f"{attempt.verdict.value}: {attempt.answer}, expected {attempt.task.gold}", style="yellow"))
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
