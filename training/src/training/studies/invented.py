"""Invented templates and tasks, without end: what an executor learns binding from when no template may be remembered.

A template is a random formula over two to five variables whose meanings are composed from word lists ("weight of the
wooden clock"), so hardly any meaning is seen twice. A task tells its numbers in sentences, in an order of their own,
mixed with numbers that belong to nothing. A fifth of the words, by hash, is kept for testing, and in both splits some
words are made of syllables. Conversations are rendered as those of `corpus.executor` are.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from calculator import is_name
from evaluation.ladder import Split
from executor import prompting
from reasonflux.contracts import (
    Contract,
    InstantiateRequest,
    KnownResult,
    Problem,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    WorkedExample,
)
from training.corpus import Conversation, Turn
from training.studies.invented_words import COINS, KINDS, PEOPLE, PLACES, RANKS, Kind, Words

_SYMBOLS = "KLMNPQRSTUVW"
_LETTERS = "abcdefghkmnpqstuvwxyz"
_NAME = re.compile(r"[A-Za-z_]\w*")
SYLLABLES_SHARE = 0.3
_PART, _RESULT = "part", "result"  # what formulas assign, so no variable is called that


@dataclass(frozen=True)
class Difficulty:
    """What tasks are drawn from."""

    variables: tuple[int, ...] = (2, 2, 3, 3, 4, 5)
    other_words: float = 0.7
    """The share of numbers that are told in other words than the template's."""
    shuffled: float = 0.8
    """The share of tasks whose numbers come in another order than the template's variables."""
    look_alikes: float = 0.4
    """The share of new things that share a word with one in the same task."""
    distractors: tuple[int, ...] = (0, 0, 1, 2)
    earlier_result: float = 0.15
    """The share of tasks in which one number is the result of an earlier step."""
    syllables: float = SYLLABLES_SHARE
    """The share of words that are made of syllables."""
    letters: float = 0.4
    """The share of templates whose variables are single letters; others are called by words of their meanings."""


class Told(StrEnum):
    """What a learned reply says."""

    READING = "reading order"
    """What each number is, in the order of the text, then the bindings: as `corpus.executor` does."""
    TEMPLATE = "template order"
    """What each number is, in the order of the template's variables, then the bindings."""
    PLAIN = "plain"
    """Only the bindings, in the order of the template's variables."""


class InventedTask(Contract):
    """A step with an invented template, and its right bindings in reading order."""

    request: InstantiateRequest
    bindings: dict[str, str]
    shuffled: bool
    """Whether the numbers stand in another order than the template's variables."""

    @property
    def template(self) -> ThoughtTemplate:
        assert self.request.template is not None
        return self.request.template


def invented_tasks(
    seed: int, split: Split = Split.TRAIN, difficulty: Difficulty | None = None
) -> Iterator[InventedTask]:
    """Tasks without end; the same seed gives the same stream. The splits share no word for a thing."""
    rng, words = Random(f"{seed} {split}"), Words(split)
    while True:
        yield _Draw(rng, words, difficulty or Difficulty()).task()


def conversation_of(task: InventedTask, told: Told = Told.READING) -> Conversation:
    """The task as the executor sees it, and the reply that it should learn."""
    return learned_step(task.request, task.template, task.bindings, told)


def learned_step(
    request: InstantiateRequest, template: ThoughtTemplate, bindings: Mapping[str, str], told: Told = Told.READING
) -> Conversation:
    """A step as `corpus.executor` renders a gold one, and its reply. `bindings` come in reading order."""
    if told is not Told.READING:
        bindings = {name: bindings[name] for name in template.variables}
    meant = () if told is Told.PLAIN else bindings.items()
    reasoning = "; ".join(f"{template.variables[name]}: {value}" for name, value in meant)
    return exchange(request, {"fits": True, "reasoning": reasoning, "bindings": bindings})


def exchange(request: InstantiateRequest, reply: Mapping[str, object]) -> Conversation:
    """A request as the executor service sends it, and the reply that is learned."""
    prompt = prompting.render(request, prompting.Profile.COMPACT)
    answer = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
    return (*(Turn(m.role, m.content) for m in prompt), Turn("assistant", answer, learn=True))


def phrases(seed: int, split: Split = Split.TRAIN, syllables: float = SYLLABLES_SHARE) -> Iterator[str]:
    """Things with a quality, without end, over the split's words: "wooden clock"."""
    rng, words = Random(f"{seed} {split}"), Words(split)
    while True:
        yield f"{words.quality(rng, syllables)} {words.thing(rng, syllables)}"


