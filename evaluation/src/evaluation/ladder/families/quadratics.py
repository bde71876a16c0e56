"""Quadratic equations: roots, discriminant, symmetric sums of the roots."""

from collections.abc import Mapping
from fractions import Fraction
from math import isqrt, sqrt
from random import Random

from evaluation.ladder.family import Family, Number, Parameters, Wording, polynomial


def _monic(_: Mapping[str, str], p: Parameters) -> dict[str, str]:
    return {
        "quadratic": polynomial((1, p["b"], p["c"])),
        "quadratic_z": polynomial((1, p["b"], p["c"]), "z"),
    }


def _head(_: Mapping[str, str], p: Parameters) -> dict[str, str]:
    return {"head": polynomial((p["a"], p["b"], 0)), "head_z": polynomial((p["a"], p["b"], 0), "z")}


def _from_roots(rng: Random) -> Parameters:
    one, other = rng.randint(-20, 60), rng.randint(-20, 60)
    return {"b": -(one + other), "c": one * other}


def _integer_roots(p: Parameters) -> bool:
    discriminant = p["b"] ** 2 - 4 * p["c"]
    if discriminant <= 0 or 0 in (p["b"], p["c"]):
        return False
    return isqrt(discriminant) * isqrt(discriminant) == discriminant


def _larger_root(p: Parameters) -> int:
    return (-p["b"] + isqrt(p["b"] ** 2 - 4 * p["c"])) // 2


def _is_larger_root(p: Parameters, value: Number) -> bool:
    return value * value + p["b"] * value + p["c"] == 0 and value > -p["b"] - value


