"""The allowlisted functions. Each takes exact values and returns one; sizes are estimated before anything is built."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from calculator import numbers
from calculator.limits import (
    MAX_BITS,
    MAX_FACTORED,
    MAX_MODULUS_BITS,
    MAX_RADICAND_BITS,
    SYMBOLIC_STEP,
    NotCalculable,
    Work,
    too_large,
)
from calculator.numbers import Value, integer, is_rational, rational, symbolic

CONSTANTS = frozenset({"pi", "e", "True", "False"})
LOOPS = frozenset({"sum", "prod", "count"})
"""Functions with a bound variable; the interpreter carries them out."""


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


def _gcd(work: Work, *values: Value) -> Value:
    return math.gcd(*(integer(value, "gcd") for value in values))


def _lcm(work: Work, *values: Value) -> Value:
    integers = [integer(value, "lcm") for value in values]
    if sum(n.bit_length() for n in integers) > MAX_BITS:
        raise too_large("the least common multiple")
    return math.lcm(*integers)


def _mod(work: Work, a: Value, b: Value) -> Value:
    return numbers.modulo(a, b, work)


def _power_modulo(work: Work, base: Value, exponent: Value, modulus: Value) -> Value:
    b, n, m = (integer(value, "powmod") for value in (base, exponent, modulus))
    if m < 1:
        raise NotCalculable("the modulus of powmod is a positive integer")
    if m.bit_length() > MAX_MODULUS_BITS:
        raise too_large("the modulus")
    work.spend(1 + n.bit_length() * m.bit_length() ** 2 // 1_000_000)
    if n < 0:
        b, n = _inverse_modulo(work, b, m), -n
    return pow(b, n, m)


def _inverse_modulo(work: Work, a: Value, modulus: Value) -> Value:
    n, m = integer(a, "inverse_mod"), integer(modulus, "inverse_mod")
    if m < 1:
        raise NotCalculable("the modulus of inverse_mod is a positive integer")
    if math.gcd(n, m) != 1:
        raise NotCalculable("there is no inverse: number and modulus have a common factor")
    return pow(n, -1, m)


def _factorial(work: Work, n: Value) -> Value:
    count = _natural(n, "factorial")
    if count > MAX_BITS or math.lgamma(count + 1) / math.log(2) > MAX_BITS:
        raise too_large("the factorial")
    return math.factorial(count)


def _binomial(work: Work, n: Value, k: Value) -> Value:
    total, chosen = _natural(n, "binomial"), integer(k, "binomial")
    if not 0 <= chosen <= total:
        return 0
    fewer = min(chosen, total - chosen)
    if min(total, fewer * total.bit_length()) > MAX_BITS:
        raise too_large("the binomial coefficient")
    work.spend(1 + fewer // 10)
    return numbers.checked(math.comb(total, chosen))


def _permutations(work: Work, n: Value, k: Value) -> Value:
    total, chosen = _natural(n, "perm"), integer(k, "perm")
    if not 0 <= chosen <= total:
        return 0
    if chosen * total.bit_length() > 2 * MAX_BITS:
        raise too_large("the number of permutations")
    return numbers.checked(math.perm(total, chosen))


def _natural(value: Value, what: str) -> int:
    n = integer(value, what)
    if n < 0:
        raise NotCalculable(f"{what} needs an integer that is not negative")
    return n


def _factors(work: Work, n: Value, what: str) -> dict[int, int]:
    """Prime → multiplicity."""
    number = integer(n, what)
    if number < 1:
        raise NotCalculable(f"{what} needs a positive integer")
    if number > MAX_FACTORED:
        raise too_large("the number to factor")
    work.spend(20 + math.isqrt(math.isqrt(number)))
    found: dict[int, int] = {}
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31):
        while number % prime == 0:
            found[prime] = found.get(prime, 0) + 1
            number //= prime
    if number == 1:
        return found
    if number < 37 * 37:
        return {**found, number: 1}
    work.spend(SYMBOLIC_STEP)
    return {**found, **symbolic().factors(number)}


def _divisor_count(work: Work, n: Value) -> Value:
    return math.prod(times + 1 for times in _factors(work, n, "divisor_count").values())


def _divisor_sum(work: Work, n: Value) -> Value:
    factors = _factors(work, n, "divisor_sum")
    return math.prod((prime ** (times + 1) - 1) // (prime - 1) for prime, times in factors.items())


def _totient(work: Work, n: Value) -> Value:
    factors = _factors(work, n, "totient")
    return math.prod((prime - 1) * prime ** (times - 1) for prime, times in factors.items())


def _is_prime(work: Work, n: Value) -> bool:
    number = integer(n, "is_prime")
    return number > 1 and _factors(work, number, "is_prime") == {number: 1}


def _digit_sum(work: Work, n: Value) -> Value:
    return sum(map(int, str(abs(integer(n, "digit_sum")))))


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
    "gcd": Function(_gcd, 1, _MANY, "gcd(a, b, …)"),
    "lcm": Function(_lcm, 1, _MANY, "lcm(a, b, …)"),
    "mod": Function(_mod, 2, 2, "mod(a, m)"),
    "powmod": Function(_power_modulo, 3, 3, "powmod(a, b, m)"),
    "inverse_mod": Function(_inverse_modulo, 2, 2, "inverse_mod(a, m)"),
    "factorial": Function(_factorial, 1, 1, "factorial(n)"),
    "binomial": Function(_binomial, 2, 2, "binomial(n, k)"),
    "perm": Function(_permutations, 2, 2, "perm(n, k)"),
    "divisor_count": Function(_divisor_count, 1, 1, "divisor_count(n)"),
    "divisor_sum": Function(_divisor_sum, 1, 1, "divisor_sum(n)"),
    "totient": Function(_totient, 1, 1, "totient(n)"),
    "digit_sum": Function(_digit_sum, 1, 1, "digit_sum(n)"),
    "is_prime": Function(_is_prime, 1, 1, "is_prime(n)"),
    "numerator": Function(_numerator, 1, 1, "numerator(x)"),
    "denominator": Function(_denominator, 1, 1, "denominator(x)"),
    "log": Function(_log, 2, 2, "log(x, base); ln(x) is the natural logarithm"),
    "ln": Function(_ln, 1, 1, "ln(x)"),
    "exp": Function(_exp, 1, 1, "exp(x)"),
    **{name: _trigonometric(name) for name in ("sin", "cos", "tan", "asin", "acos", "atan")},
}
FUNCTION_NAMES = frozenset(FUNCTIONS) | LOOPS
USAGES = (
    *(function.usage for function in FUNCTIONS.values()),
    *(f"{name}(expression, k, low, high)" for name in ("sum", "prod")),
    "count(condition, k, low, high)",
)
"""How each function is written, for prompts and messages."""
