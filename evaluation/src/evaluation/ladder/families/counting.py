"""Counting: selections, arrangements, independent choices, and committees from two groups."""

from math import comb, factorial, perm, prod
from random import Random

from evaluation.ladder.family import Family, Parameters, Wording

_LARGEST = 10**9
# How large the group may be for each number of picks, so that many answers stay small enough to be passed on.
_SELECTION_SIZES = {2: 200, 3: 70, 4: 36, 5: 22, 6: 18}
_ARRANGEMENT_SIZES = {2: 160, 3: 50, 4: 20, 5: 12, 6: 10}
_NAMES = ("Maria", "Tom", "Aisha", "Lena", "Omar", "Priya", "Jonas", "Chloe", "Marek", "Ines", "Hugo", "Yuki")


def _draw_from(sizes: dict[int, int], rng: Random) -> Parameters:
    k = rng.choice((2, 2, 3, 3, 4, 5, 6))
    return {"n": rng.randint(k + 2, sizes[k]), "k": k}


def _draw_committee(rng: Random) -> Parameters:
    return {
        "first": rng.randint(4, 16),
        "pick_first": rng.choice((2, 2, 3)),
        "second": rng.randint(4, 16),
        "pick_second": rng.choice((2, 2, 3)),
    }


def _valid_committee(p: Parameters) -> bool:
    fits = 2 <= p["pick_first"] < p["first"] <= 5_000 and 2 <= p["pick_second"] < p["second"] <= 5_000
    return fits and comb(p["first"], p["pick_first"]) * comb(p["second"], p["pick_second"]) <= _LARGEST


def _falling(n: int, k: int) -> int:
    return prod(range(n - k + 1, n + 1))


