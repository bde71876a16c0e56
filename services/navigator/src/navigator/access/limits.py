"""How much a tenant may ask for, how much room the deployment has, and what a session is taken to cost. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from reasonflux.contracts import Contract, SessionStarted

BATCH_SHARE = 0.5
"""Tenants of priority `batch` are let in while less than this share of the deployment's room is taken."""

RATE_LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{name}" for name in ("requests", "tokens") for what in ("limit", "remaining", "reset")
)

LATE_SECONDS = 600.0
"""How long after its end work may still be charged for: a worker hears of a cancellation a moment later."""

EXPECTED_CALLS = 5
TOKENS_OF_A_CALL = 1_500
CHARS_OF_A_TOKEN = 4


class Priority(StrEnum):
    NORMAL = "normal"
    BATCH = "batch"


class Limits(Contract):
    """Of one tenant, over all its keys. None: no limit."""

    requests: int | None = Field(default=None, ge=1, description="that start work, a minute")
    tokens: int | None = Field(default=None, ge=1, description="of all engine calls, a minute")
    sessions: int | None = Field(default=None, ge=1, description="at a time")
    priority: Priority = Priority.NORMAL

    def over(self, defaults: "Limits") -> "Limits":
        """These limits, and the defaults where they say nothing."""
        return defaults.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Room(Contract):
    """What the whole deployment takes on at a time. None: no limit."""

    sessions: int | None = Field(default=None, ge=1, description="under way or waiting for a worker")
    tokens: int | None = Field(default=None, ge=1, description="that they are estimated to cost together")

    def share(self, priority: Priority) -> "Room":
        """The part of the room that a tenant of this priority may fill."""
        if priority is Priority.NORMAL:
            return self
        return Room(sessions=_part(self.sessions), tokens=_part(self.tokens))


class Ask(Contract):
    """One piece of work that wants to begin: a session or a direct call."""

    id: str
    tenant: str
    tokens: int = Field(ge=0, description="estimated cost; corrected when it has ended")
    seconds: float = Field(ge=0, description="until it has ended in any case")


class Standing(Contract):
    """Where a tenant stands with its limits a minute; None where it has no such limit."""

    class Gauge(Contract):
        limit: int
        left: int
        seconds: float
        """Until all of it is there again."""

    requests: Gauge | None = None
    tokens: Gauge | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """As OpenAI's clients read them."""
        told: dict[str, str] = {}
        for name, gauge in (("requests", self.requests), ("tokens", self.tokens)):
            if gauge is not None:
                told[f"x-ratelimit-limit-{name}"] = str(gauge.limit)
                told[f"x-ratelimit-remaining-{name}"] = str(gauge.left)
                told[f"x-ratelimit-reset-{name}"] = f"{gauge.seconds:.3f}s"
        return told


Reason = Literal["requests", "tokens", "sessions", "room"]


class Refusal(Contract):
    """Why work was not let in, and when another try makes sense."""

    reason: Reason
    seconds: float


class Verdict(Contract):
    standing: Standing
    refusal: Refusal | None = None


class Closed(Contract):
    """A piece of work that has ended."""

    tenant: str
    tokens: int


def estimated_tokens(first: SessionStarted) -> int:
    """What a session is taken to cost until it has ended: some calls, each of which reads problem and conversation.

    Never more than its budget, which is what it may cost at most.
    """
    told = sum(len(turn.problem) + len(turn.reply) for turn in first.turns)
    said = len(first.problem.text) + len(first.instructions) + told
    return min(first.options.budget.tokens, EXPECTED_CALLS * (TOKENS_OF_A_CALL + said // CHARS_OF_A_TOKEN))


def _part(whole: int | None) -> int | None:
    return None if whole is None else max(1, int(whole * BATCH_SHARE))
