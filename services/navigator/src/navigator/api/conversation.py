"""Earlier turns of a conversation, from what a client sends and from sessions that have answered. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from navigator.api.outcome import answer_in, content_of
from reasonflux.contracts import (
    MAX_INSTRUCTIONS_CHARS,
    MAX_TOLD_CHARS,
    MAX_TURN_STEPS,
    MAX_TURNS,
    Instantiation,
    Session,
    StepState,
    Turn,
    TurnStep,
)

SYSTEM_ROLES = ("system", "developer")

GOAL = "Find the value of the answer"
"""Of an earlier turn of which nothing but the reply is known: the shipped weights learned three in ten follow-ups with
these words (`training.corpus.follow_ups`)."""

LONGEST_PROBLEM = 4_000
LONGEST_REPLY = 4_000
LONGEST_CONVERSATION = 32_000
"""Characters of earlier turns that are taken along, so that a long chat still fits into an engine's context."""
LONGEST_REASONING = 2_000
MOST_CALCULATIONS = 20


class Said(NamedTuple):
    """A message of a conversation."""

    role: str
    text: str


def turn_of(session: Session) -> Turn:
    """A finished session as a follow-up sees it."""
    steps = tuple(_step(state, state.result) for state in session.steps if state.result is not None)
    return Turn(
        problem=session.problem.text[:LONGEST_PROBLEM],
        reply=content_of(session)[:LONGEST_REPLY],
        session=session.id,
        abstraction=(session.abstraction or "")[:LONGEST_REPLY],
        steps=steps[-MAX_TURN_STEPS:],
    )


def instructions_in(messages: Sequence[Said]) -> str:
    """What system and developer messages say, wherever they stand. Raises ValueError when that is too much."""
    told = "\n\n".join(message.text.strip() for message in messages if message.role in SYSTEM_ROLES).strip()
    if len(told) > MAX_INSTRUCTIONS_CHARS:
        raise ValueError(f"system messages are longer than {MAX_INSTRUCTIONS_CHARS} characters together")
    return told


def split(messages: Sequence[Said]) -> tuple[tuple[Turn, ...], str]:
    """The earlier turns, and the problem: the last user message. Raises ValueError when there is none.

    Messages of the user in a row belong together; those of tools are left out, and system messages stand elsewhere.
    """
    asked = [place for place, message in enumerate(messages) if message.role == "user"]
    if not asked:
        raise ValueError("there is no user message: the problem is the last one")
    turns: list[Turn] = []
    for role, text in messages[: asked[-1]]:
        if role == "user":
            turns.append(Turn(problem=text[:LONGEST_PROBLEM]))
        elif role == "assistant" and turns:
            last = turns.pop()
            turns.append(last.model_copy(update={"reply": f"{last.reply}\n{text}".strip()[:LONGEST_REPLY]}))
    return tuple(_understood(turn) for turn in _joined(turns)), messages[asked[-1]].text


def latest(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The last turns, as many as there is room for; the very last one in any case."""
    kept: list[Turn] = []
    room = LONGEST_CONVERSATION
    for turn in reversed(turns[-MAX_TURNS:]):
        room -= len(turn.model_dump_json())
        if kept and room < 0:
            break
        kept.append(turn)
    return tuple(reversed(kept))


def _understood(turn: Turn) -> Turn:
    """With the answer in a reply of ours as a result that steps may use: chat clients send no more of it back."""
    answer = answer_in(turn.reply)
    return turn if answer is None else turn.model_copy(update={"steps": (TurnStep(id=1, goal=GOAL, result=answer),)})


def _joined(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """A message without a reply goes on in the next one."""
    told: list[Turn] = []
    for turn in turns:
        if told and not told[-1].reply:
            begun = told.pop().problem
            turn = turn.model_copy(update={"problem": f"{begun}\n\n{turn.problem}"[:LONGEST_PROBLEM]})
        told.append(turn)
    return tuple(told)


def _step(state: StepState, result: str) -> TurnStep:
    done: Instantiation = state.instantiations[-1]
    calculated = [each for each in done.calculations if each.value is not None]
    template = state.retrieval.template if state.retrieval else None
    return TurnStep(
        id=state.step.id,
        goal=state.step.goal[:MAX_TOLD_CHARS],
        template=template.name[:1_000] if template else None,
        reasoning=done.reasoning[:LONGEST_REASONING],
        calculations=tuple(f"{each.statement} = {each.value}" for each in calculated[:MOST_CALCULATIONS]),
        result=result[:MAX_TOLD_CHARS],
    )
