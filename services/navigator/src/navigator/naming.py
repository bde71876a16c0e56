"""What a problem's text calls the results of its steps. Pure.

"Let P be the area of the triangle. … The altitude is P." Whoever reads "P" later has to know whose result it is. The
navigator says which statements a step uses; the symbol stands in the last of them, so it is read off here, not told by
the navigator: a small model learns everything else about a step long before it copies the right one of two symbols.
"""

import re
from collections.abc import Iterable, Sequence

from reasonflux.contracts import Statement, Step

_SYMBOL = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")
_NAMING = re.compile(
    r"\b(?:let|define|write|set|take|call(?:ed)?(?: it)?|suppose(?: that)?|denote(?:d)? by) \$?([A-Z])(?![A-Za-z])",
    re.IGNORECASE,
)
_EARLIER = re.compile(
    r"\b(?:(?:the |your |that |this )?(?:previous|last|earlier)|that|this|your) (?:answer|result|value)\b",
    re.IGNORECASE,
)
_CALLED = re.compile(_EARLIER.pattern + r" (?:as |be |by )?\$?([A-Z])(?![A-Za-z])", re.IGNORECASE)


def earlier(statements: Sequence[Statement]) -> str | None:
    """What a follow-up calls the last answer before it: K in "Let K be the previous answer" and "Call that result K",
    else the words themselves."""
    telling = [(statement.text, words[0]) for statement in statements if (words := _EARLIER.search(statement.text))]
    named = [symbol for text, _ in telling for symbol in (*_NAMING.findall(text), *_CALLED.findall(text))]
    return next((symbol for symbol in named if symbol.isupper()), telling[0][1] if telling else None)


def symbols(statements: Sequence[Statement], steps: Iterable[Step]) -> dict[int, str]:
    """The symbols of the results that have one, by step id: what the last statement that the step uses names ("Let P
    be …"), if a later statement mentions it and no step before it is called so."""
    found: dict[int, str] = {}
    for step in steps:
        used = [place for place, statement in enumerate(statements) if statement.id in step.uses]
        if not used:
            continue
        mentioned = _mentioned(statements[used[-1] + 1 :])
        named = [symbol for symbol in _NAMING.findall(statements[used[-1]].text) if symbol.isupper()]
        symbol = next((one for one in named if one in mentioned and one not in found.values()), None)
        if symbol is not None:
            found[step.id] = symbol
    return found


def goals(statements: Sequence[Statement], steps: Sequence[Step]) -> dict[int, str]:
    """The steps' goals by step id, each behind its result's symbol: "P: Find the area of a triangle"."""
    named = symbols(statements, steps)
    return {step.id: f"{named[step.id]}: {step.goal}" if step.id in named else step.goal for step in steps}


def linked(statements: Sequence[Statement], done: Sequence[Step], steps: Sequence[Step]) -> tuple[Step, ...]:
    """The planned `steps`, each using just those of the results with a symbol that its statements mention.

    `done` are the steps before them. Results without a symbol stay as the plan says.
    """
    before = list(done)
    for step in steps:
        named = {f"r{number}": symbol for number, symbol in symbols(statements, before).items()}
        mentioned = _mentioned([statement for statement in statements if statement.id in step.uses])
        stays = [use for use in step.uses if use not in named or named[use] in mentioned]
        added = [name for name, symbol in named.items() if symbol in mentioned and name not in stays]
        before.append(_using(step, (*added, *stays)))
    return tuple(before[len(done) :])


def _using(step: Step, uses: tuple[str, ...]) -> Step:
    """The step with other `uses`; what depends on them is worked out anew, so that it waits for what it now needs."""
    asked = set(step.depends_on) - {int(use[1:]) for use in step.uses if use.startswith("r")}
    return Step.model_validate(step.model_copy(update={"uses": uses, "depends_on": tuple(sorted(asked))}).model_dump())


def _mentioned(statements: Sequence[Statement]) -> set[str]:
    return {symbol for statement in statements for symbol in _SYMBOL.findall(statement.text)}
