"""Fresh variants of a template's example: other numbers in the same sentences, with answers that are known to be right.

A binding that stands in the example's text as a number can be given another number there. The template's formulas give
the variant's answer, and its independent check has to agree with it, so no model is needed and no wrong answer is kept.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from random import Random

from reasonflux.contracts import Contract, ThoughtTemplate
from template_store.quality.checks import Calculates

TRIES = 40
"""Draws per variant asked for; most are refused by a condition of the template (whole numbers, a triangle …)."""
_LITERAL = re.compile(r"-?\d+(?:\.\d+)?")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
# A number that may be exchanged stands alone: not in an exponent, an index or a product, and not in a list of numbers.
_BEFORE = re.compile(r"""(?:^|[\s(\["'$])$""")
_AFTER = re.compile(r"""$|[\s%°)\]"'$]|[.,;:?!](?:\s|$)""")
_LISTED_BEFORE = re.compile(r"(?:\d|\.\.\.)\s*[,;]\s*$")
_LISTED_AFTER = re.compile(r"\s*[,;]\s*(?:-?\d|\.\.\.)")


class Variant(Contract):
    """A problem that the template solves, and its answer as a calculator expression."""

    problem: str
    bindings: dict[str, str]
    answer: str


def slots(template: ThoughtTemplate) -> dict[str, tuple[int, int]]:
    """Where in the example's text each binding stands, for those that stand there exactly once, as a number alone."""
    literals = [text.lstrip("-") for text in template.example.bindings.values() if _LITERAL.fullmatch(text)]
    found = {}
    for name, text in template.example.bindings.items():
        place = _place(template.example.problem, text) if literals.count(text.lstrip("-")) == 1 else None
        if place is not None:
            found[name] = place
    return found


def _place(problem: str, literal: str) -> tuple[int, int] | None:
    if not _LITERAL.fullmatch(literal):
        return None
    runs = [match for match in _DIGITS.finditer(problem) if match.group() == literal.lstrip("-")]
    if len(runs) != 1:
        return None
    end = runs[0].end()
    start = end - len(literal)
    before, after = problem[: max(0, start)], problem[end:]
    alone = problem[start:end] == literal and _BEFORE.search(before) and _AFTER.match(after)
    listed = _LISTED_BEFORE.search(before) or _LISTED_AFTER.match(after)
    return (start, end) if alone and not listed else None


async def variants(template: ThoughtTemplate, calculator: Calculates, *, count: int, seed: int) -> list[Variant]:
    """Up to `count` different variants, the example itself left out; fewer, or none, when the template allows no more.

    Raises CalculatorUnavailable."""
    places = slots(template)
    if not places or not template.formulas:
        return []
    random = Random(f"{template.id} {seed}")
    found: dict[str, Variant] = {}
    for _ in range(TRIES * count):
        bindings = template.example.bindings | _drawn(template, places, random)
        problem = _worded(template, places, bindings)
        if problem == template.example.problem or problem in found:
            continue
        answer = await _answer(template, bindings, calculator)
        if answer is not None:
            found[problem] = Variant(problem=problem, bindings=bindings, answer=answer)
        if len(found) == count:
            break
    return list(found.values())


def _drawn(template: ThoughtTemplate, places: Mapping[str, tuple[int, int]], random: Random) -> dict[str, str]:
    """New numbers of the same sign and decimals, and in the same order of size, which the wording may rely on."""
    old = {name: template.example.bindings[name] for name in places}
    by_size = sorted(old, key=lambda name: float(old[name]))
    for _ in range(TRIES):
        new = {name: _near(old[name], random) for name in old}
        if all(float(new[a]) < float(new[b]) for a, b in pairwise(by_size)):
            return new
    return old


def _near(text: str, random: Random) -> str:
    places = _decimals(text)
    unit = 10**places
    size = round(abs(float(text)) * unit)
    drawn = random.randint(max(min(2, size), size // 2), 4 * size + 3)
    sign = "-" if text.startswith("-") else ""
    return f"{sign}{drawn // unit}" + (f".{drawn % unit:0{places}d}" if places else "")


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _worded(template: ThoughtTemplate, places: Mapping[str, tuple[int, int]], bindings: Mapping[str, str]) -> str:
    text = template.example.problem
    for name, (start, end) in sorted(places.items(), key=lambda place: -place[1][0]):
        text = text[:start] + bindings[name] + text[end:]
    return text


async def _answer(template: ThoughtTemplate, bindings: Mapping[str, str], calculator: Calculates) -> str | None:
    """The formulas' result where the check confirms it and it is a number of the same kind as the example's answer."""
    values = await calculator.evaluate(template.formulas, bindings)
    if len(values) != len(template.formulas) or values[-1].value is None:
        return None
    answer = values[-1].value
    if _kind(answer) != _kind(template.example.answer):
        return None
    verdict = await calculator.evaluate([template.example.check], {**bindings, "answer": answer})
    return answer if verdict and verdict[-1].value == "True" else None


def _kind(answer: str) -> tuple[bool, bool]:
    """Whether it is a whole number, and whether it is below zero: what the example's wording may rely on."""
    return re.fullmatch(r"-?\d+", answer) is not None, answer.startswith("-")
