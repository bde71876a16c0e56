"""Means with 95% intervals, by resampling the attempts."""

from collections.abc import Sequence
from random import Random

from reasonflux.contracts import Contract

RESAMPLES = 1_000
LEVEL = 0.95
_SEED = 20250212


class Estimate(Contract):
    """A mean (or a ratio of means) over `n` attempts, and where it lies with 95% confidence."""

    n: int
    mean: float
    low: float
    high: float


def mean(values: Sequence[float]) -> Estimate:
    """The mean and its percentile bootstrap interval."""
    n = len(values)
    if n == 0:
        return Estimate(n=0, mean=0.0, low=0.0, high=0.0)
    rng = Random(_SEED)
    return _interval(n, sum(values) / n, [sum(rng.choices(values, k=n)) / n for _ in range(RESAMPLES)])


def share(hits: Sequence[bool]) -> Estimate:
    """A share. Where all hits are alike resampling tells nothing, and the exact binomial bound takes its place."""
    n, count = len(hits), sum(hits)
    if n == 0 or 0 < count < n:
        return mean([float(hit) for hit in hits])
    reach = ((1 - LEVEL) / 2) ** (1 / n)  # the share that shows n alike in a row this rarely
    return Estimate(n=n, mean=1.0, low=reach, high=1.0) if count else Estimate(n=n, mean=0.0, low=0.0, high=1 - reach)


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """sum(above)/sum(below), both resampled together: a share of tokens, for instance. Nothing to divide by gives 0."""
    n = len(above)
    if n == 0:
        return Estimate(n=0, mean=0.0, low=0.0, high=0.0)
    rng, pairs = Random(_SEED), list(zip(above, below, strict=True))
    drawn = []
    for _ in range(RESAMPLES):
        one, other = zip(*rng.choices(pairs, k=n), strict=True)
        drawn.append(_divided(sum(one), sum(other)))
    return _interval(n, _divided(sum(above), sum(below)), drawn)


def _interval(n: int, value: float, drawn: list[float]) -> Estimate:
    drawn.sort()
    cut = round(RESAMPLES * (1 - LEVEL) / 2)
    return Estimate(n=n, mean=value, low=drawn[cut], high=drawn[-1 - cut])


def _divided(above: float, below: float) -> float:
    return above / below if below else 0.0
