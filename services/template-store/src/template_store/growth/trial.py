"""Does a template help? The executor solves fresh variants of its example with the template and without, in pairs.

Both times the step's goal is the template's name, as a navigator would put it: only the template's own words differ.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from pydantic import Field

from reasonflux.contracts import Contract, InstantiateRequest, Instantiation, Problem, ThoughtTemplate
from reasonflux.errors import InvalidRequest
from template_store.growth.variants import Variant, variants
from template_store.quality.checks import Calculates

LEVEL = 0.95
RESAMPLES = 2_000
MARGIN = 0.1


class Instantiates(Protocol):
    """The executor's side that a trial needs (reasonflux.client.ExecutorClient)."""

    async def instantiate(self, request: InstantiateRequest) -> Instantiation: ...


class Pair(Contract):
    """One variant, solved both ways."""

    variant: Variant
    with_template: bool
    without: bool


class Trial(Contract):
    """What a template adds on fresh variants: the difference of the success rates, and its 95% interval.

    Passed when the interval's lower end reaches the margin."""

    template_id: str
    pairs: tuple[Pair, ...]
    difference: float
    low: float
    high: float
    margin: float = Field(ge=0, lt=1)

    @property
    def with_template(self) -> float:
        return sum(pair.with_template for pair in self.pairs) / len(self.pairs)

    @property
    def without(self) -> float:
        return sum(pair.without for pair in self.pairs) / len(self.pairs)

    @property
    def passed(self) -> bool:
        return self.low >= self.margin

    def __str__(self) -> str:
        return (
            f"{len(self.pairs)} variants: {self.with_template:.0%} with the template, {self.without:.0%} without, "
            f"difference {self.difference:+.0%} ({self.low:+.0%} to {self.high:+.0%}), margin {self.margin:.0%}"
        )


async def trial(
    template: ThoughtTemplate,
    executor: Instantiates,
    calculator: Calculates,
    *,
    count: int = 20,
    seed: int = 0,
    margin: float = MARGIN,
    at_once: int = 4,
) -> Trial:
    """Solve `count` fresh variants with and without the template.

    Raises InvalidRequest when the template's example allows no variants, and what the executor raises."""
    fresh = await variants(template, calculator, count=count, seed=seed)
    if not fresh:
        raise InvalidRequest(
            f"no fresh variants of {template.id!r} can be made",
            hint="write the bindings of its example as numbers that stand in its problem, once each",
        )
    gate = asyncio.Semaphore(at_once)

    async def solved(variant: Variant, chosen: ThoughtTemplate | None) -> bool:
        request = InstantiateRequest(
            goal=template.name,
            template=chosen,
            statements=Problem(text=variant.problem).statements,
        )
        async with gate:
            done = await executor.instantiate(request)
            return done.result is not None and await _equal(done.result, variant.answer, calculator)

    both = await asyncio.gather(*(solved(variant, chosen) for variant in fresh for chosen in (template, None)))
    pairs = tuple(
        Pair(variant=variant, with_template=both[2 * i], without=both[2 * i + 1]) for i, variant in enumerate(fresh)
    )
    return judged(template.id, pairs, margin=margin)


async def _equal(result: str, answer: str, calculator: Calculates) -> bool:
    if result.strip() == answer:
        return True
    verdict = await calculator.evaluate([f"({result}) == ({answer})"], {})
    return bool(verdict) and verdict[-1].value == "True"


def judged(template_id: str, pairs: Sequence[Pair], *, margin: float) -> Trial:
    """The paired difference and its percentile bootstrap interval. Where all pairs are alike resampling tells nothing,
    and the exact binomial bound on how often another outcome may still occur takes its place."""
    differences = np.array([float(pair.with_template) - float(pair.without) for pair in pairs])
    n, mean = len(differences), float(differences.mean())
    if np.ptp(differences) > 0:
        random = np.random.default_rng(0)
        means = differences[random.integers(0, n, (RESAMPLES, n))].mean(axis=1)
        low, high = (float(value) for value in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    else:
        unseen = 1 - ((1 - LEVEL) / 2) ** (1 / n)
        low, high = max(-1.0, mean - unseen), min(1.0, mean + unseen)
    return Trial(template_id=template_id, pairs=tuple(pairs), difference=mean, low=low, high=high, margin=margin)
