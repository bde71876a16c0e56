"""Stage rewards, paper Eq. 3: what a trajectory is worth is how well it solves *similar* problems.

in    rollouts.jsonl, similar problems (`SimilarProblems`), the executor's side (`training.carrying.Carrier`)
out   FOLDER/rewards.jsonl: one Rewarded a line. Kept beside it, so that a killed stage goes on and a next round carries
      nothing out twice: similar.jsonl (which problems are similar to which), and trials.jsonl under a content key
      (steps, problem, executor, templates), which several rounds may share
run   reasonflux train rewards --config …; goes on where it stopped

    R(T) = 1/M · Σ Acc(executor follows T on x_i),  x_1 … x_M similar to x        − cost of T, where the config says so

An answer is graded by math-verify, equal strings first. The interval is a bootstrap over the trials, and the exact
binomial bound where all trials are alike.

Not as in the paper: the own problem may be one of the trials or the only one (`on: own` is the ablation), and a
trajectory can be made to pay for its rounds and tokens. A rollout that could not be read has no trials and is worth 0.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from evaluation.estimates import Estimate, share
from evaluation.grading import grade
from reasonflux.contracts import Contract, Trajectory
from training.carrying import Carrier, correspond
from training.records import Rewarded, Rollout, TrainingProblem, Trial
from training.running.ledger import Ledger, read, same_settings, write
from training.running.parallel import Say, aloud, for_all
from training.similar import SimilarProblems


class RewardConfig(Contract):
    """On what trajectories are tried, and what they pay."""

    on: Literal["similar", "own"] = Field(
        default="similar", description="own: on the rollout's own problem alone, the ablation"
    )
    include_own: bool = Field(default=False, description="count the own problem as one more trial")
    cost_per_round: float = Field(default=0.0, ge=0, description="taken off for every step carried out in a trial")
    cost_per_token: float = Field(default=0.0, ge=0, description="taken off for every token of a trial and of the plan")
    concurrency: int = Field(default=64, ge=1, description="trials under way at once")


class KeptTrial(Contract):
    """A trial under its content key."""

    key: str
    trial: Trial


class SimilarTo(Contract):
    """The problems that were found similar to one."""

    problem: str
    similar: tuple[TrainingProblem, ...]


class SimilarSettings(Contract):
    """What decides which problems are similar; kept beside them."""

    count: int


@dataclass(frozen=True)
class Errand:
    """A trajectory to carry out on a problem."""

    trajectory: Trajectory
    problem: TrainingProblem
    see_all: bool

    def key(self, executor: str) -> str:
        """Equal for equal trajectories on equal problems: such an errand is run once."""
        steps = self.trajectory.model_dump(mode="json", include={"steps", "complete"})
        told = [steps, self.problem.text, self.problem.answer, self.see_all, executor]
        return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


async def run(
    config: RewardConfig,
    rollouts: Path,
    similar: SimilarProblems,
    count: int,
    carrier: Carrier,
    folder: Path,
    trials: Path | None = None,
    say: Say = aloud,
) -> Path:
    """Try every rollout's trajectory, and write what they are worth. `count`: similar problems of each problem (M).
    `trials`: the file of trials, when several rounds share one. A killed call goes on where it stopped.

    Raises EngineError, CalculatorUnavailable and what `similar` raises.
    """
    sampled = list(read(rollouts, Rollout))
    problems = {rollout.problem.id: rollout.problem for rollout in sampled}
    tried_on = await _tried_on(config, list(problems.values()), similar, count, folder, say)
    errands = [errands_of(rollout, tried_on[rollout.problem.id]) for rollout in sampled]
    done = await _carried_out(errands, carrier, trials or folder / "trials.jsonl", config.concurrency, say)
    rewarded = [
        reward(rollout, [done[errand.key(carrier.name)] for errand in own], config)
        for rollout, own in zip(sampled, errands, strict=True)
    ]
    say(summary(rewarded))
    return write(folder / "rewards.jsonl", rewarded)


def errands_of(rollout: Rollout, problems: Sequence[TrainingProblem]) -> list[Errand]:
    """The rollout's trajectory on each problem; nothing where there is no trajectory."""
    if rollout.trajectory is None:
        return []
    return [
        Errand(rollout.trajectory, problem, see_all=not correspond(rollout.problem, problem)) for problem in problems
    ]


def reward(rollout: Rollout, trials: Sequence[Trial], config: RewardConfig) -> Rewarded:
    """Eq. 3. The cost is known and only shifts the interval, which is the accuracy's."""
    own = tuple(trial.model_copy(update={"own": trial.problem == rollout.problem.id}) for trial in trials)
    accuracy, cost = _accuracy(sum(trial.right for trial in own), len(own)), _cost(rollout, own, config)
    return Rewarded(
        rollout=rollout,
        trials=own,
        reward=accuracy.mean - cost,
        low=accuracy.low - cost,
        high=accuracy.high - cost,
    )


