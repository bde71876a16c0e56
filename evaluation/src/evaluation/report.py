"""What a run's attempts say together: shares with intervals, costs, and the failures to read."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import inf, isinf

from pydantic import Field

from evaluation import estimates
from evaluation.attempt import Attempt, Verdict
from evaluation.estimates import Estimate, mean, ratio, share
from evaluation.runs import Run
from evaluation.solving.voting import alike
from reasonflux.contracts import Contract, Tokens, Usage

BUDGETS = tuple(125 * 2**power for power in range(14))
"""Tokens: what is solved within them is told at each."""


class Row(Contract):
    """A group of problems. Intervals are over problems: attempts at one problem are not independent."""

    name: str
    right: Estimate
    verdicts: dict[Verdict, int]
    tokens: Estimate
    rounds: Estimate
    seconds: Estimate
    calls: Estimate
    templates: Estimate
    """Templates used in a problem."""
    tokens_per_right: Estimate | None = None
    """All tokens over all right answers: what a right answer costs with the failures before it. None: none is right."""
    rounds_per_right: Estimate | None = None


class Score(Contract):
    """An estimate with its name: `pass@4`."""

    name: str
    value: Estimate


class Within(Contract):
    """The share of problems solved by an attempt of no more than `tokens`."""

    tokens: int
    right: Estimate


class Report(Contract):
    """A whole run. `outside` holds the problems where to decline is right; no other group counts them."""

    run: Run
    overall: Row
    scores: tuple[Score, ...] = ()
    """avg@k, pass@1…k and maj@k, where every problem was attempted k > 1 times."""
    by_depth: tuple[Row, ...] = ()
    by_level: tuple[Row, ...] = ()
    by_subject: tuple[Row, ...] = ()
    by_family: tuple[Row, ...] = ()
    """A problem counts for each family that it contains."""
    by_last_family: tuple[Row, ...] = ()
    outside: Row | None = None
    within: tuple[Within, ...] = ()
    usage: Usage = Usage()
    cached: Estimate
    """The share of prompt tokens that the engines served from their prefix caches."""
    revisions: Estimate
    counts: dict[str, int] = Field(default_factory=dict)
    """Ties, scores that could not be had, replies cut off …, over all attempts."""
    failures: tuple[Attempt, ...] = ()

    @property
    def summary(self) -> "Report":
        """Without the failures and the many groups of families: what is kept to draw from."""
        return self.model_copy(update={"failures": (), "by_family": (), "by_last_family": ()})


def report(run: Run, attempts: Sequence[Attempt]) -> Report:
    """The report of a run, finished or not."""
    inside = [attempt for attempt in attempts if attempt.task.gold is not None]
    beyond = [attempt for attempt in attempts if attempt.task.gold is None]
    spent = [attempt.usage.all for attempt in attempts]
    return Report(
        run=run,
        overall=_row("all", inside),
        scores=_scores(inside),
        by_depth=_rows(inside, lambda attempt: [str(attempt.task.depth)] if attempt.task.depth else []),
        by_level=_rows(inside, lambda attempt: [attempt.task.level] if attempt.task.level else []),
        by_subject=_rows(inside, lambda attempt: [attempt.task.subject] if attempt.task.subject else []),
        by_family=_rows(inside, lambda attempt: attempt.task.families),
        by_last_family=_rows(inside, lambda attempt: attempt.task.families[-1:]),
        outside=_row("outside", beyond) if beyond else None,
        within=_within(inside),
        usage=sum((attempt.usage for attempt in attempts), Usage()),
        cached=ratio([tokens.cached for tokens in spent], [tokens.prompt for tokens in spent]),
        revisions=mean([attempt.revisions for attempt in inside]),
        counts=dict(sorted(sum((Counter(attempt.counts) for attempt in attempts), Counter()).items())),
        failures=tuple(attempt for attempt in attempts if not attempt.right),
    )


def _rows(attempts: Sequence[Attempt], names: Callable[[Attempt], Iterable[str]]) -> tuple[Row, ...]:
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        for name in dict.fromkeys(names(attempt)):
            groups.setdefault(name, []).append(attempt)
    return tuple(_row(name, group) for name, group in sorted(groups.items()))


def _row(name: str, attempts: Sequence[Attempt]) -> Row:
    problems = by_problem(attempts)
    tokens = [_mean(attempt.usage.all.total for attempt in problem) for problem in problems]
    rounds = [_mean(attempt.rounds for attempt in problem) for problem in problems]
    right = [estimates.average([attempt.right for attempt in problem]) for problem in problems]
    return Row(
        name=name,
        right=_share(right),
        verdicts={verdict: sum(attempt.verdict is verdict for attempt in attempts) for verdict in Verdict},
        tokens=mean(tokens),
        rounds=mean(rounds),
        seconds=mean([_mean(attempt.seconds for attempt in problem) for problem in problems]),
        calls=mean([_mean(attempt.usage.all.calls for attempt in problem) for problem in problems]),
        templates=mean([_mean(len(attempt.templates) for attempt in problem) for problem in problems]),
        tokens_per_right=ratio(tokens, right, inf) if any(right) else None,
        rounds_per_right=ratio(rounds, right, inf) if any(right) else None,
    )


def by_problem(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """The attempts of each problem together."""
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault(attempt.task.id, []).append(attempt)
    return list(groups.values())


def _scores(attempts: Sequence[Attempt]) -> tuple[Score, ...]:
    problems = by_problem(attempts)
    k = min(map(len, problems), default=0)
    if k < 2:
        return ()
    rights = [[attempt.right for attempt in problem] for problem in problems]
    sizes = [size for size in (2**power for power in range(12)) if size < k] + [k]
    voted = [estimates.majority_right(alike([attempt.answer for attempt in problem]), right)
             for problem, right in zip(problems, rights, strict=True)]  # fmt: skip
    return (
        Score(name=f"avg@{k}", value=_share([estimates.average(right) for right in rights])),
        *(
            Score(name=f"pass@{size}", value=_share([estimates.pass_at(size, len(r), sum(r)) for r in rights]))
            for size in sizes
        ),
        Score(name=f"maj@{k}", value=_share(voted)),
    )


def _within(attempts: Sequence[Attempt]) -> tuple[Within, ...]:
    problems = by_problem(attempts)
    if not problems:
        return ()
    dearest = max(attempt.usage.all.total for attempt in attempts)
    found = []
    for budget in BUDGETS:
        solved = [_mean(a.right and a.usage.all.total <= budget for a in problem) for problem in problems]
        found.append(Within(tokens=budget, right=_share(solved)))
        if budget >= dearest:
            break
    return tuple(found)


def _share(values: Sequence[float]) -> Estimate:
    """Over problems; where every problem is all right or all wrong, as of yes and no."""
    return share([value == 1.0 for value in values]) if set(values) <= {0.0, 1.0} else mean(values)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


# --- as text --------------------------------------------------------------------------------------------------------

COLUMNS = (
    "", "problems", "right (95%)", "wrong", "declined", "failed", "tokens", "rounds", "calls", "seconds",
    "tokens per right",
)  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    """A row as the texts under COLUMNS."""
    counts = [str(row.verdicts.get(v, 0)) for v in (Verdict.WRONG, Verdict.DECLINED, Verdict.FAILED)]
    costs = (f"{row.tokens.mean:.0f}", f"{row.rounds.mean:.1f}", f"{row.calls.mean:.1f}", f"{row.seconds.mean:.1f}")
    return (row.name, str(row.right.n), percent(row.right), *counts, *costs, number(row.tokens_per_right))


def percent(estimate: Estimate) -> str:
    """`71.2% (66.0–76.1)`."""
    if estimate.n == 0:
        return "–"
    return f"{100 * estimate.mean:.1f}% ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"


def number(estimate: Estimate | None) -> str:
    """`1,204 (1,101–1,312)`."""
    if estimate is None or estimate.n == 0:
        return "–"
    high = "∞" if isinf(estimate.high) else f"{estimate.high:,.0f}"
    return f"{estimate.mean:,.0f} ({estimate.low:,.0f}–{high})"


def tables(found: Report) -> list[tuple[str, tuple[Row, ...]]]:
    """The report's groups with their titles, those that hold anything."""
    outside = (found.outside,) if found.outside else ()
    groups = [
        ("All", (found.overall,)),
        ("By depth", found.by_depth),
        ("By level", found.by_level),
        ("By subject", found.by_subject),
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
        f"templates per problem: {found.overall.templates.mean:.2f}, revisions: {found.revisions.mean:.2f}",
        *(f"{name}: {count:,}" for name, count in found.counts.items()),
    ]


