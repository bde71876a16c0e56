"""Amounts: averages, mixtures, percentages and interest."""

from fractions import Fraction
from random import Random

from evaluation.ladder.family import Family, Number, Parameters, Wording

_NAMES = ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe", "Elif", "Tariq")


def _draw_average(rng: Random) -> Parameters:
    n, mean = rng.randint(2, 30), rng.randint(5, 120)
    step = rng.randint(-4, 12)
    extra = mean + step * (n + 1) if rng.random() < 0.8 else mean + rng.randint(-4, 90)
    return {"n": n, "mean": mean, "extra": extra}


def _draw_mixture(rng: Random) -> Parameters:
    parts_a, parts_b = rng.randint(1, 9), rng.randint(1, 9)
    low, gap = rng.randint(2, 40), rng.randint(1, 5)
    high = low + gap * (parts_a + parts_b) if rng.random() < 0.8 else low + rng.randint(2, 50)
    scale = rng.randint(2, 12)
    percents = [low, high]
    rng.shuffle(percents)
    return {
        "amount_a": parts_a * scale,
        "percent_a": percents[0],
        "amount_b": parts_b * scale,
        "percent_b": percents[1],
    }


def _valid_mixture(p: Parameters) -> bool:
    percents_fit = all(1 <= p[v] <= 95 for v in ("percent_a", "percent_b")) and p["percent_a"] != p["percent_b"]
    return percents_fit and all(2 <= p[v] <= 10_000 for v in ("amount_a", "amount_b"))


def _draw_changes(rng: Random) -> Parameters:
    amount = 100 * rng.randint(1, 60) if rng.random() < 0.6 else 20 * rng.randint(2, 200)
    return {"amount": amount, "up": 5 * rng.randint(1, 18), "down": 5 * rng.randint(1, 18)}


def _changed(p: Parameters) -> Number:
    return Fraction(p["amount"] * (100 + p["up"]) * (100 - p["down"]), 10_000)


def _draw_interest(rng: Random) -> Parameters:
    principal = 50 * rng.randint(2, 200) if rng.random() < 0.8 else 100 * rng.randint(1, 99)
    return {"principal": principal, "rate": rng.randint(2, 15), "years": rng.randint(2, 20)}


