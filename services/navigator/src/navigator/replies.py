"""Reply in, Trajectory or Review out: what the navigator LLM says. Pure parsing, and the schemas that hold replies.

Replies are written back from the parsed contracts in one canonical form, which is also the form that our trained
weights write.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from navigator import naming
from navigator.errors import ReplyUnusable
from navigator.policy import may_retry, may_revise
from navigator.session import next_step_id
from navigator.view import view, whole
from reasonflux.contracts import Phase, Query, Review, Session, Step, Trajectory, Verdict
from reasonflux.json_reply import ReplyUnparsable, parse_reply

MAX_NEW_STEPS = 12
_RESULT = re.compile(r"r([1-9][0-9]{0,5})")


def plan_schema(
    session: Session, *, marks_done: bool = False, in_words: bool = True, only_shown: bool = False
) -> dict[str, Any]:
    """The JSON schema of a plan: an engine that decodes under it can only point at statements that exist.

    With `marks_done` it may also name the statements in sight that no later step needs; with `in_words` a follow-up
    question may be answered without a plan; with `only_shown` it can't point at what the compact profile leaves out
    of the earlier turns.
    """
    replies = in_words and _may_reply(session)
    reply: dict[str, Any] = {"reply": {"type": ["string", "null"]}} if replies else {}
    done: dict[str, Any] = {"done": {"type": "array", "items": {"enum": _markable(session)}}} if marks_done else {}
    return {
        "type": "object",
        "properties": {
            "abstraction": {"type": "string"},
            "steps": _steps_schema(session, only_shown),
            **done,
            "complete": {"type": "boolean"},
            **reply,
        },
        "required": ["abstraction", "steps"],
        "additionalProperties": False,
    }


def _markable(session: Session) -> list[str]:
    """What may be marked as done: statements in sight. What nobody has read yet must not go out of sight."""
    own = {statement.id for statement in session.problem.statements}
    return [statement.id for statement in view(session).statements if statement.id in own]


def _may_reply(session: Session) -> bool:
    """Whether the conversation so far may be the answer: there is one, and nothing has been planned yet."""
    return bool(session.turns) and session.abstraction is None


def _steps_schema(session: Session, only_shown: bool) -> dict[str, Any]:
    results = [f"r{n}" for n in range(1, next_step_id(session) + MAX_NEW_STEPS)]
    statements = whole(session).statements if only_shown else session.statements
    usable = [*(statement.id for statement in statements), *results]
    step = {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "uses": {"type": "array", "items": {"enum": usable}},
            "goal": {"type": "string"},
            "template": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "search": {"type": "string"},
        },
        "required": ["id", "uses", "goal", "template", "tags"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": step, "maxItems": MAX_NEW_STEPS}


def review_schema(session: Session, step_id: int, *, only_shown: bool = False) -> dict[str, Any]:
    """The JSON schema of a review, with only the verdicts that are open, so constrained decoding can't stray."""
    return {
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            "verdict": {"enum": [verdict.value for verdict in open_verdicts(session, step_id)]},
            "answer": {"type": ["string", "null"]},
            "steps": _steps_schema(session, only_shown),
            "complete": {"type": "boolean"},
        },
        "required": ["reason", "verdict"],
        "additionalProperties": False,
    }


def open_verdicts(session: Session, step_id: int) -> tuple[Verdict, ...]:
    """continue needs a result, retry a sample, revise a revision left; finish is always open."""
    state = session.step(step_id)
    is_open = {
        Verdict.CONTINUE: bool(state.instantiations) and state.instantiations[-1].result is not None,
        Verdict.RETRY: may_retry(session, state),
        Verdict.REVISE: may_revise(session),
        Verdict.FINISH: True,
    }
    return tuple(verdict for verdict, yes in is_open.items() if yes)


class _Reply(BaseModel):
    """Unknown fields are ignored: an LLM that says more than asked is not wrong."""

    model_config = ConfigDict(extra="ignore")


R = TypeVar("R", bound=_Reply)


class _StepReply(_Reply):
    id: int | None = None
    goal: str = Field(min_length=1)
    template: str | None = None
    tags: tuple[str, ...] = ()
    search: str | None = None
    uses: tuple[str, ...] = ()


class _PlanReply(_Reply):
    abstraction: str = ""
    steps: tuple[_StepReply, ...]
    done: tuple[str, ...] = ()
    complete: bool = True
    reply: str | None = None

    @field_validator("done", mode="before")
    @classmethod
    def _only_names(cls, told: object) -> object:
        """An LLM that was not asked for marks may say `"done": true` and mean something else."""
        return [name for name in told if isinstance(name, str)] if isinstance(told, list) else ()


class _ReviewReply(_Reply):
    reason: str = ""
    verdict: Verdict
    answer: str | None = None
    steps: tuple[_StepReply, ...] | None = None
    complete: bool = True


def parse_plan(text: str, session: Session, *, by_symbol: bool = False) -> Trajectory:
    """The trajectory that a reply tells, its steps numbered on from the session's. Raises ReplyUnusable.

    With `by_symbol`, which earlier results a step uses is read from its statements where those name them.
    """
    reply = _read(_PlanReply, text)
    if _may_reply(session) and not reply.steps and (reply.reply or "").strip():
        return Trajectory(abstraction=reply.abstraction, reply=reply.reply)
    markable = _markable(session)
    done = tuple(dict.fromkeys(name for name in reply.done if name in markable))
    trajectory = _trajectory(reply.abstraction, reply.steps, reply.complete, session, by_symbol)
    return trajectory.model_copy(update={"done": done})


