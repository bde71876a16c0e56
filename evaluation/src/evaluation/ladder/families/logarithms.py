"""Logarithms and exponential equations."""

from random import Random

from evaluation.ladder.family import Family, Number, Parameters, Wording

_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Diego", "Hana")
_LARGEST = 10**6


def _exponent(base: int, number: int) -> int | None:
    """The k ≥ 1 with base^k == number, or None."""
    k, power = 0, 1
    while base >= 2 and power < number:
        k, power = k + 1, power * base
    return k if k >= 1 and power == number else None


def _power_of(rng: Random, largest_base: int, least: int = 2) -> tuple[int, int]:
    """A base and its exponent, whose power is not too large to be written out."""
    base = rng.randint(2, largest_base)
    highest = max(k for k in range(1, 21) if base**k <= _LARGEST)
    return base, rng.randint(min(least, highest), highest)


def _draw_power(rng: Random) -> Parameters:
    base, k = _power_of(rng, 99)
    return {"base": base, "number": base**k}


def _draw_power_of_power(rng: Random) -> Parameters:
    base, k = _power_of(rng, 20)
    return {"base": base, "number": base ** min(k, 4), "power": rng.randint(2, 99)}


def _draw_product(rng: Random) -> Parameters:
    base, k = _power_of(rng, 60)
    divisors = [d for d in range(2, min(base**k, 10_000)) if base**k % d == 0]
    first = rng.choice(divisors or [base])
    return {"base": base, "first": first, "second": base**k // first}


def _draw_quotient(rng: Random) -> Parameters:
    base, k = _power_of(rng, 30, least=1)
    second = rng.randint(2, 60)
    return {"base": base, "first": base ** min(k, 5) * second, "second": second}


def _quotient_exponent(p: Parameters) -> int | None:
    return None if p["first"] % p["second"] else _exponent(p["base"], p["first"] // p["second"])


def _draw_equation(rng: Random) -> Parameters:
    base, k = _power_of(rng, 20)
    factor = rng.randint(2, 40)
    return {"factor": factor, "base": base, "target": factor * base ** min(k, 8)}


def _draw_growth(rng: Random) -> Parameters:
    start, factor, k = rng.randint(2, 80), rng.randint(2, 6), rng.randint(2, 7)
    return {"start": start, "factor": factor, "period": rng.randint(2, 48), "final": start * factor**k}


def _growth_exponent(p: Parameters) -> int | None:
    return None if p["final"] % p["start"] else _exponent(p["factor"], p["final"] // p["start"])


def _grows_to_final(p: Parameters, value: Number) -> bool:
    """Plays the growth through, period by period."""
    size, time = p["start"], 0
    while size < p["final"]:
        size, time = size * p["factor"], time + p["period"]
    return size == p["final"] and time == value


FAMILIES = (
    Family(
        name="logarithm-of-power",
        template_id="logarithm-of-power",
        goal="a logarithm",
        wordings=(
            Wording("log_{base}({number})"),
            Wording("the logarithm of {number} to the base {base}"),
            Wording("the value of x", ("{name} knows that {base}^x = {number}.",)),
            Wording(
                "the exponent to which {base} must be raised to give {number}",
                question="To which exponent must {base} be raised to give {number}?",
            ),
            Wording(
                "the number of divisions that {name} carries out",
                ("{name} divides {number} by {base} again and again until the result is 1.",),
                question="How many divisions does {name} carry out?",
            ),
            Wording(
                "the number of equal factors in the product",
                ("{name} writes {number} as a product in which every factor is {base}.",),
                question="How many factors does the product have?",
            ),
            Wording(
                "the number of levels below the first one",
                (
                    "A {diagram} starts with one point, and every point branches into {base} points of the next level.",
                    "The last level has {number} points.",
                ),
            ),
        ),
        draw=_draw_power,
        valid=lambda p: _exponent(p["base"], p["number"]) is not None,
        value=lambda p: _exponent(p["base"], p["number"]) or 0,
        check=lambda p, value: p["base"] ** value == p["number"],
        choices={"name": _NAMES, "diagram": ("tree diagram", "family tree", "network", "branching chart")},
    ),
    Family(
        name="logarithm-power-rule",
        template_id="logarithm-power-rule",
        goal="the logarithm of a power",
        wordings=(
            Wording("log_{base}({number}^{power})"),
            Wording("the logarithm of {number}^{power} to the base {base}"),
            Wording("the value of x", ("A number x satisfies {base}^x = {number}^{power}.",)),
            Wording(
                "the exponent that {name} finds",
                ("{name} writes the number {number}^{power} as a single power of {base}.",),
                question="Which exponent of {base} does {name} find?",
            ),
            Wording("the exponent to which {base} must be raised to give {number} to the power {power}"),
            Wording(
                "the base-{base} logarithm of this product",
                ("A product has {power} factors, and each factor is {number}.",),
            ),
        ),
        draw=_draw_power_of_power,
        valid=lambda p: _exponent(p["base"], p["number"]) is not None and 2 <= p["power"] <= 2_000,
        value=lambda p: (_exponent(p["base"], p["number"]) or 0) * p["power"],
        check=lambda p, value: p["base"] ** value == p["number"] ** p["power"],
        feeds=("power",),
        choices={"name": _NAMES},
    ),
    Family(
        name="logarithm-product-rule",
        template_id="logarithm-product-rule",
        goal="the sum of two logarithms",
        wordings=(
            Wording("log_{base}({first}) + log_{base}({second})"),
            Wording("the sum of log_{base}({first}) and log_{base}({second})"),
            Wording("the value of g + h", ("Let g = log_{base}({first}) and h = log_{base}({second}).",)),
            Wording(
                "the integer that {name} gets",
                ("{name} adds the logarithms of {first} and {second}, both to the base {base}.",),
                question="Which integer does {name} get?",
            ),
            Wording("the value of a + b", ("The numbers a and b satisfy {base}^a = {first} and {base}^b = {second}.",)),
            Wording("the sum of the base-{base} logarithms of {first} and {second}"),
        ),
        draw=_draw_product,
        valid=lambda p: (
            min(p["first"], p["second"]) >= 2 and _exponent(p["base"], p["first"] * p["second"]) is not None
        ),
        value=lambda p: _exponent(p["base"], p["first"] * p["second"]) or 0,
        check=lambda p, value: p["base"] ** value == p["first"] * p["second"],
        choices={"name": _NAMES},
    ),
    Family(
        name="logarithm-quotient-rule",
        template_id="logarithm-quotient-rule",
        goal="the difference of two logarithms",
        wordings=(
            Wording("log_{base}({first}) - log_{base}({second})"),
            Wording("the difference log_{base}({first}) minus log_{base}({second})"),
            Wording("the value of g - h", ("Let g = log_{base}({first}) and h = log_{base}({second}).",)),
            Wording(
                "the integer that {name} gets",
                ("{name} subtracts log_{base}({second}) from log_{base}({first}).",),
                question="Which integer does {name} get?",
            ),
            Wording("the value of a - b", ("The numbers a and b satisfy {base}^a = {first} and {base}^b = {second}.",)),
            Wording("the amount by which the base-{base} logarithm of {first} exceeds that of {second}"),
        ),
        draw=_draw_quotient,
        valid=lambda p: p["second"] >= 2 and _quotient_exponent(p) is not None,
        value=lambda p: _quotient_exponent(p) or 0,
        check=lambda p, value: p["base"] ** value * p["second"] == p["first"],
        choices={"name": _NAMES},
    ),
    Family(
        name="exponential-equation",
        template_id="exponential-equation",
        goal="the solution of an exponential equation",
        wordings=(
            Wording("the solution x of the equation {factor} * {base}^x = {target}"),
            Wording("the value of x", ("The number x satisfies {factor} * {base}^x = {target}.",)),
            Wording(
                "the exponent x that {name} is looking for",
                ("{name} looks for the exponent x with {factor} * {base}^x = {target}.",),
                question="Which exponent x is {name} looking for?",
            ),
            Wording(
                "the number of times that {name} presses the key",
                (
                    "A calculator shows {factor}, and every press of one key multiplies the number by {base}.",
                    "{name} presses this key until the calculator shows {target}.",
                ),
                question="How many times does {name} press the key?",
            ),
            Wording("the value of z", ("The function f(x) = {factor} * {base}^x takes the value {target} at x = z.",)),
            Wording("the root of the equation {factor} * {base}^x - {target} = 0"),
        ),
        draw=_draw_equation,
        valid=lambda p: p["target"] % p["factor"] == 0 and bool(_exponent(p["base"], p["target"] // p["factor"])),
        value=lambda p: _exponent(p["base"], p["target"] // p["factor"]) or 0,
        check=lambda p, value: p["factor"] * p["base"] ** value == p["target"],
        choices={"name": _NAMES},
    ),
    Family(
        name="exponential-growth-time",
        template_id="exponential-growth-time",
        goal="the time that exponential growth takes",
        wordings=(
            Wording(
                "the number of hours until there are {final} {germs}",
                (
                    "A {dish} holds {start} {germs} at the beginning.",
                    "Every {period} hours the number of {germs} is multiplied by {factor}.",
                ),
                question="After how many hours are there {final} {germs}?",
            ),
            Wording(
                "the number of {unit} after which the quantity has grown from {start} to {final}",
                ("A quantity becomes {factor} times as large every {period} {unit}.",),
            ),
            Wording(
                "the time in {unit} until the value is {final} dollars",
                (
                    "{name} puts {start} dollars into a fund.",
                    "The value of the fund is multiplied by {factor} in every span of {period} {unit}.",
                ),
            ),
            Wording(
                "the number of days until {final} people know the rumor",
                (
                    "At first {start} people know a rumor.",
                    "After every {period} days the number of people who know it is {factor} times as large.",
                ),
                question="After how many days do {final} people know the rumor?",
            ),
            Wording(
                "the value of x for which the size is {final}",
                ("After x {unit} a colony has the size {start} * {factor}^(x/{period}).",),
            ),
            Wording(
                "the number of {unit} that it takes the algae to cover {final} square meters",
                (
                    "Algae cover {start} square meters of a lake.",
                    "The covered area grows by the factor {factor} every {period} {unit}.",
                ),
            ),
        ),
        draw=_draw_growth,
        valid=lambda p: 1 <= p["period"] <= 5_000 and _growth_exponent(p) is not None,
        value=lambda p: p["period"] * (_growth_exponent(p) or 0),
        check=_grows_to_final,
        feeds=("period",),
        choices={
            "name": _NAMES,
            "unit": ("hours", "days", "weeks", "years", "minutes"),
            "germs": ("bacteria", "cells", "yeast cells", "microbes"),
            "dish": ("glass dish", "test tube", "flask", "jar"),
        },
    ),
)
