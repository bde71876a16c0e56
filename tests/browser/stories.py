"""What the scripted minds know: problems with the plans, results and reviews that make their stories."""

from dataclasses import dataclass, field
from typing import Any

from browser.payloads import HOSTILE

from navigator.testing import step
from reasonflux.contracts import Calculation, Instantiation


@dataclass(frozen=True)
class Story:
    """How one problem goes. `results`: what the executor gives for a goal. `reviews`: by step, where there is more to
    say than to go on, or to finish with the last one."""

    problem: str
    steps: tuple[dict[str, Any], ...]
    abstraction: str
    results: dict[str, Instantiation]
    reviews: dict[int, dict[str, Any]] = field(default_factory=dict)
    pace: float = 0.002
    """Seconds before each word of the executor's reasoning."""


def done(reasoning: str, *sums: tuple[str, str], bindings: dict[str, str] | None = None) -> Instantiation:
    """A step that came out: statements with their values, the last of which is the result."""
    calculations = tuple(
        Calculation(statement=text, name=text.split(" = ")[0] if " = " in text else None, value=value)
        for text, value in sums
    )
    return Instantiation(reasoning=reasoning, calculations=calculations, result=sums[-1][1], bindings=bindings or {})


SERIES = Story(
    "An arithmetic sequence has first term 3 and common difference 4. What is the sum of its first 20 terms?",
    (
        step("Find the last of the 20 terms", "s1", "s2", template="Term of an Arithmetic Sequence"),
        step("Find the sum of the terms", "s1", "s2", "r1", template="Sum of an Arithmetic Series"),
    ),
    "the sum of an arithmetic series",
    {
        "Find the last of the 20 terms": done(
            "The terms grow by 4 each time, and there are 19 gaps before the 20th one.",
            ("term = first + (n - 1)*diff", "79"),
            bindings={"first": "3", "n": "20", "diff": "4"},
        ),
        "Find the sum of the terms": done(
            "The sum is the number of terms times the mean of the first and the last: $S = \\frac{n(a_1 + a_n)}{2}$.",
            ("last = first + (n - 1)*diff", "79"),
            ("total = n*(first + last)/2", "820"),
            bindings={"first": "3", "diff": "4", "n": "20"},
        ),
    },
)

BRANCHES = Story(
    "Let A be the greatest common divisor of 84 and 126. Let B be the least common multiple of 4 and 6. An arithmetic "
    "sequence has first term A and common difference B. What remainder does the sum of its first 20 terms leave when "
    "it is divided by 17?",
    (
        step("Find A, the greatest common divisor of 84 and 126", "s1", template="Greatest Common Divisor"),
        step("Find B, the least common multiple of 4 and 6", "s2", template="Least Common Multiple"),
        step("Find the sum of the first 20 terms", "s3", "s4", "r1", "r2", template="Sum of an Arithmetic Series"),
        step("Find the remainder on division by 17", "s4", "r3", template="Remainder of a Division"),
    ),
    "two numbers from divisibility make an arithmetic series; its sum is reduced modulo 17",
    {
        "Find A, the greatest common divisor of 84 and 126": done(
            "Both numbers are multiples of 42, and of nothing larger.", ("divisor = gcd(84, 126)", "42")
        ),
        "Find B, the least common multiple of 4 and 6": done(
            "12 is the first number in both rows.", ("lcm(4, 6)", "12")
        ),
        "Find the sum of the first 20 terms": done(
            "With $a_1 = 42$ and $d = 12$ the last term is $a_{20} = a_1 + 19d$, and the sum is "
            "$S_{20} = \\frac{20(a_1 + a_{20})}{2}$.",
            ("last = first + (n - 1)*diff", "270"),
            ("total = n*(first + last)/2", "3120"),
            bindings={"first": "r1", "diff": "r2", "n": "20"},
        ),
        "Find the remainder on division by 17": done("$3120 = 17 \\cdot 183 + 9$.", ("rest = mod(3120, 17)", "9")),
    },
    {4: {"reason": "the remainder is what was asked for", "verdict": "finish", "answer": "r4"}},
)

