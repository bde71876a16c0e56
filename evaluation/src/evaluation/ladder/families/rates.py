"""Rates: speeds, meeting travellers and joint work."""

from fractions import Fraction
from random import Random

from evaluation.ladder.family import Family, Parameters, Wording

_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Marek", "Ines")
_FRIENDS = ("Victor", "Hana", "Diego", "Grace", "Noah", "Emma", "Felix", "Amara")
# Pairs whose harmonic mean, or half of it, is whole: they give whole answers.
_SPEEDS = tuple((a, b) for a in range(4, 150) for b in range(4, 150) if a != b and 2 * a * b % (a + b) == 0)
_TIMES = tuple((a, b) for a in range(2, 241) for b in range(2, 241) if a * b % (a + b) == 0)


def _draw_speeds(rng: Random) -> Parameters:
    out, back = rng.choice(_SPEEDS) if rng.random() < 0.7 else (rng.randint(4, 120), rng.randint(4, 120))
    return {"speed_out": out, "speed_back": back}


def _draw_times(rng: Random) -> Parameters:
    a, b = rng.choice(_TIMES) if rng.random() < 0.7 else (rng.randint(2, 60), rng.randint(2, 60))
    return {"time_a": a, "time_b": b}


def _draw_meeting(rng: Random) -> Parameters:
    a, b = rng.randint(3, 90), rng.randint(3, 90)
    distance = (a + b) * rng.randint(2, 12) if rng.random() < 0.8 else rng.randint(100, 900)
    return {"distance": distance, "speed_a": a, "speed_b": b}


