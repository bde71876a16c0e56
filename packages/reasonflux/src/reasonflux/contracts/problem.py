"""A problem and its statements.

A problem is cut into statements so that the navigator can point at what a step needs, and the executor sees only that.
"""

import re
from bisect import bisect_left

from pydantic import Field, field_validator

from reasonflux.contracts.base import Contract

MAX_PROBLEM_CHARS = 20_000

_ABBREVIATIONS = ("i.e.", "e.g.", "etc.", "vs.", "approx.", "resp.", "Fig.", "No.", "Dr.", "Mr.", "Mrs.", "Ms.", "St.")
_BOUNDARY = re.compile(r"(?<=[.?!])[\"')\]]*\s+(?=[\"'(\[$\\A-Z0-9])|\n\s*\n")

# What opens a formula, and what closes it. Dollars that open none: `\$`, and a price, which is `$5.20` before a word or
# the end. A `$` right before a digit may open a price or a formula, so it closes nothing.
_PRICE = r"\$\d[\d,]*(?:\.\d+)?[.,;:?!)]*(?=\s+[A-Za-z]{2}|\s*\Z)"
_OPENING = re.compile(_PRICE + r"|\\begin\{(\w+\*?)\}|\\.|\$\$|\$", re.DOTALL)
_CLOSING = {
    "$$": re.compile(r"\$\$"),
    "$": re.compile(r"(?<!\\)\$(?!\d)"),
    "\\[": re.compile(r"\\\]"),
    "\\(": re.compile(r"\\\)"),
}


class Statement(Contract):
    """One sentence of a problem, named `s1`, `s2`, … in reading order."""

    id: str = Field(pattern=r"^s\d+$")
    text: str


class Problem(Contract):
    """A problem as its author wrote it; LaTeX is kept untouched."""

    text: str = Field(min_length=1, max_length=MAX_PROBLEM_CHARS)

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        return not_blank(text)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The text cut at sentence ends; formulas and common abbreviations are never cut."""
        return tuple(Statement(id=f"s{n}", text=part) for n, part in enumerate(split_sentences(self.text), 1))


def not_blank(text: str) -> str:
    """The text without white space around it. Raises ValueError when nothing is left."""
    if not text.strip():
        raise ValueError("the problem is empty: send its text")
    return text.strip()


def split_sentences(text: str) -> list[str]:
    """Cut English prose with LaTeX into sentences; joining them with spaces gives back the text up to white space."""
    spans = formulas(text)
    parts, start = [], 0
    for match in _BOUNDARY.finditer(text):
        at = bisect_left(spans, (match.start(), 0))  # the formula before this place, if any, is the one before `at`
        inside_formula = at > 0 and match.start() < spans[at - 1][1]
        if inside_formula or text.endswith(_ABBREVIATIONS, start, match.start()):
            continue
        parts.append(text[start : match.end()])
        start = match.end()
    parts.append(text[start:])
    return [" ".join(part.split()) for part in parts if part.strip()]


def formulas(text: str) -> list[tuple[int, int]]:
    """Where formulas stand, in order. Linear also on hostile text: what has no closing is looked for only once."""
    spans: list[tuple[int, int]] = []
    unclosed: set[str] = set()
    place = 0
    while opening := _OPENING.search(text, place):
        token, place = opening[0], opening.end()
        closing = re.compile(rf"\\end\{{{re.escape(opening[1])}\}}") if opening[1] else _CLOSING.get(token)
        if closing is None or token in unclosed:
            continue
        end = closing.search(text, place)
        if end is None:
            unclosed.add(token)
        else:
            place = end.end()
            spans.append((opening.start(), place))
    return spans
