"""The allowlisted functions. Each takes exact values and returns one; sizes are estimated before anything is built."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from calculator import integers, numbers
from calculator.limits import (
    MAX_RADICAND_BITS,
    SYMBOLIC_STEP,
    NotCalculable,
    Work,
    too_large,
)
from calculator.numbers import Value, integer, is_rational, rational, symbolic

CONSTANTS = frozenset({"pi", "e", "True", "False"})


@dataclass(frozen=True)
class Function:
    call: Callable[..., Value]
    least: int
    most: int
    usage: str


def _square_root(work: Work, x: Value) -> Value:
    return _root(work, x, 2)


def _root(work: Work, x: Value, degree: Value) -> Value:
    n = integer(degree, "the degree of a root")
    if not 1 <= n <= 1_000:
        raise NotCalculable("the degree of a root is from 1 to 1000")
    if is_rational(x):
        if x < 0 and n % 2 == 0:
            raise NotCalculable("an even root of a negative number is not real")
        exact = numbers.rational_root(abs(x), n)
        if exact is not None:
            return -exact if x < 0 else exact
    if is_rational(x) and numbers.bits(x) > MAX_RADICAND_BITS:
        raise too_large("the number under the root")
    work.spend(SYMBOLIC_STEP)
    return symbolic().root(x, n)


def _absolute(work: Work, x: Value) -> Value:
    return numbers.negate(x, work) if numbers.sign(x, work) < 0 else x


def _ceiling(work: Work, x: Value) -> Value:
    return -numbers.floor(numbers.negate(x, work), work)


def _round(work: Work, x: Value, places: Value = 0) -> Value:
    """Halves go away from zero, as at school."""
    scale = numbers.power(10, integer(places, "round"), work)
    size = numbers.multiply(_absolute(work, x), scale, work)
    whole = numbers.floor(numbers.add(size, Fraction(1, 2), work), work)
    return numbers.divide(whole * numbers.sign(x, work), scale, work)


def _least(work: Work, *values: Value) -> Value:
    best = values[0]
    numbers.sign(best, work)
    for value in values[1:]:
        best = value if numbers.compare(value, best, work) < 0 else best
    return best


def _greatest(work: Work, *values: Value) -> Value:
    best = values[0]
    numbers.sign(best, work)
    for value in values[1:]:
        best = value if numbers.compare(value, best, work) > 0 else best
    return best


def _mod(work: Work, a: Value, b: Value) -> Value:
    return numbers.modulo(a, b, work)


def _near(work: Work, a: Value, b: Value, tolerance: Value = Fraction(1, 10**9)) -> bool:
    """Whether |a - b| is at most tolerance·max(1, |b|): for what is only known approximately, to some 30 digits."""
    x, y, allowed = (_approximate(work, value) for value in (a, b, tolerance))
    return abs(x - y) <= allowed * max(Fraction(1), abs(y))


def _approximate(work: Work, value: Value) -> Fraction:
    """Irrational values are not compared exactly here: that can be slow, or cannot be decided at all."""
    if is_rational(value):
        return Fraction(value)
    work.spend(SYMBOLIC_STEP)
    near: Fraction = symbolic().approximation(value)
    return near


def _numerator(work: Work, x: Value) -> Value:
    return rational(x, "numerator").numerator


def _denominator(work: Work, x: Value) -> Value:
    return rational(x, "denominator").denominator


def _log(work: Work, x: Value, base: Value) -> Value:
    work.spend(2 * SYMBOLIC_STEP)
    return symbolic().logarithm(x, base)


def _ln(work: Work, x: Value) -> Value:
    work.spend(2 * SYMBOLIC_STEP)
    return symbolic().logarithm(x, None)


def _exp(work: Work, x: Value) -> Value:
    work.spend(SYMBOLIC_STEP)
    return symbolic().exponential(x)


def _trigonometric(name: str) -> Function:
    def call(work: Work, x: Value) -> Value:
        work.spend(2 * SYMBOLIC_STEP)
        return symbolic().trigonometric(name)(x)

    return Function(call, 1, 1, f"{name}(x), x in radians" if name in ("sin", "cos", "tan") else f"{name}(x)")


_MANY = 100
FUNCTIONS: dict[str, Function] = {
    "sqrt": Function(_square_root, 1, 1, "sqrt(x)"),
    "root": Function(_root, 2, 2, "root(x, n)"),
    "abs": Function(_absolute, 1, 1, "abs(x)"),
    "floor": Function(lambda work, x: numbers.floor(numbers.add(x, 0, work), work), 1, 1, "floor(x)"),
    "ceil": Function(_ceiling, 1, 1, "ceil(x)"),
    "round": Function(_round, 1, 2, "round(x) or round(x, places)"),
    "min": Function(_least, 1, _MANY, "min(x, y, …)"),
    "max": Function(_greatest, 1, _MANY, "max(x, y, …)"),
    "gcd": Function(integers.gcd, 1, _MANY, "gcd(a, b, …)"),
    "lcm": Function(integers.lcm, 1, _MANY, "lcm(a, b, …)"),
    "mod": Function(_mod, 2, 2, "mod(a, m)"),
    "powmod": Function(integers.power_modulo, 3, 3, "powmod(a, b, m)"),
    "inverse_mod": Function(integers.inverse_modulo, 2, 2, "inverse_mod(a, m)"),
    "factorial": Function(integers.factorial, 1, 1, "factorial(n)"),
    "binomial": Function(integers.binomial, 2, 2, "binomial(n, k)"),
    "perm": Function(integers.permutations, 2, 2, "perm(n, k)"),
    "divisor_count": Function(integers.divisor_count, 1, 1, "divisor_count(n)"),
    "divisor_sum": Function(integers.divisor_sum, 1, 1, "divisor_sum(n)"),
    "totient": Function(integers.totient, 1, 1, "totient(n)"),
    "valuation": Function(integers.valuation, 2, 2, "valuation(n, p)"),
    "is_square": Function(integers.is_square, 1, 1, "is_square(n)"),
    "isqrt": Function(integers.isqrt, 1, 1, "isqrt(n)"),
    "digit_count": Function(integers.digit_count, 1, 1, "digit_count(n)"),
    "digit_sum": Function(integers.digit_sum, 1, 1, "digit_sum(n)"),
    "is_prime": Function(integers.is_prime, 1, 1, "is_prime(n)"),
    "numerator": Function(_numerator, 1, 1, "numerator(x)"),
    "denominator": Function(_denominator, 1, 1, "denominator(x)"),
    "near": Function(_near, 2, 3, "near(a, b) or near(a, b, tolerance)"),
    "log": Function(_log, 2, 2, "log(x, base); ln(x) is the natural logarithm"),
    "ln": Function(_ln, 1, 1, "ln(x)"),
    "exp": Function(_exp, 1, 1, "exp(x)"),
    **{name: _trigonometric(name) for name in ("sin", "cos", "tan", "asin", "acos", "atan")},
}
_OVER = "k, low, high"
FORM_USAGE = {
    "sum": f"sum(expression, {_OVER})",
    "prod": f"prod(expression, {_OVER})",
    "count": f"count(condition, {_OVER}) or count(condition, x, 1, 10, y, x, 10)",
    "forall": f"forall(condition, {_OVER})",
    "exists": f"exists(condition, {_OVER})",
    "min_over": f"min_over(expression, {_OVER})",
    "max_over": f"max_over(expression, {_OVER})",
    "first_where": f"first_where(condition, {_OVER})",
    "last_where": f"last_where(condition, {_OVER})",
    "when": "when(condition, value, otherwise)",
    "iterate": "iterate(next, x, start, times)",
    "solve": "solve(expression, x, low, high)",
    "integral": "integral(expression, x, low, high)",
    "derivative": "derivative(expression, x, at)",
}
"""What looks like a function but has a bound variable or leaves arguments unevaluated; forms.py carries them out."""

USAGE = {name: function.usage for name, function in FUNCTIONS.items()} | FORM_USAGE
"""How each is written, for prompts and messages."""
FUNCTION_NAMES = frozenset(USAGE)
FORM_NAMES = frozenset(FORM_USAGE)
USAGES = tuple(USAGE.values())
