"""Journal in, prompt out: what the navigator LLM is asked. Pure rendering.

The conversation is rendered from the journal and only ever grows at its end, so the engine's prefix cache serves every
earlier round: the problem, the plan, then one exchange per reviewed step.
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from navigator.errors import ReplyUnusable
from navigator.replies import write_plan, write_review
from navigator.session import advance, fold
from reasonflux.contracts import Entry, Phase, PlanMade, Session, StepReviewed
from reasonflux.engine import Message


class Profile(StrEnum):
    """Which prompts: `instruct` for any capable LLM, `compact` for weights trained by this project."""

    INSTRUCT = "instruct"
    COMPACT = "compact"


def plan_messages(session_id: str, entries: Sequence[Entry], profile: Profile) -> list[Message]:
    """The conversation that ends by asking for a plan, or for the plan past the horizon."""
    messages = conversation(session_id, entries, profile)
    if messages[-1].role == "assistant":
        messages.append(_user("plan_on", profile, horizon=fold(session_id, entries).options.horizon))
    return messages


def review_messages(session_id: str, entries: Sequence[Entry], step_id: int, profile: Profile) -> list[Message]:
    """The conversation that ends by asking for a review of the step's last instantiation."""
    session = fold(session_id, entries)
    return [*conversation(session_id, entries, profile), _outcome(session, step_id, profile)]


def conversation(session_id: str, entries: Sequence[Entry], profile: Profile) -> list[Message]:
    """Every exchange with the navigator LLM so far, beginning with the problem."""
    session = fold(session_id, entries[:1])
    options = session.options
    told = {"statements": session.problem.statements, "turns": session.turns, "earlier": session.statements}
    problem = _user("problem", profile, **told, horizon=options.horizon)
    messages = [*_system(profile), problem]
    for entry in entries[1:]:
        match entry.event:
            case PlanMade(trajectory=trajectory):
                if session.abstraction is not None:
                    messages.append(_user("plan_on", profile, horizon=options.horizon))
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