def _draw_real_roots(rng: Random) -> Parameters:
    b = rng.choice((-1, 1)) * rng.randint(2, 60)
    return {"b": b, "c": rng.randint(-200, b * b // 4)}


def _squares_of_roots(p: Parameters, value: Number) -> bool:
    """Numerically: each root by the quadratic formula, squared and added; the true sum is an integer."""
    root = sqrt(p["b"] ** 2 - 4 * p["c"])
    squares = ((-p["b"] + root) / 2) ** 2 + ((-p["b"] - root) / 2) ** 2
    return abs(squares - value) < 0.25


def _discriminant_by_completing(p: Parameters, value: Number) -> bool:
    """The least or greatest value of the quadratic is -discriminant/(4a)."""
    vertex = Fraction(-p["b"], 2 * p["a"])
    return p["a"] * vertex**2 + p["b"] * vertex + p["c"] == Fraction(-value) / (4 * p["a"])


def _draw_sum_and_product(rng: Random) -> Parameters:
    total = rng.randint(5, 100)
    return {"total": total, "product": rng.randint(2, max(2, total * total // 4))}


def _squares_of_pair(p: Parameters, value: Number) -> bool:
    """(u - v)^2 is both total^2 - 4 product and the sum of squares less twice the product."""
    return value - 2 * p["product"] == p["total"] ** 2 - 4 * p["product"]


FAMILIES = (
    Family(
        name="vieta-sum-of-squares",
        template_id="vieta-sum-of-squares",
        goal="the sum of the squares of the roots of a quadratic equation",
        wordings=(
            Wording("the sum of the squares of the roots of {quadratic} = 0"),
            Wording("the sum of the squares of its two solutions", ("Consider the equation {quadratic} = 0.",)),
            Wording("the value of g^2 + h^2", ("The equation {quadratic} = 0 has the roots g and h.",)),
            Wording(
                "the result of squaring both roots of {quadratic_z} = 0 and adding the squares",
                question="What is obtained when both roots of {quadratic_z} = 0 are squared and the squares are added?",
            ),
            Wording(
                "the number that {name} should get",
                (
                    "{name} looks at the two real solutions of {quadratic} = 0.",
                    "{name} squares each of these solutions and adds the two squares.",
                ),
            ),
            Wording(
                "the sum of the squares of the x-coordinates of these two points",
                ("The parabola y = {quadratic} crosses the x-axis at two points.",),
            ),
            Wording("the sum of the squared zeros of the polynomial {quadratic_z}"),
        ),
        draw=_draw_real_roots,
        valid=lambda p: p["b"] != 0 and p["c"] != 0 and p["b"] ** 2 > 4 * p["c"],
        value=lambda p: p["b"] ** 2 - 2 * p["c"],
        check=_squares_of_roots,
        phrases=_monic,
        choices={"name": ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe")},
    ),
    Family(
        name="sum-of-squares-from-sum-and-product",
        template_id="sum-of-squares-from-sum-and-product",
        goal="the sum of the squares of two numbers with known sum and product",
        wordings=(
            Wording(
                "the sum of the squares of the two numbers",
                ("Two numbers have the sum {total} and the product {product}.",),
            ),
            Wording("the value of x^2 + y^2", ("It is known that x + y = {total} and x*y = {product}.",)),
            Wording(
                "the sum of the squares of two numbers that add up to {total} and multiply to {product}",
            ),
            Wording(
                "the sum of the areas of the two squares",
                (
                    "Two squares have side lengths that add up to {total} cm.",
                    "The product of the two side lengths is {product} square cm.",
                ),
                question="How many square cm do the two squares cover together?",
            ),
            Wording(
                "the square of the length of the diagonal of the rectangle",
                ("In a rectangle length and width add up to {total} cm.", "Its area is {product} square cm."),
            ),
            Wording(
                "the sum of the squares of the numbers that {name} has in mind",
                ("{name} has two numbers in mind.", "Their sum is {total} and their product is {product}."),
            ),
            Wording(
                "the square of the length of the hypotenuse",
                ("The legs of a right triangle have a total length of {total} and the product {product}.",),
            ),
        ),
        draw=_draw_sum_and_product,
        valid=lambda p: (
            2 <= p["total"] <= 3_000 and 1 <= p["product"] <= 1_000_000 and p["total"] ** 2 >= 4 * p["product"]
        ),
        value=lambda p: p["total"] ** 2 - 2 * p["product"],
        check=_squares_of_pair,
        feeds=("total", "product"),
        choices={"name": ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe")},
    ),
    Family(
        name="larger-quadratic-root",
        template_id="larger-quadratic-root",
        goal="the larger root of a quadratic equation",
        wordings=(
            Wording("the larger root of {quadratic} = 0"),
            Wording("the greater of its two solutions", ("Consider the equation {quadratic} = 0.",)),
            Wording("the larger of g and h", ("The equation {quadratic} = 0 has the roots g and h.",)),
            Wording(
                "the greatest number z with {quadratic_z} = 0",
                question="Which is the greatest number z with {quadratic_z} = 0?",
            ),
            Wording(
                "the larger of the solutions that {name} finds",
                ("{name} solves the quadratic equation {quadratic} = 0 and finds two solutions.",),
            ),
            Wording(
                "the x-coordinate of the rightmost of these points",
                ("The parabola y = {quadratic} crosses the x-axis at two points.",),
            ),
            Wording("the larger zero of the polynomial {quadratic_z}"),
        ),
        draw=_from_roots,
        valid=_integer_roots,
        value=_larger_root,
        check=_is_larger_root,
        phrases=_monic,
        choices={"name": ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe")},
    ),
    Family(
        name="quadratic-discriminant",
        template_id="quadratic-discriminant",
        goal="the discriminant of a quadratic",
        wordings=(
            Wording("the discriminant of {head} + {c} = 0"),
            Wording("the discriminant of this equation", ("Consider the quadratic equation {head} + {c} = 0.",)),
            Wording("the discriminant of the polynomial {head_z} + {c}"),
            Wording(
                "the number under the square root",
                ("{name} solves {head} + {c} = 0 with the quadratic formula, without simplifying it first.",),
                question="Which number does {name} find under the square root?",
            ),
            Wording(
                "the discriminant of the parabola's quadratic",
                ("A parabola is given by y = {head} + {c}.",),
            ),
            Wording(
                "the discriminant that {name} computes",
                ("To learn how many real roots {head_z} + {c} has, {name} computes its discriminant.",),
                question="Which discriminant does {name} get?",
            ),
        ),
        draw=lambda rng: {
            "a": rng.choice((-1, 1, 1, 1)) * rng.randint(1, 9),
            "b": rng.choice((-1, 1)) * rng.randint(2, 60),
            "c": rng.randint(1, 60),
        },
        valid=lambda p: p["a"] != 0 and p["b"] != 0 and 1 <= p["c"] <= 10_000,
        value=lambda p: p["b"] ** 2 - 4 * p["a"] * p["c"],
        check=_discriminant_by_completing,
        feeds=("c",),
        phrases=_head,
        choices={"name": ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe")},
    ),
)
