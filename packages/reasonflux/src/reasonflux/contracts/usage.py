"""What a session may spend and what it has spent."""

from enum import StrEnum

from pydantic import Field

from reasonflux.contracts.base import Contract

DEFAULT_ENGINE = "default"
"""The engines that a deployment is started with; an operator may offer others by name."""

ENGINE_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"

MOST_ROUNDS, MOST_TOKENS, MOST_SECONDS, MOST_SAMPLES = 10_000, 1_000_000_000, 604_800.0, 64
"""No budget is larger: what a client sends has an end, and every number fits into every store."""

LARGEST_SEED = 2**62


class Tokens(Contract):
    """Token counts of one or many engine calls, as the engine reported them."""

    prompt: int = Field(default=0, ge=0)
    cached: int = Field(default=0, ge=0)
    """Part of `prompt` that the engine served from its prefix cache."""
    completion: int = Field(default=0, ge=0)
    calls: int = Field(default=0, ge=0)

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            prompt=self.prompt + other.prompt,
            cached=self.cached + other.cached,
            completion=self.completion + other.completion,
            calls=self.calls + other.calls,
        )

    @property
    def total(self) -> int:
        return self.prompt + self.completion


class Sampling(Contract):
    """How the engines choose their words, where a caller says so."""

    temperature: float | None = Field(
        default=None, ge=0, le=2, description="of first tries; None: 0, the likeliest reply"
    )
    seed: int | None = Field(
        default=None,
        ge=-LARGEST_SEED,
        le=LARGEST_SEED,
        description="the same seed and engine give the same replies, as far as it can",
    )


class Usage(Contract):
    """Tokens by role, summed over all internal calls."""

    navigator: Tokens = Tokens()
    executor: Tokens = Tokens()

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(navigator=self.navigator + other.navigator, executor=self.executor + other.executor)

    @property
    def all(self) -> Tokens:
        return self.navigator + self.executor


class Budget(Contract):
    """What is left to spend. It only ever shrinks, and every hop receives what is left."""

    rounds: int = Field(default=16, ge=0, le=MOST_ROUNDS, description="navigator–executor exchanges")
    tokens: int = Field(default=64_000, ge=0, le=MOST_TOKENS, description="prompt + completion tokens, both roles")
    completion_tokens: int | None = Field(
        default=None, ge=0, le=MOST_TOKENS, description="generated tokens, both roles; None: only `tokens` bounds them"
    )
    seconds: float = Field(default=300.0, ge=0, le=MOST_SECONDS, description="time until the deadline")
    samples: int = Field(
        default=2, ge=1, le=MOST_SAMPLES, description="instantiations of one step before its plan must change"
    )

    def minus(self, *, rounds: int = 0, tokens: int = 0, completion: int = 0, seconds: float = 0.0) -> "Budget":
        """What remains after spending; never below zero, and never more than before."""
        cap = self.completion_tokens
        return Budget(
            rounds=max(0, self.rounds - max(0, rounds)),
            tokens=max(0, self.tokens - max(0, tokens)),
            completion_tokens=None if cap is None else max(0, cap - max(0, completion)),
            seconds=max(0.0, self.seconds - max(0.0, seconds)),
            samples=self.samples,
        )

    @property
    def generation(self) -> int:
        """How many tokens an engine may still generate."""
        return self.tokens if self.completion_tokens is None else min(self.tokens, self.completion_tokens)

    @property
    def exhausted(self) -> str | None:
        """The name of what ran out, or None."""
        for name in ("rounds", "tokens", "completion_tokens", "seconds"):
            left = getattr(self, name)
            if left is not None and left <= 0:
                return name
        return None


class Effort(StrEnum):
    """How hard to try; a name for a budget (the `reasoning_effort` of OpenAI's API)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def budget(self) -> Budget:
        return {
            Effort.LOW: Budget(rounds=6, tokens=16_000, seconds=60.0, samples=1),
            Effort.MEDIUM: Budget(),
            Effort.HIGH: Budget(rounds=48, tokens=256_000, seconds=1_200.0, samples=3),
        }[self]
