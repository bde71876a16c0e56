"""Asking the navigator LLM: render, ask, parse; a reply that cannot be used is repaired a bounded number of times."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from navigator import view
from navigator.errors import ReplyUnusable, TokensSpent
from navigator.planning import Profile, plan_messages, reads_in_view, repair_message, review_messages
from navigator.policy import remaining
from navigator.replies import parse_plan, parse_review, plan_schema, review_schema
from reasonflux.contracts import DEFAULT_ENGINE, Budget, Entry, Problem, Review, Session, Tokens, Trajectory
from reasonflux.engine import Engine, Message, OnDelta, OnUsage
from reasonflux.engines import no_such_engine
from reasonflux.errors import EngineError

T = TypeVar("T", Trajectory, Review)

_MAX_TOKENS = {Profile.INSTRUCT: 2_048, Profile.COMPACT: 512}
_RESAMPLING_TEMPERATURE = 0.7


@dataclass(frozen=True)
class NavigatorLLM:
    """The navigator role on an engine. `repairs`: how often an unusable reply may be answered with its fault.

    `others`: the same role on the engines that a session may choose by name.
    """

    engine: Engine
    profile: Profile
    repairs: int = 2
    others: Mapping[str, "NavigatorLLM"] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    @property
    def engines(self) -> tuple[str, ...]:
        """The names that a session may choose, this one's first."""
        return (DEFAULT_ENGINE, *self.others)

    def on(self, engine: str) -> "NavigatorLLM":
        """The role on the engine of this name. Raises InvalidRequest for a name that is none (any more)."""
        if engine == DEFAULT_ENGINE:
            return self
        if engine not in self.others:
            raise no_such_engine(engine, self.others)
        return self.others[engine]

    def horizon_for(self, problem: Problem, *, goes_on: bool = False) -> int | None:
        """How many steps to plan at a time where nobody says; None: the whole trajectory. `goes_on`: whether anything
        was said before."""
        return view.horizon_for(problem, goes_on=goes_on) if self.profile is Profile.COMPACT else None

    def plans_from_view(self, session: Session) -> bool:
        """Whether the next plan is made from what is left and the results, whatever the reviews said of them."""
        engine = session.options.engine
        # One that is offered no more cannot plan at all; the planning says so.
        return engine in self.engines and reads_in_view(session, self.on(engine).profile)

    async def plan(
        self, session: Session, entries: Sequence[Entry], on_delta: OnDelta, on_usage: OnUsage | None = None
    ) -> tuple[Trajectory, Tokens]:
        """A trajectory for the problem, or its continuation. Raises NavigatorError, EngineError with the tokens."""
        chosen = self.on(session.options.engine)
        messages = plan_messages(session.id, entries, chosen.profile)
        schema = plan_schema(
            session,
            marks_done=reads_in_view(session, chosen.profile),
            in_words=chosen.profile is Profile.INSTRUCT,  # trained weights only plan
            only_shown=chosen.profile is Profile.COMPACT,
        )
        read = partial(chosen._planned, session=session)
        return await chosen._ask(session, messages, schema, read, on_delta, on_usage)

    def _planned(self, text: str, session: Session) -> Trajectory:
        """Trained weights plan on to the answer: to stop half-way is no answer, but a slip."""
        trajectory = parse_plan(text, session, by_symbol=self.profile is Profile.COMPACT)
        if self.profile is Profile.COMPACT and session.steps and not trajectory.steps:
            raise ReplyUnusable("the plan so far does not reach the answer, and this one adds no step")
        return trajectory

    async def review(
        self,
        session: Session,
        entries: Sequence[Entry],
        step_id: int,
        on_delta: OnDelta,
        on_usage: OnUsage | None = None,
    ) -> tuple[Review, Tokens]:
        """The verdict on a step's last instantiation. Raises NavigatorError and EngineError with the tokens."""
        chosen = self.on(session.options.engine)
        messages = review_messages(session.id, entries, step_id, chosen.profile)
        schema = review_schema(session, step_id, only_shown=chosen.profile is Profile.COMPACT)
        read = partial(parse_review, session=session, step_id=step_id, by_symbol=chosen.profile is Profile.COMPACT)
        return await chosen._ask(session, messages, schema, read, on_delta, on_usage)

    async def _ask(
        self,
        session: Session,
        messages: list[Message],
        schema: dict[str, Any],
        parse: Callable[[str], T],
        on_delta: OnDelta,
        on_usage: OnUsage | None,
    ) -> tuple[T, Tokens]:
        left, spent, prompt = remaining(session), Tokens(), messages
        sampling, began = session.options.sampling, self.clock()

        async def count(tokens: Tokens) -> None:
            if on_usage is not None:
                await on_usage(spent + tokens)

        for attempt in range(self.repairs + 1):
            try:
                reply = await self.engine.chat(
                    prompt,
                    schema=schema,
                    temperature=max(_RESAMPLING_TEMPERATURE if attempt else 0.0, sampling.temperature or 0.0),
                    seed=(sampling.seed or 0) + attempt,
                    max_tokens=max(1, min(_MAX_TOKENS[self.profile], unspent(left, spent).generation)),
                    timeout=left.seconds - (self.clock() - began),
                    on_delta=on_delta,
                    on_usage=count,
                )
                spent += reply.tokens
                return parse(reply.text), spent
            except ReplyUnusable as error:
                if unspent(left, spent).generation == 0:
                    raise _cut_short(spent) from error
                if attempt == self.repairs:
                    error.tokens = spent
                    raise
                if self.profile is Profile.INSTRUCT:  # trained weights know no repair: they are simply asked again
                    prompt = messages + repair_message(reply.text, error, self.profile)
            except EngineError as error:
                error.tokens = spent
                raise
        raise AssertionError("the last attempt returns or raises")


def _cut_short(spent: Tokens) -> TokensSpent:
    error = TokensSpent("the tokens ran out before the navigator's reply was complete", hint="give it more tokens")
    error.tokens = spent
    return error


def unspent(left: Budget, spent: Tokens) -> Budget:
    return left.minus(tokens=spent.total, completion=spent.completion)
