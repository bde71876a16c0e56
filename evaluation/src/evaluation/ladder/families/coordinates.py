"""Points in the plane: distances, midpoints, slopes and areas."""

from fractions import Fraction
from random import Random

from evaluation.ladder.family import Family, Number, Parameters, Wording

_NAMES = ("Nina", "Paul", "Ravi", "Sofia", "Ben", "Mei", "Karl", "Zoe", "Elif", "Tariq")
_PLACES = ("school", "station", "museum", "library", "market")
_GOALS = ("harbor", "bakery", "park", "castle", "bridge")
_CHOICES = {"name": _NAMES, "place": _PLACES, "target": _GOALS}
_TWO_POINTS = ("xa", "ya", "xb", "yb")
_THREE_POINTS = (*_TWO_POINTS, "xc", "yc")


def _small(p: Parameters) -> bool:
    return all(-5_000 <= n <= 5_000 for n in p.values())


def _draw_points(rng: Random) -> Parameters:
    reach = rng.choice((12, 40, 40, 99))
    return {v: rng.randint(-reach, reach) for v in _TWO_POINTS}


def _draw_even_points(rng: Random) -> Parameters:
    points = {v: rng.randint(-5, 90) for v in _TWO_POINTS}
    points["yb"] += sum(points.values()) % 2
    return points


def _draw_sloped(rng: Random) -> Parameters:
    xa, ya, run = rng.randint(-30, 30), rng.randint(-40, 40), rng.randint(1, 15) * rng.choice((1, -1))
    rise = run * rng.randint(-9, 25) if rng.random() < 0.7 else rng.randint(-60, 60)
    return {"xa": xa, "ya": ya, "xb": xa + run, "yb": ya + rise}


def _draw_triangle(rng: Random) -> Parameters:
    return {v: rng.randint(-15, 25) for v in _THREE_POINTS}


def _distinct(p: Parameters) -> bool:
    return (p["xa"], p["ya"]) != (p["xb"], p["yb"])


def _triangle_area(p: Parameters) -> Number:
    return Fraction(abs((p["xb"] - p["xa"]) * (p["yc"] - p["ya"]) - (p["xc"] - p["xa"]) * (p["yb"] - p["ya"])), 2)


def _area_under(p: Parameters, start: str, end: str) -> Fraction:
    """Signed area between a side and the x-axis."""
    return Fraction((p["x" + end] - p["x" + start]) * (p["y" + start] + p["y" + end]), 2)


