"""Journals for tests: a world that answers actions at random, and short ways to write events down."""

from datetime import UTC, datetime, timedelta
from random import Random

from navigator.policy import Action, Finish, Instantiate, Plan, Retrieve, ReviewStep
from navigator.replies import open_verdicts
from navigator.session import fold, next_step_id
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Entry,
    Event,
    Failure,
    FailureKind,
    Instantiation,
    Options,
    Phase,
    PlanMade,
    Problem,
    Query,
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

START = datetime(2026, 1, 1, tzinfo=UTC)


def started(options: Options | None = None, text: str = "Let K be 2 + 3. What is 4K?") -> SessionStarted:
    return SessionStarted(problem=Problem(text=text), options=options or Options())


def journal(*events: Event) -> list[Entry]:
    """Entries a second apart."""
    return [Entry(seq=n, at=START + timedelta(seconds=n), event=event) for n, event in enumerate(events, 1)]


def session_of(*events: Event) -> Session:
    return fold("s", journal(*events))


def step(step_id: int, *uses: str, query: bool = True) -> Step:
    found = Query(name=f"template {step_id}") if query else None
    return Step(id=step_id, goal=f"goal {step_id}", query=found, uses=uses)


def planned(*steps: Step, complete: bool = True) -> PlanMade:
    return PlanMade(trajectory=Trajectory(abstraction="a chain", steps=steps, complete=complete))


def retrieved(step_id: int) -> StepRetrieved:
    return StepRetrieved(step_id=step_id, retrieval=Retrieval(query=Query(name=f"template {step_id}")))


def instantiated(step_id: int, result: str | None = "7", attempt: int = 1) -> StepInstantiated:
    failure = None if result else Failure(kind=FailureKind.CALCULATION_ERROR, message="division by zero")
    usage = Tokens(prompt=10, completion=5, calls=1)
    done = Instantiation(result=result, failure=failure, usage=usage)
    return StepInstantiated(step_id=step_id, attempt=attempt, instantiation=done)


def reviewed(
    step_id: int, verdict: Verdict, *, remainder: Trajectory | None = None, answer: str | None = None
) -> StepReviewed:
    review = Review(verdict=verdict, reason="because", remainder=remainder, answer=answer)
    return StepReviewed(step_id=step_id, attempt=1, review=review, usage=Tokens(prompt=20, completion=4, calls=1))


class RandomWorld:
    """Performs any action with an outcome that the real world could give."""

    def __init__(self, rng: Random, failures: float = 0.1) -> None:
        self.rng, self.failures = rng, failures

    def perform(self, session: Session, action: Action) -> Event:
        if not isinstance(action, Finish) and self.rng.random() < self.failures:
            return self._failure(action)
        match action:
            case Plan():
                return PlanMade(trajectory=self._trajectory(session), usage=self._tokens())
            case Retrieve(step_id=step_id):
                return retrieved(step_id)
            case Instantiate(step_id=step_id, attempt=attempt):
                return instantiated(step_id, self.rng.choice(("7", "22/7", None)), attempt)
            case ReviewStep(step_id=step_id):
                return self._review(session, step_id)
            case Finish(event=event):
                return event

    def _trajectory(self, session: Session) -> Trajectory:
        horizon = session.options.horizon or 4
        first = next_step_id(session)
        done = [state.step.id for state in session.steps if state.phase is Phase.DONE]
        steps = []
        for step_id in range(first, first + self.rng.randint(0, horizon)):
            earlier = [*done, *range(first, step_id)]
            uses = [f"r{n}" for n in earlier if self.rng.random() < 0.4]
            steps.append(step(step_id, "s1", *uses, query=self.rng.random() < 0.8))
        complete = not steps or session.options.horizon is None or self.rng.random() < 0.5
        return Trajectory(abstraction="drawn", steps=tuple(steps), complete=complete)

    def _review(self, session: Session, step_id: int) -> StepReviewed:
        verdict = self.rng.choice(open_verdicts(session, step_id))
        remainder = answer = None
        if verdict is Verdict.REVISE:
            remainder = self._trajectory(session)
        if verdict is Verdict.FINISH:
            answer = self.rng.choice(("7", None))
        return reviewed(step_id, verdict, remainder=remainder, answer=answer)

    def _failure(self, action: Action) -> ActionFailed:
        kinds = {
            Plan: ActionKind.PLAN,
            Retrieve: ActionKind.RETRIEVE,
            Instantiate: ActionKind.INSTANTIATE,
            ReviewStep: ActionKind.REVIEW,
        }
        failure = Failure(
            kind=self.rng.choice((FailureKind.ENGINE_UNAVAILABLE, FailureKind.UNPARSABLE_REPLY)),
            message="no reply",
            retryable=self.rng.random() < 0.9,
        )
        return ActionFailed(action=kinds[type(action)], step_id=getattr(action, "step_id", None), failure=failure)

    def _tokens(self) -> Tokens:
        return Tokens(prompt=self.rng.randint(0, 500), completion=self.rng.randint(0, 100), calls=1)
