"""Families composed into problems: chains, and branches that meet again.

A middle stage names its quantity ("Let K be …"), a later one uses the name in place of a number. Which statements and
which earlier results a stage uses follows from where they were put, so the gold trajectory needs no second reading.

A problem is a *sketch* (families, wordings, words, what feeds what) with numbers in it. It remembers its sketch:
similar problems are the same sketch with other numbers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from string import Formatter

from evaluation.ladder.families import ALL
from evaluation.ladder.family import Family, Number, Parameters, Wording, show
from evaluation.ladder.problem import LadderProblem, Sketch, Split, Stage, StageSketch

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
    value: int


@dataclass(frozen=True)
class Numbers:
    """What a sketch leaves open about one stage. `parameters` hold the values of fed variables too."""

    parameters: Parameters
    distractor: int | None = None


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


def similar(
    problem: LadderProblem, count: int, seed: int, families: Mapping[str, Family] = ALL
) -> tuple[LadderProblem, ...]:
    """Up to `count` problems that differ from `problem` and from each other in their own numbers and in nothing else.

    They have its statements in its order, so its trajectory is right for them, and they lie on its side of the split.
    Fewer than `count` where the tries run out: some sketches have few numbers that fit. The same seed gives the same
    problems, and a larger `count` only adds to them.
    """
    rng = Random(f"{seed} {problem.id}")
    numbers, texts = {_own_numbers(problem)}, {problem.id}
    found: list[LadderProblem] = []
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        other = fill(rng, problem.sketch, families)
        if other is None or other.split is not problem.split:
            continue
        if _own_numbers(other) not in numbers and other.id not in texts:
            numbers.add(_own_numbers(other))
            texts.add(other.id)
            found.append(other)
    return tuple(found)


def _own_numbers(problem: LadderProblem) -> tuple[tuple[str, str], ...]:
    """The numbers that matter to the answer: a problem with another distractor only is no other problem."""
    return tuple(bound for stage in problem.stages for bound in sorted(stage.bindings.items()))


def compose(rng: Random, depth: int, pool: Sequence[Family], distractors: float = 0.15) -> LadderProblem | None:
    """One problem of `depth` stages, or None where the drawn families would not fit together."""
    drawn = draw_sketch(rng, depth, pool, distractors)
    return tell(*drawn, {family.name: family for family in pool}) if drawn else None


def draw_sketch(
    rng: Random, depth: int, pool: Sequence[Family], distractors: float
) -> tuple[Sketch, tuple[Numbers, ...]] | None:
    """A problem's structure, and the numbers that it was found with.

    A family is kept only where numbers fit to it and to the results that it is fed, so the two are drawn together.
    """
    symbols = tuple(rng.sample(_SYMBOLS, depth))
    stages: list[StageSketch] = []
    numbers: list[Numbers] = []
    loose: list[_Named] = []  # results that no later stage has used yet
    for position in range(1, depth + 1):
        left = depth - position
        branch = len(loose) == 1 and left >= 1 and rng.random() < 0.3
        drawn = _draw(rng, pool, [] if branch else loose)
        if drawn is None:
            return None
        family, wording, parameters, fed = drawn
        words = {slot: rng.choice(words) for slot, words in sorted(family.choices.items())}
        asks_itself = not left and family.wordings[wording].question
        closing = None if asks_itself else rng.choice(_NAMINGS if left else _QUESTIONS)
        distracted = rng.random() < distractors
        distractor = rng.choice(_DISTRACTORS) if distracted else None
        numbers.append(Numbers(parameters, _distractor_number(rng) if distracted else None))
        value = family.value(parameters)
        if left and not _can_feed(value):
            return None
        stages.append(
            StageSketch(
                family=family.name, wording=wording, fed=fed, words=words, closing=closing, distractor=distractor
            )
        )
        loose = [named for named in loose if named.stage not in fed.values()]
        if left:
            loose.append(_Named(position, int(value)))
    return Sketch(symbols=symbols, stages=tuple(stages)), tuple(numbers)


def _draw(
    rng: Random, pool: Sequence[Family], fed_by: Sequence[_Named]
) -> tuple[Family, int, Parameters, dict[str, int]] | None:
    """A family and parameters, with as many variables supplied by `fed_by` as there are results waiting."""
    for _ in range(_TRIES):
        family = rng.choice(pool)
        if len(family.feeds) < len(fed_by):
            continue
        parameters = family.draw(rng)
        fed = dict(zip(rng.sample(family.feeds, len(fed_by)), fed_by, strict=True))
        parameters.update({variable: named.value for variable, named in fed.items()})
        if family.valid(parameters):
            wording = rng.choice(range(len(family.wordings)))
            return family, wording, parameters, {variable: named.stage for variable, named in fed.items()}
    return None


def _can_feed(value: Number) -> bool:
    return Fraction(value).denominator == 1 and 2 <= value <= 10_000


def _distractor_number(rng: Random) -> int:
    return rng.randint(2, 60)


def fill(rng: Random, sketch: Sketch, families: Mapping[str, Family] = ALL) -> LadderProblem | None:
    """A problem of this sketch with fresh numbers, or None where none were found that fit."""
    numbers: list[Numbers] = []
    values: list[int] = []
    for stage in sketch.stages:
        last = len(numbers) == len(sketch.stages) - 1
        drawn = _redraw(rng, families[stage.family], {v: values[n - 1] for v, n in stage.fed.items()}, last=last)
        if drawn is None:
            return None
        parameters, value = drawn
        numbers.append(Numbers(parameters, _distractor_number(rng) if stage.distractor else None))
        if not last:
            values.append(int(value))
    return tell(sketch, numbers, families)


def _redraw(rng: Random, family: Family, fed: Parameters, *, last: bool) -> tuple[Parameters, Number] | None:
    """Parameters around the fed ones, and their value."""
    for _ in range(_TRIES):
        parameters = {**family.draw(rng), **fed}
        if family.valid(parameters) and (last or _can_feed(family.value(parameters))):
            return parameters, family.value(parameters)
        if len(fed) == len(parameters):
            return None  # nothing is open
    return None


def tell(sketch: Sketch, numbers: Sequence[Numbers], families: Mapping[str, Family] = ALL) -> LadderProblem:
    """The text of a sketch with these numbers, and its gold trajectory."""
    sentences: list[str] = []
    stages: list[Stage] = []
    for position, (stage, drawn) in enumerate(zip(sketch.stages, numbers, strict=True), 1):
        family = families[stage.family]
        final = position == len(sketch.stages)
        order = _reading_order(family, family.wordings[stage.wording], drawn.parameters, final=final)
        if stage.distractor:
            sentences.append(stage.distractor.format(n=drawn.distractor))
        first = len(sentences) + 1
        sentences += _sentences(sketch, position, family, drawn.parameters)
        fed = {variable: f"r{earlier}" for variable, earlier in stage.fed.items()}
        uses = [f"s{n}" for n in range(first, len(sentences) + 1)]
        stages.append(
            Stage(
                id=position,
                family=family.name,
                template_id=family.template_id,
                goal=f"Find {family.goal}",
                uses=(*(f"r{earlier}" for earlier in sorted(stage.fed.values())), *uses),
                bindings={v: fed.get(v) or show(drawn.parameters[v]) for v in order},
                result=show(family.value(drawn.parameters)),
            )
        )
    return LadderProblem(text=" ".join(sentences), answer=stages[-1].result, stages=tuple(stages), sketch=sketch)


def _sentences(sketch: Sketch, position: int, family: Family, parameters: Parameters) -> list[str]:
    """A stage's statements: its facts, and the one that names its quantity or asks for it."""
    stage, symbol = sketch.stages[position - 1], sketch.symbols[position - 1]
    wording = family.wordings[stage.wording]
    symbols = {variable: sketch.symbols[earlier - 1] for variable, earlier in stage.fed.items()}
    shown = {v: symbols.get(v) or show(n) for v, n in parameters.items()}
    slots = {**shown, **stage.words}
    if family.phrases:
        slots |= family.phrases(shown, parameters)
    facts = [_capital(fact.format(**slots)) for fact in wording.facts]
    if stage.closing is None:
        return [*facts, (wording.question or "").format(**slots)]
    return [*facts, stage.closing.format(symbol=symbol, quantity=wording.quantity.format(**slots))]


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
