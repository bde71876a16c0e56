"""What a problem's text calls the results of its steps. Pure.

"Let P be the area of the triangle. … The altitude is P." Whoever reads "P" later has to know whose result it is. The
navigator says which statements a step uses; the symbol stands in the last of them, so it is read off here, not told by
the navigator: a small model learns everything about such a step long before it copies the right one of two symbols.
"""

import re
from collections.abc import Iterable, Sequence

from reasonflux.contracts import Statement, Step

_SYMBOL = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")


def goals(statements: Sequence[Statement], steps: Iterable[Step]) -> dict[int, str]:
    """Step ids to goals, each behind the symbol of its result if it has one: "P: Find the area of a triangle".

    A result's symbol is the first one in the last statement that its step uses which a later statement mentions, and
    which no step before it has taken.
    """
    named: dict[int, str] = {}
    taken = set[str]()
    for step in steps:
        symbol = _symbol(statements, step, taken)
        if symbol is not None:
            taken.add(symbol)
        named[step.id] = step.goal if symbol is None else f"{symbol}: {step.goal}"
    return named


def _symbol(statements: Sequence[Statement], step: Step, taken: set[str]) -> str | None:
    used = [place for place, statement in enumerate(statements) if statement.id in step.uses]
    if not used:
        return None
    mentioned = {symbol for later in statements[used[-1] + 1 :] for symbol in _SYMBOL.findall(later.text)}
    found = _SYMBOL.findall(statements[used[-1]].text)
    return next((symbol for symbol in found if symbol in mentioned and symbol not in taken), None)
