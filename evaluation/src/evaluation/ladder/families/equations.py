"""Systems of two linear equations: the value of x, the value of x + y, as equations and as shopping stories."""

from collections.abc import Mapping
from fractions import Fraction
from random import Random

from evaluation.ladder.family import Family, Number, Parameters, Wording, linear


def _determinant(p: Parameters) -> int:
    return p["a"] * p["d"] - p["b"] * p["c"]


def _first(p: Parameters) -> Fraction:
    return Fraction(p["m"] * p["d"] - p["b"] * p["n"], _determinant(p))


def _second(p: Parameters) -> Fraction:
    return Fraction(p["a"] * p["n"] - p["c"] * p["m"], _determinant(p))


def _tidy(value: Fraction) -> Number:
    return int(value) if value.denominator == 1 else value


def _solves_for_first(p: Parameters, value: Number) -> bool:
    """Substitution: y from the first equation must satisfy the second."""
    y = Fraction(p["m"] - p["a"] * value) / p["b"]
    return p["c"] * value + p["d"] * y == p["n"]


def _solves_for_sum(p: Parameters, value: Number) -> bool:
    """Substitution of y = value - x; equal coefficients give the sum at once."""
    if p["a"] == p["b"]:
        return p["a"] * value == p["m"]
    x = Fraction(p["m"] - p["b"] * value) / (p["a"] - p["b"])
    return p["c"] * x + p["d"] * (value - x) == p["n"]


def _system(p: Parameters, x: int, y: int) -> Parameters:
    return {**p, "m": p["a"] * x + p["b"] * y, "n": p["c"] * x + p["d"] * y}


def _draw_signed(rng: Random) -> Parameters:
    while True:
        coefficients = {name: rng.choice([k for k in range(-9, 10) if k]) for name in "abcd"}
        if _determinant(coefficients):
            return _system(coefficients, rng.randint(-5, 40), rng.randint(-5, 40))


def _draw_prices(rng: Random) -> Parameters:
    while True:
        counts = {name: rng.randint(2, 9) for name in "abcd"}
        if _determinant(counts):
            return _system(counts, rng.randint(2, 40), rng.randint(2, 40))


def _valid_signed(p: Parameters) -> bool:
    if not _determinant(p) or 0 in (p["a"], p["b"], p["c"], p["d"]):
        return False
    return all(value.denominator == 1 and abs(value) <= 5_000 for value in (_first(p), _second(p)))


def _valid_prices(p: Parameters) -> bool:
    if not _determinant(p) or min(p["a"], p["b"], p["c"], p["d"]) < 2:
        return False
    return all(value.denominator == 1 and 1 <= value <= 5_000 for value in (_first(p), _second(p)))


def _sides(_: Mapping[str, str], p: Parameters) -> dict[str, str]:
    return {
        "upper": linear(p["a"], p["b"]),
        "lower": linear(p["c"], p["d"]),
        "upper_gh": linear(p["a"], p["b"], "g", "h"),
        "lower_gh": linear(p["c"], p["d"], "g", "h"),
    }


_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Diego", "Hana")
_ITEM = ("notebook", "mug", "sandwich roll", "poster", "cap", "lamp", "vase", "plate")
_OTHER = ("pen", "spoon", "apple", "sticker", "candle", "towel", "card", "ribbon")
_UNITS = ("dollars", "euros", "coins", "francs")

_SATISFY = ("The numbers x and y satisfy {upper} = {m} and {lower} = {n}.",)
_LINES = ("One line has the equation {upper} = {m}.", "Another line has the equation {lower} = {n}.")
_THOUGHT = (
    "{name} thinks of two numbers x and y.",
    "{name} reveals that {upper} = {m}.",
    "{name} adds that {lower} = {n}.",
)
_GH = ("The unknowns g and h solve the simultaneous equations {upper_gh} = {m} and {lower_gh} = {n}.",)
_SHOPS = (
    "In a shop {a} {item}s and {b} {other}s cost {m} {unit}.",
    "In the same shop {c} {item}s and {d} {other}s cost {n} {unit}.",
)
_RECEIPTS = (
    "{name} pays {m} {unit} for {a} {item}s and {b} {other}s.",
    "At the same prices {friend} pays {n} {unit} for {c} {item}s and {d} {other}s.",
)
_TURNED = (
    "A seller asks {m} {unit} for {b} {other}s together with {a} {item}s.",
    "For {d} {other}s together with {c} {item}s the seller asks {n} {unit}.",
)
_TICKETS = (
    "A family buys {a} adult tickets and {b} child tickets to the {show_place} and pays {m} {unit}.",
    "Another family buys {c} adult tickets and {d} child tickets and pays {n} {unit}.",
)
_WEIGHTS = (
    "Some {colour} boxes all have the same weight, and so do some white boxes.",
    "Together {a} {colour} boxes and {b} white boxes weigh {m} kilograms.",
    "Together {c} {colour} boxes and {d} white boxes weigh {n} kilograms.",
)
_POINTS = (
    "In a game every star is worth the same number of points, and so is every moon.",
    "{name} collects {a} stars and {b} moons and gets {m} points.",
    "{friend} collects {c} stars and {d} moons and gets {n} points.",
)
_STORY_CHOICES = {
    "name": _NAMES[:5],
    "friend": _NAMES[5:],
    "item": _ITEM,
    "other": _OTHER,
    "unit": _UNITS,
    "show_place": ("zoo", "museum", "circus", "theater", "aquarium"),
    "colour": ("red", "blue", "green", "black"),
}