FAMILIES = (
    Family(
        name="new-average",
        template_id="new-average",
        goal="the mean after one more number",
        wordings=(
            Wording(
                "the mean of all the numbers after that",
                ("The mean of {n} numbers is {mean}.", "Then the number {extra} is added to the list."),
            ),
            Wording("the average of {n} numbers with average {mean} and one further number {extra}"),
            Wording(
                "{name}'s new average",
                (
                    "After {n} {rounds} {name} has an average of {mean} points.",
                    "In the next one {name} scores {extra} points.",
                ),
                question="What is {name}'s average now?",
            ),
            Wording(
                "the new average age of the {trees} in years",
                (
                    "The {n} {trees} in a park are {mean} years old on average.",
                    "Another one, which is {extra} years old, is moved to the park.",
                ),
                question="How many years is the average age of the {trees} in the park now?",
            ),
            Wording(
                "the average weight of all the {parcels} in grams",
                (
                    "A cart carries {n} {parcels} with an average weight of {mean} grams.",
                    "One more of {extra} grams is put on the cart.",
                ),
                question="What is the average weight in grams of all the {parcels} on the cart?",
            ),
            Wording(
                "the average number of visitors a day including that day",
                (
                    "A {museum} had {mean} visitors a day on average for {n} days.",
                    "On the following day {extra} visitors came.",
                ),
            ),
        ),
        draw=_draw_average,
        valid=lambda p: 2 <= p["n"] <= 2_000 and 2 <= p["mean"] <= 10_000 and 2 <= p["extra"] <= 10_000,
        value=lambda p: Fraction(p["n"] * p["mean"] + p["extra"], p["n"] + 1),
        check=lambda p, value: p["n"] * (value - p["mean"]) == p["extra"] - value,
        feeds=("n", "mean", "extra"),
        choices={
            "name": _NAMES,
            "rounds": ("games", "rounds", "quizzes", "tests"),
            "parcels": ("parcels", "boxes", "letters", "packages"),
            "trees": ("trees", "oaks", "maples", "pines"),
            "museum": ("museum", "zoo", "gallery", "castle"),
        },
    ),
    Family(
        name="mixture-percentage",
        template_id="mixture-percentage",
        goal="the percentage of a mixture",
        wordings=(
            Wording(
                "the percentage of {stuff} in the mixture",
                (
                    "{name} mixes {amount_a} liters of {percent_a} percent {stuff} solution with {amount_b} liters "
                    "of {percent_b} percent {stuff} solution.",
                ),
                question="What percentage of the mixture is {stuff}?",
            ),
            Wording(
                "the strength in percent of a blend of {amount_a} grams at {percent_a} percent and {amount_b} grams at "
                "{percent_b} percent"
            ),
            Wording(
                "the juice content of the punch in percent",
                (
                    "A drink of {amount_a} cups contains {percent_a} percent juice, and another drink of {amount_b} "
                    "cups contains {percent_b} percent juice.",
                    "They are poured together into a punch.",
                ),
            ),
            Wording(
                "the {metal} content of the new alloy in percent",
                (
                    "An alloy with {percent_a} percent {metal} and an alloy with {percent_b} percent {metal} are "
                    "melted together.",
                    "There are {amount_a} kilograms of the first alloy and {amount_b} kilograms of the second.",
                ),
            ),
            Wording(
                "the share of red paint in the bucket in percent",
                (
                    "A bucket holds {amount_a} liters of paint of which {percent_a} percent is red.",
                    "{name} adds {amount_b} liters of paint of which {percent_b} percent is red.",
                ),
                question="What percent of the paint in the bucket is red now?",
            ),
            Wording(
                "the percentage of all the votes that {name} got",
                (
                    "In one town {amount_a} people voted, and {percent_a} percent of them voted for {name}.",
                    "In another town {amount_b} people voted, and {percent_b} percent of them voted for {name}.",
                ),
                question="What percentage of all the votes in the two towns did {name} get?",
            ),
        ),
        draw=_draw_mixture,
        valid=_valid_mixture,
        value=lambda p: Fraction(
            p["amount_a"] * p["percent_a"] + p["amount_b"] * p["percent_b"], p["amount_a"] + p["amount_b"]
        ),
        check=lambda p, value: p["amount_a"] * (value - p["percent_a"]) + p["amount_b"] * (value - p["percent_b"]) == 0,
        feeds=("amount_a", "amount_b"),
        choices={
            "name": _NAMES,
            "stuff": ("acid", "salt", "sugar", "alcohol"),
            "metal": ("copper", "silver", "nickel", "zinc"),
        },
    ),
    Family(
        name="percent-increase-decrease",
        template_id="percent-increase-decrease",
        goal="an amount after a rise and a fall by percentages",
        wordings=(
            Wording(
                "the final price in dollars",
                (
                    "The price of a {thing} is {amount} dollars.",
                    "It rises by {up} percent and then falls by {down} percent of the new price.",
                ),
            ),
            Wording(
                "the result of increasing {amount} by {up} percent and then decreasing the outcome by {down} percent"
            ),
            Wording(
                "the {town}'s population after both changes",
                (
                    "A {town} had {amount} inhabitants.",
                    "The population first grew by {up} percent and then shrank by {down} percent.",
                ),
                question="How many inhabitants does the {town} have after both changes?",
            ),
            Wording(
                "the value of {name}'s shares in dollars after two years",
                (
                    "{name} buys shares for {amount} dollars.",
                    "In the first year they gain {up} percent, and in the second year they lose {down} percent of "
                    "their value.",
                ),
            ),
            Wording(
                "the amount that a customer pays in dollars",
                (
                    "A shop buys a {thing} for {amount} dollars and marks it up by {up} percent.",
                    "In a sale the marked price is reduced by {down} percent.",
                ),
                question="How many dollars does a customer pay for the {thing} in the sale?",
            ),
            Wording(
                "the number of liters in the reservoir at the end",
                (
                    "A reservoir holds {amount} liters of water.",
                    "Rain increases this by {up} percent, and afterwards {down} percent of the water is let out.",
                ),
                question="How many liters are in the reservoir at the end?",
            ),
        ),
        draw=_draw_changes,
        valid=lambda p: (
            2 <= p["amount"] <= 10_000
            and 1 <= p["up"] <= 100
            and 1 <= p["down"] <= 95
            and Fraction(_changed(p)).denominator <= 20
        ),
        value=_changed,
        check=lambda p, value: (
            Fraction(value) / Fraction(100 - p["down"], 100) / Fraction(100 + p["up"], 100) == p["amount"]
        ),
        feeds=("amount",),
        choices={
            "thing": ("coat", "bicycle", "sofa", "camera", "watch"),
            "town": ("town", "village", "city", "colony"),
            "name": _NAMES,
        },
    ),
    Family(
        name="simple-interest",
        template_id="simple-interest",
        goal="the simple interest of a deposit",
        wordings=(
            Wording(
                "the simple interest in dollars after {years} years",
                ("{name} puts {principal} dollars into a bank that pays {rate} percent simple interest per year.",),
                question="How many dollars of interest does {name} get in {years} years?",
            ),
            Wording("the simple interest on {principal} dollars at {rate} percent per year for {years} years"),
            Wording(
                "the total interest in dollars that {name} pays",
                (
                    "{name} borrows {principal} dollars for {years} years at a simple interest rate of {rate} percent "
                    "per year.",
                ),
                question="How many dollars of interest does {name} pay in total?",
            ),
            Wording(
                "the interest in dollars over the whole time",
                (
                    "Each year an account earns {rate} percent of the first deposit, without compounding.",
                    "The deposit was {principal} dollars, and it stays in the account for {years} years.",
                ),
            ),
            Wording(
                "the sum of all the interest payments in dollars",
                (
                    "A bond of {principal} dollars runs for {years} years.",
                    "It pays {rate} percent of this amount as interest once a year.",
                ),
            ),
            Wording(
                "the simple interest in dollars that the {lender} receives",
                (
                    "A {lender} lends out {principal} dollars.",
                    "The loan is paid back after {years} years with {rate} percent simple interest per year.",
                ),
                question="How many dollars of simple interest does the {lender} receive?",
            ),
        ),
        draw=_draw_interest,
        valid=lambda p: 2 <= p["principal"] <= 10_000 and 1 <= p["rate"] <= 30 and 2 <= p["years"] <= 50,
        value=lambda p: Fraction(p["principal"] * p["rate"] * p["years"], 100),
        check=lambda p, value: value == sum(Fraction(p["principal"], 100) * p["rate"] for _ in range(p["years"])),
        feeds=("principal", "years"),
        choices={"name": _NAMES, "lender": ("bank", "company", "foundation", "city")},
    ),
)
