"""What to do next. Pure: `decide(session)` names every action that the journal so far allows.

    plan → retrieve per step → instantiate what is ready → review → continue | retry | revise the remainder | finish

Actions that `decide` returns together may run at the same time; the runner starts those that are not yet under way and
asks again after every event. Every action ends in one event that takes it off the list, so the loop ends within the
budget: an instantiation costs a round, a change of plan costs a revision, a failure costs a try.

`decide_ahead(session)` names what may be begun on a bet that the review under way will let the result stand
(docs/adr/0020-work-begins-ahead-of-a-review.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from navigator.session import advance
from reasonflux.contracts import (
    Budget,
    Entry,
    Event,
    Failure,
    FailureKind,
    Outcome,
    Phase,
    Review,
    Session,
    SessionFinished,
    StepReviewed,
    StepState,
    Verdict,
)

MAX_TRIES = 5
"""Tries of one action that gives no outcome before the session stops."""
OUTAGES = (FailureKind.SERVICE_UNAVAILABLE, FailureKind.ENGINE_UNAVAILABLE)
OUTAGE_TRIES = 20
"""The same while an engine or a service of ours cannot be reached. That costs nothing, and with the runner's waits in
between it is the two minutes in which a container is replaced and a model loaded again. The deadline stands."""


@dataclass(frozen=True)
class Plan:
    """Ask the navigator LLM for a trajectory, or for what follows the horizon."""


@dataclass(frozen=True)
class Retrieve:
    step_id: int


@dataclass(frozen=True)
class Instantiate:
    step_id: int
    attempt: int


@dataclass(frozen=True)
class ReviewStep:
    step_id: int
    attempt: int


@dataclass(frozen=True)
class Finish:
    event: SessionFinished


Action = Plan | Retrieve | Instantiate | ReviewStep | Finish


def decide(session: Session) -> tuple[Action, ...]:
    """Every action that is due now; nothing once the session is finished."""
    if session.finished:
        return ()
    if end := _end(session):
        return (end,)
    if session.abstraction is None:
        return (Plan(),)
    if due := (*_retrievals(session), *_instantiations(session), *_reviews(session)):
        return due
    if not session.complete:
        return (Plan(),)
    return (_conclude(session),)


def presume(session: Session) -> Entry | None:
    """The entry that the review under way will most likely become: the result stands. None without such a review."""
    due = [action for action in decide(session) if isinstance(action, ReviewStep)]
    if not due or session.step(due[0].step_id).instantiations[-1].result is None:
        return None
    event = StepReviewed(step_id=due[0].step_id, attempt=due[0].attempt, review=Review(verdict=Verdict.CONTINUE))
    return Entry(seq=session.last_seq + 1, at=session.updated_at, event=event)


def decide_ahead(session: Session, *, plans: bool) -> tuple[Action, ...]:
    """What will be due once the review under way says that the result stands, and is not due yet: as much of it as
    the session may lose, if each costs what the step under review did.

    `plans`: the next plan is made from results alone; otherwise it waits for the review's own words.
    """
    if may_lose(session) == 0 or (presumed := presume(session)) is None:
        return ()
    assert isinstance(presumed.event, StepReviewed)
    now, price = decide(session), session.step(presumed.event.step_id).instantiations[-1].usage.total
    ahead = [action for action in decide(advance(session, presumed)) if action not in now]
    bets = [action for action in ahead if isinstance(action, Instantiate | Plan if plans else Instantiate)]
    return tuple(bets[: may_lose(session) // max(1, price)])


def may_lose(session: Session) -> int:
    """The tokens that bets on reviews may still cost in vain."""
    return max(0, session.options.speculation - session.speculated)


def with_its_end(session: Session, events: Sequence[Event]) -> list[Event]:
    """The events, and the session's end where they leave nothing else to do: it needs no commit of its own."""
    then = session
    for event in events:
        then = advance(then, Entry(seq=then.last_seq + 1, at=then.updated_at, event=event))
    due = decide(then)
    return [*events, due[0].event] if due and isinstance(due[0], Finish) else [*events]


def remaining(session: Session) -> Budget:
    """What the session may still spend."""
    spent = session.usage.all
    return session.options.budget.minus(
        rounds=session.rounds, tokens=spent.total, completion=spent.completion, seconds=session.seconds
    )


def may_retry(session: Session, state: StepState) -> bool:
    """Whether the step has samples left."""
    return len(state.instantiations) < session.options.budget.samples


def may_revise(session: Session) -> bool:
    return session.revisions < session.options.max_revisions


def _retrievals(session: Session) -> list[Action]:
    """Retrieval needs no results, so all planned steps look for their templates at once."""
    return [
        Retrieve(state.step.id)
        for state in session.steps
        if state.phase is Phase.PLANNED and _wants_template(session, state)
    ]