def summary(rewarded: Sequence[Rewarded]) -> str:
    """How good the greedy trajectories are, all of them, and the best of each problem."""
    best: dict[str, float] = {}
    for one in rewarded:
        best[one.rollout.problem.id] = max(one.reward, best.get(one.rollout.problem.id, one.reward))
    greedy = [one.reward for one in rewarded if one.rollout.sample == 0]
    told = (("greedy", greedy), ("all", [one.reward for one in rewarded]), ("best of each problem", [*best.values()]))
    return "rewards: " + ", ".join(f"{name} {sum(values) / len(values):.3f}" for name, values in told if values)


@cache
def _accuracy(right: int, trials: int) -> Estimate:
    """There are few different ones, and a bootstrap takes its time."""
    return share([True] * right + [False] * (trials - right))


def _cost(rollout: Rollout, trials: Sequence[Trial], config: RewardConfig) -> float:
    if not trials:
        return 0.0
    rounds = sum(trial.rounds for trial in trials) / len(trials)
    tokens = sum(trial.tokens for trial in trials) / len(trials)
    return config.cost_per_round * rounds + config.cost_per_token * (tokens + rollout.completion_tokens)


async def _tried_on(
    config: RewardConfig,
    problems: Sequence[TrainingProblem],
    similar: SimilarProblems,
    count: int,
    folder: Path,
    say: Say,
) -> dict[str, tuple[TrainingProblem, ...]]:
    """The problems that each problem's trajectories are tried on. All rollouts of a problem are tried on the same."""
    if config.on == "own":
        return {problem.id: (problem,) for problem in problems}
    same_settings(folder / "similar.settings.json", SimilarSettings(count=count))
    with Ledger(folder / "similar.jsonl", SimilarTo) as ledger:
        found = {kept.problem: kept.similar for kept in ledger}

        async def look(problem: TrainingProblem) -> None:
            found[problem.id] = await similar.of(problem, count)
            ledger.add(SimilarTo(problem=problem.id, similar=found[problem.id]))

        missing = [problem for problem in problems if problem.id not in found]
        await for_all(missing, look, concurrency=config.concurrency, title="similar problems", say=say)
    alone = sum(not found[problem.id] for problem in problems)
    if alone:
        say(f"similar problems: none were found for {alone} of {len(problems)} problems; they give no pairs")
    return {p.id: ((p,) if config.include_own else ()) + found[p.id] for p in problems}


async def _carried_out(
    errands: Sequence[Sequence[Errand]], carrier: Carrier, path: Path, concurrency: int, say: Say
) -> Mapping[str, Trial]:
    """Every errand's trial by its key; those that the file does not hold are carried out now."""
    wanted = {errand.key(carrier.name): errand for several in errands for errand in several}
    asked = sum(len(several) for several in errands)
    with Ledger(path, KeptTrial) as ledger:
        done = {kept.key: kept.trial for kept in ledger if kept.key in wanted}
        missing = [key for key in wanted if key not in done]

        async def one(key: str) -> None:
            done[key] = await _trial(wanted[key], carrier)
            ledger.add(KeptTrial(key=key, trial=done[key]))

        seconds = await for_all(missing, one, concurrency=concurrency, title="trials", say=say)
    tokens = sum(done[key].tokens for key in missing)
    say(
        f"trials: {asked} asked for, {len(wanted)} different, {len(missing)} carried out; "
        f"{seconds:.1f} s, {tokens} tokens, {tokens / max(seconds, 1e-9):.0f} tokens/s"
    )
    return done


async def tried(trajectory: Trajectory, planned_for: TrainingProblem, on: TrainingProblem, carrier: Carrier) -> Trial:
    """A trajectory carried out on a problem, which may be another than it was planned for."""
    return await _trial(Errand(trajectory, on, see_all=not correspond(planned_for, on)), carrier)


async def _trial(errand: Errand, carrier: Carrier) -> Trial:
    carried = await carrier.carry(errand.trajectory, errand.problem.text, see_all=errand.see_all)
    return Trial(
        problem=errand.problem.id,
        own=False,
        answer=carried.answer,
        right=await _right(carried.answer, errand.problem.answer),
        rounds=carried.rounds,
        tokens=carried.tokens.total,
        failure=carried.failure,
    )


async def _right(answer: str | None, gold: str) -> bool:
    """Equal strings need no grader, which may take seconds and must not hold up the event loop."""
    return answer is not None and (answer == gold or await asyncio.to_thread(grade, answer, gold))
