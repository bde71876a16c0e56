"""A strategy with the means of a run: a task and the number of the sample in, an attempt out."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from evaluation.attempt import Attempt, Solution, Task, judge
from evaluation.solving.means import Means, MeansMissing
from evaluation.solving.model import Meter, seed_of
from evaluation.strategies.catalogue import AnyStrategy
from reasonflux.contracts import FailureKind, Outcome
from reasonflux.errors import ReasonFluxError

Solve = Callable[[Task, int], Awaitable[Attempt]]
"""Raises ReasonFluxError only where the whole run cannot go on, such as a service that is not reachable."""

_ENDS_THE_RUN = (
    FailureKind.SERVICE_UNAVAILABLE,
    FailureKind.ENGINE_UNAVAILABLE,
    FailureKind.UNAUTHORIZED,
)


@dataclass(frozen=True)
class Solver:
    """`means` are those of the run; every attempt gets its own model, meter and seed."""

    strategy: AnyStrategy
    means: Means
    run: str
    seed: int = 0
    samples: int = 1

    async def __call__(self, task: Task, sample: int = 0) -> Attempt:
        seed = seed_of(self.seed, task.id, str(sample))
        model = self.means.model.fresh(seed)
        means = replace(
            self.means,
            model=model,
            single=model.limits.temperature if self.samples > 1 else 0.0,
            run=self.run,
            key=f"{self.run}-{task.id}" + (f".{sample}" if sample else ""),
            seed=seed,
        )
        began = time.monotonic()
        try:
            solution = await self.strategy.solve(task, means)
        except ReasonFluxError as error:
            if isinstance(error, MeansMissing) or error.failure.kind in _ENDS_THE_RUN:
                raise
            solution = Solution(outcome=Outcome.FAILED, failure=error.failure, rounds=0)
        seconds = max(time.monotonic() - began, model.meter.recorded_seconds)
        return await attempt_of(task, solution, model.meter, sample=sample, seed=seed, seconds=seconds)


async def attempt_of(
    task: Task, solution: Solution, meter: Meter, *, sample: int, seed: int, seconds: float
) -> Attempt:
    """The solution with its verdict and its whole cost. A session that gives no answer has declined; a text without an
    answer is wrong."""
    verdict = await asyncio.to_thread(judge, task, solution.outcome, solution.answer, solution.failure)
    happened = meter.counts + Counter(solution.counts)
    return Attempt(
        task=task,
        sample=sample,
        seed=seed,
        outcome=solution.outcome,
        answer=solution.answer,
        text=solution.text,
        verdict=verdict,
        rounds=solution.rounds,
        revisions=solution.revisions,
        seconds=seconds if solution.seconds is None else solution.seconds,
        usage=solution.usage + meter.usage,
        templates=solution.templates,
        fit=solution.fit,
        session=solution.session,
        failure=solution.failure,
        counts={name: count for name, count in sorted(happened.items()) if count},
    )
