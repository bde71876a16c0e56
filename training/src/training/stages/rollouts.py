"""Stage rollouts: sample K trajectories per problem from a served navigator.

in    problems, the navigator's engine; with a horizon also the executor's side (`training.carrying.Carrier`)
out   FOLDER/rollouts.jsonl: one Rollout a line, with every prompt and reply as they were
run   reasonflux train rollouts --config …; goes on where it stopped

Prompts are the service's own: the journal of a session is simulated, `navigator.planning` renders it, the reply is held
to `navigator.replies.plan_schema` and read by `navigator.replies.parse_plan`. Sample 0 is the greedy one, the others
are drawn at `temperature`. Where a trajectory is planned a horizon at a time, the steps so far are carried out between
two plans, every result is accepted, and the navigator is asked for more.

Not as in the paper: an unreadable reply is kept as a rollout that failed, and can serve as a rejected one. In a session
it would be asked for again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from navigator.errors import ReplyUnusable
from navigator.planning import Profile, plan_messages, reads_in_view
from navigator.replies import parse_plan, plan_schema
from navigator.session import fold
from navigator.view import horizon_for
from reasonflux.contracts import (
    Contract,
    Entry,
    Event,
    Failure,
    FailureKind,
    Options,
    PlanMade,
    Problem,
    Retrieval,
    Review,
    Session,
    SessionStarted,
    Step,
    StepInstantiated,
    StepRetrieved,
    StepReviewed,
    Tokens,
    Trajectory,
    Verdict,
)
from reasonflux.engine import Engine, Message, Reply
from reasonflux.errors import EngineRefused
from training.carrying import CarriedStep, Carrier
from training.records import Exchange, Rollout, TrainingProblem
from training.running.ledger import Ledger, same_settings
from training.running.parallel import Say, aloud, for_all

_SESSION = "rollout"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class RolloutConfig(Contract):
    """What is sampled."""

    samples: int = Field(default=8, ge=1, le=256, description="trajectories per problem (K); the first one is greedy")
    temperature: float = Field(default=0.8, gt=0, le=2, description="of all but the greedy one")
    horizon: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        default="auto",
        description="steps planned at a time; None: the whole trajectory; auto: as a session of this profile plans",
    )
    rounds: int = Field(default=8, ge=1, description="plans asked for in one rollout, at most")
    profile: Profile = Field(default=Profile.COMPACT, description="which prompts the navigator's weights read")
    max_tokens: int = Field(default=512, ge=1, description="the longest reply")
    concurrency: int = Field(default=64, ge=1, description="rollouts under way at once")
    seed: int = 1


class RolloutSettings(Contract):
    """What decides every line of a rollout file; kept beside it."""

    config: RolloutConfig
    navigator: str
    executor: str | None


@dataclass(frozen=True)
class Sampler:
    """The navigator's side. `carrier` is needed where trajectories are planned in parts."""

    engine: Engine
    config: RolloutConfig
    carrier: Carrier | None = None

    async def rollout(self, problem: TrainingProblem, sample: int) -> Rollout:
        """One sampled trajectory; one that failed where a reply is unreadable, or the engine refuses the prompt.

        Raises EngineUnavailable and EngineTimeout: an engine that is out says nothing about the navigator.
        """
        run = _Journal(problem, self._horizon(problem))
        spent, exchanges, trajectory = Tokens(), list[Exchange](), Trajectory(abstraction="")
        failure: Failure | None = None
        for turn in range(self.config.rounds):
            session = fold(_SESSION, run.entries)
            prompt = plan_messages(_SESSION, run.entries, self.config.profile)
            try:
                reply = await self._ask(prompt, session, sample, _seed(self.config.seed, problem.id, sample, turn))
                spent += reply.tokens
                exchanges.append(Exchange(prompt=tuple(prompt), reply=reply.text))
                planned = parse_plan(reply.text, session, by_symbol=self.config.profile is Profile.COMPACT)
            except (ReplyUnusable, EngineRefused) as error:
                return _rollout(problem, sample, exchanges, None, error.failure, spent)
            trajectory = _longer(trajectory, planned)
            if planned.complete or turn == self.config.rounds - 1:
                break
            failure = await self._carry_on(run, planned)
            if failure is not None:
                break
        if failure is None and not trajectory.complete:
            message = f"after {len(exchanges)} plans the trajectory is still not complete"
            failure = Failure(kind=FailureKind.BUDGET_EXHAUSTED, message=message)
        return _rollout(problem, sample, exchanges, trajectory, failure, spent)

    async def _ask(self, prompt: Sequence[Message], session: Session, sample: int, seed: int) -> Reply:
        return await self.engine.chat(
            prompt,
            schema=plan_schema(session, marks_done=reads_in_view(session, self.config.profile)),
            temperature=self.config.temperature if sample else 0.0,
            max_tokens=self.config.max_tokens,
            seed=seed,
        )

    def _horizon(self, problem: TrainingProblem) -> int | None:
        if self.config.horizon != "auto":
            return self.config.horizon
        return horizon_for(Problem(text=problem.text)) if self.config.profile is Profile.COMPACT else None

    async def _carry_on(self, run: "_Journal", planned: Trajectory) -> Failure | None:
        """Carry the new steps out and write what came of them into the journal; the failure that ends the rollout."""
        run.add(PlanMade(trajectory=planned))
        if self.carrier is None:  # a plan that promises more although the whole was asked for
            message = "the trajectory was planned in part, and there is no executor to carry it on with"
            return Failure(kind=FailureKind.BUDGET_EXHAUSTED, message=message, hint="give the stage an executor")
        for done in await self.carrier.steps(planned.steps, run.problem.statements, run.carried):
            if done.instantiation.failure is not None:
                return done.instantiation.failure
            run.accept(done)
        return None


