"""Problems that no family of the ladder covers. The right thing to do with them is to say so.

They teach trained weights to decline and measure whether they do. Three sentence patterns in four are for training
only and one in four is for measuring only, so that declining is never a matter of having seen the sentence.
"""

from collections.abc import Iterator
from random import Random

from evaluation.ladder.problem import Split, digest

_PATTERNS = (
    "Prove that the square root of {p} is irrational.",
    "Prove that there are infinitely many primes of the form {a}n + {b}.",
    "Show that every {group} of order {p} is cyclic.",
    "Show that the function {f} is continuous at x = {a}.",
    "Find the derivative of {f} at x = {a}.",
    "Differentiate {f} with respect to x.",
    "Evaluate the integral of {f} from {a} to {b}.",
    "What is the area enclosed by the curve y = {f} and the x-axis between x = {a} and x = {b}?",
    "Compute the limit of {f} as x tends to {a}.",
    "Find the determinant of the matrix with rows ({a}, {b}) and ({c}, {p}).",
    "Find the eigenvalues of the matrix with rows ({a}, {b}) and ({b}, {c}).",
    "Solve the differential equation y' = {a}y + {b}.",
    "Find all functions f such that f(x + y) = f(x) + f(y) + {a}xy for all real x and y.",
    "Let f be a function with f({a}) = {b} and f(x + 1) = f(x) + x. Find f({p}).",
    "In triangle ABC the angle bisector from A meets BC at D. If AB = {a}, AC = {b} and BC = {c}, find BD.",
    "In triangle ABC, AB = {a}, BC = {b} and angle B is {c} degrees. What is the length of AC?",
    "Point P lies inside the square ABCD so that PA = {a}, PB = {b} and PC = {c}. Find the side of the square.",
    "A cone has base radius {a} and height {b}. What is its volume?",
    "A cylinder of radius {a} is filled with water to a height of {b}. How much water does it hold?",
    "A sphere is inscribed in a cube with edge {a}. Find the volume of the sphere.",
    "The complex number z satisfies |z| = {a} and z + 1/z is real. Find z.",
    "Write the complex number {a} + {b}i in polar form.",
    "How many {shape}s can be seen in the figure?",
    "Which of the following statements about {topic} is true?",
    "Translate the sentence about {topic} into French.",
    "Write a short poem about {topic}.",
    "Who was the first person to study {topic}?",
    "What is the capital of {country}?",
    "In what year did the war in {country} end?",
    "How many people live in {country}?",
    "Explain in your own words what {topic} means.",
    "Give an example of {topic} that is not {group}.",
    "Ten coins lie in a row. A move turns over {a} neighbouring coins. Can all coins show heads after {b} moves?",
    "Two players take turns removing up to {a} stones from a heap of {p}. Who wins with best play?",
    "A knight stands in the corner of a {a} by {b} board. Can it visit every square exactly once?",
    "What is the least number of colors needed to color a map of {country}?",
    "In a tournament of {p} players everyone plays everyone else. Show that some player beat or tied all others.",
    "In how many ways can a {a} by {b} board be tiled with dominoes?",
    "How many trees with {a} labelled vertices are there?",
    "Find the number of paths of length {a} in a {shape} graph with {p} vertices.",
    "Find all integers n for which n^2 + {a}n + {p} is a perfect square.",
    "Find all pairs of positive integers (x, y) with x^2 - {p}y^2 = 1.",
    "Find the smallest positive integer whose digits multiply to {a}{b}.",
    "How many zeros does {p}! end with?",
    "Let x and y be positive reals with x + y = {a}. Find the minimum of 1/x + {b}/y.",
    "Find the maximum of sin x + {a} cos x.",
    "Simplify sin({a}x) cos({b}x) + cos({a}x) sin({b}x).",
    "Solve the inequality |x - {a}| < {b}.",
    "For which real values of m does mx^2 + {a}x + {b} > 0 hold for all x?",
    "Factor the polynomial x^4 + {a}x^2 + {p} completely.",
    "Find the remainder when x^{p} + {a} is divided by x^2 + 1.",
    "The vectors u = ({a}, {b}) and v = ({c}, m) are perpendicular. Find m.",
    "Find the equation of the tangent to the parabola y^2 = {a}x at the point with y = {b}.",
    "An ellipse has semi-axes {a} and {b}. Find its eccentricity.",
    "The standard deviation of a sample of {p} values is {a}. What is its variance?",
    "A random variable is normally distributed with mean {a} and deviation {b}. Find the chance that it exceeds {c}.",
    "A die is rolled until a {shape} appears. What is the expected number of rolls?",
    "The probability of rain is {a} percent on each of {b} days. How many dry days are expected?",
    "Let A = {{{a}, {b}, {c}}}. How many subsets does A have?",
    "Decide whether the statement 'if {topic} then {group}' is a tautology.",
    "Convert the number {p} to base {a}.",
    "What is the binary form of {p}?",
    "Anna is {a} years old and her brother is twice as old. How old were they {b} years ago together?",
    "A clock shows {a} o'clock. What is the angle between its hands?",
    "Today is Monday. Which weekday is it in {p} days?",
    "The perimeter of a regular {shape} is {p}. What is its area?",
    "What is the sum of the interior angles of a {shape} with {a} sides?",
    "A farmer counts {p} heads and {c} legs among hens and rabbits. How many rabbits are there?",
    "Find x if {a} to the power x equals x to the power {b}.",
    "How fast does a ball hit the ground when it is dropped from {p} meters?",
    "A spring of stiffness {a} is stretched by {b} centimeters. What energy does it store?",
    "What is the pH of a solution with {a} moles of acid in {b} liters?",
    "Sort the list {a}, {b}, {c}, {p} and name the median.",
    "Write a program that prints the first {p} numbers without the letter e.",
    "What comes next: {a}, {b}, {c}, {p}, …?",
    "hello",
    "Tell me about {topic}, please.",
    "Is {p} a lucky number?",
)
_WORDS = {
    "f": ("x^3 - 2x", "sin(3x)", "e^x", "ln(x + 1)", "x/(x^2 + 4)", "tan x", "x^2 e^x", "sqrt(x + 5)", "1/x"),
    "group": ("group", "abelian group", "compact set", "finite field", "metric space", "vector space", "bounded set"),
    "shape": ("triangle", "hexagon", "pentagon", "square", "rhombus", "octagon", "trapezoid", "circle"),
    "topic": ("prime numbers", "gravity", "the French Revolution", "convex sets", "fractals", "jazz", "photosynthesis",
              "group theory", "topology", "chess", "volcanoes", "infinite series", "poetry"),
    "country": ("Norway", "Brazil", "Japan", "Kenya", "Portugal", "Canada", "Vietnam", "Poland"),
}  # fmt: skip

