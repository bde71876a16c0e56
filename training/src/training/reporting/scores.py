"""What weights reached on each held-out problem, and whether other weights are better on the same ones. Pure."""

import numpy as np
from pydantic import Field

from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest

RESAMPLES = 10_000
_SEED = 20250212


class Scores(Contract):
    """Outcomes by problem id: 1 and 0 for right and wrong, or a trajectory reward in between."""

    name: str = Field(min_length=1, description="whose scores, as the reason tells it: dpo.1")
    outcomes: dict[str, float] = Field(min_length=1)

    @property
    def mean(self) -> float:
        return sum(self.outcomes.values()) / len(self.outcomes)


class Difference(Contract):
    """The mean gain over the same problems, and its interval."""

    n: int
    gained: int
    lost: int
    mean: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        points = (f"{100 * value:+.1f}" for value in (self.mean, self.low, self.high))
        mean, low, high = points
        return (
            f"{mean} points ({100 * self.confidence:g}% interval {low} to {high}) on {self.n} problems, "
            f"{self.gained} gained, {self.lost} lost"
        )


class Decision(Contract):
    """Whether to publish, and why."""

    publish: bool
    reason: str
    difference: Difference | None = None


class GateConfig(Contract):
    """When new weights take the place of the old ones."""

    minimal_gain: float = Field(
        default=0.01, ge=-1, le=1, description="the least mean gain, as a share: 0.01 is one point"
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the interval of the gain")
    proven: bool = Field(default=False, description="whether the whole interval must lie above 0")


def compare(previous: Scores, new: Scores, confidence: float = 0.95) -> Difference:
    """The paired difference, new minus previous, by resampling the problems.

    Where all differences are alike resampling tells nothing, and the exact binomial bound on how often another one may
    still occur takes its place. Raises InvalidRequest when the problems are not the same.
    """
    if previous.outcomes.keys() != new.outcomes.keys():
        only = len(previous.outcomes.keys() - new.outcomes.keys()), len(new.outcomes.keys() - previous.outcomes.keys())
        raise InvalidRequest(
            f"{previous.name} and {new.name} were not scored on the same problems: {only[0]} only in the first, "
            f"{only[1]} only in the second",
            hint="evaluate both with the same split, depths, limit and seed",
        )
    differences = np.array([new.outcomes[key] - previous.outcomes[key] for key in sorted(new.outcomes)])
    n, mean = len(differences), float(differences.mean())
    values, counts = np.unique(differences, return_counts=True)
    tail = (1 - confidence) / 2
    if len(values) > 1:
        drawn = np.random.default_rng(_SEED).multinomial(n, counts / n, RESAMPLES) @ values / n
        low, high = (float(bound) for bound in np.quantile(drawn, [tail, 1 - tail]))
    else:
        unseen = 1 - tail ** (1 / n)
        low, high = mean - unseen * (mean + 1), mean + unseen * (1 - mean)
    return Difference(
        n=n,
        gained=int((differences > 0).sum()),
        lost=int((differences < 0).sum()),
        mean=mean,
        low=min(low, mean),
        high=max(high, mean),
        confidence=confidence,
    )


def gate(
    previous: Scores | None, new: Scores, minimal_gain: float, confidence: float = 0.95, *, proven: bool = False
) -> Decision:
    """Publish when the mean gain is at least `minimal_gain` and its interval does not lie below 0.

    With a gain of a point or two on some hundred problems the interval often holds 0; `proven` asks that it does not.
    """
    if previous is None:
        return Decision(publish=True, reason=f"{new.name} is the first: {100 * new.mean:.1f}%, nothing to compare with")
    found = compare(previous, new, confidence)
    told = f"{new.name} over {previous.name}: {found}"
    against = [
        said
        for holds, said in (
            (found.high < 0, "worse: the interval lies below 0"),
            (found.mean < minimal_gain, f"at least {100 * minimal_gain:+.1f} points are asked for"),
            (proven and found.low <= 0, "not proven: the interval does not lie above 0"),
        )
        if holds
    ]
    if against:
        return Decision(publish=False, reason=f"{told}; {'; '.join(against)}", difference=found)
    sure = "better" if found.low > 0 else "not worse; the interval holds 0"
    return Decision(publish=True, reason=f"{told}; {sure}", difference=found)
