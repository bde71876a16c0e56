"""Irrational values as SymPy expressions, built from checked parts and kept small after every operation."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import sympy
from sympy.printing.str import StrPrinter

from calculator.limits import MAX_BITS, MAX_MAGNITUDE, MAX_SYMBOLIC_NODES, NotCalculable, too_large

Expr = Any

_UNDEFINED = (sympy.nan, sympy.zoo, sympy.oo, sympy.S.NegativeInfinity)


def lift(value: Any) -> Expr:
    """A value as a SymPy number or expression."""
    if isinstance(value, bool):
        raise NotCalculable("a condition (True or False) is not a number")
    if isinstance(value, int | Fraction):
        return sympy.Rational(value.numerator, value.denominator)
    return value


def settle(expr: Expr) -> Any:
    """Back from SymPy: rational numbers as Python's; refuses what is undefined, not real or too large."""
    if expr.is_Rational:
        if max(int(expr.p).bit_length(), int(expr.q).bit_length()) > MAX_BITS:
            raise too_large()
        return int(expr.p) if expr.q == 1 else Fraction(int(expr.p), int(expr.q))
    for nodes, node in enumerate(sympy.preorder_traversal(expr), 1):
        if nodes > MAX_SYMBOLIC_NODES:
            raise NotCalculable("the exact value is too long", "split the calculation, or simplify it first")
        if node in _UNDEFINED:
            raise NotCalculable("the value is not defined")
        if node is sympy.I:
            raise NotCalculable("the value is not a real number")
        if node.is_Rational and max(int(node.p).bit_length(), int(node.q).bit_length()) > MAX_BITS:
            raise too_large()
    if expr.is_real is False or not expr.is_number:
        raise NotCalculable("the value is not a real number")
    return expr


def add(a: Any, b: Any) -> Any:
    return settle(lift(a) + lift(b))


def multiply(a: Any, b: Any) -> Any:
    x, y = lift(a), lift(b)
    if _terms(x) * _terms(y) > MAX_SYMBOLIC_NODES:
        raise NotCalculable("the exact value is too long", "split the calculation, or simplify it first")
    return settle(sympy.expand_mul(x * y))


def divide(a: Any, b: Any) -> Any:
    x, y = lift(a), lift(b)
    if sign(settle(y)) == 0:
        raise NotCalculable("division by zero")
    quotient = x / y
    if y.is_Add and _terms(y) <= 4 and _only_square_roots(y):
        quotient = sympy.radsimp(quotient, max_terms=4)
    return settle(sympy.expand_mul(quotient))


def _only_square_roots(expr: Expr) -> bool:
    """Whether making the denominator rational is quick: higher roots would need huge products."""
    roots = [power for power in expr.atoms(sympy.Pow) if not power.exp.is_Integer]
    plain = not expr.has(sympy.Function, sympy.pi, sympy.E)
    return plain and all(power.base.is_Rational and power.exp == sympy.Rational(1, 2) for power in roots)


def power(a: Any, b: Any) -> Any:
    x, y = lift(a), lift(b)
    base_sign = sign(settle(x))
    if base_sign == 0:
        if sign(settle(y)) <= 0:
            raise NotCalculable("zero has only positive powers here")
        return 0
    if base_sign < 0 and not y.is_Integer:
        raise NotCalculable("a fractional power of a negative number is not real", "root(x, n) takes odd real roots")
    _check_power_size(x, y)
    result = x**y
    if y.is_Integer and x.is_Add:
        inverse = y < 0
        result = sympy.expand(x ** abs(y))
        return divide(1, settle(result)) if inverse else settle(result)
    if y == sympy.Rational(1, 2) and x.is_Add:
        result = sympy.sqrtdenest(result)
    return settle(result)


def _check_power_size(base: Expr, exponent: Expr) -> None:
    """Estimates the power before it exists: its magnitude, its coefficients and its number of terms."""
    magnitude = abs(_float(sympy.log(abs(base)) if not base.is_Rational else _log_rational(base))) * abs(
        _float(exponent)
    )
    if not magnitude <= MAX_MAGNITUDE:
        raise too_large("the power")
    if not exponent.is_Rational:
        _check_logarithms(exponent)
        return
    times = max(1, abs(int(exponent.p)))
    if _coefficient_bits(base) * times > MAX_BITS or int(exponent.q) > 1_000:
        raise too_large("the power")
    if (
        base.is_Add
        and exponent.is_Integer
        and math.comb(times + _terms(base) - 1, _terms(base) - 1) > MAX_SYMBOLIC_NODES
    ):
        raise too_large("the power")


def _check_logarithms(exponent: Expr) -> None:
    """e**(k*ln(3)) becomes 3**k at once, also inside a sum whose value is small: every k must be small by itself."""
    if exponent.has(sympy.log):
        for number in sympy.preorder_traversal(exponent):
            if number.is_Rational and max(abs(int(number.p)), int(number.q)) > MAX_MAGNITUDE:
                raise too_large("the power")


def _log_rational(number: Expr) -> Expr:
    return sympy.Float(math.log(abs(int(number.p))) - math.log(int(number.q)))


def _coefficient_bits(expr: Expr) -> int:
    return sum(
        max(int(number.p).bit_length(), int(number.q).bit_length())
        for number in sympy.preorder_traversal(expr)
        if number.is_Rational
    )


def _terms(expr: Expr) -> int:
    return len(expr.args) if expr.is_Add else 1


