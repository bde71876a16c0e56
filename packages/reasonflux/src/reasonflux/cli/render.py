"""A journal as something to look at: `render(view, entry)` is pure, so a live session and a replayed one look the same.

All text that comes from a problem or a model is placed as plain text, never as markup.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from reasonflux.contracts import (
    ActionDropped,
    ActionFailed,
    Entry,
    Failure,
    Instantiation,
    Outcome,
    PlanMade,
    Retrieval,
    SessionFinished,
    SessionStarted,
    Step,
    StepInstantiated,
    StepRestarted,
    StepRetrieved,
    StepReviewed,
    Tokens,
    Trajectory,
    Usage,
    Verdict,
)

STYLES = {Outcome.SOLVED: "green", Outcome.UNSOLVED: "yellow", Outcome.CANCELLED: "yellow", Outcome.FAILED: "red"}
TITLES = {
    Outcome.SOLVED: "Answer",
    Outcome.UNSOLVED: "Could not solve",
    Outcome.CANCELLED: "Cancelled",
    Outcome.FAILED: "Failed",
}
SHOWN_CANDIDATES = 2

_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "�")

Shown = tuple[RenderableType, ...]


@dataclass(frozen=True)
class View:
    """What the entries so far have told, as far as later entries need it."""

    started: datetime | None = None
    seconds: float = 0.0
    reviewed: bool = True
    steps: dict[int, Step] = field(default_factory=dict)
    open: tuple[int, ...] = ()
    """Steps of the trajectory as it stands that have no accepted result yet."""
    results: dict[int, str] = field(default_factory=dict)
    rounds: int = 0
    revisions: int = 0
    usage: Usage = field(default_factory=Usage)
    outcome: Outcome | None = None
    answer: str | None = None
    template: str | None = None


def render(view: View, entry: Entry) -> tuple[View, Shown]:
    """The view after this entry, and what to print for it."""
    entry = Entry.model_validate(harmless(entry.model_dump()))
    view = replace(view, seconds=(entry.at - (view.started or entry.at)).total_seconds())
    match entry.event:
        case SessionStarted() as event:
            shown = Panel(Text(event.problem.text), title="Problem", title_align="left", border_style="cyan")
            return replace(view, started=entry.at, reviewed=event.options.review), (shown,)
        case PlanMade() as event:
            return _plan(view, event)
        case StepRetrieved() as event:
            return view, (_retrieval(event),)
        case StepInstantiated() as event:
            return _instantiated(view, event)
        case StepReviewed() as event:
            return _reviewed(view, event)
        case ActionFailed() as event:
            where = f" of step {event.step_id}" if event.step_id is not None else ""
            return replace(view, usage=view.usage + event.usage), (
                _line("✗", "red", f"{event.action.value}{where} failed: ", failure_text(event.failure)),
            )
        case ActionDropped() as event:
            return replace(view, usage=view.usage + event.usage), ()
        case StepRestarted() as event:
            return view, (_line("↻", "yellow", f"a new worker took over (epoch {event.epoch})", Text()),)
        case SessionFinished() as event:
            view = replace(view, outcome=event.outcome, answer=event.answer)
            return view, (_finish(event), cost_table(view))


def harmless(value: Any) -> Any:
    """The same data without characters that steer a terminal: a model's text may hold anything."""
    match value:
        case str():
            return value.translate(_CONTROLS)
        case dict():
            return {harmless(key): harmless(part) for key, part in value.items()}
        case list() | tuple():
            return tuple(harmless(part) for part in value)
    return value


def replay(entries: Iterable[Entry]) -> tuple[View, Shown]:
    """A whole journal at once."""
    view, shown = View(), list[RenderableType]()
    for entry in entries:
        view, more = render(view, entry)
        shown.extend(more)
    return view, tuple(shown)


def failure_text(failure: Failure) -> Text:
    """Message and hint."""
    text = Text(failure.message)
    if failure.hint:
        text.append(f"\n→ {failure.hint}", style="dim")
    return text


def cost_table(view: View) -> Table:
    """What it cost: rounds, tokens by role with the cached share, seconds."""
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_edge=False, header_style="dim")
    table.add_column("", style="dim")
    for column in ("calls", "prompt", "cached", "share", "completion"):
        table.add_column(column, justify="right")
    for name, tokens in (("navigator", view.usage.navigator), ("executor", view.usage.executor)):
        row = (tokens.calls, tokens.prompt, tokens.cached, cached_share(tokens), tokens.completion)
        table.add_row(name, *map(str, row))
    rounds = "1 round" if view.rounds == 1 else f"{view.rounds} rounds"
    changes = "1 change of plan" if view.revisions == 1 else f"{view.revisions} changes of plan"
    table.caption = f"{rounds} · {changes} · {view.usage.all.total} tokens · {view.seconds:.1f} s"
    table.caption_justify = "left"
    return table


def cached_share(tokens: Tokens) -> str:
    """The part of the prompt tokens that came from the engine's prefix cache."""
    return f"{tokens.cached / tokens.prompt:.0%}" if tokens.prompt else "–"


def _plan(view: View, event: PlanMade) -> tuple[View, Shown]:
    first = not view.steps
    title = Text.assemble(
        ("Trajectory" if first else "Trajectory, continued", "bold"), "  ", event.trajectory.abstraction
    )
    view = replace(
        _with_steps(view, event.trajectory),
        usage=view.usage + Usage(navigator=event.usage),
    )
    return view, (_trajectory(title, event.trajectory),)


def _with_steps(view: View, trajectory: Trajectory) -> View:
    fresh = {step.id: step for step in trajectory.steps}
    return replace(view, steps={**view.steps, **fresh}, open=(*view.open, *fresh))


