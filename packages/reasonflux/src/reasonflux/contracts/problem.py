"""A problem and its statements.

A problem is cut into statements so that the navigator can point at what a step needs, and the executor sees only that.
"""

import re

from pydantic import Field, field_validator

from reasonflux.contracts.base import Contract

MAX_PROBLEM_CHARS = 20_000

_ABBREVIATIONS = ("i.e.", "e.g.", "etc.", "vs.", "approx.", "resp.", "Fig.", "No.", "Dr.", "Mr.", "Mrs.", "Ms.", "St.")
_BOUNDARY = re.compile(r"(?<=[.?!])[\"')\]]*\s+(?=[\"'(\[$\\A-Z0-9])|\n\s*\n")
_MATH = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)", re.DOTALL)


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
        if not text.strip():
            raise ValueError("the problem is empty: send its text")
        return text.strip()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The text cut at sentence ends; formulas and common abbreviations are never cut."""
        return tuple(Statement(id=f"s{n}", text=part) for n, part in enumerate(split_sentences(self.text), 1))


def split_sentences(text: str) -> list[str]:
    """Cut English prose with LaTeX into sentences; joining them with spaces gives back the text up to white space."""
    protected = [match.span() for match in _MATH.finditer(text)]
    parts, start = [], 0
    for match in _BOUNDARY.finditer(text):
        inside_math = any(low < match.start() < high for low, high in protected)
        if inside_math or text[start : match.start()].endswith(_ABBREVIATIONS):
            continue
        parts.append(text[start : match.end()])
        start = match.end()
    parts.append(text[start:])
    return [" ".join(part.split()) for part in parts if part.strip()]
