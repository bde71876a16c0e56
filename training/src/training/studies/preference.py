"""Study: does preference optimisation repair a navigator that learned from a faulty corpus, and does the reward on
*similar* problems matter? And does structure data help?

in    runs that have ended: noisy (SFT on a faulty corpus, then rounds of DPO), own-problem (the same SFT weights, the
      reward taken on the problem itself), clean and structure (SFT on a corpus without faults)
out   two reports for docs/results/training.md
run   reasonflux train run --config training/configs/studies/noisy.yaml       (own-problem, clean, structure likewise)
      reasonflux train study preference
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from reasonflux.errors import InvalidRequest
from training.reporting import results
from training.reporting.results import Curve, Report, Row, Series, Table
from training.reporting.scores import Scores
from training.stages.evaluate import Evaluation, load


def evaluations(run: Path) -> dict[str, Evaluation]:
    """A run's evaluations by their names, in the order of the rounds; empty where the run has not ended."""
    found = {path.parent.name.partition(".")[2]: load(path) for path in run.glob("evaluate.*/evaluation.json")}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "sft", name))}


def preference_report(runs: Path, day: date, notes: Sequence[str] = ()) -> Report:
    """SFT on a faulty corpus, each round of DPO on similar and on own problems, and SFT on a clean corpus."""
    noisy, own, clean = (evaluations(runs / name) for name in ("noisy", "own-problem", "clean"))
    if "sft" not in noisy:
        raise InvalidRequest(
            f"there is no evaluation of SFT in {runs / 'noisy'}",
            hint="reasonflux train run --config training/configs/studies/noisy.yaml; then own-problem and clean",
        )
    start, best = noisy["sft"], max(noisy.values(), key=lambda one: one.success().mean)
    named = {"SFT, faulty corpus": start}
    named |= {f"+ DPO round {name[-1]}, similar problems": one for name, one in noisy.items() if name != "sft"}
    named |= {f"+ DPO round {name[-1]}, own problem only": one for name, one in own.items() if name != "sft"}
    named |= {f"{name.upper()}, clean corpus": one for name, one in clean.items()}
    gains = [results.paired(start.greedy, _called(one, name)) for name, one in named.items() if one is not start]
    closed = ""
    if clean:
        top = clean["sft"].success().mean
        share = (best.success().mean - start.success().mean) / max(1e-9, top - start.success().mean)
        closed = f"; {100 * share:.0f}% of the way to SFT on a clean corpus"
    against = []
    for name in sorted(set(noisy) & set(own) - {"sft"}):
        row = results.paired(_called(own[name], "own"), _called(noisy[name], f"similar over own, round {name[-1]}"))
        against.append(row)
    tables = [
        Table(title="Greedy success on held-out problems", rows=tuple(_row(name, one) for name, one in named.items())),
        Table(title="Sampled success", rows=tuple(_sampled(name, one) for name, one in named.items())),
        Table(title="Gain over SFT on the faulty corpus, the same problems", rows=tuple(gains)),
    ]
    if against:
        tables.append(Table(title="Reward on similar problems over reward on the own problem", rows=tuple(against)))
    gain = results.paired(start.greedy, _called(best, best.name))
    return Report(
        id="preference",
        title="Preference optimisation from a faulty corpus",
        question="Does DPO on trajectory rewards raise a navigator above the corpus that it was tuned on?",
        date=day,
        setup={
            "corpus": "a third of the trajectories take a look-alike template or do a step twice, most of them on the "
            "30% of templates that are the teacher's blind spots",
            "navigator": "1.33M parameters, 4M tokens of SFT",
            "rollouts": "8 per problem at temperature 1.0, 600 training problems of depth 1 and 2 a round",
            "reward": "share of right answers on 3 similar problems (same sketch, other numbers)",
            "evaluation": f"{len(start.outcomes)} held-out problems, greedy, templates by name, no review",
        },
        tables=tuple(tables),
        curves=_curves(runs),
        notes=tuple(notes),
        verdict=f"{best.name}: {_points(gain)} over SFT{closed}",
    )


def structure_report(runs: Path, day: date, notes: Sequence[str] = ()) -> Report:
    """SFT with and without structure data before the plans."""
    without, with_ = evaluations(runs / "clean")["sft"], evaluations(runs / "structure")["sft"]
    gain = results.paired(without.greedy, _called(with_, "structure data over none"))
    rows = (_row("plans only", without), _row("structure data, then plans", with_))
    return Report(
        id="structure",
        title="Structure data",
        question="Does learning the library itself first (paper Eq. 2) make a better planner?",
        date=day,
        setup={"navigator": "1.33M parameters, 4M tokens of plans in both", "structure": "2,000 conversations before"},
        tables=(
            Table(title="Greedy success on held-out problems", rows=rows),
            Table(title="The difference on the same problems", rows=(gain,)),
        ),
        notes=tuple(notes),
        verdict=f"{_points(gain)} with structure data",
    )


def _called(evaluation: Evaluation, name: str) -> Scores:
    return evaluation.greedy.model_copy(update={"name": name})


def _row(name: str, one: Evaluation) -> Row:
    extra = {f"depth {depth}": f"{100 * one.success(depth=depth).mean:.1f}%" for depth in one.depths}
    costs = {"rounds": f"{one.rounds.mean:.2f}", "tokens": f"{one.tokens.mean:.0f}"}
    reward = {"reward": f"{100 * one.reward.mean:.1f}%"} if one.reward.n else {}
    return results.row(name, _called(one, name), {**extra, **reward, **costs})


def _sampled(name: str, one: Evaluation) -> Row:
    share = one.sampled
    return Row(name=name, trials=share.n, mean=share.mean, low=share.low, high=share.high)


def _points(row: Row) -> str:
    return f"{100 * row.mean:+.1f} points ({100 * row.low:+.1f} to {100 * row.high:+.1f})"


def _curves(runs: Path) -> tuple[Curve, ...]:
    """The watched success while DPO goes on."""
    series = []
    for run, name in (("noisy", "similar problems"), ("own-problem", "own problem")):
        for path in sorted((runs / run).glob("dpo.*/curve.csv")):
            header, *rows = (line.split(",") for line in path.read_text().splitlines())
            step, reward = header.index("step"), header.index("heldout_reward")
            points = tuple((float(row[step]), float(row[reward])) for row in rows if row[reward])
            if points:
                series.append(Series(name=f"{name}, round {path.parent.name[-1]}", points=points))
    if not series:
        return ()
    return (Curve(title="Greedy success while DPO goes on", x="step", y="success", series=tuple(series)),)