def template_for(session: Session, step_id: int) -> str | None:
    """The template that the step follows without a search: asked for by id in the plan, or given by the caller."""
    live = [state.step for state in session.steps if state.phase is not Phase.DROPPED]
    given = dict(zip((step.id for step in live), session.options.templates, strict=False))
    return session.step(step_id).step.template_id or given.get(step_id)


def _wants_template(session: Session, state: StepState) -> bool:
    asked_for = state.step.query is not None or template_for(session, state.step.id) is not None
    return session.options.retrieve and asked_for


def _instantiations(session: Session) -> list[Action]:
    """As many as rounds are left; those that were ready first come first, so what is under way stays due."""
    done = {state.step.id: state.since for state in session.steps if state.phase is Phase.DONE}
    ready = [
        state
        for state in session.steps
        if _awaits_executor(session, state) and done.keys() >= set(state.step.depends_on)
    ]
    ready.sort(key=lambda state: max(state.since, *(done[step_id] for step_id in state.step.depends_on), 0))
    chosen = ready[: remaining(session).rounds]
    return [Instantiate(state.step.id, len(state.instantiations) + 1) for state in chosen]


def _awaits_executor(session: Session, state: StepState) -> bool:
    if state.phase is Phase.PLANNED:
        return not _wants_template(session, state)
    if state.phase is Phase.INSTANTIATED:  # a failed try that nobody reviews is simply tried again
        return not session.options.review and may_retry(session, state)
    return state.phase is Phase.RETRIEVED


def _reviews(session: Session) -> list[Action]:
    """One at a time, first come first served: the navigator's prompt only grows at its end."""
    waiting = [state for state in session.steps if state.phase is Phase.INSTANTIATED and session.options.review]
    if not waiting:
        return []
    first = min(waiting, key=lambda state: state.since)
    return [ReviewStep(first.step.id, len(first.instantiations))]


def _end(session: Session) -> Finish | None:
    """The end that is due whatever else could be done."""
    if any(review.verdict is Verdict.FINISH for state in session.steps for review in state.reviews):
        return _answered(session) if session.answer is not None else _unsolved(session, session.explanation)
    failure, out_of = _hopeless_failure(session), _out_of(session)
    if failure and not (out_of and failure.kind is FailureKind.BUDGET_EXHAUSTED):
        unsolved = failure.kind in (FailureKind.UNPARSABLE_REPLY, FailureKind.DEADLINE_EXCEEDED)
        outcome = Outcome.UNSOLVED if unsolved else Outcome.FAILED
        return Finish(SessionFinished(outcome=outcome, explanation=failure.message, failure=failure))
    if out_of:
        failure = Failure(
            kind=FailureKind.BUDGET_EXHAUSTED,
            message=f"the budget of {out_of.replace('_', ' ')} ran out before an answer was found",
            hint="ask again with a higher effort or a larger budget",
        )
        return Finish(SessionFinished(outcome=Outcome.UNSOLVED, explanation=failure.message, failure=failure))
    return None


def _out_of(session: Session) -> str | None:
    """What ran out and is still needed: telling an answer in hand costs nothing, reviewing a result costs no round."""
    unfinished = (Phase.PLANNED, Phase.RETRIEVED, Phase.INSTANTIATED)
    if session.complete and not any(state.phase in unfinished for state in session.steps):
        return None
    left = remaining(session)
    return (left.model_copy(update={"rounds": 1}) if _reviews(session) else left).exhausted


def _hopeless_failure(session: Session) -> Failure | None:
    failure = session.last_failure
    if failure is None or not session.failures:
        return None
    tries = OUTAGE_TRIES if failure.kind in OUTAGES else MAX_TRIES
    return failure if not failure.retryable or max(session.failures.values()) >= tries else None


def _conclude(session: Session) -> Finish:
    """Nothing is left to do: the last step's result is the answer, if there is one."""
    live = [state for state in session.steps if state.phase is not Phase.DROPPED]
    if session.reply is not None:
        return Finish(SessionFinished(outcome=Outcome.SOLVED, answer=session.reply))
    if not live:
        return _unsolved(session, session.explanation or "no template trajectory was found for this problem")
    stuck = [state.step.id for state in live if state.phase is not Phase.DONE]
    if stuck:
        return _unsolved(session, f"step {stuck[0]} gave no result that later steps could build on")
    return _answered(session.model_copy(update={"answer": live[-1].result}))


def _answered(session: Session) -> Finish:
    return Finish(SessionFinished(outcome=Outcome.SOLVED, answer=session.answer, explanation=session.explanation))


def _unsolved(session: Session, why: str) -> Finish:
    return Finish(SessionFinished(outcome=Outcome.UNSOLVED, explanation=why or "the navigator gave the problem up"))