CHANGE = Story(
    "The sum of two numbers is 14 and their product is 45. What is the sum of the squares of the two numbers?",
    (
        step("Find both numbers as the roots of $x^2 - 14x + 45 = 0$", "s1", template="Larger Root of a Quadratic"),
        step("Square the first number", "r1"),
        step("Square the second number", "r1"),
        step("Add the two squares", "r2", "r3"),
    ),
    "two numbers from their sum and product; a symmetric expression in them",
    {
        "Find both numbers as the roots of $x^2 - 14x + 45 = 0$": done(
            "The larger root of the quadratic is $\\frac{14 + \\sqrt{14^2 - 4 \\cdot 45}}{2}$.",
            ("root = (14 + sqrt(14**2 - 4*45))/2", "9"),
        ),
        "Use the identity for the sum of squares": done(
            "The sum of squares is symmetric: $a^2 + b^2 = (a + b)^2 - 2ab$.",
            ("squares = s**2 - 2*p", "106"),
            bindings={"s": "14", "p": "45"},
        ),
    },
    {
        1: {
            "reason": "One root alone does not give both squares, and neither is needed: $a^2 + b^2 = (a+b)^2 - 2ab$.",
            "verdict": "revise",
            "steps": [{"id": 5, **step("Use the identity for the sum of squares", "s1")}],
        },
        5: {"reason": "the identity uses only what is given", "verdict": "finish", "answer": "r5"},
    },
)


def slowed(first: str, words: int, pace: float) -> Story:
    """The series again, with so many words a step, and seconds between them."""
    reasoning = " ".join(f"word{n}" for n in range(words))
    results = {goal: one.model_copy(update={"reasoning": reasoning}) for goal, one in SERIES.results.items()}
    return Story(f"{first} {SERIES.problem}", SERIES.steps, SERIES.abstraction, results, pace=pace)


PACED = slowed("Not too fast, please.", words=40, pace=0.05)
SLOW = slowed("Take a minute for every step.", words=300, pace=0.2)

_FORMULA = (
    "$$\\int_0^\\infty \\frac{x^{s-1}}{e^x - 1}\\,dx = \\Gamma(s)\\,\\zeta(s) = \\sum_{n=1}^{\\infty} "
    "\\frac{\\Gamma(s)}{n^s} = \\prod_{p} \\frac{\\Gamma(s)}{1 - p^{-s}} = \\lim_{N \\to \\infty} \\left( "
    "\\sum_{n=1}^{N} \\frac{(s-1)!}{n^s} \\right)$$"
)

LONG = Story(
    "For $s = 4$ evaluate "
    + _FORMULA
    + " and name it Pneumonoultramicroscopicsilicovolcanoconiosis-and-other-very-long-names-without-a-space.",
    (step("Evaluate " + "the_product_of_the_gamma_function_and_the_zeta_function_at_four_" * 2, "s1"),),
    "a Bose integral",
    {
        "Evaluate " + "the_product_of_the_gamma_function_and_the_zeta_function_at_four_" * 2: done(
            _FORMULA,
            ("value = " + " + ".join(f"6*pi**4/90*(1 - {n}/({n} + 1))" for n in range(1, 14)), "pi**4/15"),
        )
    },
)

_WORDS = " ".join(HOSTILE)
EVIL = Story(
    f"Hostile: {_WORDS}",
    ({"goal": _WORDS, "template": "hostile", "tags": list(HOSTILE[:3]), "search": _WORDS, "uses": ["s1"]},),
    _WORDS,
    {
        _WORDS: Instantiation(
            reasoning=_WORDS,
            bindings={f"x{n}": text for n, text in enumerate(HOSTILE)},
            calculations=tuple(Calculation(statement=text, value=text) for text in HOSTILE),
            result=_WORDS,
        )
    },
    {1: {"reason": _WORDS, "verdict": "finish", "answer": _WORDS}},
)

STORIES = (BRANCHES, CHANGE, PACED, SLOW, LONG, EVIL, SERIES)


def story_of(text: str) -> Story:
    """The story whose problem the text begins to tell; the plain one for any other."""
    squeezed = " ".join(text.split())
    return next((story for story in STORIES if story.problem[:20] in squeezed), SERIES)
