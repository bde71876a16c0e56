"""A session as a worked solution in Markdown, to keep and to share. Pure.

Texts of models and templates are shown as they are and mean nothing: what Markdown or HTML would read is escaped.
"""

import re
from collections.abc import Iterator

from reasonflux.contracts import Calculation, Outcome, Phase, Session, StepState
from reasonflux.contracts.problem import formulas

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~]|(?m:^)(?:[#+-]|\d+[.)])(?=\s))")


def markdown(session: Session) -> str:
    """The problem, each step that counted, and the answer."""
    return "\n\n".join(_blocks(session)) + "\n"


def _blocks(session: Session) -> Iterator[str]:
    yield f"# {_title(session)}"
    yield "\n".join(f"> {line}" for line in prose(session.problem.text).splitlines())
    if session.abstraction:
        yield f"**Approach.** {prose(session.abstraction)}"
    for state in session.steps:
        if state.phase is not Phase.DROPPED and state.instantiations:
            yield from _step(state)
    if dropped := [state for state in session.steps if state.phase is Phase.DROPPED]:
        yield "## Struck out when the plan changed"
        yield "\n".join(f"- ~~{state.step.id}. {prose(state.step.goal)}~~" for state in dropped)
    yield "## Answer"
    yield _answer(session)
    yield "---"
    yield _footer(session)


def _title(session: Session) -> str:
    ends = {Outcome.SOLVED: "A worked solution", Outcome.CANCELLED: "Cancelled", None: "Under way"}
    return ends.get(session.outcome, "Not solved")


def _step(state: StepState) -> Iterator[str]:
    done = state.instantiations[-1]
    template = state.retrieval.template if state.retrieval else None
    yield f"## Step {state.step.id}. {prose(state.step.goal)}"
    if template is not None:
        yield f"By *{prose(template.name)}* (`{template.id}`, revision {template.revision})."
    if done.reasoning:
        yield prose(done.reasoning)
    if done.bindings:
        yield "With " + ", ".join(f"{code(name)} = {code(value)}" for name, value in done.bindings.items()) + "."
    if done.calculations:
        yield "\n".join(f"- {_calculated(calculation)}" for calculation in done.calculations)
    if done.failure is not None:
        yield f"**No result:** {prose(done.failure.message)}"
    elif done.result is not None:
        yield f"**Result:** {code(done.result)}"


def _calculated(calculation: Calculation) -> str:
    if calculation.error is not None:
        return f"{code(calculation.statement)}: {prose(calculation.error.message)}"
    return f"{code(calculation.statement)} → {code(calculation.value or '')}"


def _answer(session: Session) -> str:
    if session.answer is not None:
        return f"**{prose(session.answer)}**"
    return prose(session.explanation) or "There is none yet."


def _footer(session: Session) -> str:
    spent = session.usage.all
    rounds = "1 round" if session.rounds == 1 else f"{session.rounds} rounds"
    calls = "1 call" if spent.calls == 1 else f"{spent.calls} calls"
    return (
        f"Session `{session.id}`, {session.started_at:%Y-%m-%d %H:%M} UTC · {rounds} · "
        f"{spent.total} tokens ({spent.cached} cached) in {calls} · {session.seconds:.1f} s"
    )


def prose(text: str) -> str:
    """Text that says in Markdown what it says; formulas stay formulas."""
    parts, place = [], 0
    for start, end in formulas(text):
        parts += [_SPECIAL.sub(r"\\\1", text[place:start]), text[start:end].replace("<", r"\lt ")]
        place = end
    return "".join([*parts, _SPECIAL.sub(r"\\\1", text[place:])])


def code(text: str) -> str:
    """A code span, whatever backticks are in it."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence, gap = "`" * (longest + 1), " " * (longest > 0 or not text)
    return f"{fence}{gap}{' '.join(text.split())}{gap}{fence}"
