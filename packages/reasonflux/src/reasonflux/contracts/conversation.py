"""What was said before a follow-up question, as far as answering it needs."""

from pydantic import Field

from reasonflux.contracts.base import Contract
from reasonflux.contracts.problem import MAX_PROBLEM_CHARS

MAX_TURNS = 8
"""Earlier turns that a follow-up sees: the latest ones."""


class TurnStep(Contract):
    """A step of an earlier turn that gave a result."""

    id: int
    goal: str
    template: str | None = Field(default=None, description="the name of the thought template that it followed")
    reasoning: str = ""
    calculations: tuple[str, ...] = ()
    result: str


class Turn(Contract):
    """One earlier exchange. It is copied into the follow-up's journal, which so tells its whole story by itself."""

    problem: str = Field(max_length=MAX_PROBLEM_CHARS)
    reply: str = Field(default="", description="what was answered, as the reader saw it")
    session: str | None = Field(default=None, description="the session that answered; None: only the text is known")
    abstraction: str = ""
    steps: tuple[TurnStep, ...] = Field(default=(), description="the trajectory as it was carried out")
