"""Divisors and multiples: greatest common divisor, least common multiple, number and sum of the divisors."""

from math import gcd, isqrt, lcm
from random import Random

from evaluation.ladder.family import Family, Number, Parameters, Wording

_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Diego", "Hana")


def _draw_common(rng: Random) -> Parameters:
    divisor = rng.randint(2, 60)
    return {"a": divisor * rng.randint(2, 40), "b": divisor * rng.randint(2, 40)}


def _is_greatest_divisor(p: Parameters, value: Number) -> bool:
    """It divides both, and what is left of them has no divisor in common."""
    if value < 1 or p["a"] % value or p["b"] % value:
        return False
    left, right = p["a"] // value, p["b"] // value
    return all(left % k or right % k for k in range(2, int(min(left, right)) + 1))


def _is_least_multiple(p: Parameters, value: Number) -> bool:
    """It is a multiple of both, and no smaller multiple of the larger number is one of the smaller."""
    high, low = max(p["a"], p["b"]), min(p["a"], p["b"])
    return value % high == 0 and value % low == 0 and all(k % low for k in range(high, int(value), high))


def _divisors(n: int) -> list[int]:
    small = [k for k in range(1, isqrt(n) + 1) if n % k == 0]
    return sorted({*small, *(n // k for k in small)})


def _prime_powers(n: int) -> list[tuple[int, int]]:
    powers, prime = [], 2
    while n > 1:
        exponent = 0
        while n % prime == 0:
            n, exponent = n // prime, exponent + 1
        if exponent:
            powers.append((prime, exponent))
        prime += 1
    return powers


def _count_by_primes(p: Parameters, value: Number) -> bool:
    count = 1
    for _, exponent in _prime_powers(p["n"]):
        count *= exponent + 1
    return value == count


def _sum_by_primes(p: Parameters, value: Number) -> bool:
    total = 1
    for prime, exponent in _prime_powers(p["n"]):
        total *= (prime ** (exponent + 1) - 1) // (prime - 1)
    return value == total


def _draw_divisible(rng: Random) -> Parameters:
    """Half of the numbers are products of small factors, which have many divisors."""
    if rng.random() < 0.5:
        return {"n": rng.randint(12, 4_000)}
    return {"n": rng.randint(2, 12) * rng.randint(2, 12) * rng.randint(2, 30)}


FAMILIES = (
    Family(
        name="gcd",
        template_id="greatest-common-divisor",
        goal="the greatest common divisor of two numbers",
        wordings=(
            Wording("the greatest common divisor of {a} and {b}"),
            Wording("the largest integer that divides both {a} and {b}"),
            Wording("the highest common factor of the two numbers", ("Two numbers are given, {a} and {b}.",)),
            Wording(
                "the side length in cm of the largest tile that {name} can use",
                (
                    "A rectangular {surface} is {a} cm long and {b} cm wide.",
                    "{name} covers it with equal square tiles and does not cut any tile.",
                ),
                question="How many cm long is the side of the largest tile that {name} can use?",
            ),
            Wording(
                "the greatest number of packets that {name} can make",
                (
                    "{name} has {a} {things} and {b} {others}.",
                    "{name} shares all of them out into identical packets with nothing left over.",
                ),
                question="How many packets can {name} make at most?",
            ),
            Wording(
                "the greatest possible length of a piece in meters",
                (
                    "Two ropes are {a} meters and {b} meters long.",
                    "Both ropes are cut into pieces of one and the same whole number of meters with nothing left over.",
                ),
            ),
            Wording(
                "the greatest possible number of students in a row",
                (
                    "One school sends {a} students to a parade, and another school sends {b} students.",
                    "The students of each school march in full rows, and all rows of both schools are equally long.",
                ),
                question="How many students can a row have at most?",
            ),
            Wording("the largest number by which both parts of the fraction {a}/{b} can be divided without remainder"),
        ),
        draw=_draw_common,
        valid=lambda p: p["a"] != p["b"] and max(p["a"], p["b"]) <= 10_000 and gcd(p["a"], p["b"]) >= 2,
        value=lambda p: gcd(p["a"], p["b"]),
        check=_is_greatest_divisor,
        feeds=("a", "b"),
        choices={
            "name": _NAMES,
            "surface": ("floor", "wall", "patio", "table top"),
            "things": ("pens", "apples", "marbles", "red beads"),
            "others": ("erasers", "oranges", "stickers", "white beads"),
        },
    ),
    Family(
        name="lcm",
        template_id="least-common-multiple",
        goal="the least common multiple of two numbers",
        wordings=(
            Wording("the least common multiple of {a} and {b}"),
            Wording("the smallest positive integer that is divisible by both {a} and {b}"),
            Wording("the lowest common multiple of the two numbers", ("Two numbers are given, {a} and {b}.",)),
            Wording(
                "the number of minutes until both buses leave together again",
                (
                    "Two buses leave the {stop} at the same moment.",
                    "From then on one bus leaves every {a} minutes and the other bus every {b} minutes.",
                ),
                question="After how many minutes do both buses leave together again for the first time?",
            ),
            Wording(
                "the smallest number of {things} that {name} can buy",
                (
                    "In a shop {things} come in packs of {a} and {others} come in packs of {b}.",
                    "{name} buys only full packs and wants exactly as many {things} as {others}.",
                ),
                question="How many {things} must {name} buy at least?",
            ),
            Wording(
                "the number of seconds from one common flash to the next",
                (
                    "A {colour} light flashes every {a} seconds and a white light flashes every {b} seconds.",
                    "At some moment both lights flash together.",
                ),
                question="After how many seconds do both lights flash together again for the first time?",
            ),
            Wording(
                "the side length in cm of the smallest such square",
                ("A square is laid out of tiles that are {a} cm long and {b} cm wide, all turned the same way.",),
            ),
            Wording(
                "the number of teeth that each wheel has moved on when both first stand as in the beginning",
                ("A wheel with {a} teeth drives a wheel with {b} teeth.",),
                question="After how many teeth do both wheels stand as in the beginning for the first time?",
            ),
        ),
        draw=lambda rng: {"a": rng.randint(4, 150), "b": rng.randint(4, 150)},
        valid=lambda p: p["a"] != p["b"] and min(p["a"], p["b"]) >= 2 and max(p["a"], p["b"]) <= 10_000,
        value=lambda p: lcm(p["a"], p["b"]),
        check=_is_least_multiple,
        feeds=("a", "b"),
        choices={
            "name": _NAMES,
            "stop": ("station", "market square", "airport", "school"),
            "things": ("pens", "buns", "cups", "bolts"),
            "others": ("erasers", "sausages", "saucers", "nuts"),
            "colour": ("red", "blue", "green", "yellow"),
        },
    ),
    Family(
        name="divisor-count",
        template_id="divisor-count",
        goal="the number of positive divisors",
        wordings=(
            Wording("the number of positive divisors of {n}", question="How many positive divisors does {n} have?"),
            Wording("the number of positive integers that divide {n} without remainder"),
            Wording(
                "the number of entries on the list",
                ("{name} lists all positive integers that are factors of {n}, each of them once.",),
                question="How many entries does the list have?",
            ),
            Wording(
                "the number of possible choices for the number of rows",
                ("In a hall {n} {things} are set up in rows, and every row has the same number of {things}.",),
                question="How many different numbers of rows are possible?",
            ),
            Wording(
                "the number of different group sizes that are possible",
                ("A coach splits {n} players into equal groups, where one group or groups of one are allowed.",),
            ),
            Wording(
                "the number of ways to choose the number of boxes",
                ("{name} packs {n} {goods} into boxes so that all boxes hold equally many and none is left.",),
                question="In how many ways can {name} choose the number of boxes?",
            ),
        ),
        draw=_draw_divisible,
        valid=lambda p: 2 <= p["n"] <= 10_000,
        value=lambda p: len(_divisors(p["n"])),
        check=_count_by_primes,
        feeds=("n",),
        choices={
            "name": _NAMES,
            "things": ("chairs", "desks", "benches", "seats"),
            "goods": ("books", "candles", "bottles", "toys"),
        },
    ),
    Family(
        name="divisor-sum",
        template_id="divisor-sum",
        goal="the sum of the positive divisors",
        wordings=(
            Wording("the sum of the positive divisors of {n}"),
            Wording("the sum of all positive integers that divide {n} without remainder"),
            Wording(
                "the total of the numbers on the list",
                ("{name} lists all positive integers that are factors of {n}, each of them once.",),
            ),
            Wording("the number obtained by adding up all factors of {n}, including 1 and the number itself"),
            Wording(
                "the total number of points in the game",
                ("In a game {name} wins d points for every positive divisor d of {n}, and nothing else.",),
                question="How many points does {name} win in total?",
            ),
            Wording(
                "the sum of all possible values of d",
                ("A positive integer d divides {n}.",),
                question="What do all possible values of d add up to?",
            ),
        ),
        draw=_draw_divisible,
        valid=lambda p: 2 <= p["n"] <= 10_000,
        value=lambda p: sum(_divisors(p["n"])),
        check=_sum_by_primes,
        feeds=("n",),
        choices={"name": _NAMES},
    ),
)
