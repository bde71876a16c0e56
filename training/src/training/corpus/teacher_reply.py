"""The teacher's reply: the schema that holds it, and the trajectory that it tells. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from evaluation import grading
from reasonflux.contracts import FailureKind, Statement, ThoughtTemplate
from reasonflux.errors import ReasonFluxError
from reasonflux.json_reply import ReplyUnparsable, parse_reply
from template_store.growth.extraction import SolvedProblem
from training.corpus.taught import Taught, TaughtStep

MAX_STEPS = 12
_ANSWER_MARK = re.compile(r"(?im)\\f?boxed|^####|\banswer\b")
_NO_TEMPLATE = ("", "none", "null")


class NoTrajectory(ReasonFluxError):
    """The teacher's reply gives no trajectory to learn from."""

    reason: ClassVar[str]


class ProblemUnusable(NoTrajectory):
    """The problem is empty or too long."""

    kind = FailureKind.INVALID_REQUEST
    reason = "unusable problem"


class ReplyUnusable(NoTrajectory):
    """It is not of the form that was asked for; the message can be shown to the LLM."""

    kind = FailureKind.UNPARSABLE_REPLY
    reason = "unusable reply"


class Declined(NoTrajectory):
    """The teacher finds that the solution does not solve the problem."""

    reason = "declined"


class AnswerDiffers(NoTrajectory):
    """The last result is not the answer."""

    reason = "wrong answer"


def reply_schema(statements: Sequence[Statement], templates: Sequence[ThoughtTemplate]) -> dict[str, Any]:
    usable = [*(statement.id for statement in statements), *(f"r{n}" for n in range(1, MAX_STEPS))]
    step = {
        "type": "object",
        "properties": {
            "goal": {"type": "string", "minLength": 1},
            "template": {"enum": [*(template.id for template in templates), None]},
            "uses": {"type": "array", "items": {"enum": usable}, "minItems": 1},
            "result": {"type": "string", "minLength": 1},
        },
        "required": ["goal", "template", "uses", "result"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "abstraction": {"type": "string"},
            "steps": {"type": "array", "items": step, "maxItems": MAX_STEPS},
        },
        "required": ["abstraction", "steps"],
        "additionalProperties": False,
    }


class _StepReply(BaseModel):
    """Unknown fields are ignored: an LLM that says more than asked is not wrong."""

    model_config = ConfigDict(extra="ignore")

    goal: str = Field(min_length=1)
    template: str | None = None
    uses: tuple[str, ...] = Field(min_length=1)
    result: str = Field(min_length=1)

    @field_validator("result", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class _TrajectoryReply(BaseModel):
    """See _StepReply."""

    model_config = ConfigDict(extra="ignore")

    abstraction: str
    steps: tuple[_StepReply, ...] = Field(max_length=MAX_STEPS)


def read_reply(
    text: str, pair: SolvedProblem, statements: Sequence[Statement], templates: Sequence[ThoughtTemplate]
) -> Taught:
    """The trajectory that a reply tells, not yet verified. Raises ReplyUnusable and Declined."""
    try:
        reply = _TrajectoryReply.model_validate(parse_reply(text))
    except ReplyUnparsable as error:
        raise ReplyUnusable(error.failure.message) from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the reply"
        raise ReplyUnusable(f"{where}: {fault['msg']}") from error
    if not reply.steps:
        raise Declined(f"the teacher sees no solution: {reply.abstraction or 'it says nothing more'}")
    named = {name.lower(): t.id for t in templates for name in (t.name, t.id)}
    known = {statement.id for statement in statements}
    steps = []
    for number, step in enumerate(reply.steps, 1):
        steps.append(_step(step, number, named, known))
        known.add(f"r{number}")
    return Taught(
        problem=pair.problem,
        answer=_known_answer(pair),
        abstraction=" ".join(reply.abstraction.split()),
        steps=tuple(steps),
        source=pair.source,
    )


def _known_answer(pair: SolvedProblem) -> str | None:
    """The given one, else the one that the solution marks as its answer."""
    if pair.answer.strip():
        return pair.answer.strip()
    return grading.extract(pair.solution) if _ANSWER_MARK.search(pair.solution) else None


def _step(reply: _StepReply, number: int, named: Mapping[str, str], known: set[str]) -> TaughtStep:
    strange = [use for use in reply.uses if use not in known]
    if strange:
        raise ReplyUnusable(f"steps.{number}.uses: {strange[0]!r} is no statement and no result of an earlier step")
    asked = (reply.template or "").strip()
    template_id = named.get(asked.lower())
    if template_id is None and asked.lower() not in _NO_TEMPLATE:
        raise ReplyUnusable(f"steps.{number}.template: {asked!r} is none of the templates listed; take one, or null")
    uses = tuple(dict.fromkeys(reply.uses))
    return TaughtStep(goal=" ".join(reply.goal.split()), template_id=template_id, uses=uses, result=reply.result)