def markdown(found: Report) -> str:
    """The report to read, failures last."""
    spec = found.run.spec.model_dump_json(exclude_defaults=False)
    lines = [f"# {found.run.spec.title}, {found.run.started_at:%Y-%m-%d}", "", f"`{spec}`", ""]
    lines += [line for score in found.scores for line in (f"- {score.name}: {percent(score.value)}",)]
    lines += [""] if found.scores else []
    for title, rows in tables(found):
        lines += [f"## {title}", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [*(_line(cells(row)) for row in rows), ""]
    lines += ["## Cost", "", *(f"- {line}" for line in costs(found)), ""]
    if found.within:
        lines += ["## Solved within a token budget", "", _line(("tokens", "right (95%)")), _line(["---"] * 2)]
        lines += [*(_line((f"{one.tokens:,}", percent(one.right))) for one in found.within), ""]
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
        f"- **{attempt.verdict.value}**: {given}, expected {wanted}{why} ({_origin(attempt)})",
        "",
        f"  > {' '.join(task.text.split())}",
        "",
    ]


def _origin(attempt: Attempt) -> str:
    """Where to look further: the problem, the attempt, the session with its trace."""
    task = attempt.task
    told = [", ".join(task.families) or task.subject or ("outside" if task.gold is None else task.id)]
    told += [f"attempt {attempt.sample}"] if attempt.sample else []
    told += [f"session {attempt.session}"] if attempt.session else []
    return "; ".join(told)