FAMILIES = (
    Family(
        name="squared-distance",
        template_id="squared-distance",
        goal="the square of the distance between two points",
        wordings=(
            Wording("the square of the distance between the points ({xa}, {ya}) and ({xb}, {yb})"),
            Wording("the square of the length of the segment AB", ("Let A = ({xa}, {ya}) and B = ({xb}, {yb}).",)),
            Wording(
                "the squared distance from the {place} to the {target}",
                ("On a map the {place} is at ({xa}, {ya}) and the {target} is at ({xb}, {yb}).",),
            ),
            Wording(
                "the area of the square with side AB",
                ("A square has two neighboring corners A at ({xa}, {ya}) and B at ({xb}, {yb}).",),
            ),
            Wording(
                "the square of the radius of the circle",
                ("A circle with center ({xa}, {ya}) passes through the point ({xb}, {yb}).",),
            ),
            Wording(
                "the square of the straight-line distance between the start and the end of {name}'s walk",
                ("{name} starts at the point ({xa}, {ya}) of a grid and ends at the point ({xb}, {yb}).",),
            ),
        ),
        draw=_draw_points,
        valid=lambda p: _small(p) and _distinct(p),
        value=lambda p: (p["xa"] - p["xb"]) ** 2 + (p["ya"] - p["yb"]) ** 2,
        check=lambda p, value: (
            value
            == p["xa"] ** 2 + p["ya"] ** 2 + p["xb"] ** 2 + p["yb"] ** 2 - 2 * (p["xa"] * p["xb"] + p["ya"] * p["yb"])
        ),
        feeds=_TWO_POINTS,
        choices=_CHOICES,
    ),
    Family(
        name="midpoint-coordinate-sum",
        template_id="midpoint-coordinate-sum",
        goal="the sum of the coordinates of a midpoint",
        wordings=(
            Wording("the sum of the coordinates of the midpoint of ({xa}, {ya}) and ({xb}, {yb})"),
            Wording(
                "the sum of the coordinates of the midpoint of AB", ("Let A = ({xa}, {ya}) and B = ({xb}, {yb}).",)
            ),
            Wording(
                "the sum of the two coordinates of the meeting point",
                (
                    "On a map the {place} is at ({xa}, {ya}) and the {target} is at ({xb}, {yb}).",
                    "{name} meets a friend exactly halfway between them.",
                ),
            ),
            Wording(
                "the sum of the coordinates of the center of the circle",
                ("The points ({xa}, {ya}) and ({xb}, {yb}) are the ends of a diameter of a circle.",),
            ),
            Wording(
                "the x-coordinate of that midpoint plus its y-coordinate",
                ("A segment runs from ({xa}, {ya}) to ({xb}, {yb}), and its midpoint is marked.",),
            ),
            Wording(
                "the sum of the coordinates of the point where the diagonals meet",
                ("Two opposite corners of a parallelogram are ({xa}, {ya}) and ({xb}, {yb}).",),
            ),
            Wording(
                "the sum of the coordinates of the {target}",
                (
                    "The {target} lies in the middle of a straight road.",
                    "The road starts at ({xa}, {ya}) and ends at ({xb}, {yb}).",
                ),
            ),
        ),
        draw=_draw_even_points,
        valid=lambda p: _small(p) and _distinct(p),
        value=lambda p: Fraction(p["xa"] + p["xb"], 2) + Fraction(p["ya"] + p["yb"], 2),
        check=lambda p, value: value - p["xa"] - p["ya"] == p["xb"] + p["yb"] - value,
        feeds=_TWO_POINTS,
        choices=_CHOICES,
    ),
    Family(
        name="slope-through-points",
        template_id="slope-through-points",
        goal="the slope of a line through two points",
        wordings=(
            Wording("the slope of the line through the points ({xa}, {ya}) and ({xb}, {yb})"),
            Wording("the slope of the line AB", ("Let A = ({xa}, {ya}) and B = ({xb}, {yb}).",)),
            Wording(
                "the slope of that line",
                ("A straight line passes through ({xa}, {ya}), and it also passes through ({xb}, {yb}).",),
            ),
            Wording(
                "the slope of the road",
                ("On a grid a straight road leads from the {place} at ({xa}, {ya}) to the {target} at ({xb}, {yb}).",),
            ),
            Wording(
                "the constant rate of change of the function",
                ("The graph of a linear function contains the points ({xa}, {ya}) and ({xb}, {yb}).",),
            ),
            Wording(
                "the slope of the line that {name} draws",
                ("{name} marks the points ({xa}, {ya}) and ({xb}, {yb}) and draws a straight line through them.",),
            ),
            Wording(
                "the rise of the line per unit of x",
                ("The points ({xa}, {ya}) and ({xb}, {yb}) lie on a line.",),
            ),
        ),
        draw=_draw_sloped,
        valid=lambda p: _small(p) and p["xa"] != p["xb"],
        value=lambda p: Fraction(p["yb"] - p["ya"], p["xb"] - p["xa"]),
        check=lambda p, value: p["ya"] + value * (p["xb"] - p["xa"]) == p["yb"],
        feeds=_TWO_POINTS,
        choices=_CHOICES,
    ),
    Family(
        name="shoelace-triangle-area",
        template_id="shoelace-triangle-area",
        goal="the area of a triangle given by its corners",
        wordings=(
            Wording("the area of the triangle with corners ({xa}, {ya}), ({xb}, {yb}) and ({xc}, {yc})"),
            Wording("the area of triangle ABC", ("Let A = ({xa}, {ya}), B = ({xb}, {yb}) and C = ({xc}, {yc}).",)),
            Wording(
                "the area of the triangle between the three places",
                (
                    "On a map the {place} is at ({xa}, {ya}), the {target} is at ({xb}, {yb}), and the lighthouse is "
                    "at ({xc}, {yc}).",
                ),
            ),
            Wording(
                "the area that {name} fences in",
                (
                    "{name} stretches a fence in straight lines from post ({xa}, {ya}) to post ({xb}, {yb}), on to "
                    "post ({xc}, {yc}), and back to the first post.",
                ),
            ),
            Wording(
                "the area of the region that they enclose",
                (
                    "Three points in the plane have the coordinates ({xa}, {ya}), ({xb}, {yb}) and ({xc}, {yc}), and "
                    "they are joined by segments.",
                ),
            ),
            Wording(
                "the area of the triangle",
                ("A triangle is given by its vertices: ({xa}, {ya}), ({xb}, {yb}), ({xc}, {yc}).",),
            ),
        ),
        draw=_draw_triangle,
        valid=lambda p: _small(p) and _triangle_area(p) > 0,
        value=_triangle_area,
        check=lambda p, value: (
            value == abs(_area_under(p, "a", "b") + _area_under(p, "b", "c") + _area_under(p, "c", "a"))
        ),
        feeds=_THREE_POINTS,
        choices=_CHOICES,
    ),
)
