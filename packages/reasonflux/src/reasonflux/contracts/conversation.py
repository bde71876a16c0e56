"""What was said before a follow-up question, as far as answering it needs."""

from pydantic import Field

from reasonflux.contracts.base import Contract
from reasonflux.contracts.problem import MAX_PROBLEM_CHARS

MAX_TURNS = 8
"""Earlier turns that a follow-up sees: the latest ones."""

MAX_TURN_STEPS = 64
"""Steps of an earlier turn that are taken along: the latest ones."""

MAX_TOLD_CHARS = 20_000
"""Of any one text that is told about an earlier turn."""

MAX_INSTRUCTIONS_CHARS = 20_000


class TurnStep(Contract):
    """A step of an earlier turn that gave a result."""

    id: int = Field(ge=0, le=1_000_000)
    goal: str = Field(max_length=MAX_TOLD_CHARS)
    template: str | None = Field(
        default=None, max_length=1_000, description="the name of the thought template that it followed"
    )
    reasoning: str = Field(default="", max_length=MAX_TOLD_CHARS)
    calculations: tuple[str, ...] = Field(default=(), max_length=64)
    result: str = Field(max_length=MAX_TOLD_CHARS)


class Turn(Contract):
    """One earlier exchange. It is copied into the follow-up's journal, which so tells its whole story by itself."""

    problem: str = Field(max_length=MAX_PROBLEM_CHARS)
    reply: str = Field(default="", max_length=MAX_TOLD_CHARS, description="what was answered, as the reader saw it")
    session: str | None = Field(
        default=None, max_length=128, description="the session that answered; None: only the text is known"
    )
    abstraction: str = Field(default="", max_length=MAX_TOLD_CHARS)
    steps: tuple[TurnStep, ...] = Field(
        default=(), max_length=MAX_TURN_STEPS, description="the trajectory as it was carried out"
    )
