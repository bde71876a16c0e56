"""Follow-up questions: the second half of a chain of two, asked in a conversation after the first was answered."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from evaluation.ladder import ALL, LadderProblem, Stage
from reasonflux.contracts import Problem, Turn, TurnStep

_OPENINGS = (
    "Let {symbol} be the previous answer.",
    "Now let {symbol} be that result.",
    "Let {symbol} denote your last answer.",
    "Call the previous result {symbol}.",
    "Take the last answer as {symbol}.",
)


@dataclass(frozen=True)
class FollowUp:
    """A problem that goes on from `turn`. `stage` is its gold step; it uses the earlier answer as a statement."""

    text: str
    turn: Turn
    stage: Stage
    told: str
    """The statement that tells the earlier answer, as sessions tell it."""


def follow_ups(problems: Iterator[LadderProblem], rng: Random) -> Iterator[FollowUp]:
    """One for every chain of two among the problems."""
    for problem in problems:
        if problem.depth == 2 and "r1" in problem.stages[1].uses:
            yield _split(problem, rng)


def _split(problem: LadderProblem, rng: Random) -> FollowUp:
    first, second = problem.stages
    texts = {statement.id: statement.text for statement in Problem(text=problem.text).statements}
    symbol = problem.sketch.symbols[0]
    own = [rng.choice(_OPENINGS).format(symbol=symbol), *(texts[use] for use in second.uses if use in texts)]
    asked = " ".join(texts[use] for use in first.uses)
    goal = f"Find {ALL[first.family].goal}"
    turn = Turn(problem=asked, reply=first.result, steps=(TurnStep(id=1, goal=goal, result=first.result),))
    behind = (
        len(own) + len(Problem(text=asked).statements) + 1
    )  # earlier statements are numbered on behind the own ones
    uses = (*(f"s{n}" for n in range(1, len(own) + 1)), f"s{behind}")
    bindings = {variable: first.result if value == "r1" else value for variable, value in second.bindings.items()}
    stage = second.model_copy(update={"id": 1, "uses": uses, "bindings": bindings})
    return FollowUp(" ".join(own), turn, stage, f"Earlier result: {goal}: {first.result}")
