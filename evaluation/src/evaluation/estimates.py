"""Means with 95% intervals by resampling, and what k attempts at a problem say (avg@k, pass@k, maj@k). Pure."""

from collections.abc import Sequence
from math import comb
from random import Random

from pydantic import ConfigDict

from reasonflux.contracts import Contract

RESAMPLES = 1_000
LEVEL = 0.95
_SEED = 20250212


class Estimate(Contract):
    """A mean (or a ratio of means) over `n` attempts, and where it lies with 95% confidence. `high` may be infinite."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

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


def ratio(above: Sequence[float], below: Sequence[float], nothing: float = 0.0) -> Estimate:
    """sum(above)/sum(below), both resampled together. With nothing to divide by it is `nothing`: 0 for a share
    of tokens, infinity for what an answer costs that is never right."""
    n = len(above)
    if n == 0:
        return Estimate(n=0, mean=0.0, low=0.0, high=0.0)
    rng, pairs = Random(_SEED), list(zip(above, below, strict=True))
    drawn = []
    for _ in range(RESAMPLES):
        one, other = zip(*rng.choices(pairs, k=n), strict=True)
        drawn.append(_divided(sum(one), sum(other), nothing))
    return _interval(n, _divided(sum(above), sum(below), nothing), drawn)


def _interval(n: int, value: float, drawn: list[float]) -> Estimate:
    drawn.sort()
    cut = round(RESAMPLES * (1 - LEVEL) / 2)
    return Estimate(n=n, mean=value, low=drawn[cut], high=drawn[-1 - cut])


def _divided(above: float, below: float, nothing: float) -> float:
    return above / below if below else nothing


# --- k attempts at a problem ------------------------------------------------------------------------------------------


def average(right: Sequence[bool]) -> float:
    """avg@k: the share of a problem's attempts that are right."""
    return sum(right) / len(right)


def pass_at(k: int, attempts: int, right: int) -> float:
    """pass@k: the chance that k of the attempts, drawn without putting back, hold a right one (unbiased for k draws
    from the strategy). Raises ValueError when there are fewer attempts than k."""
    if not 1 <= k <= attempts:
        raise ValueError(f"pass@{k} needs {k} attempts, not {attempts}")
    return 1 - comb(attempts - right, k) / comb(attempts, k)


def majority_right(groups: Sequence[Sequence[int]], right: Sequence[bool]) -> float:
    """maj@k: whether the most frequent answer is right. `groups` are the places of equal answers; of groups that tie
    one is drawn, so a tie counts by the share of right ones. Nobody answered: 0."""
    most = max((len(group) for group in groups), default=0)
    top = [group for group in groups if len(group) == most]
    return sum(right[group[0]] for group in top) / len(top) if top else 0.0
