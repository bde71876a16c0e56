"""How large anything may become. Every limit is checked before the work it bounds."""

from dataclasses import dataclass

MAX_CHARS = 4_000
"""Characters of one statement. Twice MAX_DIGITS fits, so that every value can be read again."""
MAX_NAME_CHARS = 40
MAX_STATEMENTS = 200
MAX_NAMES = 200
MAX_NODES = 600
MAX_DEPTH = 100
MAX_DIGITS = 1_500
"""Digits of one integer in a literal or in a value that is handed out."""
MAX_BITS = 13_000
"""Size of a number on the way (about 3,900 digits): `digit_sum(factorial(1000))` works, `9**9**9` does not."""
MAX_TERMS = 10_000
"""Terms of one sum, prod or count."""
MAX_SYMBOLIC_NODES = 300
MAX_MAGNITUDE = 9_000
"""Largest exponent of e in a symbolic value; above it, numerical checks of the value would blow up."""
MAX_FACTORED = 10**18
"""Largest integer that is factored."""
MAX_MODULUS_BITS = 2_048
MAX_RADICAND_BITS = 1_024
"""Largest integer under a root that is no integer: SymPy looks for its small factors."""
MAX_WORK = 1_000_000
"""Steps of one evaluation; a step is about a microsecond."""
SYMBOLIC_STEP = 300
"""What one operation on symbolic values costs."""


class NotCalculable(Exception):
    """The text is outside the language, or its value does not exist or is too large.

    `message` is one sentence; `hint` says how to write it instead.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass
class Work:
    """The steps that one evaluation has left."""

    left: int = MAX_WORK

    def spend(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise NotCalculable("the calculation takes too many steps", "find a closed form, or a shorter range")


def too_large(what: str = "the number") -> NotCalculable:
    return NotCalculable(
        f"{what} is too large to compute", "use powmod(a, b, m) for a remainder, or simplify the expression first"
    )
