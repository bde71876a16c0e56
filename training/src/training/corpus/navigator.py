"""Navigator conversations: sessions simulated from gold trajectories, some with an injected error.

A session that is planned a horizon at a time gives a conversation for each plan: that is how its prompts are rendered.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random

from evaluation.ladder import ALL, LadderProblem, Split, Stage, generate
from evaluation.ladder.outside import outside
from navigator import planning, replies, view
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
    Retrieval,
    Review,
    SessionStarted,
    Step,
    StepInstantiated,
    StepRetrieved,
    StepReviewed,
    ThoughtTemplate,
    Trajectory,
    Verdict,
)
from training.corpus.follow_ups import FollowUp, follow_ups
from training.corpus.mixture import (
    DEFAULT,
    RETRY,
    TAGS_PER_QUERY,
    UNFIT,
    Conversation,
    Library,
    Mixture,
    Turn,
    misread,
    training_problems,
)
from training.corpus.noise import Teacher
from training.corpus.shifting import shifted

OUTSIDE = "outside my templates"

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_SESSION = "corpus"


def navigator_conversations(
    library: Library,
    seed: int,
    mixture: Mixture = DEFAULT,
    split: Split = Split.TRAIN,
    teacher: Teacher | None = None,
) -> Iterator[Conversation]:
    """Sessions as the navigator sees them, without end; with a `teacher`, first plans as faulty as it tells them."""
    for _, conversation in navigator_sessions(library, seed, mixture, split, teacher):
        yield conversation


def navigator_sessions(
    library: Library,
    seed: int,
    mixture: Mixture = DEFAULT,
    split: Split = Split.TRAIN,
    teacher: Teacher | None = None,
    profile: planning.Profile = planning.Profile.COMPACT,
) -> Iterator[tuple[str, Conversation]]:
    """The same with the problem's text, in the prompts of a profile."""
    rng = Random(seed)
    problems = training_problems(library, split, seed, mixture)
    declined = outside(split, seed=seed)
    following = follow_ups(generate(split, (2,), seed=seed), rng)
    while True:
        if rng.random() < mixture.outside:
            text = next(declined)
            yield text, _declined_session(text, profile)
        elif mixture.follow_up and rng.random() < mixture.follow_up:
            asked = next(following)
            yield asked.started.problem.text, _follow_up_session(asked, library, profile)
        else:
            problem = next(problems)
            for told in _Simulation(problem, library, rng, mixture, teacher, profile).run():
                yield problem.text, told


def step_of(stage: Stage, template: ThoughtTemplate, step_id: int, renumber: Mapping[int, int] | None = None) -> Step:
    """The gold step of a stage: its template asked for by name and first tags."""
    uses = [f"r{renumber[int(u[1:])]}" if renumber and u.startswith("r") else u for u in stage.uses]
    query = Query(name=template.name, tags=template.tags[:TAGS_PER_QUERY])
    return Step(id=step_id, goal=stage.goal, query=query, uses=tuple(uses))


def abstraction_of(stages: Sequence[Stage]) -> str:
    """What the stages ask for, one by one, in few words."""
    return "; ".join(ALL[stage.family].goal for stage in stages)


def _last_used(stages: Sequence[Stage]) -> int:
    """The number of the last statement that one of the stages uses."""
    return max((int(use[1:]) for stage in stages for use in stage.uses if use.startswith("s")), default=0)