def _float(expr: Expr) -> float:
    try:
        return float(expr)
    except (TypeError, ValueError, OverflowError):
        return math.inf


def sign(a: Any) -> int:
    """-1, 0 or 1, decided by 30 digits where they suffice and by simplification where they do not."""
    expr = lift(a)
    if expr.is_Rational:
        return int(sympy.sign(expr))
    approximation = expr.evalf(30, maxn=400)
    if approximation.is_Float and approximation._prec > 1 and approximation != 0:
        return 1 if approximation > 0 else -1
    if _is_zero(expr):
        return 0
    raise NotCalculable("it cannot be decided exactly whether a value is zero", "simplify the expression by hand first")


def _is_zero(expr: Expr) -> bool:
    simpler = sympy.expand(sympy.expand_log(expr, force=True, factor=True))
    return bool(simpler == 0 or sympy.radsimp(simpler) == 0 or simpler.equals(0))


def floor(a: Any) -> int:
    expr = lift(a)
    size = _float(expr)
    if not abs(size) < math.inf:
        raise too_large()
    guess = int(sympy.Integer(expr.evalf(max(15, int(math.log10(abs(size) + 1))) + 20)))
    while sign(settle(expr - guess)) < 0:
        guess -= 1
    while sign(settle(expr - guess - 1)) >= 0:
        guess += 1
    return guess


def root(a: Any, degree: int) -> Any:
    """The real root; odd roots of negative numbers are negative."""
    if sign(a) < 0:
        if degree % 2 == 0:
            raise NotCalculable("an even root of a negative number is not real")
        return multiply(-1, power(multiply(-1, a), Fraction(1, degree)))
    return power(a, Fraction(1, degree))


def logarithm(a: Any, base: Any | None) -> Any:
    """ln(a), or log of a to the base; exact where a is a rational power of the base."""
    x = lift(a)
    if sign(a) <= 0:
        raise NotCalculable("a logarithm needs a positive number")
    if base is None:
        return settle(_ln(x))
    b = lift(base)
    if sign(base) <= 0 or b == 1:
        raise NotCalculable("the base of a logarithm is positive and not 1")
    if x.is_Rational and b.is_Rational:
        exact = _rational_exponent(x, b)
        if exact is not None:
            return settle(exact)
    return settle(_ln(x) / _ln(b))


def _rational_exponent(x: Expr, base: Expr) -> Expr | None:
    """p/q with base**(p/q) == x, from the multiplicities of small primes; None when there is none."""
    top, bottom = (sympy.factorrat(number, limit=10_000) for number in (x, base))
    if set(top) != set(bottom):
        return sympy.Integer(0) if x == 1 else None
    ratios = {sympy.Rational(top[prime], bottom[prime]) for prime in top if prime != -1}
    return ratios.pop() if len(ratios) == 1 else None


def _ln(x: Expr) -> Expr:
    """Powers are pulled out, so that ln(8)/ln(2) is 3."""
    if x.is_Rational:
        if x < 1:
            return -_ln(1 / x)
        if x.is_Integer and x > 1:
            perfect: Any = sympy.perfect_power(x, big=True, factor=False) if x < 10**30 else False
            if perfect:
                return perfect[1] * sympy.log(perfect[0])
    return sympy.expand_log(sympy.log(x), force=False)


def exponential(a: Any) -> Any:
    x = lift(a)
    if not abs(_float(x)) <= MAX_MAGNITUDE:
        raise too_large("the exponential")
    _check_logarithms(x)
    return settle(sympy.exp(x))


def trigonometric(name: str) -> Callable[[Any], Any]:
    """sin, cos, tan, asin, acos or atan, in radians; exact where SymPy knows the value."""
    function = {"sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan}.get(name) or {
        "asin": sympy.asin,
        "acos": sympy.acos,
        "atan": sympy.atan,
    }[name]

    def apply(a: Any) -> Any:
        x = lift(a)
        if not abs(_float(x)) <= 1e100:
            raise too_large("the angle")
        if name in ("asin", "acos") and (sign(settle(x - 1)) > 0 or sign(settle(x + 1)) < 0):
            raise NotCalculable(f"{name} needs a number from -1 to 1")
        return settle(function(x))

    return apply


class _Printer(StrPrinter):  # type: ignore[misc]
    """SymPy's text in the calculator's language."""

    def _print_Exp1(self, expr: Expr) -> str:  # noqa: N802
        return "exp(1)"  # not e, which a caller may have bound

    def _print_log(self, expr: Expr) -> str:
        return f"ln({self._print(expr.args[0])})"

    def _print_Abs(self, expr: Expr) -> str:  # noqa: N802
        return f"abs({self._print(expr.args[0])})"


def render(expr: Expr) -> str:
    return str(_Printer().doprint(expr))


def constant(name: str) -> Expr:
    return {"pi": sympy.pi, "e": sympy.E}[name]


def factors(n: int) -> dict[int, int]:
    """Prime → multiplicity."""
    return {int(prime): int(times) for prime, times in sympy.factorint(n).items()}


def is_prime(n: int) -> bool:
    return bool(sympy.isprime(n))


def approximation(a: Any) -> Fraction:
    """A rational number near the value, to 30 digits or so."""
    digits = lift(a).evalf(40, maxn=400)
    if not digits.is_Float or not abs(_float(digits)) < math.inf:
        raise NotCalculable("the value cannot be approximated", "simplify the expression by hand first")
    return Fraction(int(sympy.Integer(sympy.floor(digits * sympy.Integer(10) ** 35))), 10**35)