def _trajectory(title: Text, trajectory: Trajectory) -> Tree:
    tree = Tree(title, guide_style="dim")
    for step in trajectory.steps:
        tree.add(_step_line(step))
    if not trajectory.steps:
        tree.add(Text("no step: the navigator sees no way", style="yellow"))
    elif not trajectory.complete:
        tree.add(Text("… the rest is planned when these are done", style="dim"))
    return tree


def _step_line(step: Step) -> Text:
    line = Text.assemble((f"{step.id}. ", "bold"), step.goal)
    needs = [*step.uses, *(f"r{n}" for n in step.depends_on if f"r{n}" not in step.uses)]
    if needs:
        line.append(f"  ← {', '.join(needs)}", style="dim")
    return line


def _retrieval(event: StepRetrieved) -> RenderableType:
    retrieval = event.retrieval
    scores = {candidate.template_id: candidate.score for candidate in retrieval.candidates}
    chosen = retrieval.template
    if chosen is None:
        text = Text("no template fits well enough", style="yellow")
    else:
        text = Text.assemble((chosen.name, "magenta"), (f"  {chosen.field}", "dim"))
        if chosen.id in scores:
            text.append(f"  score {scores[chosen.id]:.2f}", style="magenta")
    if others := _others(retrieval):
        text.append(f"  (next: {others})", style="dim")
    return _line("◇", "magenta", f"step {event.step_id} · template ", text)


def _others(retrieval: Retrieval) -> str:
    chosen = retrieval.template.id if retrieval.template else None
    others = [found for found in retrieval.candidates if found.template_id != chosen][:SHOWN_CANDIDATES]
    return ", ".join(f"{found.name} {found.score:.2f}" for found in others)


def _instantiated(view: View, event: StepInstantiated) -> tuple[View, Shown]:
    done = event.instantiation
    tried = f", attempt {event.attempt}" if event.attempt > 1 else ""
    goal = view.steps[event.step_id].goal if event.step_id in view.steps else ""
    head = _line("▸", "blue", f"step {event.step_id}{tried} ", Text(goal))
    body = list[RenderableType]()
    if done.reasoning.strip():
        body.append(Text(done.reasoning.strip(), style="dim italic"))
    if done.bindings:
        body.append(Text(", ".join(f"{name} = {value}" for name, value in done.bindings.items()), style="dim"))
    if done.calculations:
        body.append(_calculations(done))
    if done.result is not None:
        body.append(Text.assemble((f"r{event.step_id}", "bold"), " = ", (done.result, "bold blue")))
    if done.failure:
        body.append(Text.assemble(("no result: ", "red"), failure_text(done.failure)))
    view = replace(view, rounds=view.rounds + 1, usage=view.usage + Usage(executor=done.usage))
    if done.result is not None:
        view = replace(view, results={**view.results, event.step_id: done.result})
        if not view.reviewed:
            view = _closed(view, event.step_id)
    return view, (head, *(Padding(part, (0, 0, 0, 4)) for part in body))


def _calculations(done: Instantiation) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    for calculation in done.calculations:
        failed = calculation.error.message if calculation.error else None
        value = Text(failed, style="red") if failed else Text(calculation.value or "", style="green")
        table.add_row(Text(calculation.statement), Text("→", style="dim"), value)
    return table


def _reviewed(view: View, event: StepReviewed) -> tuple[View, Shown]:
    review = event.review
    view = replace(view, usage=view.usage + Usage(navigator=event.usage))
    mark, style, words = {
        Verdict.CONTINUE: ("✓", "green", "the result stands"),
        Verdict.RETRY: ("↺", "yellow", "once more"),
        Verdict.REVISE: ("✎", "yellow", "the plan changes"),
        Verdict.FINISH: ("■", "green", "finished"),
    }[review.verdict]
    reason = Text(f": {review.reason}" if review.reason else "", style="dim")
    line = _line(mark, style, f"review of step {event.step_id} · {words}", reason)
    if review.verdict is Verdict.RETRY:
        return view, (line,)
    if review.remainder is None:
        return _closed(view, event.step_id), (line,)
    # A good result is kept when the plan changes; a step without one is struck out with the rest.
    if event.step_id in view.results:
        view = _closed(view, event.step_id)
    struck = [view.steps[number] for number in view.open]
    view = replace(_with_steps(replace(view, open=()), review.remainder), revisions=view.revisions + 1)
    return view, (line, Padding(_change(struck, review.remainder), (0, 0, 0, 4)))


def _closed(view: View, step_id: int) -> View:
    return replace(view, open=tuple(number for number in view.open if number != step_id))


def _change(struck: Sequence[Step], remainder: Trajectory) -> Tree:
    tree = Tree(Text.assemble(("New trajectory", "bold"), "  ", remainder.abstraction), guide_style="yellow")
    for step in struck:
        tree.add(Text.assemble("− ", (f"{step.id}. {step.goal}", "strike"), style="red"))
    for step in remainder.steps:
        tree.add(Text.assemble(("+ ", "green"), _step_line(step)))
    if not remainder.steps:
        tree.add(Text("nothing comes instead", style="yellow"))
    return tree


def _finish(event: SessionFinished) -> Panel:
    body = Text(event.answer or "", style="bold") if event.answer is not None else Text()
    for part in (Text(event.explanation, style="dim"), failure_text(event.failure) if event.failure else Text()):
        if part.plain.strip():
            body = body.append("\n").append(part) if body.plain else part
    if not body.plain:
        body = Text("no answer")
    return Panel(body, title=TITLES[event.outcome], title_align="left", border_style=STYLES[event.outcome])


def _line(mark: str, style: str, head: str, rest: Text) -> Text:
    return Text.assemble((f"{mark} ", style), (head, "bold"), rest)
