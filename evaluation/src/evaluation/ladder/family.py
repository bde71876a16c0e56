"""A family: all problems of one kind, told as data plus three small functions.

A family's text is made of *facts* (sentences) and a *quantity* (the noun phrase that is asked for). Keeping the two
apart is what lets families be chained: a middle stage says "Let K be {quantity}.", the last one "What is {quantity}?".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

Number = int | Fraction
Parameters = dict[str, int]


@dataclass(frozen=True)
class Wording:
    """One way to tell the problem. Slots in braces are template variables, `choices`, or what `phrases` returns.

    quantity: a noun phrase, with its article: "the sum of the first {n} terms".
    facts: the sentences before it, each ending with a period.
    question: asks for the quantity in its own words, instead of "What is …?".
    """

    quantity: str
    facts: tuple[str, ...] = ()
    question: str | None = None


@dataclass(frozen=True)
class Family:
    """All problems that one template solves.

    draw: random parameters (one integer per template variable; the keys are the template's variables).
    valid: whether the parameters make a sensible problem with a nice answer (also asked when a parameter was
        replaced by an earlier result).
    value: the gold answer in plain Python integers and fractions; never with the calculator.
    check: whether an answer is right, by another way than `value` (substitution, enumeration, a second formula).
    feeds: variables that an earlier stage's result may supply; they must be shown as `{variable}` in every wording.
    goal: the noun phrase of the quantity in few words, without numbers.
    phrases: further slots computed from the shown variables (strings, as they will stand in the text) and parameters.
    choices: further slots, one of the listed words each.
    """

    name: str
    template_id: str
    goal: str
    wordings: tuple[Wording, ...]
    draw: Callable[[Random], Parameters]
    value: Callable[[Parameters], Number]
    check: Callable[[Parameters, Number], bool]
    valid: Callable[[Parameters], bool] = lambda _: True
    feeds: tuple[str, ...] = ()
    phrases: Callable[[Mapping[str, str], Parameters], dict[str, str]] | None = None
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def polynomial(coefficients: tuple[int, ...], unknown: str = "x") -> str:
    """`(1, -5, 6)` → `x^2 - 5x + 6`; highest power first."""
    degree, text = len(coefficients) - 1, ""
    for position, coefficient in enumerate(coefficients):
        power = degree - position
        if coefficient == 0:
            continue
        size = "" if abs(coefficient) == 1 and power > 0 else str(abs(coefficient))
        term = size + {0: "", 1: unknown}.get(power, f"{unknown}^{power}")
        if not text:
            text = f"-{term}" if coefficient < 0 else term
        else:
            text += f" - {term}" if coefficient < 0 else f" + {term}"
    return text or "0"


def linear(a: int, b: int, first: str = "x", second: str = "y") -> str:
    """`(2, -3)` → `2x - 3y`; both coefficients must be non-zero."""
    sign = "-" if b < 0 else "+"
    return f"{polynomial((a, 0), first)} {sign} {polynomial((abs(b), 0), second)}"


def show(value: Number) -> str:
    """The exact text of a number: `7`, `-3`, `22/7`."""
    return str(value)
