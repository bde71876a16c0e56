"""Follow-up questions: the second half of a chain of two, asked in a conversation after the first was answered."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from evaluation.ladder import ALL, LadderProblem, Stage
from navigator import brief
from navigator.session import fold
from reasonflux.contracts import Entry, KnownResult, Problem, SessionStarted, Turn, TurnStep

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

_OPENINGS = (
    "Let {symbol} be the previous answer.",
    "Now let {symbol} be that result.",
    "Let {symbol} denote your last answer.",
    "Call the previous result {symbol}.",
    "Take the last answer as {symbol}.",
)
_WORDS = ("the previous answer", "the last answer", "that result", "your last answer", "the previous result")
_PLAIN = 0.4
"""Of the follow-ups: those that speak of "the previous answer" where it is needed, without a symbol for it."""

_CHAT = 0.3
"""Of the earlier answers: those that a chat client sends back; nothing tells what they answer."""

_LONGER = 0.3
"""Of the conversations: those that began a turn earlier."""


@dataclass(frozen=True)
class FollowUp:
    """A problem that goes on from earlier turns. `stage` is its gold step; it uses the last answer, `known`."""

    started: SessionStarted
    stage: Stage
    known: KnownResult


def follow_ups(problems: Iterator[LadderProblem], rng: Random) -> Iterator[FollowUp]:
    """One for every chain of two among the problems."""
    before: tuple[Turn, ...] = ()
    for problem in problems:
        if problem.depth == 2 and "r1" in problem.stages[1].uses:
            asked = _split(problem, before if rng.random() < _LONGER else (), rng)
            before = asked.started.turns[-1:]
            yield asked


def _split(problem: LadderProblem, before: tuple[Turn, ...], rng: Random) -> FollowUp:
    first, second = problem.stages
    texts = {statement.id: statement.text for statement in Problem(text=problem.text).statements}
    own = _asked([texts[use] for use in second.uses if use in texts], problem.sketch.symbols[0], rng)
    goal = "Find the value of the answer" if rng.random() < _CHAT else f"Find {ALL[first.family].goal}"
    turn = Turn(
        problem=" ".join(texts[use] for use in first.uses),
        reply=first.result,
        steps=(TurnStep(id=1, goal=goal, result=first.result),),
    )
    started = SessionStarted(problem=Problem(text=" ".join(own)), turns=(*before, turn))
    known = brief.earlier_results(fold("follow-up", [Entry(seq=1, at=_EPOCH, event=started)]))[-1]
    uses = (*(statement.id for statement in started.problem.statements), known.name)
    bindings = {variable: known.name if value == "r1" else value for variable, value in second.bindings.items()}
    stage = second.model_copy(update={"id": 1, "uses": uses, "bindings": bindings})
    return FollowUp(started, stage, known)


def _asked(sentences: list[str], symbol: str, rng: Random) -> list[str]:
    """The follow-up's sentences: the symbol introduced in front of them, or words in its place."""
    if rng.random() >= _PLAIN:
        return [rng.choice(_OPENINGS).format(symbol=symbol), *sentences]
    words = rng.choice(_WORDS)
    return [re.sub(rf"(?<![A-Za-z]){symbol}(?![A-Za-z])", words, sentence) for sentence in sentences]
