"""The navigator's side of a round: trajectory, steps, reviews."""

import re
from enum import StrEnum

from pydantic import Field, ValidationInfo, field_validator, model_validator

from reasonflux.contracts.base import Contract
from reasonflux.contracts.template import Query

STATEMENT_REF = r"^s\d+$"
RESULT_REF = r"^r\d+$"


class Step(Contract):
    """One step of a trajectory. Its result is named `r<id>`; ids are never used twice within a session."""

    id: int = Field(ge=1)
    goal: str = Field(min_length=1)
    query: Query | None = Field(default=None, description="None: the step needs no template")
    template_id: str | None = Field(default=None, description="a template asked for by id instead of a query")
    uses: tuple[str, ...] = Field(default=(), description="statements (s2) and earlier results (r1) that it needs")
    depends_on: tuple[int, ...] = Field(default=(), validate_default=True, description="steps that must be done first")

    @field_validator("depends_on")
    @classmethod
    def _used_results_are_dependencies(cls, depends_on: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        used = {int(name[1:]) for name in info.data.get("uses", ()) if re.fullmatch(RESULT_REF, name)}
        return tuple(sorted({*depends_on, *used}))


class Trajectory(Contract):
    """A plan, or the part of it up to the horizon. No steps means: the navigator sees no way."""

    abstraction: str = Field(description="the problem's kind, in the navigator's words")
    steps: tuple[Step, ...] = ()
    done: tuple[str, ...] = Field(
        default=(), description="statements that no later step needs; who plans a part at a time reads on behind them"
    )
    complete: bool = Field(default=True, description="False: more will be planned when these steps are done")
    reply: str | None = Field(
        default=None,
        description="the answer to a question that the conversation so far answers; then there are no steps",
    )

    @model_validator(mode="after")
    def _can_be_carried_out(self) -> "Trajectory":
        if not self.steps and not self.complete:
            raise ValueError("a trajectory without steps is complete: nothing would be left to do before planning on")
        if self.steps and self.reply is not None:
            raise ValueError("a trajectory has steps or a reply, not both")
        seen: set[int] = set()
        for step in self.steps:
            if step.id in seen:
                raise ValueError(f"step {step.id} stands twice in the trajectory")
            later = [d for d in step.depends_on if d >= step.id]
            if later:
                raise ValueError(f"step {step.id} depends on {later}, which do not come before it")
            seen.add(step.id)
        return self


class Verdict(StrEnum):
    CONTINUE = "continue"
    RETRY = "retry"
    REVISE = "revise"
    FINISH = "finish"


class Review(Contract):
    """The navigator's reading of one instantiation.

    continue: the result stands. retry: carry the step out again, minding `reason`. revise: `remainder` replaces every
    step that is not done. finish: `answer` is the problem's answer, or None when it cannot be solved.
    """

    verdict: Verdict
    reason: str = ""
    remainder: Trajectory | None = None
    answer: str | None = None

    @model_validator(mode="after")
    def _remainder_only_when_revising(self) -> "Review":
        if (self.verdict is Verdict.REVISE) != (self.remainder is not None):
            raise ValueError("a remainder belongs to the verdict revise, and only to it")
        return self
