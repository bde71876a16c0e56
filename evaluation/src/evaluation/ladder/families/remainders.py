"""Remainders on division: of a power, of a product plus a number."""

from evaluation.ladder.family import Family, Number, Parameters, Wording

_NAMES = ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe", "Ines", "Yusuf")


def _power_by_multiplying(p: Parameters, value: Number) -> bool:
    """One factor after the other, keeping only the remainder."""
    rest = 1
    for _ in range(p["power"]):
        rest = rest * p["base"] % p["divisor"]
    return value == rest % p["divisor"]


def _leaves_a_multiple(p: Parameters, value: Number) -> bool:
    return 0 <= value < p["divisor"] and (p["a"] * p["b"] + p["extra"] - value) % p["divisor"] == 0


FAMILIES = (
    Family(
        name="power-remainder",
        template_id="power-remainder",
        goal="the remainder of a power on division",
        wordings=(
            Wording("the remainder when {base}^{power} is divided by {divisor}"),
            Wording("the value of {base}^{power} modulo {divisor}"),
            Wording(
                "the remainder that the product leaves on division by {divisor}",
                ("A product has {power} factors, and each factor is equal to {base}.",),
            ),
            Wording(
                "the number of the mark where the pointer stops",
                (
                    "A dial has {divisor} marks in a circle, numbered in order from 0.",
                    "A pointer starts at mark 0 and moves forward by {base}^{power} marks, one after the other.",
                ),
                question="At which mark does the pointer stop?",
            ),
            Wording(
                "the number of {things} left over",
                ("{name} shares out {base}^{power} {things} equally among {divisor} bags.",),
                question="How many {things} are left over?",
            ),
            Wording(
                "the smallest non-negative integer that is congruent to {base} raised to the power {power} "
                "modulo {divisor}"
            ),
            Wording(
                "the rest that {name} finds",
                ("{name} raises {base} to the power {power} and divides the result by {divisor} with rest.",),
                question="What rest does {name} find?",
            ),
        ),
        draw=lambda rng: {"base": rng.randint(2, 99), "power": rng.randint(3, 300), "divisor": rng.randint(5, 300)},
        valid=lambda p: 2 <= p["base"] <= 10_000 and 2 <= p["power"] <= 5_000 and 3 <= p["divisor"] <= 10_000,
        value=lambda p: pow(p["base"], p["power"], p["divisor"]),
        check=_power_by_multiplying,
        feeds=("base", "power", "divisor"),
        choices={"name": _NAMES, "things": ("grains", "beads", "seeds", "crystals")},
    ),
    Family(
        name="linear-expression-remainder",
        template_id="linear-expression-remainder",
        goal="the remainder of a product plus a number on division",
        wordings=(
            Wording("the remainder when {a} * {b} + {extra} is divided by {divisor}"),
            Wording("the value of {a} * {b} + {extra} modulo {divisor}"),
            Wording(
                "the number of {things} that do not fit into a full bag",
                (
                    "{name} has {a} crates with {b} {things} each and {extra} loose {things}.",
                    "{name} fills all of them into bags of {divisor}.",
                ),
                question="How many {things} are left that do not fill a bag?",
            ),
            Wording(
                "the remainder that this number leaves on division by {divisor}",
                ("The product of {a} and {b} is increased by {extra}.",),
            ),
            Wording(
                "the number of people in the last, incomplete group",
                (
                    "To a festival come {a} buses with {b} people each and {extra} people on foot.",
                    "All of them form groups of {divisor}, and only the last group may be incomplete or empty.",
                ),
                question="How many people are in the last, incomplete group?",
            ),
            Wording(
                "the number of {coins} that stay in the chest",
                (
                    "A chest holds {a} sacks of {b} {coins} each and {extra} single {coins}.",
                    "The {coins} are shared equally among {divisor} sailors, and the rest stays in the chest.",
                ),
                question="How many {coins} stay in the chest?",
            ),
            Wording(
                "the rest that {name} finds",
                ("{name} multiplies {a} by {b}, adds {extra} and divides the result by {divisor} with rest.",),
                question="What rest does {name} find?",
            ),
        ),
        draw=lambda rng: {
            "a": rng.randint(3, 99),
            "b": rng.randint(3, 99),
            "extra": rng.randint(2, 99),
            "divisor": rng.randint(5, 200),
        },
        valid=lambda p: min(p["a"], p["b"], p["extra"]) >= 2 and 3 <= p["divisor"] <= p["a"] * p["b"],
        value=lambda p: (p["a"] * p["b"] + p["extra"]) % p["divisor"],
        check=_leaves_a_multiple,
        feeds=("a", "b", "extra", "divisor"),
        choices={
            "name": _NAMES,
            "things": ("apples", "lemons", "eggs", "walnuts", "tulip bulbs"),
            "coins": ("coins", "pearls", "gems", "nuggets"),
        },
    ),
)
