"""`reasonflux demo`: the stack, problems with their traces, what they cost, and everything stopped again."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import httpx
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reasonflux.cli import embedded
from reasonflux.cli.following import solve_and_show
from reasonflux.cli.render import View, cached_share
from reasonflux.client import NavigatorClient
from reasonflux.contracts import Contract, CreateSession, Effort, Outcome
from reasonflux.local import record
from reasonflux.local.process import Stack
from reasonflux.local.record import Record
from reasonflux.local.settings import LocalSettings

_CACHE_COUNTER = re.compile(r"^vllm:prefix_cache_(queries|hits)_total\{.*\} (\S+)$", re.MULTILINE)


class DemoProblem(Contract):
    """`answer` None: the problem is out of the shipped weights' range, and saying so is right."""

    title: str
    problem: str
    answer: str | None = None


@dataclass(frozen=True)
class Solved:
    problem: DemoProblem
    view: View
    seconds: float

    @property
    def right(self) -> bool:
        if self.problem.answer is None:
            return self.view.outcome is Outcome.UNSOLVED
        return self.view.outcome is Outcome.SOLVED and self.view.answer == self.problem.answer


async def run_demo(console: Console, problem: str | None) -> int:
    """0 when every answer is right (for a problem of one's own: when it was solved), else 3."""
    began = time.monotonic()
    settings = LocalSettings()
    found, started = await embedded.running(settings), None
    if found is None:
        started = await embedded.start(console, settings)
        found = record.read(settings.run_dir)
    assert found is not None
    try:
        code = await _solve_all(console, found, started, problem, began)
    finally:
        if started:
            console.print(Text("stopping what was started", style="dim"))
            await asyncio.shield(started.stop())
    console.print(f"total: {time.monotonic() - began:.1f} s from start to stop")
    return code


def demo_problems() -> tuple[DemoProblem, ...]:
    """The built-in problems."""
    data = yaml.safe_load(files("reasonflux.cli").joinpath("demo_problems.yaml").read_text(encoding="utf-8"))
    return tuple(DemoProblem.model_validate(one) for one in data)


async def _solve_all(console: Console, stack: Record, started: Stack | None, problem: str | None, began: float) -> int:
    problems = (DemoProblem(title="yours", problem=problem),) if problem else demo_problems()
    before = await _cache_counters(stack)
    watcher = asyncio.create_task(started.watch()) if started else None
    solver = asyncio.create_task(_solve(console, stack.url("navigator"), problems, began))
    try:
        await asyncio.wait({solver, watcher} if watcher else {solver}, return_when=asyncio.FIRST_COMPLETED)
        if watcher and watcher.done():
            watcher.result()  # raises: a process of the stack has ended
        solved = await solver
    finally:
        for task in filter(None, (solver, watcher)):
            task.cancel()
        await asyncio.gather(*filter(None, (solver, watcher)), return_exceptions=True)
    after = await _cache_counters(stack)
    if problem:
        console.print(_cache_line(before, after))
        return 0 if solved[0].view.outcome is Outcome.SOLVED else 3
    console.print(closing_table(solved))
    console.print(_cache_line(before, after))
    return 0 if all(one.right for one in solved) else 3


async def _solve(console: Console, url: str | None, problems: Sequence[DemoProblem], began: float) -> list[Solved]:
    solved = []
    async with NavigatorClient.open(url) as navigator:
        for number, one in enumerate(problems, 1):
            console.rule(Text(f"{number} of {len(problems)} · {one.title}"))
            at = time.monotonic()
            view = await solve_and_show(navigator, CreateSession(problem=one.problem, effort=Effort.MEDIUM), console)
            now = time.monotonic()
            solved.append(Solved(one, view, now - at))
            console.print(Text(f"{now - at:.1f} s for this problem, {now - began:.1f} s since the start", style="dim"))
    return solved


def closing_table(solved: Sequence[Solved]) -> Table:
    """One row per problem."""
    table = Table("problem", "answer", "expected", "right?", title="The demo")
    for column in ("rounds", "tokens", "cached", "seconds"):
        table.add_column(column, justify="right")
    for one in solved:
        unsolved = "could not solve"
        answer = one.view.answer if one.view.outcome is Outcome.SOLVED else str(one.view.outcome or "")
        tokens = one.view.usage.all
        table.add_row(
            one.problem.title,
            Text(unsolved if one.view.outcome is Outcome.UNSOLVED else answer or ""),
            one.problem.answer or unsolved,
            Text("yes", "green") if one.right else Text("no", "red"),
            str(one.view.rounds),
            str(tokens.total),
            cached_share(tokens),
            f"{one.seconds:.1f}",
        )
    right = sum(one.right for one in solved)
    table.caption = f"{right} of {len(solved)} right"
    return table


async def _cache_counters(stack: Record) -> dict[str, tuple[float, float]]:
    """engine → (tokens asked of the prefix cache, tokens found there), from vLLM's own metrics."""
    counters = {}
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
        for process in stack.processes:
            if not process.name.endswith("-engine"):
                continue
            try:
                text = (await http.get(process.url.removesuffix("/v1") + "/metrics")).text
            except httpx.HTTPError:
                continue
            found = {name: float(value) for name, value in _CACHE_COUNTER.findall(text)}
            counters[process.title] = (found.get("queries", 0.0), found.get("hits", 0.0))
    return counters


def _cache_line(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> Text:
    parts = []
    for title, (asked, hit) in after.items():
        asked, hit = asked - before.get(title, (0, 0))[0], hit - before.get(title, (0, 0))[1]
        share = f"{hit / asked:.0%}" if asked else "–"
        parts.append(f"{title} {share} ({hit:.0f} of {asked:.0f} prompt tokens)")
    return Text("prefix cache, by vLLM's own metrics: " + ("; ".join(parts) or "no embedded engine"))
