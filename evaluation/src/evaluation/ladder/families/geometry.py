"""Plane geometry: right triangles, chords and the area of a triangle."""

from fractions import Fraction
from math import gcd, isqrt
from random import Random

from evaluation.ladder.family import Family, Parameters, Wording

_UNITS = ("cm", "m", "mm", "units")
_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Marek", "Ines")
_LONGEST = 900


def _triples() -> tuple[tuple[int, int, int], ...]:
    """All Pythagorean triples (both orders of the legs) up to the longest hypotenuse."""
    found = []
    for m in range(2, isqrt(_LONGEST) + 1):
        for n in range(1 + m % 2, m, 2):
            if gcd(m, n) == 1:
                a, b, c = m * m - n * n, 2 * m * n, m * m + n * n
                for scale in range(1, _LONGEST // c + 1):
                    found += [(scale * a, scale * b, scale * c), (scale * b, scale * a, scale * c)]
    return tuple(found)


_TRIPLES = _triples()


def _draw_legs(rng: Random) -> Parameters:
    a, b, _ = rng.choice(_TRIPLES)
    return {"leg_a": a, "leg_b": b}


def _draw_chord(rng: Random) -> Parameters:
    distance, _, radius = rng.choice(_TRIPLES)
    return {"radius": radius, "distance": distance}


def _is_square(n: int) -> bool:
    return n > 0 and isqrt(n) ** 2 == n


FAMILIES = (
    Family(
        name="right-triangle-hypotenuse",
        template_id="right-triangle-hypotenuse",
        goal="the hypotenuse of a right triangle",
        wordings=(
            Wording(
                "the length of the hypotenuse in {unit}",
                ("A right triangle has legs of {leg_a} {unit} and {leg_b} {unit}.",),
            ),
            Wording("the hypotenuse of the right triangle whose legs are {leg_a} and {leg_b}"),
            Wording(
                "the length of the ladder in feet",
                (
                    "A ladder leans against a vertical wall.",
                    "Its foot is {leg_a} feet from the wall, and its top touches the wall {leg_b} feet above the "
                    "ground.",
                ),
                question="How many feet long is the ladder?",
            ),
            Wording(
                "the straight-line distance in {far} from {name} to the starting point",
                ("{name} travels {leg_a} {far} {east} and then {leg_b} {far} {north}.",),
                question="How many {far} is {name} from the starting point in a straight line?",
            ),
            Wording(
                "the length of the diagonal of the {field} in meters",
                ("A rectangular {field} is {leg_a} meters long and {leg_b} meters wide.",),
                question="How many meters long is the diagonal of the {field}?",
            ),
            Wording(
                "the length of the side AB",
                ("In triangle ABC the angle at C is a right angle, AC = {leg_a} and BC = {leg_b}.",),
            ),
            Wording(
                "the length of the cable in meters",
                (
                    "A straight cable runs from the top of a mast that is {leg_a} meters high to a point on level "
                    "ground {leg_b} meters from the foot of the mast.",
                ),
                question="How many meters long is the cable?",
            ),
        ),
        draw=_draw_legs,
        valid=lambda p: _is_square(p["leg_a"] ** 2 + p["leg_b"] ** 2),
        value=lambda p: isqrt(p["leg_a"] ** 2 + p["leg_b"] ** 2),
        check=lambda p, value: value > p["leg_a"] and (value - p["leg_a"]) * (value + p["leg_a"]) == p["leg_b"] ** 2,
        choices={
            "unit": _UNITS,
            "far": ("miles", "kilometers", "meters"),
            "east": ("east", "west"),
            "north": ("north", "south"),
            "name": _NAMES,
            "field": ("field", "yard", "park", "hall", "meadow"),
        },
    ),
    Family(
        name="triangle-area-base-height",
        template_id="triangle-area-base-height",
        goal="the area of a triangle",
        wordings=(
            Wording(
                "the area of the triangle in square {unit}",
                ("A triangle has a base of {base} {unit} and a height of {height} {unit}.",),
            ),
            Wording("the area of a triangle with base {base} and height {height}"),
            Wording(
                "the area of the {cloth} in square {unit}",
                ("A triangular {cloth} is {height} {unit} high, and its base is {base} {unit} long.",),
                question="How many square {unit} of cloth does the {cloth} have?",
            ),
            Wording(
                "the area of the {plot} in square meters",
                (
                    "{name} owns a triangular {plot}.",
                    "One side of it is {base} meters long, and the opposite corner is {height} meters away from the "
                    "line of that side.",
                ),
                question="What is the area of the {plot} in square meters?",
            ),
            Wording(
                "the area of the right triangle",
                ("The two sides of a right triangle that meet at the right angle are {base} and {height}.",),
            ),
            Wording(
                "the area of triangle ABC",
                ("In triangle ABC the side AB is {base}, and the altitude from C to AB is {height}.",),
            ),
            Wording(
                "the area of one of the two triangles",
                ("A rectangle of {base} {unit} by {height} {unit} is cut along its diagonal into two triangles.",),
                question="How many square {unit} is the area of one of the two triangles?",
            ),
        ),
        draw=lambda rng: {"base": 2 * rng.randint(1, 60), "height": rng.randint(2, 120)},
        valid=lambda p: all(2 <= n <= 10_000 for n in p.values()),
        value=lambda p: Fraction(p["base"] * p["height"], 2),
        check=lambda p, value: value + value == sum(p["base"] for _ in range(p["height"])),
        feeds=("base", "height"),
        choices={
            "unit": ("centimeters", "meters", "inches", "feet"),
            "cloth": ("flag", "sail", "scarf", "banner"),
            "plot": ("garden", "field", "plot", "meadow"),
            "name": _NAMES,
        },
    ),
    Family(
        name="chord-length",
        template_id="chord-length",
        goal="the length of a chord",
        wordings=(
            Wording(
                "the length of the chord in {unit}",
                ("A circle has a radius of {radius} {unit}.", "A chord is {distance} {unit} away from its center."),
            ),
            Wording("the length of a chord at distance {distance} from the center of a circle with radius {radius}"),
            Wording(
                "the length of the path in meters",
                (
                    "A round {pond} has a radius of {radius} meters.",
                    "A straight {path} crosses it, passing {distance} meters from the center.",
                ),
                question="How many meters of the {path} lie within the {pond}?",
            ),
            Wording(
                "the length of the segment AB",
                (
                    "A line at distance {distance} from the center of a circle meets the circle at A and B.",
                    "The radius of the circle is {radius}.",
                ),
            ),
            Wording(
                "the length of the cut in {unit}",
                (
                    "{name} makes a straight cut across a round {disc} of radius {radius} {unit}.",
                    "The cut passes {distance} {unit} from the center.",
                ),
                question="How many {unit} long is the cut?",
            ),
            Wording(
                "the width of the water surface in millimeters",
                (
                    "A round pipe that lies on its side has an inner radius of {radius} millimeters.",
                    "The water in it stands {distance} millimeters below the center line of the pipe.",
                ),
                question="How many millimeters wide is the surface of the water?",
            ),
        ),
        draw=_draw_chord,
        valid=lambda p: 0 < p["distance"] < p["radius"] and _is_square(p["radius"] ** 2 - p["distance"] ** 2),
        value=lambda p: 2 * isqrt(p["radius"] ** 2 - p["distance"] ** 2),
        check=lambda p, value: value > 0 and Fraction(value, 2) ** 2 + p["distance"] ** 2 == p["radius"] ** 2,
        choices={
            "unit": ("centimeters", "meters", "inches", "feet"),
            "pond": ("pond", "park", "meadow", "island"),
            "path": ("path", "rope", "cable", "line"),
            "disc": ("pizza", "cake", "disc", "board"),
            "name": _NAMES,
        },
    ),
)
