"""What a finished session has to say, whatever the protocol. Pure."""

from typing import Any

from navigator import brief
from navigator.api.naming import model_of
from reasonflux.contracts import (
    Entry,
    Failure,
    FailureKind,
    Outcome,
    Session,
)
from reasonflux.service import STATUS

RAN_OUT = (FailureKind.BUDGET_EXHAUSTED, FailureKind.DEADLINE_EXCEEDED)

ANSWER = "The answer is \\boxed{{{answer}}}"


def failure_of(session: Session) -> tuple[Failure, int] | None:
    """Why a finished session has nothing to say, and the HTTP status of that; None when it has an answer to give."""
    if session.outcome is Outcome.CANCELLED:
        return Failure(kind=FailureKind.CONFLICT, message="The session was cancelled before it had an answer."), 409
    if session.outcome is not Outcome.FAILED:
        return None
    failure = session.last_failure or Failure(kind=FailureKind.INTERNAL, message=session.explanation)
    status = STATUS[failure.kind]
    return failure, status if status >= 500 else 502


def content_of(session: Session) -> str:
    """The answer as a sentence that ends in a box, or an honest refusal; with what is known when the budget ran out."""
    if session.reply is not None:
        return session.reply
    if session.outcome is Outcome.SOLVED:
        return ANSWER.format(answer=session.answer)
    results = brief.results(session) if ran_out(session) else ()
    known = "".join(f"\n- {result.goal}: {result.value}" for result in results)
    return f"I could not solve this problem: {session.explanation}" + (f"\nKnown so far:{known}" if known else "")


def answer_in(reply: str) -> str | None:
    """The answer in a reply that `content_of` wrote, as chat clients send it back; None in any other text."""
    before, _, after = ANSWER.format(answer="\n").partition("\n")
    said = reply.strip()
    if not (said.startswith(before) and said.endswith(after)):
        return None
    answer = said[len(before) : -len(after)]
    return answer if answer and "\n" not in answer and "\\boxed" not in answer else None


def ran_out(session: Session) -> bool:
    """Whether the budget ended the session, in tokens, rounds or time."""
    if session.outcome is not Outcome.UNSOLVED:
        return False
    failure, budget, spent = session.last_failure, session.options.budget, session.usage.all
    if failure is not None and failure.kind in RAN_OUT:
        return True
    # A reply that the last tokens cut short cannot be read: then that is the failure, and the budget its cause.
    cap = budget.completion_tokens
    return spent.total >= budget.tokens or (cap is not None and spent.completion >= cap)


def extra_of(session: Session, entry: Entry | None = None) -> dict[str, Any]:
    """What ReasonFlux tells beyond OpenAI's fields. `failure` and `results` make an unfinished answer a typed one."""
    told: dict[str, Any] = {"session_id": session.id, "outcome": session.outcome, "rounds": session.rounds}
    if session.finished:
        failure = None if session.outcome is Outcome.SOLVED else session.last_failure
        told["failure"] = failure and failure.model_dump(mode="json")
        told["results"] = [result.model_dump(mode="json") for result in brief.results(session)]
    if entry is not None:
        told["entry"] = entry.model_dump(mode="json")
    return told


def library_model(session: Session) -> str:
    """The name of the model that answers like this session."""
    return model_of(session.options.library, session.options.engine)
