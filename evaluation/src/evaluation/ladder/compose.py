"""Families composed into problems: chains, and branches that meet again.

A middle stage names its quantity ("Let K be …"), a later one uses the name in place of a number. Which statements and
which earlier results a stage uses follows from where they were put, so the gold trajectory needs no second reading.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from string import Formatter

from evaluation.ladder.families import ALL
from evaluation.ladder.family import Family, Number, Parameters, Wording, show
from evaluation.ladder.problem import LadderProblem, Split, Stage

MAX_DEPTH = 6
_SYMBOLS = "KLMNPQRSTUVW"
_NAMINGS = (
    "Let {symbol} be {quantity}.",
    "Let {symbol} denote {quantity}.",
    "Define {symbol} as {quantity}.",
    "Write {symbol} for {quantity}.",
    "Suppose that {symbol} is {quantity}.",
)
_QUESTIONS = ("What is {quantity}?", "Find {quantity}.", "Compute {quantity}.", "Determine {quantity}.")
_DISTRACTORS = (
    "This exercise is number {n} on the sheet.",
    "The sheet was handed out to {n} students.",
    "A calculator was not allowed in the {n} minutes of the test.",
    "Only {n} people in the class tried it.",
    "It is worth {n} points.",
    "Another {n} exercises follow on the next page.",
)
_TRIES = 200


@dataclass(frozen=True)
class _Named:
    """An earlier stage's result under its name in the text."""

    stage: int
    symbol: str
    value: int


def generate(
    split: Split, depths: Sequence[int], *, seed: int, families: Sequence[str] | None = None, distractors: float = 0.15
) -> Iterator[LadderProblem]:
    """An endless stream of distinct problems of the split, depths in turn; the same seed gives the same stream."""
    rng, seen = Random(seed), set[str]()
    pool = [ALL[name] for name in families] if families else list(ALL.values())
    turn = 0
    while True:
        problem = compose(rng, depths[turn % len(depths)], pool, distractors)
        if problem is not None and problem.split is split and problem.id not in seen:
            seen.add(problem.id)
            turn += 1
            yield problem


def compose(rng: Random, depth: int, pool: Sequence[Family], distractors: float = 0.15) -> LadderProblem | None:
    """One problem of `depth` stages, or None where the drawn families would not fit together."""
    symbols = rng.sample(_SYMBOLS, depth)
    stages: list[Stage] = []
    sentences: list[str] = []
    loose: list[_Named] = []  # named results that no later stage has used yet
    for position in range(1, depth + 1):
        left = depth - position
        branch = len(loose) == 1 and left >= 1 and rng.random() < 0.3
        fed_by = [] if branch else loose
        drawn = _draw(rng, pool, fed_by)
        if drawn is None:
            return None
        family, wording, parameters, fed = drawn
        told, quantity, question = _tell(rng, family, wording, parameters, fed)
        order = _reading_order(family, wording, parameters, final=not left)
        if left:
            told.append(rng.choice(_NAMINGS).format(symbol=symbols[position - 1], quantity=quantity))
        else:
            told.append(question or rng.choice(_QUESTIONS).format(quantity=quantity))
        if rng.random() < distractors:
            sentences.append(rng.choice(_DISTRACTORS).format(n=rng.randint(2, 60)))
        first = len(sentences) + 1
        sentences += told
        uses = [f"s{n}" for n in range(first, len(sentences) + 1)]
        value = family.value(parameters)
        if left and not _can_feed(value):
            return None
        stages.append(
            Stage(
                id=position,
                family=family.name,
                template_id=family.template_id,
                goal=f"Find {symbols[position - 1]}, {family.goal}" if left else f"Find {family.goal}",
                uses=(*uses, *(f"r{named.stage}" for named in sorted(fed.values(), key=lambda named: named.stage))),
                bindings={v: f"r{fed[v].stage}" if v in fed else show(parameters[v]) for v in order},
                result=show(value),
            )
        )
        used = {named.stage for named in fed.values()}
        loose = [named for named in loose if named.stage not in used]
        if left:
            loose.append(_Named(position, symbols[position - 1], int(value)))
    return LadderProblem(text=" ".join(sentences), answer=stages[-1].result, stages=tuple(stages))


def _can_feed(value: Number) -> bool:
    return Fraction(value).denominator == 1 and 2 <= value <= 10_000


def _draw(
    rng: Random, pool: Sequence[Family], fed_by: Sequence[_Named]
) -> tuple[Family, Wording, Parameters, dict[str, _Named]] | None:
    """A family and parameters, with as many variables supplied by `fed_by` as there are results waiting."""
    for _ in range(_TRIES):
        family = rng.choice(pool)
        if len(family.feeds) < len(fed_by):
            continue
        parameters = family.draw(rng)
        fed = dict(zip(rng.sample(family.feeds, len(fed_by)), fed_by, strict=True))
        parameters.update({variable: named.value for variable, named in fed.items()})
        if family.valid(parameters):
            return family, rng.choice(family.wordings), parameters, fed
    return None


def _tell(
    rng: Random, family: Family, wording: Wording, parameters: Parameters, fed: dict[str, _Named]
) -> tuple[list[str], str, str | None]:
    shown = {v: fed[v].symbol if v in fed else show(n) for v, n in parameters.items()}
    slots = {**shown, **{slot: rng.choice(words) for slot, words in sorted(family.choices.items())}}
    if family.phrases:
        slots |= family.phrases(shown, parameters)
    facts = [_capital(fact.format(**slots)) for fact in wording.facts]
    question = wording.question.format(**slots) if wording.question else None
    return facts, wording.quantity.format(**slots), question


def _reading_order(family: Family, wording: Wording, parameters: Parameters, *, final: bool) -> tuple[str, ...]:
    """The variables in the order in which the text tells them.

    Shown variables stand where their slots are. One that only a phrase tells (a coefficient of an equation) stands
    where its number does, or, where that is not written out (a coefficient of 1), after the variable before it.
    """
    marks = {variable: f"\x00{variable}\x00" for variable in parameters}
    slots = {**marks, **{slot: slot for slot in family.choices}}
    if family.phrases:
        slots |= family.phrases({v: show(n) for v, n in parameters.items()}, parameters)
    last = wording.question if final and wording.question else wording.quantity
    text = " ".join((*wording.facts, last)).format(**slots)
    position, places = 0, dict[str, int]()
    for variable, number in parameters.items():
        place = text.find(marks[variable])
        if place < 0:
            written = re.compile(rf"(?<!\d){abs(number)}(?!\d)")
            found = written.search(text, position) or written.search(text)
            place = found.start() if found else position
            position = found.end() if found else position
        places[variable] = place
    return tuple(sorted(parameters, key=places.__getitem__))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def slots_of(wording: Wording) -> set[str]:
    """The names of all slots in a wording (for the check that every variable is told)."""
    texts = (*wording.facts, wording.quantity, wording.question or "")
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}
