"""What the depth study says: right answers by arm and depth, and seed by seed. Pure but for reading the outcomes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from evaluation import estimates
from reasonflux.errors import InvalidRequest
from training.reporting import results
from training.reporting.results import Curve, Report, Series, Table
from training.studies.depth import Answered, Arm, DepthStudy, Study


def report(study: Study, day: date) -> Report:
    """Success by arm and depth: the mean over the seeds, its interval over the problems, and each seed's own share.

    All seeds were tried on the same problems, so a problem is resampled with its answers of all seeds.
    """
    config = study.config
    runs = {arm: ended for arm in config.arms if (ended := study.answered(arm))}
    if not runs:
        raise InvalidRequest("no arm has ended yet", hint="reasonflux train study depth")
    reached = {arm: [_over_seeds(ended.values(), depth) for depth in config.depths] for arm, ended in runs.items()}
    return Report(
        id="depth",
        title="Depth beyond training",
        question="Which way of planning, if any, goes on working past the depths that it was trained on?",
        date=day,
        setup=_setup(config, runs),
        tables=(
            Table(
                title="Right answers, mean over the seeds",
                rows=tuple(
                    results.estimated(f"{arm}, depth {depth}", share)
                    for arm in runs
                    for depth, share in zip(config.depths, reached[arm], strict=True)
                ),
            ),
            Table(
                title=f"Right answers of all depths behind the trained ones ({_beyond(config)}), seed by seed",
                rows=tuple(
                    results.estimated(f"{arm}, seed {seed}", estimates.share(_deeper(run, config)))
                    for arm, ended in runs.items()
                    for seed, run in ended.items()
                ),
            ),
        ),
        curves=(
            Curve(
                title="Right answers by depth",
                x="depth",
                y="success",
                series=tuple(_series(arm, config.depths, reached[arm]) for arm in runs),
            ),
        ),
        verdict=f"at depth {config.depths[-1]}: "
        + ", ".join(f"{arm} {100 * reached[arm][-1].mean:.0f}%" for arm in runs),
    )


def _setup(config: DepthStudy, runs: Mapping[Arm, Iterable[int]]) -> dict[str, str]:
    return {
        "trained on": f"depths {', '.join(map(str, config.trained_depths))}",
        "models": f"{config.shape.layers} layers of {config.shape.hidden}; tokens: navigator "
        f"{config.navigator_tokens / 1e6:g}M, executor {config.executor_tokens / 1e6:g}M, direct "
        f"{config.tokens_of('direct') / 1e6:g}M",
        "seeds": "; ".join(f"{arm} {', '.join(map(str, ended))}" for arm, ended in runs.items()),
        "tried on": f"{config.problems} held-out problems of each depth, greedy, no review, templates by name",
    }


def _over_seeds(runs: Collection[Sequence[Answered]], depth: int) -> estimates.Estimate:
    by_problem: dict[str, list[bool]] = {}
    for run in runs:
        for one in run:
            if one.depth == depth:
                by_problem.setdefault(one.problem, []).append(one.right)
    if len(runs) == 1:
        return estimates.share([right for answers in by_problem.values() for right in answers])
    return estimates.mean([sum(answers) / len(answers) for answers in by_problem.values()])


def _deeper(run: Sequence[Answered], config: DepthStudy) -> list[bool]:
    return [one.right for one in run if one.depth > max(config.trained_depths)]


def _beyond(config: DepthStudy) -> str:
    return ", ".join(str(depth) for depth in config.depths if depth > max(config.trained_depths))


def _series(arm: Arm, depths: Sequence[int], reached: Sequence[estimates.Estimate]) -> Series:
    return Series(
        name=arm,
        points=tuple((float(depth), share.mean) for depth, share in zip(depths, reached, strict=True)),
        bands=tuple((share.low, share.high) for share in reached),
    )