INVENTED = 0.5
_INVENTED = {
    "opening": (
        "prove", "show", "describe", "sketch", "explain", "classify", "construct", "approximate", "verify", "draw",
        "discuss", "factor", "simplify", "translate", "bisect", "integrate", "differentiate", "estimate", "justify",
        "who invented", "where is", "why is", "name", "list", "compare", "plot", "rotate", "reflect", "project",
    ),
    "noun": (
        "derivative", "integral", "matrix", "vector", "tangent", "ellipse", "sphere", "cone", "hexagon", "graph",
        "tree", "group", "ring", "field", "kernel", "eigenvalue", "limit", "polynomial", "locus", "parabola",
        "asymptote", "permutation group", "manifold", "tiling", "knot", "network", "planet", "molecule", "poem",
        "castle", "river", "battery", "volcano", "melody", "recipe", "orbit", "spectrum", "tensor", "prism",
        "pyramid", "theorem",
    ),
    "quality": (
        "continuous", "convex", "cyclic", "orthogonal", "compact", "bounded", "regular", "singular", "prime", "complex",
        "infinite", "symmetric", "planar", "ancient", "famous", "smooth", "harmonic", "periodic", "hidden", "parallel",
        "isosceles", "random", "chaotic", "quiet", "blue", "frozen", "rational", "dense", "skew", "normal",
    ),
    "link": (
        "inside", "with", "without", "tangent to", "perpendicular to", "inscribed in", "generated by", "isomorphic to",
        "above", "beyond", "made of", "near", "reduced by", "modulo", "colored with", "bounded by", "dual to", "under",
    ),
}  # fmt: skip


def outside(split: Split, *, seed: int) -> Iterator[str]:
    """An endless stream of distinct problem texts of the split that no template of the ladder solves."""
    rng, seen = Random(seed), set[str]()
    patterns = [pattern for pattern in _PATTERNS if _side(pattern) is split]
    tries = 0
    while tries < 1_000:
        numbers = {name: str(rng.randint(2, 90)) for name in "abc"} | {"p": str(rng.randint(2, 2_000))}
        words = {name: rng.choice(values) for name, values in sorted(_WORDS.items())}
        if rng.random() < INVENTED:
            text = _invent(rng, split)
        else:
            text = " ".join(rng.choice(patterns).format(**numbers, **words) for _ in range(rng.choice((1, 1, 1, 2))))
        tries += 1
        if digest(text) not in seen:
            seen.add(digest(text))
            tries = 0
            yield text


def _invent(rng: Random, split: Split) -> str:
    """A question put together from words that the ladder does not use; each split has words of its own."""

    def word(kind: str) -> str:
        return rng.choice([word for word in _INVENTED[kind] if _side(word) is split])

    number = rng.choice(("", f" {rng.randint(2, 999)}"))
    parts = [
        f"{word('opening')} the {word('noun')} of the {word('quality')} {word('noun')}{number}",
        f"{word('opening')} a {word('quality')} {word('noun')} {word('link')} {rng.randint(2, 99)} {word('noun')}s",
        f"{word('opening')} whether every {word('noun')} {word('link')} a {word('noun')} is {word('quality')}",
        f"{word('opening')} two {word('quality')} {word('noun')}s {word('link')} {rng.randint(2, 99)} and "
        f"{rng.randint(2, 99)}",
    ]
    told = rng.sample(parts, rng.choice((1, 1, 2)))
    return " ".join(f"{part[:1].upper()}{part[1:]}{rng.choice('..?')}" for part in told)


def _side(pattern: str) -> Split:
    return Split.HELDOUT if int(digest(pattern), 16) % 4 == 0 else Split.TRAIN
