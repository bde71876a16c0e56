"""Stage evaluate: what a navigator reaches on held-out problems, greedy and sampled, with what it costs.

in    navigator weights, executor weights or its server, held-out problems of the ladder or of the run's data set (the
      same for every evaluation with the same section `evaluate`)
out   runs/<name>/evaluate.<of>/: evaluation.json (an `Evaluation`), and the rollouts.jsonl, similar.jsonl, trials.jsonl
      and rewards.jsonl that it is made of
run   reasonflux train evaluate --of dpo.1 --config …        (or as a stage of reasonflux train run)

It is rollouts and rewards on problems that nobody trained on: sample 0 of each problem is the greedy trajectory.
Carried out without review, on its own problem it gives the success, on similar problems the trajectory reward. Two
evaluations are compared problem by problem (`training.reporting.scores`).

Not as in the paper, which measures the whole loop on mathematics benchmarks, with a navigator that reviews results and
revises its plan: here nothing is reviewed. `reasonflux eval` measures the loop, on benchmarks too.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from evaluation import estimates
from evaluation.estimates import Estimate
from reasonflux.contracts import Contract
from training.records import Rewarded, Trial
from training.reporting.scores import Scores
from training.running.ledger import read

T = TypeVar("T")


class Outcome(Contract):
    """One problem's greedy trajectory, and the sampled ones' share of right answers."""

    problem: str
    depth: int
    families: tuple[str, ...]
    right: bool
    failure: str | None = None
    rounds: int
    tokens: int = Field(description="of the plans and of the executor")
    sampled: float | None = Field(default=None, description="success of the sampled trajectories; None: none sampled")
    reward: float | None = Field(default=None, description="of the greedy trajectory, on similar problems")


class Evaluation(Contract):
    """What weights reached, problem by problem."""

    name: str
    outcomes: tuple[Outcome, ...] = Field(min_length=1)

    @property
    def greedy(self) -> Scores:
        return Scores(name=self.name, outcomes={one.problem: float(one.right) for one in self.outcomes})

    def success(self, *, depth: int | None = None, family: str | None = None) -> Estimate:
        """The share of greedy answers that are right, of all problems or of those of one depth or family."""
        return estimates.share(
            [
                one.right
                for one in self.outcomes
                if (depth is None or one.depth == depth) and (family is None or family in one.families)
            ]
        )

    @property
    def sampled(self) -> Estimate:
        return _mean(one.sampled for one in self.outcomes)

    @property
    def reward(self) -> Estimate:
        return _mean(one.reward for one in self.outcomes)

    @property
    def rounds(self) -> Estimate:
        return _mean(float(one.rounds) for one in self.outcomes)

    @property
    def tokens(self) -> Estimate:
        return _mean(float(one.tokens) for one in self.outcomes)

    @property
    def depths(self) -> tuple[int, ...]:
        """Of the problems whose number of steps is known: the ladder's."""
        return tuple(sorted({one.depth for one in self.outcomes if one.depth}))

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(sorted({family for one in self.outcomes for family in one.families}))

    def told(self) -> str:
        """In half a line."""
        depths = ", ".join(f"depth {depth} {_percent(self.success(depth=depth))}" for depth in self.depths)
        by_depth = f" ({depths})" if depths else ""
        sampled = f"; sampled {_percent(self.sampled)}" if self.sampled.n else ""
        reward = f"; reward {_percent(self.reward)}" if self.reward.n else ""
        costs = f"{self.rounds.mean:.2f} rounds, {self.tokens.mean:.0f} tokens"
        greedy = f"greedy {_percent(self.success())} of {len(self.outcomes)}{by_depth}"
        return f"{self.name}: {greedy}{sampled}{reward}; {costs}"


def summarise(name: str, rewards: Path) -> Evaluation:
    """The evaluation that rewarded rollouts on held-out problems make."""
    by_problem: dict[str, list[Rewarded]] = {}
    for rewarded in read(rewards, Rewarded):
        by_problem.setdefault(rewarded.rollout.problem.id, []).append(rewarded)
    return Evaluation(name=name, outcomes=tuple(_outcome(group) for group in by_problem.values()))


def save(evaluation: Evaluation, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(evaluation.model_dump_json(indent=1) + "\n")
    return path


def load(path: Path) -> Evaluation:
    return Evaluation.model_validate_json(path.read_bytes())


def _outcome(group: Sequence[Rewarded]) -> Outcome:
    greedy = next(one for one in group if one.rollout.sample == 0)
    problem, own = greedy.rollout.problem, _own(greedy)
    failure = greedy.rollout.failure or (own.failure if own else None)
    sampled = [one for one in group if one.rollout.sample]
    elsewhere = [trial.right for trial in greedy.trials if not trial.own]
    return Outcome(
        problem=problem.id,
        depth=problem.depth,
        families=problem.families,
        right=_right(greedy),
        failure=failure.kind.value if failure else None,
        rounds=own.rounds if own else 0,
        tokens=greedy.rollout.completion_tokens + (own.tokens if own else 0),
        sampled=_share(_right, sampled),
        reward=_share(bool, elsewhere) if elsewhere else None if own else 0.0,
    )


def _own(rewarded: Rewarded) -> Trial | None:
    return next((trial for trial in rewarded.trials if trial.own), None)


def _right(rewarded: Rewarded) -> bool:
    own = _own(rewarded)
    return own is not None and own.right


def _share(is_right: Callable[[T], bool], items: Sequence[T]) -> float | None:
    return sum(is_right(item) for item in items) / len(items) if items else None


def _mean(values: Iterable[float | None]) -> Estimate:
    return estimates.mean([value for value in values if value is not None])


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.mean:.1f}% ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"
