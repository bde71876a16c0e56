"""Polygons: sides and angles that follow from the others."""

from fractions import Fraction
from random import Random

from evaluation.ladder.family import Family, Parameters, Wording

_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Marek", "Ines")


def _draw_rectangle(rng: Random) -> Parameters:
    width = rng.randint(2, 60)
    return {"area": width * rng.randint(2, 80), "width": width}


FAMILIES = (
    Family(
        name="rectangle-perimeter-from-area",
        template_id="rectangle-perimeter-from-area",
        goal="the perimeter of a rectangle",
        wordings=(
            Wording(
                "the perimeter of the rectangle in {unit}",
                ("A rectangle is {width} {unit} wide and has an area of {area} square {unit}.",),
            ),
            Wording("the perimeter of a rectangle with area {area} and one side of length {width}"),
            Wording(
                "the length of the fence in meters",
                (
                    "{name} puts a fence around a rectangular {plot} with an area of {area} square meters.",
                    "One side of the {plot} is {width} meters long.",
                ),
                question="How many meters of fence does {name} need?",
            ),
            Wording(
                "the distance once around the {hall} in meters",
                (
                    "The floor of a rectangular {hall} covers {area} square meters.",
                    "The {hall} is {width} meters wide.",
                ),
                question="How many meters is it once around the {hall} along its walls?",
            ),
            Wording(
                "the sum of all four sides of the rectangle",
                ("The area of a rectangle is {area}, and one of its sides is {width}.",),
            ),
            Wording(
                "the number of {unit} of ribbon along the whole edge of the {cloth}",
                (
                    "A rectangular {cloth} is {width} {unit} wide, and its area is {area} square {unit}.",
                    "{name} sews a ribbon along its whole edge.",
                ),
                question="How many {unit} of ribbon does {name} need?",
            ),
        ),
        draw=_draw_rectangle,
        valid=lambda p: 2 <= p["width"] <= 5_000 and 4 <= p["area"] <= 100_000 and p["area"] % p["width"] == 0,
        value=lambda p: 2 * (p["width"] + p["area"] // p["width"]),
        check=lambda p, value: (value / Fraction(2) - p["width"]) * p["width"] == p["area"],
        feeds=("area", "width"),
        choices={
            "unit": ("centimeters", "meters", "inches", "feet"),
            "cloth": ("flag", "blanket", "rug", "tablecloth"),
            "plot": ("garden", "field", "yard", "meadow"),
            "hall": ("hall", "gym", "room", "studio"),
            "name": _NAMES,
        },
    ),
    Family(
        name="triangle-third-angle",
        template_id="triangle-third-angle",
        goal="the third angle of a triangle",
        wordings=(
            Wording(
                "the third angle of the triangle in degrees",
                ("Two angles of a triangle are {angle_a} degrees and {angle_b} degrees.",),
            ),
            Wording(
                "the size in degrees of the third angle of a triangle with angles of {angle_a} and {angle_b} degrees"
            ),
            Wording(
                "the angle at C in degrees",
                ("In triangle ABC the angle at A is {angle_a} degrees and the angle at B is {angle_b} degrees.",),
            ),
            Wording(
                "the remaining angle in degrees",
                (
                    "{name} cuts a triangle out of {stuff}.",
                    "One corner has an angle of {angle_a} degrees, another one of {angle_b} degrees.",
                ),
                question="How many degrees is the angle at the remaining corner?",
            ),
            Wording(
                "the angle at the top of the {roof} in degrees",
                (
                    "The front of a {roof} is a triangle whose angles at the bottom are {angle_a} degrees on the left "
                    "and {angle_b} degrees on the right.",
                ),
            ),
            Wording(
                "the angle in degrees between the sides AC and BC",
                ("In a triangle ABC, AB and AC meet at {angle_a} degrees, and AB and BC meet at {angle_b} degrees.",),
            ),
            Wording(
                "the angle at the third {corner} in degrees",
                (
                    "Three {corner}s are the corners of a triangle.",
                    "The angle at the first {corner} is {angle_a} degrees, and at the second it is {angle_b} degrees.",
                ),
            ),
        ),
        draw=lambda rng: {"angle_a": rng.randint(5, 110), "angle_b": rng.randint(5, 110)},
        valid=lambda p: min(p.values()) >= 1 and sum(p.values()) <= 178,
        value=lambda p: 180 - p["angle_a"] - p["angle_b"],
        check=lambda p, value: p["angle_a"] + p["angle_b"] + value == 180,
        feeds=("angle_a", "angle_b"),
        choices={
            "name": _NAMES,
            "stuff": ("paper", "wood", "cardboard", "felt"),
            "roof": ("roof", "tent", "gable", "shed"),
            "corner": ("tower", "tree", "island", "buoy"),
        },
    ),
)
