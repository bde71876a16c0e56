"""What a run's attempts say together: shares with intervals, costs, and the failures to read. Pure."""

from collections.abc import Callable, Iterable, Sequence

from evaluation.attempt import Attempt, Verdict
from evaluation.bootstrap import Estimate, mean, ratio, share
from evaluation.runs import Run
from reasonflux.contracts import Contract, Tokens, Usage


class Row(Contract):
    """A group of attempts."""

    name: str
    right: Estimate
    verdicts: dict[Verdict, int]
    tokens: Estimate
    rounds: Estimate
    seconds: Estimate


class Report(Contract):
    """A whole run. `outside` holds the problems where to decline is right; no other group counts them."""

    run: Run
    overall: Row
    by_depth: tuple[Row, ...] = ()
    by_family: tuple[Row, ...] = ()
    """A problem counts for each family that it contains."""
    by_last_family: tuple[Row, ...] = ()
    outside: Row | None = None
    usage: Usage = Usage()
    cached: Estimate
    """The share of prompt tokens that the engines served from their prefix caches."""
    templates: Estimate
    """Templates used in a problem."""
    revisions: Estimate
    failures: tuple[Attempt, ...] = ()


def report(run: Run, attempts: Sequence[Attempt]) -> Report:
    """The report of a run, finished or not."""
    inside = [attempt for attempt in attempts if attempt.task.gold is not None]
    beyond = [attempt for attempt in attempts if attempt.task.gold is None]
    spent = [attempt.usage.all for attempt in attempts]
    return Report(
        run=run,
        overall=_row("all", inside),
        by_depth=_rows(inside, lambda attempt: [str(attempt.task.depth)]),
        by_family=_rows(inside, lambda attempt: attempt.task.families),
        by_last_family=_rows(inside, lambda attempt: attempt.task.families[-1:]),
        outside=_row("outside", beyond) if beyond else None,
        usage=sum((attempt.usage for attempt in attempts), Usage()),
        cached=ratio([tokens.cached for tokens in spent], [tokens.prompt for tokens in spent]),
        templates=mean([len(attempt.templates) for attempt in inside]),
        revisions=mean([attempt.revisions for attempt in inside]),
        failures=tuple(attempt for attempt in attempts if not attempt.right),
    )


def _rows(attempts: Sequence[Attempt], names: Callable[[Attempt], Iterable[str]]) -> tuple[Row, ...]:
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        for name in dict.fromkeys(names(attempt)):
            groups.setdefault(name, []).append(attempt)
    return tuple(_row(name, group) for name, group in sorted(groups.items()))


def _row(name: str, attempts: Sequence[Attempt]) -> Row:
    return Row(
        name=name,
        right=share([attempt.right for attempt in attempts]),
        verdicts={verdict: sum(attempt.verdict is verdict for attempt in attempts) for verdict in Verdict},
        tokens=mean([attempt.usage.all.total for attempt in attempts]),
        rounds=mean([attempt.rounds for attempt in attempts]),
        seconds=mean([attempt.seconds for attempt in attempts]),
    )


# --- as text --------------------------------------------------------------------------------------------------------

COLUMNS = ("", "problems", "right (95%)", "wrong", "declined", "failed", "tokens", "rounds", "seconds")


def cells(row: Row) -> tuple[str, ...]:
    """A row as the texts under COLUMNS."""
    counts = [str(row.verdicts.get(v, 0)) for v in (Verdict.WRONG, Verdict.DECLINED, Verdict.FAILED)]
    costs = (f"{row.tokens.mean:.0f}", f"{row.rounds.mean:.1f}", f"{row.seconds.mean:.1f}")
    return (row.name, str(row.right.n), percent(row.right), *counts, *costs)


def percent(estimate: Estimate) -> str:
    """`71.2% (66.0–76.1)`."""
    if estimate.n == 0:
        return "–"
    return f"{100 * estimate.mean:.1f}% ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"


def tables(found: Report) -> list[tuple[str, tuple[Row, ...]]]:
    """The report's groups with their titles, those that hold anything."""
    outside = (found.outside,) if found.outside else ()
    groups = [
        ("All", (found.overall,)),
        ("By depth", found.by_depth),
        ("By family contained", found.by_family),
        ("By last family", found.by_last_family),
        ("Outside the library: to decline is right", outside),
    ]
    return [(title, rows) for title, rows in groups if any(row.right.n for row in rows)]


def costs(found: Report) -> list[str]:
    """Tokens by role, the cached share, templates and revisions, a line each."""
    roles = (("navigator", found.usage.navigator), ("executor", found.usage.executor))
    return [
        *(f"{role}: {_tokens(tokens)}" for role, tokens in roles),
        f"prompt tokens from the prefix cache: {percent(found.cached)}",
        f"templates per problem: {found.templates.mean:.2f}, revisions: {found.revisions.mean:.2f}",
    ]


def markdown(found: Report) -> str:
    """The report to read, failures last."""
    spec = found.run.spec.model_dump_json(exclude_defaults=False)
    lines = [f"# {found.run.spec.benchmark}, {found.run.started_at:%Y-%m-%d}", "", f"`{spec}`", ""]
    for title, rows in tables(found):
        lines += [f"## {title}", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [*(_line(cells(row)) for row in rows), ""]
    lines += ["## Cost", "", *(f"- {line}" for line in costs(found)), ""]
    if found.failures:
        lines += [f"## Failures ({len(found.failures)})", ""]
        lines += [line for attempt in found.failures for line in _failure(attempt)]
    return "\n".join(lines).rstrip() + "\n"


def _tokens(tokens: Tokens) -> str:
    return (
        f"{tokens.prompt:,} prompt ({tokens.cached:,} cached), {tokens.completion:,} completion, {tokens.calls:,} calls"
    )


def _line(texts: Iterable[str]) -> str:
    return "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"


def _failure(attempt: Attempt) -> list[str]:
    task = attempt.task
    wanted = "to decline" if task.gold is None else f"`{task.gold}`"
    given = "no answer" if attempt.answer is None else f"`{' '.join(attempt.answer.split())}`"
    why = f"; {attempt.failure.message}" if attempt.failure else ""
    return [
        f"- **{attempt.verdict.value}**: {given}, expected {wanted}{why} ({', '.join(task.families) or 'outside'}; "
        f"session {attempt.session or 'none'})",
        "",
        f"  > {' '.join(task.text.split())}",
        "",
    ]
