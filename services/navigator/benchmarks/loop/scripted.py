"""Problems whose plans allow steps to overlap, with replies as long as an instructed LLM's, and fixed.

Numbers and lengths are chosen; the calculator, the journal and the prompts are the real ones.
"""

import json
import re
from dataclasses import dataclass

STEP_TOKENS = 120
SHORT, LONG = 30, 120
"""Tokens of a review: one sentence, or the thoughts of a navigator that reasons before its verdict."""
_THOUGHTS = (
    "The statement gives both numbers so the product is what the goal asks for and no unit has to change on the way "
    "because every earlier result was read as it stands and the template fits without a twist "
)


@dataclass(frozen=True)
class Step:
    uses: tuple[str, ...]
    expression: str


@dataclass(frozen=True)
class Scripted:
    name: str
    steps: tuple[Step, ...]
    answer: str
    review_tokens: int = SHORT
    retried: int | None = None
    """The step whose first result is sent back."""
    about: str = ""
    allows: bool = True
    """Whether a good part of the calls need not wait for each other."""

    @property
    def text(self) -> str:
        return f"The case is {self.name}. The numbers are 3, 5, 7 and 11. What is the last value?"


def _chain(length: int) -> tuple[Step, ...]:
    return (Step(("s2",), "3 * 5"), *(Step((f"r{n}",), f"r{n} + 7") for n in range(1, length)))


_FAN = tuple(Step(("s2",), f"{n} * 11") for n in (3, 5, 7, 11))
_BRANCHES = (
    Step(("s2",), "3 * 5"),
    Step(("s2",), "7 * 11"),
    Step(("r1",), "r1 + 7"),
    Step(("r2",), "r2 + 3"),
    Step(("r3", "r4"), "r3 * r4"),
)
PROBLEMS = (
    Scripted("fan", (*_FAN, Step(("r1", "r2", "r3", "r4"), "r1 + r2 + r3 + r4")), "286", about="four steps and a sum"),
    Scripted("branches", _BRANCHES, "1760", about="two chains of two that meet"),
    Scripted("chain", _chain(5), "43", about="five steps, each on the one before; reviews of a sentence", allows=False),
    Scripted("thoughtful-chain", _chain(5), "43", review_tokens=LONG, about="the same; reviews as long as steps"),
    Scripted(
        "sent-back",
        _chain(3),
        "29",
        retried=2,
        allows=False,
        about="three in a row; the second one's first result is refused",
    ),
)


def say(role: str, messages: list[dict[str, str]]) -> str:
    """What an engine says to these messages."""
    asked = messages[-1]["content"]
    if role == "executor":
        return _carried_out(asked)
    problem = _problem(next(message["content"] for message in messages if message["role"] == "user"))
    if reviewed := re.search(r"Step (\d+) \(", asked):
        return _review(problem, int(reviewed[1]), messages)
    return _plan(problem)


def _problem(text: str) -> Scripted:
    name = re.search(r"case is ([a-z-]+)", text)
    assert name is not None, text
    return next(problem for problem in PROBLEMS if problem.name == name[1])


def _plan(problem: Scripted) -> str:
    steps = [
        {"id": n, "goal": f"value {n} of {problem.name}", "template": "", "tags": [], "uses": list(step.uses)}
        for n, step in enumerate(problem.steps, 1)
    ]
    return json.dumps({"abstraction": "values that build on each other", "steps": steps, "complete": True})


def _carried_out(asked: str) -> str:
    goal = re.search(r"value (\d+) of ([a-z-]+)", asked)
    assert goal is not None, asked
    step = next(problem for problem in PROBLEMS if problem.name == goal[2]).steps[int(goal[1]) - 1]
    told = {"fits": True, "reasoning": _words(STEP_TOKENS - 30), "expressions": [step.expression]}
    return json.dumps(told)


def _review(problem: Scripted, step: int, messages: list[dict[str, str]]) -> str:
    reason = _words(problem.review_tokens - 20)
    if step == len(problem.steps):
        return json.dumps({"reason": reason, "verdict": "finish", "answer": f"r{step}"})
    before = sum(f"Step {step} (" in message["content"] for message in messages[:-1])
    sent_back = step == problem.retried and before == 0
    return json.dumps({"reason": reason, "verdict": "retry" if sent_back else "continue"})


def _words(tokens: int) -> str:
    words = _THOUGHTS.split()
    return " ".join(words[n % len(words)] for n in range(max(4, tokens)))