FAMILIES = (
    Family(
        name="combinations-selection",
        template_id="combinations-selection",
        goal="the number of selections without order",
        wordings=(
            Wording("the number of ways to choose {k} {people} from a group of {n} {people} if the order is ignored"),
            Wording("the number of subsets with exactly {k} elements of a set with {n} elements"),
            Wording(
                "the number of different teams of {k} {people} that can be picked",
                ("An organizer has {n} {people} to pick from.", "All members of a team have the same role."),
                question="How many different teams of {k} {people} can the organizer pick?",
            ),
            Wording(
                "the number of different sets of {k} {items} that {name} can take",
                ("There are {n} different {items} on the {place}.", "{name} takes {k} of them at once."),
                question="How many different sets of {k} {items} can {name} take?",
            ),
            Wording(
                "the number of different topping combinations",
                (
                    "A pizzeria offers {n} toppings.",
                    "{name} orders a pizza with {k} different toppings, and their order does not matter.",
                ),
                question="How many combinations of toppings can {name} order?",
            ),
            Wording(
                "the number of possible hands of {k} cards",
                ("A deck has {n} different cards, and {name} is dealt a hand of {k} cards.",),
                question="How many different hands are possible, regardless of the order of the cards?",
            ),
            Wording(
                "the number of committees of {k} equal members that can be formed from {n} {people}",
                question="How many committees of {k} equal members can be formed from {n} {people}?",
            ),
            Wording(
                "the number of unordered selections of {k} {items}",
                ("{name} owns {n} different {items} and packs {k} of them into one bag for the trip.",),
                question="In how many ways can {name} select the {items} for the bag?",
            ),
        ),
        draw=lambda rng: _draw_from(_SELECTION_SIZES, rng),
        valid=lambda p: 2 <= p["k"] < p["n"] <= 5_000 and p["k"] <= 12 and comb(p["n"], p["k"]) <= _LARGEST,
        value=lambda p: comb(p["n"], p["k"]),
        check=lambda p, value: value * factorial(p["k"]) == _falling(p["n"], p["k"]),
        feeds=("n", "k"),
        choices={
            "people": ("students", "players", "dancers", "teachers", "employees", "singers"),
            "items": ("books", "stamps", "postcards", "scarves", "records", "puzzles"),
            "place": ("table", "shelf", "counter", "desk"),
            "name": _NAMES,
        },
    ),
    Family(
        name="permutations-arrangement",
        template_id="permutations-arrangement",
        goal="the number of ordered arrangements",
        wordings=(
            Wording("the number of ways to arrange {k} of {n} different {items} in a row"),
            Wording("the number of ordered lists of {k} different elements taken from a set with {n} elements"),
            Wording(
                "the number of possible results for the first {k} places",
                ("In a race {n} {people} compete, and there are no ties.",),
                question="In how many ways can the first {k} places be filled?",
            ),
            Wording(
                "the number of ways to give out the {k} jobs",
                (
                    "A club has {n} members and {k} different jobs to give out.",
                    "No member gets more than one job.",
                ),
                question="In how many ways can the club give out the jobs?",
            ),
            Wording(
                "the number of different codes that {name} can make",
                (
                    "{name} makes a code of {k} symbols from an alphabet of {n} symbols.",
                    "No symbol is used twice, and the order of the symbols counts.",
                ),
                question="How many different codes can {name} make?",
            ),
            Wording(
                "the number of ways to seat {k} of the {people} on the chairs",
                ("There are {n} {people} and a row of {k} numbered chairs, each for one person.",),
                question="In how many ways can {k} of the {people} be seated on the chairs?",
            ),
            Wording(
                "the number of different orders of performance",
                ("A festival chooses {k} of {n} bands, and they play one after another.",),
                question="How many different programs are possible when the order of the bands matters?",
            ),
            Wording(
                "the number of ways to hang the pictures",
                (
                    "{name} has {n} different pictures and {k} hooks in a line on the wall.",
                    "One picture is hung on every hook.",
                ),
                question="In how many different orders can {name} fill the {k} hooks?",
            ),
        ),
        draw=lambda rng: _draw_from(_ARRANGEMENT_SIZES, rng),
        valid=lambda p: 2 <= p["k"] < p["n"] <= 5_000 and p["k"] <= 10 and perm(p["n"], p["k"]) <= _LARGEST,
        value=lambda p: perm(p["n"], p["k"]),
        check=lambda p, value: value == comb(p["n"], p["k"]) * factorial(p["k"]),
        feeds=("n", "k"),
        choices={
            "people": ("runners", "swimmers", "cyclists", "skaters", "riders", "rowers"),
            "items": ("books", "flags", "vases", "trophies", "figurines", "bottles"),
            "name": _NAMES,
        },
    ),
    Family(
        name="multiplication-principle",
        template_id="multiplication-principle",
        goal="the number of combinations of independent choices",
        wordings=(
            Wording(
                "the number of different outfits that {name} can wear",
                (
                    "{name} has {first} shirts, {second} pairs of pants and {third} {extra}.",
                    "An outfit is one of each.",
                ),
                question="How many different outfits can {name} wear?",
            ),
            Wording(
                "the number of different three-course meals",
                ("The menu of a {diner} lists {first} starters, {second} main dishes and {third} desserts.",),
                question="How many different meals of one starter, one main dish and one dessert can be ordered?",
            ),
            Wording("the number of ways to make three independent choices with {first}, {second} and {third} options"),
            Wording(
                "the number of routes from town A to town D by way of towns B and C",
                (
                    "There are {first} roads from town A to town B, {second} roads from town B to town C, and {third} "
                    "roads from town C to town D.",
                ),
            ),
            Wording(
                "the number of different versions of the {product}",
                ("A {product} is sold in {first} colors, {second} sizes and {third} materials.",),
                question="How many different versions of the {product} are there?",
            ),
            Wording(
                "the number of ordered triples with one element from each set",
                ("Three sets have {first}, {second} and {third} elements.",),
            ),
            Wording(
                "the number of different labels",
                (
                    "A label consists of one of {first} letters, one of {second} digits and one of {third} symbols, "
                    "in this order.",
                ),
                question="How many different labels are possible?",
            ),
        ),
        draw=lambda rng: {v: rng.randint(2, 30) for v in ("first", "second", "third")},
        valid=lambda p: all(2 <= n <= 10_000 for n in p.values()) and prod(p.values()) <= _LARGEST,
        value=lambda p: p["first"] * p["second"] * p["third"],
        check=lambda p, value: value == sum(p["second"] * p["third"] for _ in range(p["first"])),
        feeds=("first", "second", "third"),
        choices={
            "name": _NAMES,
            "extra": ("hats", "jackets", "belts", "scarves", "pairs of shoes"),
            "diner": ("restaurant", "hotel", "diner", "bistro"),
            "product": ("bag", "phone case", "lamp", "chair", "notebook"),
        },
    ),
    Family(
        name="committee-two-groups",
        template_id="committee-two-groups",
        goal="the number of selections from two groups",
        wordings=(
            Wording(
                "the number of committees of {pick_first} {group} and {pick_second} {other}",
                ("A school has {first} {group} and {second} {other}.",),
                question="How many different committees of {pick_first} {group} and {pick_second} {other} can the "
                "school form?",
            ),
            Wording(
                "the number of ways to choose {pick_first} of {first} {items} together with {pick_second} of {second} "
                "{things} if the order is ignored"
            ),
            Wording(
                "the number of ways to pick the team",
                (
                    "A team needs {pick_first} defenders and {pick_second} attackers.",
                    "The coach can pick from {first} defenders and {second} attackers.",
                ),
                question="In how many ways can the coach pick the team?",
            ),
            Wording(
                "the number of possible selections",
                (
                    "{name} borrows {pick_first} of {first} {items} and {pick_second} of {second} {things}, and the "
                    "order does not matter.",
                ),
                question="In how many ways can {name} make the selection?",
            ),
            Wording(
                "the number of ways to choose {pick_first} elements from the first set and {pick_second} elements from "
                "the second set, without order",
                ("Two disjoint sets have {first} and {second} elements.",),
            ),
            Wording(
                "the number of different bouquets",
                (
                    "A florist has {first} different roses and {second} different tulips.",
                    "A bouquet is made of {pick_first} roses and {pick_second} tulips.",
                ),
                question="How many different bouquets can the florist make?",
            ),
            Wording(
                "the number of different tests",
                (
                    "A teacher has {first} algebra questions and {second} geometry questions.",
                    "A test has {pick_first} of the algebra questions and {pick_second} of the geometry questions, in "
                    "no special order.",
                ),
                question="How many different tests can the teacher put together?",
            ),
        ),
        draw=_draw_committee,
        valid=_valid_committee,
        value=lambda p: comb(p["first"], p["pick_first"]) * comb(p["second"], p["pick_second"]),
        check=lambda p, value: (
            value * factorial(p["pick_first"]) * factorial(p["pick_second"])
            == _falling(p["first"], p["pick_first"]) * _falling(p["second"], p["pick_second"])
        ),
        feeds=("first", "second"),
        choices={
            "group": ("teachers", "girls", "seniors"),
            "other": ("parents", "boys", "juniors"),
            "items": ("novels", "comics", "magazines", "atlases"),
            "things": ("films", "games", "records", "maps"),
            "name": _NAMES,
        },
    ),
)
