"""Probability: two draws without replacement from objects of two kinds."""

from fractions import Fraction
from itertools import combinations
from random import Random

from evaluation.ladder.family import Family, Number, Parameters, Wording

_COLORS = ("red", "green", "yellow", "purple")
_OTHERS = ("blue", "white", "black", "gray")
_THINGS = ("marbles", "balls", "beads", "tokens", "buttons")
_VESSELS = ("bag", "box", "jar", "drawer", "basket")
_NAMES = ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe")
_ENUMERABLE = 60


def _pairs(p: Parameters, least: int) -> Fraction:
    """The share of pairs with at least `least` wanted objects, by counting them."""
    wanted, others = p["wanted"], p["others"]
    if wanted + others <= _ENUMERABLE:
        pairs = list(combinations([1] * wanted + [0] * others, 2))
        return Fraction(sum(sum(pair) >= least for pair in pairs), len(pairs))
    both = sum(range(wanted))
    good = both if least == 2 else both + wanted * others
    return Fraction(good, sum(range(wanted + others)))


def _draw(rng: Random) -> Parameters:
    return {"wanted": rng.randint(2, 50), "others": rng.randint(2, 50)}


def _valid(p: Parameters) -> bool:
    return all(2 <= n <= 5_000 for n in p.values())


def _both(p: Parameters) -> Number:
    wanted, total = p["wanted"], p["wanted"] + p["others"]
    return Fraction(wanted, total) * Fraction(wanted - 1, total - 1)


def _at_least_one(p: Parameters) -> Number:
    others, total = p["others"], p["wanted"] + p["others"]
    return 1 - Fraction(others, total) * Fraction(others - 1, total - 1)


_CHOICES = {"color": _COLORS, "other": _OTHERS, "things": _THINGS, "vessel": _VESSELS, "name": _NAMES}

FAMILIES = (
    Family(
        name="probability-both-wanted",
        template_id="probability-both-wanted",
        goal="the probability that both draws are of one kind",
        wordings=(
            Wording(
                "the probability that both {things} are {color}",
                (
                    "A {vessel} holds {wanted} {color} {things} and {others} {other} {things}.",
                    "Two {things} are drawn at random without replacement.",
                ),
            ),
            Wording(
                "the probability that two {things} drawn together from {wanted} {color} and {others} {other} {things} "
                "are both {color}"
            ),
            Wording(
                "the probability that both of them are girls",
                ("A class has {others} boys and {wanted} girls.", "Two children of the class are chosen at random."),
            ),
            Wording(
                "the probability that {name} wins with both tickets",
                (
                    "In a raffle there are {wanted} winning tickets and {others} blanks.",
                    "{name} takes two tickets at random.",
                ),
                question="What is the probability that both tickets are winning ones?",
            ),
            Wording(
                "the probability that both lamps are faulty",
                (
                    "Of the lamps in a crate, {wanted} are faulty and {others} work.",
                    "{name} takes out two different lamps at random.",
                ),
            ),
            Wording(
                "the probability that {name} takes two {color} {things}",
                (
                    "There are {others} {other} and {wanted} {color} {things} in a {vessel}.",
                    "Without looking, {name} takes one and then another without putting the first one back.",
                ),
                question="How likely is it that {name} takes two {color} {things}?",
            ),
            Wording(
                "the probability that both lie in the subset",
                (
                    "A subset has {wanted} of the elements of a set, and the other {others} elements are outside it.",
                    "Two different elements of the set are chosen at random.",
                ),
            ),
        ),
        draw=_draw,
        valid=_valid,
        value=_both,
        check=lambda p, value: value == _pairs(p, 2),
        feeds=("wanted", "others"),
        choices=_CHOICES,
    ),
    Family(
        name="probability-at-least-one",
        template_id="probability-at-least-one",
        goal="the probability of at least one in two draws",
        wordings=(
            Wording(
                "the probability that at least one of the two {things} is {color}",
                (
                    "A {vessel} holds {wanted} {color} {things} and {others} {other} {things}.",
                    "Two {things} are drawn at random without replacement.",
                ),
            ),
            Wording(
                "the probability that of two {things} drawn together from {wanted} {color} and {others} {other} "
                "{things} at least one is {color}"
            ),
            Wording(
                "the probability that at least one of them is a girl",
                ("A class has {others} boys and {wanted} girls.", "Two children of the class are chosen at random."),
            ),
            Wording(
                "the probability that {name} wins at least once",
                (
                    "In a raffle there are {wanted} winning tickets and {others} blanks.",
                    "{name} takes two tickets at random.",
                ),
                question="What is the probability that {name} gets at least one winning ticket?",
            ),
            Wording(
                "the probability that at least one of the two lamps is faulty",
                (
                    "Of the lamps in a crate, {wanted} are faulty and {others} work.",
                    "{name} takes out two different lamps at random.",
                ),
            ),
            Wording(
                "the probability that {name} takes at least one {color} one",
                (
                    "There are {others} {other} and {wanted} {color} {things} in a {vessel}.",
                    "Without looking, {name} takes one and then another without putting the first one back.",
                ),
                question="How likely is it that {name} takes at least one of the {color} {things}?",
            ),
            Wording(
                "the probability that one or both of them lie in the subset",
                (
                    "A subset has {wanted} of the elements of a set, and the other {others} elements are outside it.",
                    "Two different elements of the set are chosen at random.",
                ),
            ),
        ),
        draw=_draw,
        valid=_valid,
        value=_at_least_one,
        check=lambda p, value: value == _pairs(p, 1),
        feeds=("wanted", "others"),
        choices=_CHOICES,
    ),
)
