"""What the preference stages hand to each other, one JSONL line each: rollouts → rewards → pairs."""

from pydantic import Field

from reasonflux.contracts import Contract, Failure, Trajectory
from reasonflux.engine_port import Message


class TrainingProblem(Contract):
    """A problem with its known answer. `id` is the digest of the text (`evaluation.ladder.problem.digest`)."""

    id: str
    text: str
    answer: str
    source: str = "ladder"
    depth: int = 0
    """The number of gold steps; 0 where nobody knows."""
    families: tuple[str, ...] = ()


class Exchange(Contract):
    """One plan asked for and told: the prompt as the navigator service renders it, and the model's own words."""

    prompt: tuple[Message, ...]
    reply: str


class Rollout(Contract):
    """One sampled trajectory for a problem."""

    problem: TrainingProblem
    sample: int
    """0 is the greedy one; the others are sampled."""
    exchanges: tuple[Exchange, ...]
    """One where the trajectory is planned whole; one a round where it is planned a horizon at a time."""
    trajectory: Trajectory | None = None
    """All planned steps; None when a reply could not be read."""
    failure: Failure | None = None
    completion_tokens: int = 0

    @property
    def key(self) -> str:
        """Equal trajectories for the same problem are carried out once: the steps' canonical text."""
        return "" if self.trajectory is None else self.trajectory.model_dump_json(include={"steps"})


class Trial(Contract):
    """A trajectory carried out on one problem: the sampled one's own, or a similar one."""

    problem: str
    """Its id."""
    own: bool
    answer: str | None = None
    right: bool = False
    rounds: int = 0
    tokens: int = 0
    failure: Failure | None = None


class Rewarded(Contract):
    """A rollout with its trials and the trajectory reward, paper Eq. 3: the mean accuracy over the trials."""

    rollout: Rollout
    trials: tuple[Trial, ...]
    reward: float
    low: float
    high: float
    """The reward's interval (bootstrap over the trials)."""


class Pair(Contract):
    """A preference: after the same prompt, `chosen` leads to the better trajectory. Paper: (T+, T−)."""

    problem: TrainingProblem
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    chosen_reward: float
    rejected_reward: float
    trials: int = Field(ge=1)
