"""Arithmetic and geometric sequences and series."""

from fractions import Fraction

from evaluation.ladder.family import Family, Number, Parameters, Wording


def _geometric_sum(p: Parameters) -> int:
    growth: int = p["ratio"] ** p["n"]
    return p["first"] * (growth - 1) // (p["ratio"] - 1)


def _term_by_steps(p: Parameters, value: Number) -> bool:
    """Divided by the ratio again and again, the term becomes the first one."""
    term = Fraction(value)
    for _ in range(p["n"] - 1):
        term /= p["ratio"]
    return term == p["first"]


FAMILIES = (
    Family(
        name="arithmetic-series-sum",
        template_id="arithmetic-series-sum",
        goal="the sum of an arithmetic series",
        wordings=(
            Wording(
                "the sum of its first {n} terms",
                ("An arithmetic sequence has first term {first} and common difference {diff}.",),
            ),
            Wording(
                "the sum of the first {n} terms of the arithmetic sequence with first term {first} and common "
                "difference {diff}"
            ),
            Wording(
                "the total number of seats in the {hall}",
                (
                    "The {hall} has {n} rows of seats.",
                    "The first row has {first} seats, and each row after it has {diff} more seats than the row before.",
                ),
                question="How many seats does the {hall} have in all?",
            ),
            Wording(
                "the amount that {name} saves in {n} weeks",
                (
                    "{name} saves {first} dollars in the first week.",
                    "Every week after that {name} saves {diff} dollars more than in the week before.",
                ),
                question="How many dollars does {name} save in {n} weeks altogether?",
            ),
            Wording(
                "the sum of the first {n} numbers in the list",
                ("A list of numbers starts with {first}, and each next number is {diff} larger than the last.",),
            ),
            Wording(
                "the total distance that {name} runs in {n} days",
                ("{name} runs {first} kilometers on day one and adds {diff} kilometers on every following day.",),
                question="How many kilometers does {name} run in {n} days in total?",
            ),
        ),
        draw=lambda rng: {"first": rng.randint(2, 40), "diff": rng.randint(2, 15), "n": rng.randint(4, 40)},
        valid=lambda p: 1 <= p["first"] <= 5_000 and 1 <= p["diff"] <= 500 and 3 <= p["n"] <= 200,
        value=lambda p: p["n"] * (2 * p["first"] + (p["n"] - 1) * p["diff"]) // 2,
        check=lambda p, value: value == sum(p["first"] + k * p["diff"] for k in range(p["n"])),
        feeds=("first", "diff", "n"),
        choices={
            "hall": ("theater", "concert hall", "stadium", "cinema", "lecture hall"),
            "name": ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe"),
        },
    ),
    Family(
        name="geometric-series-sum",
        template_id="geometric-series-sum",
        goal="the sum of a geometric series",
        wordings=(
            Wording(
                "the sum of its first {n} terms",
                ("A geometric sequence has first term {first} and common ratio {ratio}.",),
            ),
            Wording(
                "the sum of the first {n} terms of the geometric sequence with first term {first} and common ratio "
                "{ratio}"
            ),
            Wording(
                "the total number of {things} in the first {n} boxes",
                (
                    "The first box holds {first} {things}, and each box after it holds {ratio} times as many as the "
                    "box before.",
                ),
                question="How many {things} are there in the first {n} boxes altogether?",
            ),
            Wording(
                "the number of messages sent in the first {n} rounds",
                (
                    "In the first round of a chain letter {first} messages are sent.",
                    "In every later round {ratio} times as many messages are sent as in the round before.",
                ),
                question="How many messages are sent in the first {n} rounds in all?",
            ),
            Wording(
                "the sum of its first {n} terms",
                ("A progression starts with {first}, and every next term is {ratio} times the term before it.",),
            ),
            Wording(
                "the amount that {name} earns in {n} days",
                (
                    "{name} earns {first} dollars on the first day.",
                    "On each following day {name} earns {ratio} times as much as on the day before.",
                ),
                question="How many dollars does {name} earn in {n} days altogether?",
            ),
        ),
        draw=lambda rng: {"first": rng.randint(2, 30), "ratio": rng.randint(2, 5), "n": rng.randint(3, 8)},
        valid=lambda p: 1 <= p["first"] <= 2_000 and 2 <= p["ratio"] <= 10 and 3 <= p["n"] <= 9,
        value=_geometric_sum,
        check=lambda p, value: Fraction(value) == sum(p["first"] * p["ratio"] ** k for k in range(p["n"])),
        feeds=("first", "ratio", "n"),
        choices={
            "things": ("marbles", "beads", "coins", "stickers", "pebbles"),
            "name": ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe"),
        },
    ),
    Family(
        name="arithmetic-nth-term",
        template_id="arithmetic-nth-term",
        goal="one term of an arithmetic sequence",
        wordings=(
            Wording(
                "its term number {n}",
                ("An arithmetic sequence has first term {first} and common difference {diff}.",),
                question="What is its term number {n}?",
            ),
            Wording(
                "the term in position {n} of the arithmetic sequence with first term {first} and common "
                "difference {diff}"
            ),
            Wording(
                "the number of seats in row {n} of the {hall}",
                (
                    "The first row of the {hall} has {first} seats.",
                    "Each row after it has {diff} more seats than the row before.",
                ),
                question="How many seats are there in row {n} alone?",
            ),
            Wording(
                "the amount that {name} saves in week {n} alone",
                (
                    "{name} saves {first} dollars in the first week.",
                    "Every week after that {name} saves {diff} dollars more than in the week before.",
                ),
                question="How many dollars does {name} save in week {n} alone?",
            ),
            Wording(
                "the number in place {n} of the list",
                ("A list of numbers starts with {first}, and each next number is {diff} larger than the last.",),
            ),
            Wording(
                "the distance that {name} runs on day {n}",
                ("{name} runs {first} kilometers on day one and adds {diff} kilometers on every following day.",),
                question="How many kilometers does {name} run on day {n}?",
            ),
        ),
        draw=lambda rng: {"first": rng.randint(2, 99), "diff": rng.randint(2, 40), "n": rng.randint(4, 99)},
        valid=lambda p: 1 <= p["first"] <= 10_000 and 1 <= p["diff"] <= 5_000 and 3 <= p["n"] <= 5_000,
        value=lambda p: p["first"] + (p["n"] - 1) * p["diff"],
        check=lambda p, value: value == range(p["first"], p["first"] + p["n"] * p["diff"], p["diff"])[-1],
        feeds=("first", "diff", "n"),
        choices={
            "hall": ("theater", "concert hall", "stadium", "cinema", "lecture hall"),
            "name": ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe"),
        },
    ),
    Family(
        name="geometric-nth-term",
        template_id="geometric-nth-term",
        goal="one term of a geometric sequence",
        wordings=(
            Wording(
                "its term number {n}",
                ("A geometric sequence has first term {first} and common ratio {ratio}.",),
                question="What is its term number {n}?",
            ),
            Wording(
                "the term in position {n} of the geometric sequence with first term {first} and common ratio {ratio}"
            ),
            Wording(
                "the number of {things} in box number {n}",
                (
                    "The first box holds {first} {things}, and each box after it holds {ratio} times as many as the "
                    "box before.",
                ),
                question="How many {things} are there in box number {n} alone?",
            ),
            Wording(
                "the number of messages sent in round {n} alone",
                (
                    "In the first round of a chain letter {first} messages are sent.",
                    "In every later round {ratio} times as many messages are sent as in the round before.",
                ),
                question="How many messages are sent in round {n} alone?",
            ),
            Wording(
                "the term in place {n} of the progression",
                ("A progression starts with {first}, and every next term is {ratio} times the term before it.",),
            ),
            Wording(
                "the amount that {name} earns on day {n} alone",
                (
                    "{name} earns {first} dollars on the first day.",
                    "On each following day {name} earns {ratio} times as much as on the day before.",
                ),
                question="How many dollars does {name} earn on day {n} alone?",
            ),
        ),
        draw=lambda rng: {"first": rng.randint(2, 60), "ratio": rng.randint(2, 7), "n": rng.randint(3, 9)},
        valid=lambda p: 1 <= p["first"] <= 10_000 and 2 <= p["ratio"] <= 50 and 3 <= p["n"] <= 12,
        value=lambda p: p["first"] * p["ratio"] ** (p["n"] - 1),
        check=_term_by_steps,
        feeds=("first", "ratio", "n"),
        choices={
            "things": ("marbles", "beads", "coins", "stickers", "pebbles"),
            "name": ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe"),
        },
    ),
)
