"""Journal in, prompt out: what the navigator LLM is asked. Pure rendering.

The conversation is rendered from the journal and only ever grows at its end, so the engine's prefix cache serves every
earlier round: the problem, the plan, then one exchange per reviewed step. With the compact profile and a horizon it
begins anew at every plan, with a view of what is left (`navigator.view`).
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from navigator.errors import ReplyUnusable
from navigator.replies import write_plan, write_review
from navigator.session import advance, fold
from navigator.view import view, whole
from reasonflux.contracts import Entry, Phase, PlanMade, Session, StepReviewed
from reasonflux.engine import Message


class Profile(StrEnum):
    """Which prompts: `instruct` for any capable LLM, `compact` for weights trained by this project."""

    INSTRUCT = "instruct"
    COMPACT = "compact"


def plan_messages(session_id: str, entries: Sequence[Entry], profile: Profile) -> list[Message]:
    """The conversation that ends by asking for a plan, or for the plan past the horizon."""
    messages = conversation(session_id, entries, profile)
    return _asked_on(messages, fold(session_id, entries), profile) if messages[-1].role == "assistant" else messages


def review_messages(session_id: str, entries: Sequence[Entry], step_id: int, profile: Profile) -> list[Message]:
    """The conversation that ends by asking for a review of the step's last instantiation."""
    session = fold(session_id, entries)
    return [*conversation(session_id, entries, profile), _outcome(session, step_id, profile)]


def conversation(session_id: str, entries: Sequence[Entry], profile: Profile) -> list[Message]:
    """Every exchange with the navigator LLM so far, beginning with the problem."""
    session = fold(session_id, entries[:1])
    messages = [*_system(profile), _problem(session, profile)]
    for entry in entries[1:]:
        match entry.event:
            case PlanMade(trajectory=trajectory):
                if session.abstraction is not None:
                    messages = _asked_on(messages, session, profile)
                messages.append(Message(role="assistant", content=write_plan(trajectory)))
            case StepReviewed(step_id=step_id, review=review):
                messages.append(_outcome(session, step_id, profile))
                messages.append(Message(role="assistant", content=write_review(review)))
        session = advance(session, entry)
    return messages


def repair_message(reply: str, error: ReplyUnusable, profile: Profile) -> list[Message]:
    """What to append to a prompt whose reply could not be used."""
    return [
        Message(role="assistant", content=reply),
        _user("repair", profile, problem=error.failure.message),
    ]


def reads_in_view(session: Session, profile: Profile) -> bool:
    """Whether the next plan is made from a view of what is left, instead of the whole problem."""
    planned = session.abstraction is not None
    return profile is Profile.COMPACT and (planned or session.options.horizon is not None)


def _problem(session: Session, profile: Profile) -> Message:
    horizon = session.options.horizon
    if reads_in_view(session, profile):
        # A whole plan that leaves something open goes on step by step: only that question says where to number on.
        return _user("problem", profile, view=view(session), horizon=horizon or 1)
    if profile is Profile.COMPACT:
        return _user("problem", profile, view=whole(session), horizon=None)
    told = {"statements": session.problem.statements, "turns": session.turns, "earlier": session.statements}
    return _user("problem", profile, **told, horizon=horizon, instructions=session.instructions)


def _asked_on(messages: list[Message], session: Session, profile: Profile) -> list[Message]:
    """The conversation with the question for the plan past the horizon."""
    if profile is Profile.COMPACT:
        return [_problem(session, profile)]
    return [*messages, _user("plan_on", profile, horizon=session.options.horizon)]


def _outcome(session: Session, step_id: int, profile: Profile) -> Message:
    state = session.step(step_id)
    undone = (Phase.PLANNED, Phase.RETRIEVED, Phase.INSTANTIATED)
    return _user(
        "outcome",
        profile,
        step=state.step,
        instantiation=state.instantiations[-1],
        template=state.retrieval.template if state.retrieval else None,
        left=[other.step.id for other in session.steps if other.phase in undone and other is not state],
    )


def _system(profile: Profile) -> list[Message]:
    """Trained weights need no instructions."""
    if profile is Profile.COMPACT:
        return []
    return [Message(role="system", content=_render("system", profile))]


def _user(name: str, profile: Profile, **values: Any) -> Message:
    return Message(role="user", content=_render(name, profile, **values))


def _render(name: str, profile: Profile, **values: Any) -> str:
    return _templates().get_template(f"{profile.value}/{name}.jinja").render(values).rstrip("\n")


@cache
def _templates() -> Environment:
    return Environment(loader=PackageLoader("navigator", "prompts"), undefined=StrictUndefined, autoescape=False)