async def run(
    config: RolloutConfig,
    problems: Sequence[TrainingProblem],
    engine: Engine,
    model: str,
    folder: Path,
    carrier: Carrier | None = None,
    say: Say = aloud,
) -> Path:
    """Sample what the file does not hold yet. `model` names the navigator's weights. More problems or samples may be
    asked for later; under other settings or weights it raises Conflict. Raises EngineError."""
    path = folder / "rollouts.jsonl"
    lasting = config.model_copy(update={"samples": 1, "concurrency": 1})
    settings = RolloutSettings(config=lasting, navigator=model, executor=carrier.name if carrier else None)
    same_settings(folder / "rollouts.settings.json", settings)
    sampler, tokens, unreadable = Sampler(engine, config, carrier), 0, 0
    with Ledger(path, Rollout) as ledger:
        done = {(rollout.problem.id, rollout.sample) for rollout in ledger}
        wanted = [(problem, sample) for problem in problems for sample in range(config.samples)]
        missing = [(problem, sample) for problem, sample in wanted if (problem.id, sample) not in done]

        async def one(item: tuple[TrainingProblem, int]) -> None:
            nonlocal tokens, unreadable
            rollout = await sampler.rollout(*item)
            tokens += rollout.completion_tokens
            unreadable += rollout.trajectory is None
            ledger.add(rollout)

        seconds = await for_all(missing, one, concurrency=config.concurrency, title="rollouts", say=say)
    say(
        f"rollouts: {len(missing)} sampled, {len(wanted) - len(missing)} kept, {unreadable} unreadable; "
        f"{seconds:.1f} s, {tokens} tokens, {tokens / max(seconds, 1e-9):.0f} tokens/s"
    )
    return path


class _Journal:
    """The journal of a simulated session, in which every result is accepted."""

    def __init__(self, problem: TrainingProblem, horizon: int | None) -> None:
        self.problem = Problem(text=problem.text)
        self.entries: list[Entry] = []
        self.carried: list[CarriedStep] = []
        self.add(SessionStarted(problem=self.problem, options=Options(horizon=horizon)))

    def add(self, event: Event) -> None:
        self.entries.append(Entry(seq=len(self.entries) + 1, at=_EPOCH, event=event))

    def accept(self, done: CarriedStep) -> None:
        step: Step = done.step
        if step.query is not None:
            retrieval = Retrieval(query=step.query, template=done.template)
            self.add(StepRetrieved(step_id=step.id, retrieval=retrieval))
        self.add(StepInstantiated(step_id=step.id, attempt=1, instantiation=done.instantiation))
        self.add(StepReviewed(step_id=step.id, attempt=1, review=Review(verdict=Verdict.CONTINUE, reason="ok")))
        if done.instantiation.result is not None:
            self.carried.append(done)


def _longer(so_far: Trajectory, planned: Trajectory) -> Trajectory:
    """The trajectory with what was planned on."""
    return Trajectory(
        abstraction=so_far.abstraction or planned.abstraction,
        steps=(*so_far.steps, *planned.steps),
        complete=planned.complete,
        reply=None if so_far.steps else planned.reply,
    )


def _rollout(
    problem: TrainingProblem,
    sample: int,
    exchanges: Sequence[Exchange],
    trajectory: Trajectory | None,
    failure: Failure | None,
    spent: Tokens,
) -> Rollout:
    return Rollout(
        problem=problem,
        sample=sample,
        exchanges=tuple(exchanges),
        trajectory=trajectory,
        failure=failure,
        completion_tokens=spent.completion,
    )


def _seed(*parts: object) -> int:
    """Every call its own seed, the same in every run."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) % 2**31