def parse_review(text: str, session: Session, step_id: int, *, by_symbol: bool = False) -> Review:
    """The review that a reply tells; an answer given as `r3` becomes that result. Raises ReplyUnusable.

    `by_symbol` as in `parse_plan`, for a review that replaces steps.
    """
    reply = _read(_ReviewReply, text)
    choices = open_verdicts(session, step_id)
    if reply.verdict not in choices:
        raise ReplyUnusable(f"the verdict {reply.verdict} is not open here; choose from {', '.join(choices)}")
    remainder = None
    if reply.verdict is Verdict.REVISE:
        if not reply.steps:
            raise ReplyUnusable("the verdict revise needs the steps that replace the rest of the plan")
        remainder = _trajectory(session.abstraction or "", reply.steps, reply.complete, session, by_symbol, step_id)
    answer = _answer(reply.answer, session, step_id) if reply.verdict is Verdict.FINISH else None
    return Review(verdict=reply.verdict, reason=reply.reason, remainder=remainder, answer=answer)


def write_plan(trajectory: Trajectory) -> str:
    """The canonical reply that tells this trajectory."""
    told = {} if trajectory.reply is None else {"reply": trajectory.reply}
    return _write({"abstraction": trajectory.abstraction, **_remainder(trajectory), **told})


def write_review(review: Review) -> str:
    """The canonical reply that tells this review."""
    reply: dict[str, Any] = {"reason": review.reason, "verdict": review.verdict.value}
    if review.verdict is Verdict.FINISH:
        reply["answer"] = review.answer
    if review.remainder is not None:
        reply |= _remainder(review.remainder)
    return _write(reply)


def _remainder(trajectory: Trajectory) -> dict[str, Any]:
    told: dict[str, Any] = {"steps": [_write_step(step) for step in trajectory.steps]}
    if trajectory.done:
        told["done"] = list(trajectory.done)
    return told if trajectory.complete else {**told, "complete": False}


def _write_step(step: Step) -> dict[str, Any]:
    query = step.query or Query.model_construct(name="", tags=(), text="", field=None)
    told = {"id": step.id, "uses": list(step.uses), "goal": step.goal, "template": query.name, "tags": list(query.tags)}
    return {**told, "search": query.text} if query.text else told


def _write(reply: dict[str, Any]) -> str:
    return json.dumps(reply, ensure_ascii=False, separators=(",", ":"))


def _read(kind: type[R], text: str) -> R:
    try:
        return kind.model_validate(parse_reply(text))
    except ReplyUnparsable as error:
        raise ReplyUnusable(error.failure.message) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the reply"
        raise ReplyUnusable(f"{where}: {first['msg']}") from error


def _trajectory(
    abstraction: str,
    replies: Sequence[_StepReply],
    complete: bool,
    session: Session,
    by_symbol: bool,
    under_review: int | None = None,
) -> Trajectory:
    if len(replies) > MAX_NEW_STEPS:
        raise ReplyUnusable(f"steps: {len(replies)} steps are too many; plan at most {MAX_NEW_STEPS} at a time")
    told = [reply.id for reply in replies if reply.id is not None]
    if len(set(told)) < len(told):
        raise ReplyUnusable("steps: two steps have the same id; number them")
    first = next_step_id(session)
    fresh = {reply.id if reply.id is not None else first + n: first + n for n, reply in enumerate(replies)}
    done = {state.step.id for state in session.steps if state.phase is Phase.DONE}
    if under_review is not None and session.step(under_review).instantiations[-1].result is not None:
        done.add(under_review)  # a revision keeps the good result that it reviews
    statements = {statement.id for statement in session.statements}
    try:
        left = [statement.id for statement in session.statements if statement.id not in session.done]
        steps = tuple(_step(reply, first + n, fresh, done, statements, left) for n, reply in enumerate(replies))
        if by_symbol:
            kept = [state.step for state in session.steps if state.step.id in done]
            steps = naming.linked(session.problem.statements, kept, steps)
        return Trajectory(abstraction=abstraction, steps=steps, complete=complete or not steps)
    except ValidationError as error:
        raise ReplyUnusable(error.errors()[0]["msg"]) from error


def _step(
    reply: _StepReply, step_id: int, fresh: dict[int, int], done: set[int], statements: set[str], left: Sequence[str]
) -> Step:
    """A step under its own id; what it uses must exist. One that points at no statement gets all that are not done."""
    uses = []
    for use in reply.uses:
        number = _result_number(use)
        if number in fresh:
            uses.append(f"r{fresh[number]}")
        elif number in done or use in statements:
            uses.append(use)
        else:
            raise ReplyUnusable(f"step {reply.id or step_id} uses {use!r}, which is no statement and no step's result")
    if not any(use.startswith("s") for use in uses):
        uses = [*left, *uses]
    name, tags, text = (reply.template or "").strip(), reply.tags, (reply.search or "").strip()
    query = Query(name=name, tags=tags, text=text) if name or tags or text else None
    return Step(id=step_id, goal=reply.goal, query=query, uses=tuple(dict.fromkeys(uses)))


def _result_number(text: str) -> int | None:
    """3 for `r3`; None for everything else."""
    found = _RESULT.fullmatch(text)
    return int(found[1]) if found else None


def _answer(answer: str | None, session: Session, step_id: int) -> str | None:
    answer = (answer or "").strip() or None
    number = _result_number(answer or "")
    if number is None:
        found = any(done.result is not None for state in session.steps for done in state.instantiations)
        if answer is not None and not found:
            raise ReplyUnusable("no step has a result, so there is no answer to finish with; finish with null")
        return answer
    for state in session.steps:
        if state.step.id == number and state.instantiations and state.phase is not Phase.DROPPED:
            return state.instantiations[-1].result
    raise ReplyUnusable(f"the answer {answer} is the result of no step; the step under review is {step_id}")
