"""Asking the navigator LLM: render, ask, parse; a reply that cannot be used is repaired a bounded number of times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from navigator.errors import ReplyUnusable
from navigator.planning import Profile, plan_messages, repair_message, review_messages
from navigator.policy import remaining
from navigator.replies import parse_plan, parse_review, plan_schema, review_schema
from reasonflux.contracts import Entry, Review, Session, Tokens, Trajectory
from reasonflux.engine import Engine, Message, OnDelta
from reasonflux.errors import EngineError

T = TypeVar("T", Trajectory, Review)

_MAX_TOKENS = {Profile.INSTRUCT: 2_048, Profile.COMPACT: 512}
_RESAMPLING_TEMPERATURE = 0.7


@dataclass(frozen=True)
class NavigatorLLM:
    """The navigator role on an engine. `repairs`: how often an unusable reply may be answered with its fault."""

    engine: Engine
    profile: Profile
    repairs: int = 2

    async def plan(self, session: Session, entries: Sequence[Entry], on_delta: OnDelta) -> tuple[Trajectory, Tokens]:
        """A trajectory for the problem, or its continuation. Raises ReplyUnusable and EngineError with the tokens."""
        messages = plan_messages(session.id, entries, self.profile)
        return await self._ask(
            session, messages, plan_schema(session), lambda text: parse_plan(text, session), on_delta
        )

    async def review(
        self, session: Session, entries: Sequence[Entry], step_id: int, on_delta: OnDelta
    ) -> tuple[Review, Tokens]:
        """The verdict on a step's last instantiation. Raises ReplyUnusable and EngineError with the tokens."""
        messages = review_messages(session.id, entries, step_id, self.profile)
        schema = review_schema(session, step_id)
        return await self._ask(session, messages, schema, lambda text: parse_review(text, session, step_id), on_delta)

    async def _ask(
        self,
        session: Session,
        messages: list[Message],
        schema: dict[str, Any],
        parse: Callable[[str], T],
        on_delta: OnDelta,
    ) -> tuple[T, Tokens]:
        left, spent, prompt = remaining(session), Tokens(), messages
        for attempt in range(self.repairs + 1):
            try:
                reply = await self.engine.chat(
                    prompt,
                    schema=schema,
                    temperature=_RESAMPLING_TEMPERATURE if attempt else 0.0,
                    seed=attempt,
                    max_tokens=max(1, min(_MAX_TOKENS[self.profile], left.tokens - spent.total)),
                    timeout=left.seconds,
                    on_delta=on_delta,
                )
                spent += reply.tokens
                return parse(reply.text), spent
            except ReplyUnusable as error:
                if attempt == self.repairs or spent.total >= left.tokens:
                    error.tokens = spent
                    raise
                if self.profile is Profile.INSTRUCT:  # trained weights know no repair: they are simply asked again
                    prompt = messages + repair_message(reply.text, error, self.profile)
            except EngineError as error:
                error.tokens = spent
                raise
        raise AssertionError("the last attempt returns or raises")
