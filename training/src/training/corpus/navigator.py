"""Navigator conversations: sessions simulated from gold trajectories, some with an injected error."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from random import Random

from evaluation.ladder import LadderProblem, Split, Stage
from evaluation.ladder.outside import outside
from navigator import planning, replies
from reasonflux.contracts import (
    Entry,
    Event,
    Failure,
    FailureKind,
    Instantiation,
    Options,
    PlanMade,
    Problem,
    Query,
    Review,
    SessionStarted,
    Step,
    StepInstantiated,
    StepReviewed,
    ThoughtTemplate,
    Trajectory,
    Verdict,
)
from training.corpus.mixture import (
    DEFAULT,
    RETRY,
    UNFIT,
    Conversation,
    Library,
    Mixture,
    Turn,
    misread,
    training_problems,
)

TAGS_PER_QUERY = 2
OUTSIDE = "outside my templates"

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_SESSION = "corpus"


def navigator_conversations(
    library: Library, seed: int, mixture: Mixture = DEFAULT, split: Split = Split.TRAIN
) -> Iterator[Conversation]:
    """Sessions as the navigator sees them, without end."""
    rng = Random(seed)
    problems = training_problems(library, split, seed, mixture)
    declined = outside(split, seed=seed)
    while True:
        if rng.random() < mixture.outside:
            yield _declined_session(next(declined))
        else:
            yield _Simulation(next(problems), library, rng, mixture).run()


def step_of(stage: Stage, template: ThoughtTemplate, step_id: int, renumber: Mapping[int, int] | None = None) -> Step:
    """The gold step of a stage: its template asked for by name and first tags."""
    uses = [f"r{renumber[int(u[1:])]}" if renumber and u.startswith("r") else u for u in stage.uses]
    query = Query(name=template.name, tags=template.tags[:TAGS_PER_QUERY])
    return Step(id=step_id, goal=stage.goal, query=query, uses=tuple(uses))


def abstraction_of(problem: LadderProblem) -> str:
    """What the problem asks for, stage by stage, in few words."""
    return "; ".join(stage.goal.split(", ", 1)[-1].removeprefix("Find ") for stage in problem.stages)


class _Simulation:
    """One gold session, perhaps with an injected error, as a journal."""

    def __init__(self, problem: LadderProblem, library: Library, rng: Random, mixture: Mixture) -> None:
        self.problem, self.library, self.rng, self.mixture = problem, library, rng, mixture
        self.entries: list[Entry] = []
        self.unlearned: set[str] = set()  # replies that are shown but not learned
        self.horizon = rng.choice((1, 2)) if rng.random() < mixture.horizon else None

    def run(self) -> Conversation:
        problem, rng = self.problem, self.rng
        self.add(SessionStarted(problem=Problem(text=problem.text), options=Options(horizon=self.horizon)))
        spoiled = None
        if self.horizon is None and rng.random() < self.mixture.unfit_template:
            spoiled = rng.randrange(problem.depth)
        plain = self.horizon is None and spoiled is None
        steps = [step_of(s, self.library[s.template_id], s.id) for s in problem.stages]
        if spoiled is not None:
            steps[spoiled] = self.spoil(steps[spoiled])
        self.plan(steps, learn=spoiled is None)
        if plain and rng.random() < self.mixture.plan_only:
            return self.conversation()
        for position, stage in enumerate(problem.stages):
            if position == spoiled:
                return self.recover(position)
            if rng.random() < self.mixture.failed_calculation:
                self.fail(stage.id, FailureKind.CALCULATION_ERROR)
                self.review(stage.id, Review(verdict=Verdict.RETRY, reason=RETRY))
            last = position == problem.depth - 1
            self.succeed(stage.id, stage.result, last)
        return self.conversation()

    def plan(self, steps: list[Step], learn: bool) -> None:
        size = self.horizon or len(steps)
        first = steps[:size]
        trajectory = Trajectory(
            abstraction=abstraction_of(self.problem), steps=tuple(first), complete=size >= len(steps)
        )
        if not learn:
            self.unlearned.add(replies.write_plan(trajectory))
        self.add(PlanMade(trajectory=trajectory))
        self.later = steps[size:]

    def succeed(self, step_id: int, result: str, last: bool) -> None:
        self.add(StepInstantiated(step_id=step_id, attempt=1, instantiation=Instantiation(result=result)))
        if last:
            self.review(step_id, Review(verdict=Verdict.FINISH, reason="solved", answer=f"r{step_id}"))
            return
        self.review(step_id, Review(verdict=Verdict.CONTINUE, reason="ok"))
        horizon_reached = self.horizon and step_id % self.horizon == 0 and self.later
        if horizon_reached:
            self.plan(self.later, learn=True)

    def fail(self, step_id: int, kind: FailureKind) -> None:
        failure = Failure(kind=kind, message=UNFIT)
        self.add(StepInstantiated(step_id=step_id, attempt=1, instantiation=Instantiation(failure=failure)))

    def review(self, step_id: int, review: Review) -> None:
        self.add(StepReviewed(step_id=step_id, attempt=1, review=review))

    def recover(self, position: int) -> Conversation:
        """The spoiled step is found unfit; the rest of the plan is made again, in vain or well."""
        stages = self.problem.stages[position:]
        kept = {stage.id: stage.id for stage in self.problem.stages[:position]}
        fresh = {stage.id: self.problem.depth + n for n, stage in enumerate(stages, 1)}
        self.fail(stages[0].id, FailureKind.TEMPLATE_UNFIT)
        steps = [step_of(s, self.library[s.template_id], fresh[s.id], kept | fresh) for s in stages]
        hopeless = self.rng.random() < self.mixture.hopeless
        if hopeless:
            steps[0] = self.spoil(steps[0])
        remainder = Trajectory(abstraction=abstraction_of(self.problem), steps=tuple(steps))
        review = Review(verdict=Verdict.REVISE, reason="another template is needed", remainder=remainder)
        if hopeless:
            self.unlearned.add(replies.write_review(review))
        self.review(stages[0].id, review)
        if hopeless:
            self.fail(steps[0].id, FailureKind.TEMPLATE_UNFIT)
            self.review(steps[0].id, Review(verdict=Verdict.FINISH, reason="no template fits"))
            return self.conversation()
        for stage in stages:
            self.succeed(fresh[stage.id], stage.result, last=stage is stages[-1])
        return self.conversation()

    def spoil(self, step: Step) -> Step:
        """The same step with another template, and half of the time with that template's goal."""
        others = [t for t in self.library.values() if step.query and t.name != step.query.name]
        wrong = self.rng.choice(others)
        return step.model_copy(
            update={
                "goal": misread(step.goal, wrong, self.rng),
                "query": Query(name=wrong.name, tags=wrong.tags[:TAGS_PER_QUERY]),
            }
        )

    def add(self, event: Event) -> None:
        self.entries.append(Entry(seq=len(self.entries) + 1, at=_EPOCH, event=event))

    def conversation(self) -> Conversation:
        return _turns(self.entries, self.unlearned)


def _declined_session(text: str) -> Conversation:
    events: list[Event] = [
        SessionStarted(problem=Problem(text=text)),
        PlanMade(trajectory=Trajectory(abstraction=OUTSIDE)),
    ]
    return _turns([Entry(seq=n, at=_EPOCH, event=event) for n, event in enumerate(events, 1)], set())


def _turns(entries: list[Entry], unlearned: set[str]) -> Conversation:
    messages = planning.conversation(_SESSION, entries, planning.Profile.COMPACT)
    return tuple(Turn(m.role, m.content, m.role == "assistant" and m.content not in unlearned) for m in messages)