def invented_conversations(
    seed: int, split: Split = Split.TRAIN, difficulty: Difficulty | None = None, told: Told = Told.READING
) -> Iterator[Conversation]:
    """Executor conversations over invented templates, without end."""
    return (conversation_of(task, told) for task in invented_tasks(seed, split, difficulty))


def in_letters(template: ThoughtTemplate) -> tuple[ThoughtTemplate, dict[str, str]]:
    """The template with every variable called by one letter, and the letters by the names before."""
    taken = {word for formula in template.formulas for word in _NAME.findall(formula)}
    free = [letter for letter in _LETTERS if letter not in taken]
    called = dict(zip(template.variables, free, strict=False))
    steps = tuple(
        step.model_copy(update={"formula": step.formula and _NAME.sub(lambda m: called.get(m[0], m[0]), step.formula)})
        for step in template.steps
    )
    variables = {called[name]: meaning for name, meaning in template.variables.items()}
    example = template.example.model_copy(
        update={"bindings": {called[name]: value for name, value in template.example.bindings.items()}}
    )
    return template.model_copy(update={"variables": variables, "steps": steps, "example": example}), called


@dataclass(frozen=True)
class _Fact:
    """A number's meaning and the sentence that tells it, with {n} where the number goes."""

    meaning: str
    sentence: str


class _Draw:
    """One task."""

    def __init__(self, rng: Random, words: Words, difficulty: Difficulty) -> None:
        self.rng, self.words, self.difficulty = rng, words, difficulty
        self.things: list[tuple[str, str]] = []

    def task(self) -> InventedTask:
        rng = self.rng
        count = rng.choice(self.difficulty.variables)
        told = self.facts(count + rng.choice(self.difficulty.distractors))
        names = _variable_names(rng, [fact.meaning for fact in told[:count]], self.difficulty.letters)
        numbers = self.numbers(len(told))
        order = list(range(count))
        if rng.random() < self.difficulty.shuffled:
            rng.shuffle(order)
        places: list[int] = order[:]
        for extra in range(count, len(told)):
            places.insert(rng.randint(0, len(places)), extra)
        shown, known = numbers[:], tuple[KnownResult, ...]()
        if rng.random() < self.difficulty.earlier_result:
            fed, symbol = rng.randrange(count), rng.choice(_SYMBOLS)
            shown[fed], numbers[fed] = symbol, "r1"
            goal = f"Find the {self.quality()} {self.thing()}"
            known = (KnownResult(name="r1", goal=goal, value=str(rng.randint(2, 999)), symbol=symbol),)
        text = _told([told[n].sentence.replace("{n}", shown[n]) for n in places], rng)
        quantity = f"the {self.quality()} {self.thing()}"
        template = _template(rng, quantity, {names[n]: told[n].meaning for n in range(count)})
        text += rng.choice((f" What is {quantity}?", f" Find {quantity}.", f" Compute {quantity}.", ""))
        return InventedTask(
            request=InstantiateRequest(
                goal=f"Find {quantity}", template=template, statements=Problem(text=text).statements, known=known
            ),
            bindings={names[n]: numbers[n] for n in order},
            shuffled=order != sorted(order),
        )

    def facts(self, count: int) -> list[_Fact]:
        """Facts with different meanings: often of one kind, often about things that share a word."""
        rng, facts = self.rng, dict[str, _Fact]()
        kinds = rng.sample(KINDS, rng.choice((1, 2, 3, 4)))
        while len(facts) < count:
            fact = self.fact(rng.choice(kinds))
            facts.setdefault(fact.meaning, fact)
        return list(facts.values())

    def fact(self, kind: Kind) -> _Fact:
        rng = self.rng
        quality, thing = self.thing_with_quality()
        slots = {
            "who": rng.choice(PEOPLE),
            "place": rng.choice(PLACES),
            "coin": rng.choice(COINS),
            "n": "{n}",
            "p": f"{quality} {thing}",
            "ps": f"{quality} {_plural(thing)}",
        }
        meaning = rng.choice(kind.meanings).format(**slots)
        if rng.random() >= self.difficulty.other_words:
            return _Fact(meaning, _in_the_same_words(meaning))
        if quality not in RANKS and rng.random() < 0.15:
            slots |= {"p": f"{thing} that is {quality}", "ps": f"{_plural(thing)} that are {quality}"}
        return _Fact(meaning, rng.choice(kind.sentences).format(**slots))

    def thing_with_quality(self) -> tuple[str, str]:
        """Never the same twice in a task, but often one that is told apart by a single word."""
        while True:
            quality, thing = self.quality(), self.thing()
            if self.things and self.rng.random() < self.difficulty.look_alikes:
                other = self.rng.choice(self.things)
                quality, thing = (other[0], thing) if self.rng.random() < 0.4 else (quality, other[1])
            if (quality, thing) not in self.things:
                self.things.append((quality, thing))
                return quality, thing

    def numbers(self, count: int) -> list[str]:
        """Different numbers of one to four digits, now and then negative."""
        chosen: dict[str, None] = {}
        while len(chosen) < count:
            number = self.rng.randrange(1, 10 ** self.rng.choice((1, 2, 2, 2, 3, 4)))
            chosen[f"-{number}" if self.rng.random() < 0.05 else str(number)] = None
        return list(chosen)

    def quality(self) -> str:
        return self.words.quality(self.rng, self.difficulty.syllables)

    def thing(self) -> str:
        return self.words.thing(self.rng, self.difficulty.syllables)


