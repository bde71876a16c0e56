"""Two results put together: their sum, difference, product or mean."""

from fractions import Fraction
from random import Random

from evaluation.ladder.family import Family, Parameters, Wording

_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Marek", "Ines")
_FRIENDS = ("Victor", "Hana", "Diego", "Grace", "Noah", "Emma", "Felix", "Amara")
_ITEMS = ("marbles", "stickers", "stamps", "coins", "shells", "cards", "beads", "buttons")
_CHOICES = {"name": _NAMES, "friend": _FRIENDS, "items": _ITEMS}


def _draw(rng: Random) -> Parameters:
    largest = rng.choice((50, 500, 2_000))
    return {"first": rng.randint(2, largest), "second": rng.randint(2, largest)}


def _draw_even(rng: Random) -> Parameters:
    """Mostly a pair with a whole mean."""
    drawn = _draw(rng)
    drawn["second"] += sum(drawn.values()) % 2 * (rng.random() < 0.7)
    return drawn


def _draw_factors(rng: Random) -> Parameters:
    return {"first": rng.randint(2, 99), "second": rng.randint(2, 99)}


def _in_range(p: Parameters) -> bool:
    return all(2 <= n <= 10_000 for n in p.values())


FAMILIES = (
    Family(
        name="sum-of-two",
        template_id="sum-of-two",
        goal="the sum of two numbers",
        wordings=(
            Wording("the sum of {first} and {second}"),
            Wording(
                "the number of {items} that {name} has then",
                ("{name} has {first} {items} and gets {second} more.",),
                question="How many {items} does {name} have then?",
            ),
            Wording(
                "the number of {items} that they have together",
                ("{name} has {first} {items}, and {friend} has {second} {items}.",),
                question="How many {items} do {name} and {friend} have together?",
            ),
            Wording("the number that is {first} more than {second}"),
            Wording("the result of adding {first} to {second}"),
            Wording(
                "the total number of {items} in both boxes",
                ("One box holds {first} {items}.", "Another box holds {second} {items}."),
                question="How many {items} are in both boxes altogether?",
            ),
            Wording(
                "the length of the whole trip in kilometers",
                ("{name} travels {first} kilometers by train and then {second} kilometers by bus.",),
                question="How many kilometers long is the whole trip?",
            ),
        ),
        draw=_draw,
        valid=_in_range,
        value=lambda p: p["first"] + p["second"],
        check=lambda p, value: value - p["first"] == p["second"],
        feeds=("first", "second"),
        choices=_CHOICES,
    ),
    Family(
        name="difference-of-two",
        template_id="difference-of-two",
        goal="the difference of two numbers",
        wordings=(
            Wording("the absolute difference of {first} and {second}"),
            Wording("the distance between {first} and {second} on the number line"),
            Wording("the absolute value of {first} minus {second}"),
            Wording("the larger of {first} and {second} minus the smaller one"),
            Wording(
                "the difference between their numbers of {items}",
                ("{name} has {first} {items}, and {friend} has {second} {items}.",),
                question="By how many {items} do {name} and {friend} differ?",
            ),
            Wording(
                "the difference in height between the two {peaks} in meters",
                ("Two {peaks} are {first} meters and {second} meters high.",),
                question="How many meters higher is the higher one of the two {peaks}?",
            ),
            Wording(
                "the number of {items} that {name} puts aside",
                (
                    "One box holds {first} {items}, and another box holds {second} {items}.",
                    "{name} puts {items} from the fuller box aside until both boxes hold equally many.",
                ),
                question="How many {items} does {name} put aside?",
            ),
        ),
        draw=_draw,
        valid=lambda p: _in_range(p) and p["first"] != p["second"],
        value=lambda p: abs(p["first"] - p["second"]),
        check=lambda p, value: min(p["first"], p["second"]) + value == max(p["first"], p["second"]),
        feeds=("first", "second"),
        choices={**_CHOICES, "peaks": ("hills", "towers", "mountains", "cliffs")},
    ),
    Family(
        name="product-of-two",
        template_id="product-of-two",
        goal="the product of two numbers",
        wordings=(
            Wording("the product of {first} and {second}"),
            Wording("{first} times {second}"),
            Wording(
                "the number of {items} in all the boxes",
                ("There are {first} boxes with {second} {items} in each.",),
                question="How many {items} are in all the boxes together?",
            ),
            Wording(
                "the total price in dollars",
                ("{name} buys {first} tickets that cost {second} dollars each.",),
                question="How many dollars does {name} pay in all?",
            ),
            Wording("the area of a rectangle with sides {first} and {second}"),
            Wording(
                "the number of trees in the orchard",
                ("An orchard has {first} rows of trees, and every row has {second} trees.",),
                question="How many trees are in the orchard?",
            ),
            Wording(
                "the number of pages that {name} reads",
                ("{name} reads {first} pages on each of {second} days.",),
                question="How many pages does {name} read in these days?",
            ),
        ),
        draw=_draw_factors,
        valid=_in_range,
        value=lambda p: p["first"] * p["second"],
        check=lambda p, value: value == sum(p["second"] for _ in range(p["first"])),
        feeds=("first", "second"),
        choices={"name": _NAMES, "items": _ITEMS},
    ),
    Family(
        name="mean-of-two",
        template_id="mean-of-two",
        goal="the mean of two numbers",
        wordings=(
            Wording("the mean of {first} and {second}"),
            Wording("the number exactly halfway between {first} and {second}"),
            Wording(
                "the average number of {items} that they have",
                ("{name} has {first} {items}, and {friend} has {second} {items}.",),
                question="How many {items} do {name} and {friend} have on average?",
            ),
            Wording(
                "the number of {items} that each of them has after sharing",
                ("{name} has {first} {items} and {friend} has {second}.", "They share all of them equally."),
                question="How many {items} does each of the two have after sharing?",
            ),
            Wording("half of the sum of {first} and {second}"),
            Wording(
                "{name}'s average score",
                ("{name} scores {first} points in one game and {second} points in the next.",),
                question="How many points does {name} score on average in the two games?",
            ),
            Wording("the arithmetic average of the two numbers {first} and {second}"),
        ),
        draw=_draw_even,
        valid=_in_range,
        value=lambda p: Fraction(p["first"] + p["second"], 2),
        check=lambda p, value: value - p["first"] == p["second"] - value,
        feeds=("first", "second"),
        choices=_CHOICES,
    ),
)