class _Simulation:
    """One gold session, perhaps with injected errors, as a journal."""

    def __init__(
        self,
        problem: LadderProblem,
        library: Library,
        rng: Random,
        mixture: Mixture,
        teacher: Teacher | None,
        profile: planning.Profile,
    ) -> None:
        self.problem, self.library, self.rng, self.mixture, self.teacher = problem, library, rng, mixture, teacher
        self.profile, self.by_name = profile, {template.name: template for template in library.values()}
        self.planned: dict[int, Step] = {}
        self.entries: list[Entry] = []
        self.unlearned: set[str] = set()  # replies that are shown but not learned
        self.step_ids: dict[int, int] = {}  # of the stages: revised steps get new ids
        self.used_ids = 0
        self.horizon = self.chosen_horizon()

    def chosen_horizon(self) -> int | None:
        """As the service chooses, and now and then as a client does."""
        compact = self.profile is planning.Profile.COMPACT
        long = compact and view.horizon_for(Problem(text=self.problem.text)) is not None
        if long and self.rng.random() < self.mixture.whole:
            return None
        if long or self.rng.random() < self.mixture.horizon:
            return 2 if self.rng.random() < self.mixture.two_at_a_time else 1
        return None

    def run(self) -> Iterator[Conversation]:
        stages = self.problem.stages
        self.add(SessionStarted(problem=Problem(text=self.problem.text), options=Options(horizon=self.horizon)))
        size = self.horizon or len(stages)
        shift = self.rng.randint(0, self.mixture.shift), self.rng.randint(0, self.mixture.shift // 2)
        first = 0
        while first < len(stages):
            due = self.in_sight(stages[first : first + size])
            first += len(due)
            last = first >= len(stages)
            told, goes_on = self.part(due, last)
            if self.profile is planning.Profile.COMPACT:
                yield shifted(told, *shift) if self.horizon else told
            elif last or not goes_on:  # this conversation has only grown
                yield told
            if not goes_on:
                return

    def in_sight(self, stages: Sequence[Stage]) -> Sequence[Stage]:
        """As many of the stages as the view shows whole; what is not in sight is planned next time."""
        if self.horizon is None or self.profile is not planning.Profile.COMPACT:
            return stages
        before = [stage for stage in self.problem.stages if stage.id < stages[0].id]
        end = _last_used(before) + view.SIZE
        return [stage for stage in stages if _last_used([stage]) <= end] or stages[:1]

    def part(self, stages: Sequence[Stage], last: bool) -> tuple[Conversation, bool]:
        """What is planned in one go, carried out and reviewed; and whether the session goes on behind it."""
        rng = self.rng
        spoiled = rng.randrange(len(stages)) if rng.random() < self.mixture.unfit_template else None
        steps = self.steps(stages)
        if spoiled is not None:
            steps[spoiled] = self.spoil(steps[spoiled])
        elif self.teacher is not None:
            steps = list(self.teacher.retell(steps, rng))
        planned = self.plan(stages, steps, last, learn=spoiled is None)
        if self.teacher is not None:
            return planned, False
        only = spoiled is None and rng.random() < self.mixture.plan_only
        for position, (stage, step) in enumerate(zip(stages, steps, strict=True)):
            if position == spoiled:
                return self.recover(stages[position:], step.id, last)
            if rng.random() < self.mixture.failed_calculation:
                self.fail(step.id, FailureKind.CALCULATION_ERROR)
                self.review(step.id, Review(verdict=Verdict.RETRY, reason=RETRY))
            self.succeed(step.id, stage.result, last and stage is stages[-1])
        return planned if only else self.conversation(), not last

    def steps(self, stages: Sequence[Stage]) -> list[Step]:
        """The stages' gold steps under the next ids."""
        made = []
        for stage in stages:
            self.used_ids += 1
            self.step_ids[stage.id] = self.used_ids
            made.append(step_of(stage, self.library[stage.template_id], self.used_ids, self.step_ids))
        return made

    def plan(self, stages: Sequence[Stage], steps: Sequence[Step], last: bool, learn: bool) -> Conversation:
        marks = self.horizon and not last and self.profile is planning.Profile.COMPACT
        done = self.dealt_with(stages) if marks else ()
        self.planned.update({step.id: step for step in steps})
        abstraction = abstraction_of(stages)
        trajectory = Trajectory(abstraction=abstraction, steps=tuple(steps), done=done, complete=last)
        if not learn:
            self.unlearned.add(replies.write_plan(trajectory))
        self.add(PlanMade(trajectory=trajectory))
        return self.conversation()

    def dealt_with(self, stages: Sequence[Stage]) -> tuple[str, ...]:
        """The statements up to the last one that these stages use, from where the stages before them ended."""
        before = [stage for stage in self.problem.stages if stage.id < stages[0].id]
        return tuple(f"s{n}" for n in range(_last_used(before) + 1, _last_used(stages) + 1))

    def retrieve(self, step_id: int) -> None:
        query = self.planned[step_id].query
        if query is not None:
            retrieval = Retrieval(query=query, template=self.by_name[query.name])
            self.add(StepRetrieved(step_id=step_id, retrieval=retrieval))

    def succeed(self, step_id: int, result: str, last: bool) -> None:
        self.retrieve(step_id)
        self.add(StepInstantiated(step_id=step_id, attempt=1, instantiation=Instantiation(result=result)))
        if last:
            self.review(step_id, Review(verdict=Verdict.FINISH, reason="solved", answer=f"r{step_id}"))
        else:
            self.review(step_id, Review(verdict=Verdict.CONTINUE, reason="ok"))

    def fail(self, step_id: int, kind: FailureKind) -> None:
        self.retrieve(step_id)
        failure = Failure(kind=kind, message=UNFIT)
        self.add(StepInstantiated(step_id=step_id, attempt=1, instantiation=Instantiation(failure=failure)))

    def review(self, step_id: int, review: Review) -> None:
        self.add(StepReviewed(step_id=step_id, attempt=1, review=review))

    def recover(self, stages: Sequence[Stage], failed: int, last: bool) -> tuple[Conversation, bool]:
        """The spoiled step is found unfit; the rest of the plan is made again, in vain or well."""
        self.fail(failed, FailureKind.TEMPLATE_UNFIT)
        steps = self.steps(stages)
        hopeless = self.rng.random() < self.mixture.hopeless
        if hopeless:
            steps[0] = self.spoil(steps[0])
        self.planned.update({step.id: step for step in steps})
        remainder = Trajectory(abstraction=abstraction_of(stages), steps=tuple(steps), complete=last)
        review = Review(verdict=Verdict.REVISE, reason="another template is needed", remainder=remainder)
        if hopeless:
            self.unlearned.add(replies.write_review(review))
        self.review(failed, review)
        if hopeless:
            self.fail(steps[0].id, FailureKind.TEMPLATE_UNFIT)
            self.review(steps[0].id, Review(verdict=Verdict.FINISH, reason="no template fits"))
            return self.conversation(), False
        for stage, step in zip(stages, steps, strict=True):
            self.succeed(step.id, stage.result, last and stage is stages[-1])
        return self.conversation(), not last

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
        return _turns(self.entries, self.unlearned, self.profile)


def _declined_session(text: str, profile: planning.Profile) -> Conversation:
    events: list[Event] = [
        SessionStarted(problem=Problem(text=text)),
        PlanMade(trajectory=Trajectory(abstraction=OUTSIDE)),
    ]
    return _turns([Entry(seq=n, at=_EPOCH, event=event) for n, event in enumerate(events, 1)], set(), profile)


def _follow_up_session(asked: FollowUp, library: Library, profile: planning.Profile) -> Conversation:
    step = step_of(asked.stage, library[asked.stage.template_id], 1)
    done = Instantiation(result=asked.stage.result)
    events: list[Event] = [
        asked.started,
        PlanMade(trajectory=Trajectory(abstraction=abstraction_of([asked.stage]), steps=(step,))),
        StepInstantiated(step_id=1, attempt=1, instantiation=done),
        StepReviewed(step_id=1, attempt=1, review=Review(verdict=Verdict.FINISH, reason="solved", answer="r1")),
    ]
    return _turns([Entry(seq=n, at=_EPOCH, event=event) for n, event in enumerate(events, 1)], set(), profile)


def _turns(entries: list[Entry], unlearned: set[str], profile: planning.Profile) -> Conversation:
    messages = planning.conversation(_SESSION, entries, profile)
    return tuple(Turn(m.role, m.content, m.role == "assistant" and m.content not in unlearned) for m in messages)
