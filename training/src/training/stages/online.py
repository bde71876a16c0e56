"""Stage grpo on its surroundings: the trajectory reward of a reply, while the navigator learns.

in    weights, problems that are planned whole, similar problems, the executor's side
out   what `training.stages.grpo` writes

Replies are sampled by the trainer; here each is read as the service reads it and carried out on the similar problems.
The trainer has a thread of its own, because it is synchronous; the executor and the calculator stay on the event loop.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from navigator.errors import ReplyUnusable
from navigator.planning import Profile, plan_messages
from navigator.replies import parse_plan
from navigator.session import fold
from reasonflux.contracts import Entry, Problem, SessionStarted, Trajectory
from reasonflux.engine_port import Message
from training.carrying import Carrier
from training.records import TrainingProblem
from training.similar import SimilarProblems
from training.stages import rewards
from training.stages.tuning import GrpoConfig

_SESSION = "online"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Online:
    """How replies are read and what they are worth. Equal trajectories are carried out once."""

    profile: Profile
    carrier: Carrier
    similar: SimilarProblems
    count: int

    def __post_init__(self) -> None:
        self._tried_on: dict[str, tuple[TrainingProblem, ...]] = {}
        self._known: dict[str, float] = {}

    async def run(self, config: GrpoConfig, weights: Path, problems: Sequence[TrainingProblem], out: Path) -> Path:
        """Train in a thread while rewards are taken here. Raises what `training.stages.grpo.run` raises."""
        from training.stages import grpo  # TRL takes seconds to import

        loop = asyncio.get_running_loop()

        def reward(asked: Sequence[TrainingProblem], replies: Sequence[str]) -> list[float]:
            return asyncio.run_coroutine_threadsafe(self.rewards(asked, replies), loop).result()

        return await asyncio.to_thread(grpo.run, config, weights, problems, self.prompt_of, reward, out)

    def prompt_of(self, problem: TrainingProblem) -> Sequence[Message]:
        """The prompt for a plan of the whole trajectory."""
        return plan_messages(_SESSION, _journal(problem), self.profile)

    async def rewards(self, problems: Sequence[TrainingProblem], replies: Sequence[str]) -> list[float]:
        """Paper Eq. 3 for each reply to its problem; 0 for one that cannot be read."""
        return list(
            await asyncio.gather(*(self._worth(one, reply) for one, reply in zip(problems, replies, strict=True)))
        )

    async def _worth(self, problem: TrainingProblem, reply: str) -> float:
        try:
            trajectory = parse_plan(reply, fold(_SESSION, _journal(problem)), by_symbol=self.profile is Profile.COMPACT)
        except ReplyUnusable:
            return 0.0
        key = f"{problem.id} {trajectory.model_dump_json(include={'steps', 'complete'})}"
        if key not in self._known:
            self._known[key] = await self._tried(problem, trajectory)
        return self._known[key]

    async def _tried(self, problem: TrainingProblem, trajectory: Trajectory) -> float:
        if problem.id not in self._tried_on:
            self._tried_on[problem.id] = await self.similar.of(problem, self.count) or (problem,)
        on = self._tried_on[problem.id]
        trials = await asyncio.gather(*(rewards.tried(trajectory, problem, other, self.carrier) for other in on))
        return sum(trial.right for trial in trials) / len(trials)


def _journal(problem: TrainingProblem) -> tuple[Entry, ...]:
    return (Entry(seq=1, at=_EPOCH, event=SessionStarted(problem=Problem(text=problem.text))),)