def _in_the_same_words(meaning: str) -> str:
    if meaning.startswith(("how ", "what ")):
        return f"{meaning}: {{n}}"
    return f"the {meaning.removeprefix('the ')} is {{n}}"


def _told(facts: list[str], rng: Random) -> str:
    """The facts as sentences, some of them joined."""
    sentences: list[str] = []
    for fact in facts:
        if sentences and rng.random() < 0.3:
            sentences[-1] += rng.choice((" and ", ", and ", ", while ")) + fact
        else:
            sentences.append(fact)
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def _plural(thing: str) -> str:
    if thing.endswith(("s", "x", "ch", "sh")):
        return f"{thing}es"
    return f"{thing[:-1]}ies" if thing.endswith("y") and thing[-2] not in "aeiou" else f"{thing}s"


def _variable_names(rng: Random, meanings: list[str], letters: float) -> list[str]:
    """Letters, or words of the meanings, never one twice."""
    if rng.random() < letters:
        return rng.sample(_LETTERS, len(meanings))
    names: list[str] = []
    for meaning in meanings:
        words = [word for word in meaning.split() if len(word) > 3 and is_name(word) and word not in (_PART, _RESULT)]
        name = rng.choice(words or ["value"])
        while name in names:
            name = f"{name}_{rng.choice('abcdefgh')}"
        names.append(name)
    return names


def _template(rng: Random, quantity: str, variables: Mapping[str, str]) -> ThoughtTemplate:
    """A template with a random formula in one or two steps. Its example only has to be well-formed."""
    terms = list(variables)
    rng.shuffle(terms)
    formulas: list[str] = []
    if len(terms) > 2 and rng.random() < 0.6:
        formulas.append(f"{_PART} = {_joined(rng, [terms.pop(), terms.pop()])}")
        terms.append(_PART)
    formulas.append(f"{_RESULT} = {_joined(rng, terms)}")
    name = quantity.removeprefix("the ").title()
    return ThoughtTemplate(
        id="invented",
        name=f"{rng.choice(('Rule for the', 'Method of the', 'Sum of the', 'Law of the', 'The'))} {name}",
        type=TemplateType.FORMULA_RULE,
        field="invented",
        tags=("invented",),
        description=f"Finds {quantity}.",
        scope=(quantity,),
        variables=dict(variables),
        steps=tuple(TemplateStep(instruction="Calculate.", formula=formula) for formula in formulas),
        example=WorkedExample(problem="Invented.", bindings=dict.fromkeys(variables, "1")),
    )


def _joined(rng: Random, terms: list[str]) -> str:
    """`a*b + c`, `(a - b)//3`, `x**2 + y`: every term once."""
    text = _term(rng, terms[0])
    for term in terms[1:]:
        operation = rng.choice(("+", "+", "-", "*", "*", "//"))
        if operation == "//" and term == _PART:  # which may be zero
            operation = "+"
        if operation in ("*", "//"):
            text = f"({text}){operation}{term}" if " " in text else f"{text}{operation}{term}"
        else:
            text = f"{text} {operation} {_term(rng, term)}"
    return text


def _term(rng: Random, term: str) -> str:
    draw = rng.random()
    return f"{term}**{rng.choice((2, 3))}" if draw < 0.1 else f"{rng.randint(2, 9)}*{term}" if draw < 0.2 else term
