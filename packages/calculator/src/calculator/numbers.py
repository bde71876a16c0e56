"""Exact values: int and Fraction where possible, SymPy expressions where not, bool for conditions.

Most statements are about rational numbers; Python's own exact types are a hundred times faster there, so SymPy is only
imported when a value needs it.
"""

import math
from fractions import Fraction
from typing import Any

from calculator.limits import MAX_BITS, MAX_RADICAND_BITS, SYMBOLIC_STEP, NotCalculable, Work, too_large

Rational = int | Fraction
Value = Any
"""int | Fraction | bool | sympy.Expr; SymPy has no types to say it with."""


def symbolic() -> Any:
    """The module that works with SymPy; importing it takes a second, hence not at the top."""
    from calculator import symbolic as module

    return module


def is_rational(value: Value) -> bool:
    return isinstance(value, int | Fraction) and not isinstance(value, bool)


def integer(value: Value, what: str) -> int:
    """The value as an int; `what` names it in the message when it is none."""
    if is_rational(value) and isinstance(value, int):
        return value
    raise NotCalculable(f"{what} needs integers")


def rational(value: Value, what: str) -> Rational:
    if is_rational(value):
        return value  # type: ignore[no-any-return]
    raise NotCalculable(f"{what} needs a rational number")


def bits(value: Rational) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def checked(value: Rational) -> Rational:
    """Integers as int; refuses what is too large."""
    if bits(value) > MAX_BITS:
        raise too_large()
    return value.numerator if value.denominator == 1 else value


def _are_rational(a: Value, b: Value, work: Work) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        raise NotCalculable(
            "a condition (True or False) is not a number", "use count(condition, k, low, high) to count"
        )
    if is_rational(a) and is_rational(b):
        work.spend(1 + (bits(a) + bits(b)) // 1_000)
        return True
    work.spend(SYMBOLIC_STEP)
    return False


def add(a: Value, b: Value, work: Work) -> Value:
    return checked(a + b) if _are_rational(a, b, work) else symbolic().add(a, b)


def negate(a: Value, work: Work) -> Value:
    return multiply(-1, a, work)


def subtract(a: Value, b: Value, work: Work) -> Value:
    return checked(a - b) if _are_rational(a, b, work) else symbolic().add(a, symbolic().multiply(-1, b))


def multiply(a: Value, b: Value, work: Work) -> Value:
    if not _are_rational(a, b, work):
        return symbolic().multiply(a, b)
    if bits(a) + bits(b) > MAX_BITS + 1:
        raise too_large()
    return checked(a * b)


def divide(a: Value, b: Value, work: Work) -> Value:
    both = _are_rational(a, b, work)
    if is_rational(b) and b == 0:
        raise NotCalculable("division by zero")
    return checked(Fraction(a) / b) if both else symbolic().divide(a, b)


def power(a: Value, b: Value, work: Work) -> Value:
    if not _are_rational(a, b, work):
        return symbolic().power(a, b)
    if a == 0 and b < 0:
        raise NotCalculable("division by zero")
    if isinstance(b, int):
        if abs(a) not in (0, 1) and abs(b) * math.log2(max(abs(a.numerator), a.denominator)) > MAX_BITS:
            raise too_large("the power")
        sign = -1 if a < 0 and b % 2 else 1
        return sign if abs(a) == 1 else checked(Fraction(a) ** b)
    if a < 0:
        raise NotCalculable("a fractional power of a negative number is not real", "root(x, n) takes odd real roots")
    exact = rational_root(a, b.denominator)
    if exact is not None:
        return power(exact, b.numerator, work)
    if bits(a) > MAX_RADICAND_BITS:
        raise too_large("the number under the root")
    work.spend(SYMBOLIC_STEP)
    return symbolic().power(a, b)


def rational_root(value: Rational, degree: int) -> Rational | None:
    """The exact nonnegative root of a nonnegative number, or None when it is irrational."""
    if degree > MAX_BITS:
        return value if value in (0, 1) else None
    top, bottom = integer_root(value.numerator, degree), integer_root(value.denominator, degree)
    if top**degree != value.numerator or bottom**degree != value.denominator:
        return None
    return checked(Fraction(top, bottom))


def integer_root(n: int, degree: int) -> int:
    """The largest integer whose power does not exceed n >= 0."""
    if degree == 2:
        return math.isqrt(n)
    if degree == 1 or n < 2:
        return n
    guess = 1 << -(-n.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + n // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better


def floor(a: Value, work: Work) -> int:
    if is_rational(a):
        whole: int = math.floor(a)
        return whole
    work.spend(SYMBOLIC_STEP)
    _refuse_condition(a)
    return symbolic().floor(a)  # type: ignore[no-any-return]


def modulo(a: Value, b: Value, work: Work) -> Value:
    return subtract(a, multiply(b, floor(divide(a, b, work), work), work), work)


def sign(a: Value, work: Work) -> int:
    """-1, 0 or 1."""
    _refuse_condition(a)
    if is_rational(a):
        return int(a > 0) - int(a < 0)
    work.spend(SYMBOLIC_STEP)
    return symbolic().sign(a)  # type: ignore[no-any-return]


def compare(a: Value, b: Value, work: Work) -> int:
    """-1, 0 or 1 as a is less than, equal to or greater than b."""
    if is_rational(a) and is_rational(b):
        work.spend()
        return int(a > b) - int(a < b)
    return sign(subtract(a, b, work), work)


def render(value: Value) -> str:
    """Text that the calculator reads as the same value."""
    if isinstance(value, int | Fraction):
        return str(value)
    return symbolic().render(value)  # type: ignore[no-any-return]


def _refuse_condition(a: Value) -> None:
    if isinstance(a, bool):
        raise NotCalculable("a condition (True or False) is not a number")