FAMILIES = (
    Family(
        name="linear-system-x",
        template_id="linear-system-x",
        goal="the first unknown of a linear system",
        wordings=(
            Wording("the value of x", _SATISFY),
            Wording("the value of x in the solution of the system {upper} = {m}, {lower} = {n}"),
            Wording("the x-coordinate of the point where the two lines meet", _LINES),
            Wording("the number x that {name} thinks of", _THOUGHT),
            Wording("the value of g", _GH),
            Wording(
                "the value that x takes when {upper} = {m} and {lower} = {n} both hold",
                question="If {upper} = {m} and {lower} = {n}, what is x?",
            ),
            Wording(
                "the first number of the pair (x, y) that satisfies both equations",
                ("Two equations are given, namely {upper} = {m} and {lower} = {n}.",),
            ),
        ),
        draw=_draw_signed,
        valid=_valid_signed,
        value=lambda p: _tidy(_first(p)),
        check=_solves_for_first,
        feeds=("m", "n"),
        phrases=_sides,
        choices={"name": _NAMES},
    ),
    Family(
        name="linear-system-sum",
        template_id="linear-system-sum",
        goal="the sum of the unknowns of a linear system",
        wordings=(
            Wording("the value of x + y", _SATISFY),
            Wording("the value of x + y in the solution of the system {upper} = {m}, {lower} = {n}"),
            Wording("the sum of the coordinates of the point where the two lines meet", _LINES),
            Wording("the sum of the two numbers that {name} thinks of", _THOUGHT),
            Wording("the value of g + h", _GH),
            Wording(
                "the value that x + y takes when {upper} = {m} and {lower} = {n} both hold",
                question="If {upper} = {m} and {lower} = {n}, what is x + y?",
            ),
            Wording(
                "the sum of the two numbers in the pair (x, y) that satisfies both equations",
                ("Two equations are given, namely {upper} = {m} and {lower} = {n}.",),
            ),
        ),
        draw=_draw_signed,
        valid=_valid_signed,
        value=lambda p: _tidy(_first(p) + _second(p)),
        check=_solves_for_sum,
        feeds=("m", "n"),
        phrases=_sides,
        choices={"name": _NAMES},
    ),
    Family(
        name="price-of-one",
        template_id="linear-system-x",
        goal="the value of one item from two purchases",
        wordings=(
            Wording("the price of one {item} in {unit}", _SHOPS),
            Wording("the price of a single {item}", _RECEIPTS, question="How many {unit} does a single {item} cost?"),
            Wording("the amount in {unit} that the seller asks for one {item}", _TURNED),
            Wording("the price of an adult ticket", _TICKETS, question="How many {unit} does one adult ticket cost?"),
            Wording("the weight of one {colour} box in kilograms", _WEIGHTS),
            Wording("the number of points that a star is worth", _POINTS, question="How many points is a star worth?"),
        ),
        draw=_draw_prices,
        valid=_valid_prices,
        value=lambda p: _tidy(_first(p)),
        check=_solves_for_first,
        feeds=("m", "n"),
        choices=_STORY_CHOICES,
    ),
    Family(
        name="price-of-both",
        template_id="linear-system-sum",
        goal="the value of one of each item from two purchases",
        wordings=(
            Wording("the price of one {item} and one {other} together in {unit}", _SHOPS),
            Wording(
                "the price of one {item} plus the price of one {other}",
                _RECEIPTS,
                question="How many {unit} do one {item} and one {other} cost together?",
            ),
            Wording("the amount in {unit} that the seller asks for one {item} together with one {other}", _TURNED),
            Wording(
                "the price of one adult ticket and one child ticket together",
                _TICKETS,
                question="How many {unit} do one adult ticket and one child ticket cost together?",
            ),
            Wording("the weight of one {colour} box and one white box together in kilograms", _WEIGHTS),
            Wording(
                "the number of points that a star and a moon are worth together",
                _POINTS,
                question="How many points are a star and a moon worth together?",
            ),
        ),
        draw=_draw_prices,
        valid=_valid_prices,
        value=lambda p: _tidy(_first(p) + _second(p)),
        check=_solves_for_sum,
        feeds=("m", "n"),
        choices=_STORY_CHOICES,
    ),
)
