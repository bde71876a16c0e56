"""Stage corpus: from the ladder and the library to conversations that the models learn from.

in    a template library, the ladder's training split
out   an endless, seeded stream of conversations per role; only marked assistant messages are learned
how   A navigator conversation is a simulated session: events are made from the gold trajectory, and the navigator's own
      `planning.conversation` renders them, so the weights learn on the very prompts that the service sends. Executor
      conversations are rendered by the executor's own `prompting.render`.

Injected errors make retry, revise and finish worth learning: a failed calculation is retried; a step with an unfit
template is reported by the executor and revised by the navigator (the bad plan itself is shown, not learned); a problem
that no template fits is declined.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from evaluation.ladder import ALL, LadderProblem, Split, Stage, generate
from evaluation.ladder.outside import outside
from executor import prompting
from navigator import planning
from reasonflux.contracts import (
    Entry,
    Event,
    Failure,
    FailureKind,
    InstantiateRequest,
    Instantiation,
    KnownResult,
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
from reasonflux.engine import Message

Library = Mapping[str, ThoughtTemplate]
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_SESSION = "corpus"
TAGS_PER_QUERY = 2

UNFIT = "the template does not fit the statements"
OUTSIDE = "outside my templates"
RETRY = "the calculation failed"


@dataclass(frozen=True)
class Turn:
    role: str
    content: str
    learn: bool = False


Conversation = tuple[Turn, ...]


@dataclass(frozen=True)
class Mixture:
    """Shares of the injected cases, and the depths of the problems."""

    depths: tuple[int, ...] = (1, 1, 2, 2, 2, 3)
    distractors: float = 0.25
    outside: float = 0.10
    plan_only: float = 0.6
    """Plain sessions that end with the plan: reviews are learned long before plans are."""
    failed_calculation: float = 0.06
    unfit_template: float = 0.14
    hopeless: float = 0.25
    """Of the sessions with an unfit template: those where the second choice is unfit too."""
    horizon: float = 0.08
    no_template: float = 0.08
    mismatch: float = 0.15
    second_try: float = 0.04


DEFAULT = Mixture()


# --- navigator ----------------------------------------------------------------------------------------------------


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


def training_problems(library: Library, split: Split, seed: int, mixture: Mixture) -> Iterator[LadderProblem]:
    """The ladder with families of many variables drawn more often: they are what is learned last."""
    families = [name for name, family in ALL.items() for _ in range(_share(library[family.template_id]))]
    return generate(split, mixture.depths, seed=seed, families=families, distractors=mixture.distractors)


def _share(template: ThoughtTemplate) -> int:
    return 1 + (len(template.variables) >= 3) + (len(template.variables) >= 5)


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
            self.unlearned.add(planning.write_plan(trajectory))
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
            self.unlearned.add(planning.write_review(review))
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
                "goal": _misread(step.goal, wrong, self.rng),
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


# --- executor ----------------------------------------------------------------------------------------------------


def executor_conversations(
    library: Library, seed: int, mixture: Mixture = DEFAULT, split: Split = Split.TRAIN
) -> Iterator[Conversation]:
    """Steps as the executor sees them, without end."""
    rng = Random(seed)
    problems = training_problems(library, split, seed, mixture)
    declined = outside(split, seed=seed)
    while True:
        if rng.random() < mixture.outside / 2:
            yield _outside_step(next(declined), rng.choice(list(library.values())))
            continue
        problem = next(problems)
        for stage in problem.stages:
            yield _step_conversation(problem, stage, library, rng, mixture)


def request_of(problem: LadderProblem, stage: Stage, template: ThoughtTemplate | None) -> InstantiateRequest:
    """What the navigator sends to the executor for a gold step."""
    by_id = {s.id: s for s in Problem(text=problem.text).statements}
    earlier = {f"r{s.id}": s for s in problem.stages}
    return InstantiateRequest(
        goal=stage.goal,
        template=template,
        statements=tuple(by_id[use] for use in stage.uses if use in by_id),
        known=tuple(
            KnownResult(name=use, goal=earlier[use].goal, value=earlier[use].result)
            for use in stage.uses
            if use in earlier
        ),
    )


def _step_conversation(
    problem: LadderProblem, stage: Stage, library: Library, rng: Random, mixture: Mixture
) -> Conversation:
    template = library[stage.template_id]
    request = request_of(problem, stage, template)
    if rng.random() < mixture.mismatch:
        return _exchange(_mismatch(request, stage, library, rng), {"fits": False, "reasoning": UNFIT})
    if rng.random() < mixture.no_template:
        request = request.model_copy(update={"template": None})
        return _exchange(request, {"fits": True, "reasoning": "", "expressions": _written_out(template, stage)})
    if rng.random() < mixture.second_try:
        request = request.model_copy(update={"attempt": 2, "feedback": RETRY})
    reply = {"fits": True, "reasoning": _reasoning(template, stage), "bindings": stage.bindings}
    return _exchange(request, reply)


def _mismatch(request: InstantiateRequest, stage: Stage, library: Library, rng: Random) -> InstantiateRequest:
    """Another template on the same statements, half of the time one from the same field."""
    others = [t for t in library.values() if t.id != stage.template_id]
    near = [t for t in others if t.field == library[stage.template_id].field]
    wrong = rng.choice(near if near and rng.random() < 0.5 else others)
    return request.model_copy(update={"template": wrong, "goal": _misread(request.goal, wrong, rng)})


def _misread(goal: str, wrong: ThoughtTemplate, rng: Random) -> str:
    """A navigator that takes the wrong template has often misread the goal, too."""
    goals = [family.goal for family in ALL.values() if family.template_id == wrong.id]
    if not goals or rng.random() < 0.5:
        return goal
    named, separator, _ = goal.partition(", ")
    return f"{named}, {goals[0]}" if separator else f"Find {goals[0]}"


def _outside_step(text: str, template: ThoughtTemplate) -> Conversation:
    statements = Problem(text=text).statements
    request = InstantiateRequest(goal=f"Find {template.name}", template=template, statements=statements)
    return _exchange(request, {"fits": False, "reasoning": UNFIT})


def _reasoning(template: ThoughtTemplate, stage: Stage) -> str:
    """What each number is, in reading order: numbers are copied most surely in the order in which they stand."""
    return "; ".join(f"{template.variables[variable]}: {value}" for variable, value in stage.bindings.items())


def _written_out(template: ThoughtTemplate, stage: Stage) -> list[str]:
    """The template's formulas after the bindings as assignments: how a step without a template is written."""
    return [f"{variable} = {value}" for variable, value in stage.bindings.items()] + list(template.formulas)


def _exchange(request: InstantiateRequest, reply: Mapping[str, object]) -> Conversation:
    prompt: list[Message] = prompting.render(request, prompting.Profile.COMPACT)
    answer = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
    return (*(Turn(m.role, m.content) for m in prompt), Turn("assistant", answer, learn=True))
