"""What is said to an engine, for those who want to read it again."""

from typing import Literal

from pydantic import Field

from reasonflux.contracts.base import Contract


class Message(Contract):
    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Contract):
    """What an engine is asked."""

    messages: tuple[Message, ...]


class Exchange(Contract):
    """One exchange with an engine, rendered again from the journal."""

    role: Literal["navigator", "executor"]
    messages: tuple[Message, ...] = Field(description="the prompt of the first try, word by word")
    reply: str | None = Field(default=None, description="as the journal keeps it; None: none could be used")