FAMILIES = (
    Family(
        name="average-speed-round-trip",
        template_id="average-speed-round-trip",
        goal="the average speed of a round trip",
        wordings=(
            Wording(
                "the average speed of the whole trip in kilometers per hour",
                (
                    "{name} {goes} to the {place} at {speed_out} kilometers per hour and comes back along the same "
                    "road at {speed_back} kilometers per hour.",
                ),
            ),
            Wording(
                "the average speed over two equal distances that are covered at speeds of {speed_out} and {speed_back}"
            ),
            Wording(
                "{name}'s average speed in miles per hour over both ways",
                (
                    "On the way to the {place} {name} averages {speed_out} miles per hour.",
                    "On the way home, over the same distance, the average is {speed_back} miles per hour.",
                ),
                question="What is {name}'s average speed in miles per hour over both ways together?",
            ),
            Wording(
                "the average speed of the {craft} for the round trip in kilometers per hour",
                (
                    "A {craft} travels from one port to another at {speed_out} kilometers per hour.",
                    "It returns by the same route at {speed_back} kilometers per hour.",
                ),
            ),
            Wording(
                "the average speed for the entire distance in meters per minute",
                (
                    "{name} covers the first half of a distance at {speed_out} meters per minute and the second half "
                    "at {speed_back} meters per minute.",
                ),
            ),
            Wording("the harmonic mean of {speed_out} and {speed_back}"),
            Wording(
                "the mean speed up and down together in meters per hour",
                (
                    "A hiker climbs a trail at {speed_out} meters per hour and walks down the same trail at "
                    "{speed_back} meters per hour.",
                ),
            ),
        ),
        draw=_draw_speeds,
        valid=lambda p: p["speed_out"] != p["speed_back"] and all(1 <= n <= 10_000 for n in p.values()),
        value=lambda p: Fraction(2 * p["speed_out"] * p["speed_back"], p["speed_out"] + p["speed_back"]),
        check=lambda p, value: Fraction(1, p["speed_out"]) + Fraction(1, p["speed_back"]) == 2 / Fraction(value),
        feeds=("speed_out", "speed_back"),
        choices={
            "name": _NAMES,
            "goes": ("drives", "cycles", "rides"),
            "place": ("lake", "city", "market", "airport", "coast"),
            "craft": ("ferry", "ship", "boat", "freighter"),
        },
    ),
    Family(
        name="work-together",
        template_id="work-together",
        goal="the time for a job done together",
        wordings=(
            Wording(
                "the time in hours that they need together",
                (
                    "{name} can {task} in {time_a} hours, and {friend} can do the same job in {time_b} hours.",
                    "They work together at their usual rates.",
                ),
                question="How many hours do they need for the job together?",
            ),
            Wording(
                "the number of minutes to fill the {tank} through both pipes",
                (
                    "One pipe fills a {tank} in {time_a} minutes.",
                    "Another pipe fills it in {time_b} minutes.",
                ),
                question="How many minutes does it take to fill the {tank} when both pipes are open?",
            ),
            Wording(
                "the time that two workers need jointly for a job that takes one of them {time_a} days alone and the "
                "other {time_b} days alone"
            ),
            Wording(
                "the number of minutes that both machines need for the order",
                (
                    "A new machine finishes an order in {time_a} minutes, and an old machine finishes it in {time_b} "
                    "minutes.",
                    "Both are switched on at the same time and share the order.",
                ),
                question="How many minutes do both machines need for the order?",
            ),
            Wording(
                "the number of days in which they finish the job side by side",
                (
                    "Working alone, {friend} would {task} in {time_a} days.",
                    "Working alone, {name} would take {time_b} days for it.",
                ),
                question="In how many days do they finish the job if they work side by side?",
            ),
            Wording(
                "the reciprocal of the sum of the reciprocals of {time_a} and {time_b}",
            ),
            Wording(
                "the number of days that the food lasts for both animals",
                (
                    "A supply of hay lasts a {beast} {time_a} days or a {other} {time_b} days.",
                    "Now both animals eat from it.",
                ),
                question="How many days does the supply last for both animals together?",
            ),
        ),
        draw=_draw_times,
        valid=lambda p: all(2 <= n <= 10_000 for n in p.values()),
        value=lambda p: Fraction(p["time_a"] * p["time_b"], p["time_a"] + p["time_b"]),
        check=lambda p, value: Fraction(value) / p["time_a"] + Fraction(value) / p["time_b"] == 1,
        feeds=("time_a", "time_b"),
        choices={
            "name": _NAMES,
            "friend": _FRIENDS,
            "task": ("paint the fence", "clean the house", "mow the lawn", "sort the mail", "repair the roof"),
            "tank": ("tank", "pool", "basin", "reservoir"),
            "beast": ("horse", "cow", "donkey"),
            "other": ("goat", "sheep", "pony"),
        },
    ),
    Family(
        name="meeting-time",
        template_id="meeting-time",
        goal="the time until two travellers meet",
        wordings=(
            Wording(
                "the number of hours until they meet",
                (
                    "{name} and {friend} start {distance} kilometers apart and {move} straight towards each other.",
                    "{name} goes at {speed_a} kilometers per hour and {friend} at {speed_b} kilometers per hour.",
                ),
                question="After how many hours do they meet?",
            ),
            Wording(
                "the time in hours until the two trains meet",
                (
                    "Two stations are {distance} miles apart.",
                    "At the same time a train leaves each of them for the other, one at {speed_a} miles per hour and "
                    "one at {speed_b} miles per hour.",
                ),
                question="How many hours pass until the trains meet?",
            ),
            Wording(
                "the time in which two objects {distance} meters apart meet if they move towards each other at "
                "{speed_a} and {speed_b} meters per second"
            ),
            Wording(
                "the number of minutes until the ants meet",
                (
                    "Two ants sit at the ends of a rope that is {distance} centimeters long.",
                    "They walk towards each other, one at {speed_a} and the other at {speed_b} centimeters per minute.",
                ),
                question="How many minutes does it take until the ants meet?",
            ),
            Wording(
                "the number of days until the two crews meet",
                (
                    "Two crews dig a tunnel of {distance} meters from both ends.",
                    "One crew digs {speed_a} meters a day and the other {speed_b} meters a day.",
                ),
                question="After how many days do the crews meet?",
            ),
            Wording(
                "the number of hours that pass before the ships meet",
                (
                    "A ship sails at {speed_a} knots, and a second ship comes towards it at {speed_b} knots.",
                    "They are {distance} nautical miles apart now.",
                ),
                question="How many hours pass before the ships meet?",
            ),
        ),
        draw=_draw_meeting,
        valid=lambda p: 2 <= p["speed_a"] <= 10_000 and 2 <= p["speed_b"] <= 10_000 and 10 <= p["distance"] <= 100_000,
        value=lambda p: Fraction(p["distance"], p["speed_a"] + p["speed_b"]),
        check=lambda p, value: p["distance"] - p["speed_a"] * value == p["speed_b"] * value,
        feeds=("distance", "speed_a", "speed_b"),
        choices={"name": _NAMES, "friend": _FRIENDS, "move": ("cycle", "drive", "ride", "travel")},
    ),
)
