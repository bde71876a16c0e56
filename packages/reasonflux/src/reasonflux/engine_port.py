"""The port that planning and instantiation stand on: an engine, and what is said to it and by it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from reasonflux.contracts import Contract, Tokens
from reasonflux.contracts import Message as Message


class Reply(Contract):
    """What the model said. `reasoning` is filled by servers that separate it from the text."""

    text: str
    reasoning: str = ""
    finish_reason: str
    """`stop`, or `length` when `max_tokens` cut the text short."""
    tokens: Tokens


OnDelta = Callable[[str], Awaitable[None]]
OnUsage = Callable[[Tokens], Awaitable[None]]


class Engine(Protocol):
    """Something that replies to messages."""

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        schema_name: str = "reply",
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the deadline belongs to the port: every hop gets what is left
        on_delta: OnDelta | None = None,
        on_usage: OnUsage | None = None,
    ) -> Reply:
        """One reply to `messages`.

        With a `schema` the text is JSON that fits it (unless it was cut by `max_tokens`). `timeout`: seconds for the
        whole call; None means the engine's own. With `on_delta` the text is streamed: the deltas joined are
        `Reply.text`. With `on_usage` too, it hears what the streamed call has cost so far, as often as the server says
        so: who cancels the call knows what it cost. Raises EngineUnavailable, EngineRefused or EngineTimeout; what
        `on_delta` raises passes through.
        """
        ...
