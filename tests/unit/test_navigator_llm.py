"""Asking the navigator LLM: what a try may still spend."""

from collections.abc import Sequence
from typing import Any

import pytest
from journals import journal, started

from navigator.errors import ReplyUnusable, TokensSpent
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.session import fold
from reasonflux.contracts import Budget, Options, Tokens
from reasonflux.engine import Message, Reply


class Engine:
    """Never says anything usable; each call takes ten seconds."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, list[dict[str, Any]]()

    async def chat(self, messages: Sequence[Message], **options: Any) -> Reply:
        self.calls.append(options)
        self.now += 10
        spent = Tokens(prompt=10, completion=min(20, options["max_tokens"]), calls=1)
        return Reply(text="no plan", finish_reason="stop", tokens=spent)


async def unheard(_: str) -> None:
    """Nobody listens."""


async def ask(engine: Engine, budget: Budget) -> None:
    entries = journal(started(Options(budget=budget)))
    llm = NavigatorLLM(engine, Profile.INSTRUCT, repairs=2, clock=lambda: engine.now)
    await llm.plan(fold("s", entries), entries, unheard)


async def test_each_try_gets_the_time_that_is_left() -> None:
    engine = Engine()
    with pytest.raises(ReplyUnusable):
        await ask(engine, Budget(seconds=100))
    assert [call["timeout"] for call in engine.calls] == [100, 90, 80]


async def test_a_reply_that_the_last_tokens_cut_short_is_a_budget_that_ran_out() -> None:
    engine = Engine()
    with pytest.raises(TokensSpent) as failed:
        await ask(engine, Budget(completion_tokens=30))
    assert [call["max_tokens"] for call in engine.calls] == [30, 10]
    assert failed.value.tokens == Tokens(prompt=20, completion=30, calls=2)
