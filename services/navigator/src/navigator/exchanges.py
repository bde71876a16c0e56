"""What the engines were asked, rendered again from the journal.

The conversation with the navigator LLM is a rendering of the journal (ADR 0002), and what an executor sees of a step
follows from it too, so no prompt has to be kept. Repairs of unusable replies are not in the journal, and not here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from navigator.brief import request_for
from navigator.errors import SessionNotFound
from navigator.llm import NavigatorLLM
from navigator.planning import Profile, plan_messages, review_messages
from navigator.policy import Instantiate
from navigator.ports import Executor
from navigator.replies import write_plan, write_review
from navigator.session import fold
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Entry,
    Exchange,
    Instantiation,
    Message,
    PlanMade,
    StepInstantiated,
    StepReviewed,
)
from reasonflux.errors import NotFound


@dataclass(frozen=True)
class Exchanges:
    llm: NavigatorLLM
    """Says which prompts a session's engine is given."""
    executor: Executor
    """Renders its own prompts."""

    async def of(self, session_id: str, entries: Sequence[Entry]) -> Exchange:
        """The exchange that the last of these entries came out of. Raises NotFound when it came out of none."""
        if not entries:
            raise SessionNotFound(f"There is no such event of session {session_id}.")
        before, event = entries[:-1], entries[-1].event
        match event:
            case PlanMade():
                return self._planned(session_id, before, write_plan(event.trajectory))
            case StepReviewed():
                return self._reviewed(session_id, before, event.step_id, write_review(event.review))
            case StepInstantiated():
                return await self._carried_out(session_id, before, event.step_id, _kept(event.instantiation))
            case ActionFailed(action=ActionKind.PLAN):
                return self._planned(session_id, before, None)
            case ActionFailed(action=ActionKind.REVIEW, step_id=int() as step_id):
                return self._reviewed(session_id, before, step_id, None)
            case ActionFailed(action=ActionKind.INSTANTIATE, step_id=int() as step_id):
                return await self._carried_out(session_id, before, step_id, None)
        raise NotFound(
            f"no engine was asked for event {entries[-1].seq}",
            hint="plan.made, step.instantiated and step.reviewed come out of an exchange, and their failures",
        )

    def _planned(self, session_id: str, before: Sequence[Entry], reply: str | None) -> Exchange:
        return _navigators(plan_messages(session_id, before, self._profile(session_id, before)), reply)

    def _reviewed(self, session_id: str, before: Sequence[Entry], step_id: int, reply: str | None) -> Exchange:
        return _navigators(review_messages(session_id, before, step_id, self._profile(session_id, before)), reply)

    def _profile(self, session_id: str, entries: Sequence[Entry]) -> Profile:
        return self.llm.on(fold(session_id, entries[:1]).options.engine).profile

    async def _carried_out(self, session_id: str, before: Sequence[Entry], step_id: int, reply: str | None) -> Exchange:
        session = fold(session_id, before)
        attempt = len(session.step(step_id).instantiations) + 1
        prompt = await self.executor.prompt(request_for(session, Instantiate(step_id, attempt)))
        return Exchange(role="executor", messages=prompt.messages, reply=reply)


def _navigators(messages: Sequence[Message], reply: str | None) -> Exchange:
    return Exchange(role="navigator", messages=tuple(messages), reply=reply)


def _kept(done: Instantiation) -> str:
    """What the journal keeps of the executor LLM's reply, and what became of it."""
    return done.model_dump_json(exclude={"usage", "attempts"}, exclude_defaults=True)
