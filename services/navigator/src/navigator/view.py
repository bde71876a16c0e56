"""What the compact profile's navigator sees of a problem that it plans a horizon at a time. Pure.

A small model plans a chain of any length as surely as a short one if every round looks alike: statements that are done
are out of sight, the next few are in it, and of the earlier results only those that nothing has used yet.
"""

from dataclasses import dataclass

from navigator import naming
from navigator.session import next_step_id
from reasonflux.contracts import Phase, Problem, Session, Statement

SIZE = 5
"""Statements in sight: enough for what one step needs, a stray remark included."""

WHOLE = 1
"""Statements of a problem that is planned in one go."""


@dataclass(frozen=True)
class View:
    statements: tuple[Statement, ...]
    results: dict[int, str]
    """Steps whose results wait to be used, with their goals; the latest one when none does."""
    more: bool
    """Whether the problem goes on behind the statements in sight."""
    next_id: int


def view(session: Session) -> View:
    """What is left of the session's problem, as far as it can be seen now."""
    done = set(session.done)
    own = session.problem.statements
    open_ = [statement for statement in own if statement.id not in done] or list(own[-SIZE:])
    behind = _told(session) if len(open_) <= SIZE else ()
    return View((*open_[:SIZE], *behind), _waiting(session), len(open_) > SIZE, next_step_id(session))


def whole(session: Session) -> View:
    """The problem as it is planned in one go."""
    return View((*session.problem.statements, *_told(session)), {}, False, 1)


def horizon_for(problem: Problem, *, goes_on: bool = False) -> int | None:
    """One statement is planned whole, more are planned a step at a time: of 80 held-out problems of depth 2 the same
    weights, without review, solved 74 a step at a time, and 68 with up to three statements planned whole.

    What goes on from an earlier answer is one step in as many statements as it takes, and is planned whole as long as
    it can be seen at once: so the weights were trained (`training.corpus.follow_ups`).
    """
    return 1 if len(problem.statements) > (SIZE if goes_on else WHOLE) else None


def _told(session: Session) -> tuple[Statement, ...]:
    """Of the earlier turns, the last one's answer: what a short follow-up builds on."""
    if not session.turns:
        return ()
    return session.statements[len(session.problem.statements) :][-1:]


def _waiting(session: Session) -> dict[int, str]:
    done = [state.step for state in session.steps if state.phase is Phase.DONE]
    used = {use for step in done for use in step.uses}
    goals = naming.goals(session.problem.statements, done)
    waiting = [step.id for step in done if f"r{step.id}" not in used] or [step.id for step in done[-1:]]
    return {number: goals[number] for number in waiting}
