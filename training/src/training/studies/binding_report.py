"""What the binding study says: recall by variant, binding of templates that were never seen, each beside chance. Pure.

The verdict is read off the intervals: a share is told from chance when its interval lies wholly above or below it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from evaluation import estimates
from evaluation.estimates import Estimate
from reasonflux.errors import InvalidRequest
from training.diagnose import OTHER_VARIABLES
from training.reporting import results
from training.reporting.results import Curve, Report, Row, Series, Table
from training.reporting.scores import Scores
from training.studies.binding import BindingStudy
from training.studies.binding_learning import Judged, ProbeConfig
from training.studies.binding_measures import HELD, HELD_WITHOUT, INVENTED, KEPT, Measure, held_one
from training.studies.binding_probe import KNOWN, NEW, ProbeReport

LLM_COMMAND = "reasonflux eval hold-out && reasonflux eval study evaluation/studies/new-templates.yaml"
LLM_STEPS = "README.md#templates-added-to-a-running-store-with-an-llm-of-yours"
_NOT_A_DIFFERENCE = ("measure_every", "trials")


def report(config: BindingStudy, ended: Sequence[ProbeReport], day: date) -> Report:
    """Of the runs that have ended; the others are named as left out. Raises InvalidRequest when none has."""
    recalls = [run for run in ended if run.experiment == "recall"]
    binds = [run for run in ended if run.experiment == "bind"]
    if not ended:
        raise InvalidRequest("no run of the study has ended", hint="reasonflux train study binding")
    return Report(
        id="binding",
        title="Binding a template that was never seen",
        question="Can a tiny executor bind the variables of a template that it has never seen?",
        date=day,
        setup=_setup(ended),
        tables=(*_recall_tables(recalls), *(table for run in binds for table in _bind_tables(run))),
        curves=(*_recall_curves(recalls), *(curve for run in binds for curve in _bind_curves(run))),
        notes=tuple(_notes(config, ended)),
        did_not_work=config.did_not_work,
        verdict="; ".join([*_recall_verdict(recalls), *(part for run in binds for part in _bind_verdict(run))]),
    )


def _setup(ended: Sequence[ProbeReport]) -> dict[str, str]:
    told = {}
    if any(run.experiment == "recall" for run in ended):
        told["recall"] = (
            "phrases of two words, each with a number of one to three digits, asked for in another order; numbers "
            "right in 150 held-out replies, judged token by token; guessing one of k numbers is right 1/k of the time"
        )
    for run in ended:
        if run.experiment == "bind":
            told[f"bind {run.name}"] = (
                f"{run.parameters / 1e6:.2f}M parameters, {run.last.tokens / 1e6:.1f}M tokens: recall, then invented "
                f"templates from easy to hard, {100 * run.settings.mixture.ladder:.0f}% steps of the ladder without "
                f"{', '.join(run.settings.mixture.held_families)}; replies generated greedily"
            )
    return told


def _notes(config: BindingStudy, ended: Sequence[ProbeReport]) -> Iterator[str]:
    yield "One seed each; the intervals are over replies, not over seeds."
    if any(run.experiment == "bind" for run in ended):
        yield (
            "Chance is one over the ways to give the numbers of the text, each once, to the template's variables. "
            "Without a template there are no variables to bind, so only results are compared."
        )
        yield (
            "In the curves of binding runs a number is right given the right reply before it, which tells its meaning "
            "and comes in the order of the text: that is copying. Only a whole reply also chooses the variables."
        )
    there = {(run.experiment, run.name) for run in ended}
    left = [f"{experiment} {name}" for experiment, name, _ in config.runs() if (experiment, name) not in there]
    if left:
        yield f"Not run to their end, and left out: {', '.join(left)}."
    yield (
        f"The same question for an instruct LLM behind any OpenAI-compatible server, with templates added to a running "
        f"store: `{LLM_COMMAND}` ([all steps]({LLM_STEPS}))."
    )


# --- recall ---------------------------------------------------------------------------------------------------------


def _recall_tables(runs: Sequence[ProbeReport]) -> Iterator[Table]:
    for kind, words in ((KNOWN, "words that were learned with"), (NEW, "words that were not")):
        if runs:
            yield Table(
                title=f"Recall: numbers right, {words}", rows=tuple(_recall_row(run, kind, runs) for run in runs)
            )


def _recall_row(run: ProbeReport, kind: str, runs: Sequence[ProbeReport]) -> Row:
    extra = {
        "chance": _percent(1 / run.settings.phrases),
        "parameters": f"{run.parameters / 1e6:.2f}M",
        "tokens": f"{run.last.tokens / 1e6:.1f}M",
        "CPU-min": f"{run.last.cpu_minutes:.1f}",
        "differs in": _differences(runs[0].settings, run.settings),
    }
    return results.estimated(run.name, numbers_right(run.last.judged[kind]), extra=extra)


def numbers_right(judged: Judged) -> Estimate:
    """The mean over the replies of the share of their numbers that are right."""
    shares = judged.shares
    if len({*shares}) == 1 and shares[0] in (0, 1):
        return estimates.share([share == 1 for share in shares])
    return estimates.mean(shares)


def _recall_curves(runs: Sequence[ProbeReport]) -> Iterator[Curve]:
    for kind in (KNOWN, NEW):
        if runs:
            series = [_series(run.name, run, kind) for run in runs]
            longest = max(point[0] for one in series for point in one.points)
            for phrases in sorted({run.settings.phrases for run in runs}):
                line = ((0.0, 1 / phrases), (longest, 1 / phrases))
                series.append(Series(name=f"chance, {phrases} phrases", points=line))
            yield Curve(title=f"Recall, {kind}", x="million tokens", y="numbers right", series=tuple(series))


def _recall_verdict(runs: Sequence[ProbeReport]) -> Iterator[str]:
    for kind in (KNOWN, NEW):
        if runs:
            best = max(runs, key=lambda run: numbers_right(run.last.judged[kind]).mean)
            found = numbers_right(best.last.judged[kind])
            yield f"recall over {kind}: {_beside(found, 1 / best.settings.phrases)} ({best.name}, best of {len(runs)})"


# --- binding --------------------------------------------------------------------------------------------------------


def _bind_tables(run: ProbeReport) -> Iterator[Table]:
    bound = [measure for measure in run.measures if measure.kind != HELD_WITHOUT]
    by_kind = {measure.kind: measure for measure in run.measures}
    solved = [by_kind[kind] for kind in (KEPT, HELD, HELD_WITHOUT) if kind in by_kind]
    if bound:
        rows = tuple(_bound_row(measure) for measure in [pooled(bound), *bound])
        yield Table(title=f"Bind {run.name}: steps with all bindings right", rows=rows)
    if solved:
        rows = tuple(_counted(measure.kind, measure.solved) for measure in solved)
        yield Table(title=f"Bind {run.name}: steps with the right result", rows=rows)
    if gain := worth_of_template(run):
        yield Table(title=f"Bind {run.name}: what the template of a held family is worth, same steps", rows=(gain,))


def pooled(measures: Sequence[Measure]) -> Measure:
    """All invented tasks as one measure."""
    own = [measure for measure in measures if measure.kind.startswith(INVENTED)]
    trials = sum(len(measure.bound) for measure in own)
    return Measure(
        kind=f"{INVENTED}, all",
        bound=tuple(right for measure in own for right in measure.bound),
        solved=tuple(right for measure in own for right in measure.solved),
        chance=sum(measure.chance * len(measure.bound) for measure in own) / max(1, trials),
        errors=dict(sum((Counter(measure.errors) for measure in own), Counter())),
        in_order=sum(measure.in_order * len(measure.bound) for measure in own) / max(1, trials),
    )


def _bound_row(measure: Measure) -> Row:
    errors = ", ".join(f"{count} × {kind}" for kind, count in Counter(measure.errors).most_common(3))
    extra = {
        "chance": _percent(measure.chance),
        "told in the template's order": _percent(measure.in_order),
        "what was wrong most often": errors or "–",
    }
    return _counted(measure.kind, measure.bound, extra)


def _counted(name: str, right: Sequence[bool], extra: Mapping[str, str] | None = None) -> Row:
    return results.estimated(name, estimates.share(right), successes=sum(right), extra=extra)


def worth_of_template(run: ProbeReport) -> Row | None:
    """The gain in right results by the template, on the same steps of held families."""
    by_kind = {measure.kind: measure for measure in run.measures}
    if HELD not in by_kind or HELD_WITHOUT not in by_kind:
        return None
    without, with_ = (
        Scores(name=name, outcomes={f"{n:04}": float(right) for n, right in enumerate(by_kind[kind].solved)})
        for name, kind in (("without", HELD_WITHOUT), ("with its template", HELD))
    )
    return results.paired(without, with_)


def _bind_curves(run: ProbeReport) -> Iterator[Curve]:
    kinds = list(run.last.judged)
    numbers = tuple(_series(kind, run, kind) for kind in kinds)
    yield Curve(title=f"Bind {run.name}: numbers", x="million tokens", y="numbers right", series=numbers)
    steps = tuple(
        Series(
            name=kind,
            points=tuple((_millions(point.tokens), round(_mean(point.judged[kind].whole), 4)) for point in run.points),
        )
        for kind in kinds
    )
    yield Curve(title=f"Bind {run.name}: whole replies", x="million tokens", y="every token right", series=steps)


def _bind_verdict(run: ProbeReport) -> Iterator[str]:
    all_invented = pooled(run.measures)
    if all_invented.bound:
        found = estimates.share(all_invented.bound)
        yield f"invented templates bound: {_beside(found, all_invented.chance)} (bind {run.name})"
    held = next((measure for measure in run.measures if measure.kind == HELD), None)
    if held:
        yield f"held families with their templates bound: {_beside(estimates.share(held.bound), held.chance)}"
        by_kind = {measure.kind: measure for measure in run.measures}
        own = [by_kind[kind] for kind in map(held_one, run.settings.mixture.held_families) if kind in by_kind]
        beyond = sum(estimates.share(one.bound).low > one.chance for one in own)
        yield f"by itself beyond chance in {beyond} of {len(own)} held families"
        if names := held.errors.get(OTHER_VARIABLES):
            wrong = len(held.bound) - sum(held.bound)
            yield f"{names} of the {wrong} wrong ones give names that are not the template's variables"
    if gain := worth_of_template(run):
        sure = "helps" if gain.low > 0 else "harms" if gain.high < 0 else "changes nothing that can be told"
        yield f"there a template {sure} ({100 * gain.mean:+.1f} points in right results)"


# --- both -----------------------------------------------------------------------------------------------------------


def _beside(found: Estimate, chance: float) -> str:
    """`93% (90–95), beyond the chance of 25%`."""
    place = "beyond" if found.low > chance else "below" if found.high < chance else "not told from"
    interval = f"{100 * found.low:.0f}–{100 * found.high:.0f}"
    return f"{100 * found.mean:.0f}% ({interval}), {place} the chance of {_percent(chance)}"


def _series(name: str, run: ProbeReport, kind: str) -> Series:
    found = [numbers_right(point.judged[kind]) for point in run.points]
    return Series(
        name=name,
        points=tuple(
            (_millions(point.tokens), round(one.mean, 4)) for point, one in zip(run.points, found, strict=True)
        ),
        bands=tuple((round(one.low, 4), round(one.high, 4)) for one in found),
    )


def _differences(base: ProbeConfig, other: ProbeConfig) -> str:
    """The fields in which a run is not as the first one."""
    first, second = (dict(_leaves(config.model_dump(mode="json"))) for config in (base, other))
    named = [f"{name.rpartition('.')[2]} {told}" for name, told in second.items() if first.get(name) != told]
    return ", ".join(named) or "–"


def _leaves(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{before}{name}.")
        elif name not in _NOT_A_DIFFERENCE:
            yield f"{before}{name}", f"{item:,}" if isinstance(item, int) else str(item)


def _mean(hits: Sequence[bool]) -> float:
    return sum(hits) / max(1, len(hits))


def _millions(tokens: int) -> float:
    return round(tokens / 1e6, 3)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
