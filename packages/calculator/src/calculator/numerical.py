"""Roots, integrals and derivatives of an expression in one variable, to about 20 digits, with mpmath.

The results are rational numbers near the true value (a root that is rational with a small denominator is exact), to be
compared with `near`. mpmath computes with numbers of any size, so magnitudes are bounded before every operation that
could leave them.
"""

import ast
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import mpmath

from calculator import numbers
from calculator.functions import USAGE
from calculator.limits import MAX_MAGNITUDE, NotCalculable
from calculator.numbers import Value

if TYPE_CHECKING:
    from calculator.interpreter import Interpreter

Real = Any
"""A real number of `_CONTEXT`; mpmath has no types to say it with."""
Point = tuple[Real, Real]

_CONTEXT = mpmath.MPContext()
_CONTEXT.dps = 30
DIGITS = 20
_STEP = 10
"""What one numerical operation costs."""
_BISECTIONS = 110
_GUARDED = 60
"""Digits to work with where differences of nearly equal values decide."""
_CLOSING = 0.001
"""A gap between two sides closes when it shrinks at least to this part, while the interval shrinks far more."""
_UNEVEN = "0.3819660112501051518"
"""Where an integral's range is cut: not at a simple fraction of it, where a pole is likely to be."""
_SLOPE_STEPS = ("1e-13", "1e-17")
"""Wider than the rounding of a point that is itself the result of solve."""
_ANGLE = 10**9


def solve(scope: "Interpreter", body: ast.expr, variable: str, low: Value, high: Value) -> Value:
    """The root between low and high, by bisection. Needs a change of sign, and no jump or pole where it happens."""
    with _CONTEXT.workdps(_GUARDED):
        a, b = _real(low), _real(high)
        if not a < b:
            raise NotCalculable("solve needs low < high")
        function = _function(scope, body, variable)
        at_a, at_b = function(a), function(b)
        if at_a == 0 or at_b == 0:
            return low if at_a == 0 else high
        if (at_a > 0) == (at_b > 0):
            raise NotCalculable(
                "the expression has the same sign at both ends", "give bounds between which it changes sign"
            )
        root = _bisected(function, (a, at_a), (b, at_b))
    return _exact_root(scope, body, variable, _rational(root))


def _bisected(function: Callable[[Real], Real], left: Point, right: Point) -> Real:
    gaps = [abs(right[1] - left[1])]
    rising = right[1] > 0
    for _ in range(_BISECTIONS):
        x = (left[0] + right[0]) / 2
        y = function(x)
        if y == 0:
            return x
        if (y > 0) == rising:
            right = (x, y)
        else:
            left = (x, y)
        gaps.append(abs(right[1] - left[1]))
    # Across a root the gap between the two sides closes with the interval. It stays at a jump, and grows at a pole.
    noise = max(1, gaps[0]) * _CONTEXT.mpf(10) ** -40
    if gaps[-1] > max(noise, gaps[_BISECTIONS // 2] * _CLOSING):
        raise NotCalculable(
            "the expression jumps or has a pole where it changes sign, and no root", "give bounds that leave it out"
        )
    return (left[0] + right[0]) / 2


def integral(scope: "Interpreter", body: ast.expr, variable: str, low: Value, high: Value) -> Value:
    """The definite integral by tanh-sinh quadrature; refuses what does not converge.

    The error that quadrature reports can miss a pole at an end or in the middle of the range, so the range is also
    integrated in two unequal parts: with a pole the sum depends on where the range is cut.
    """
    function, a, b = _function(scope, body, variable), _real(low), _real(high)
    whole, error = _CONTEXT.quad(function, [a, b], error=True, maxdegree=6)
    cut = a + (b - a) * _CONTEXT.mpf(_UNEVEN)
    first, second = (_CONTEXT.quad(function, part, maxdegree=6) for part in ([a, cut], [cut, b]))
    size = abs(first) + abs(second) + _CONTEXT.mpf(10) ** -12
    if error > size * _CONTEXT.mpf(10) ** -12 or abs(first + second - whole) > size * _CONTEXT.mpf(10) ** -10:
        raise NotCalculable("the integral does not converge well enough", "split the range at jumps and corners")
    return _rational(whole)


def derivative(scope: "Interpreter", body: ast.expr, variable: str, at: Value) -> Value:
    """The derivative at a point, by central differences; refuses a corner, a jump and a vertical tangent."""
    with _CONTEXT.workdps(_GUARDED):
        function, x = _function(scope, body, variable), _real(at)
        slope = _CONTEXT.diff(function, x)
        wide, narrow = (_slope_error(function, x, slope, step) for step in _SLOPE_STEPS)
        # The one-sided slopes either agree already, or come together as the step shrinks.
        noise = max(1, abs(function(x))) * _CONTEXT.mpf(10) ** -20
        if narrow > max(noise, abs(slope) * _CONTEXT.mpf(10) ** -12) and narrow > wide * _CLOSING:
            raise NotCalculable("the expression has no derivative there", "its slopes from the left and right differ")
    return _rational(slope)


def _slope_error(function: Callable[[Real], Real], x: Real, slope: Real, step: str) -> Real:
    """How far the slopes from the left and from the right are from the one that was found."""
    h = _CONTEXT.mpf(step) * max(1, abs(x))
    here = function(x)
    return max(abs((here - function(x - h)) / h - slope), abs((function(x + h) - here) / h - slope))


def _exact_root(scope: "Interpreter", body: ast.expr, variable: str, root: Value) -> Value:
    simple = Fraction(root).limit_denominator(1_000)
    if abs(simple - root) >= Fraction(1, 10 ** (DIGITS - 2)):
        return root
    scope.known[variable] = numbers.checked(simple)
    value = scope.value(body)
    return numbers.checked(simple) if numbers.is_rational(value) and value == 0 else root


def _rational(x: Real) -> Value:
    return numbers.checked(Fraction(_CONTEXT.nstr(x, DIGITS, min_fixed=-50, max_fixed=50)))


def _real(value: Value) -> Real:
    if isinstance(value, bool):
        raise NotCalculable("a condition (True or False) is not a number")
    if numbers.is_rational(value):
        return _CONTEXT.mpf(value.numerator) / value.denominator
    return _CONTEXT.mpf(value.evalf(_CONTEXT.dps + 5)._mpf_)


def _function(scope: "Interpreter", body: ast.expr, variable: str) -> Callable[[Real], Real]:
    def at(x: Real) -> Real:
        return _Numerical(scope, {variable: x}).value(body)

    return at


class _Numerical:
    """Evaluates one expression approximately. Knows the ordinary functions of a real number, and `when`."""

    def __init__(self, scope: "Interpreter", bound: dict[str, Real]) -> None:
        self._scope = scope
        self._bound = bound

    def value(self, node: ast.expr) -> Real:
        self._scope.work.spend(_STEP)
        match node:
            case ast.Name(id=name) if name in self._bound:
                return self._bound[name]
            case ast.Constant() | ast.Name():
                return _real(self._scope.value(node))
            case ast.BinOp(left=left, op=op, right=right):
                return self._checked(_operate(op, self.value(left), self.value(right)))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.Call(func=ast.Name(id="when"), args=[condition, one, other]):
                return self.value(one if self._truth(condition) else other)
            case ast.Call(func=ast.Name(id=name), args=args) if name in _FUNCTIONS:
                return self._checked(_FUNCTIONS[name](*map(self.value, args)))
            case ast.Call(func=ast.Name(id=name)):
                raise NotCalculable(f"{name} cannot be used inside solve, integral or derivative", f"not {USAGE[name]}")
        raise NotCalculable("solve, integral and derivative need an expression of real numbers")

    def _truth(self, node: ast.expr) -> bool:
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _ORDER:
                return _ORDER[type(op)](self.value(left), self.value(right))
        raise NotCalculable("inside solve, integral and derivative, when needs one comparison such as x < 2")

    def _checked(self, x: Real) -> Real:
        if not isinstance(x, _CONTEXT.mpf) or not _CONTEXT.isfinite(x) or _magnitude(x) > MAX_MAGNITUDE:
            raise NotCalculable("the expression is not a real number of moderate size everywhere in the range")
        return x


_ORDER: dict[type[ast.cmpop], Callable[[Real, Real], bool]] = {
    ast.Lt: lambda a, b: bool(a < b),
    ast.LtE: lambda a, b: bool(a <= b),
    ast.Gt: lambda a, b: bool(a > b),
    ast.GtE: lambda a, b: bool(a >= b),
}


def _magnitude(x: Real) -> int:
    return abs(int(_CONTEXT.mag(x))) if x else 0


def _operate(op: ast.operator, a: Real, b: Real) -> Real:
    match op:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.Pow():
            return _power(a, b)
    if b == 0:
        raise NotCalculable("division by zero")
    quotient = a / b
    if isinstance(op, ast.Div):
        return quotient
    whole = _CONTEXT.floor(quotient)
    return whole if isinstance(op, ast.FloorDiv) else a - b * whole


def _power(a: Real, b: Real) -> Real:
    if a == 0 and b <= 0 and b != 0:
        raise NotCalculable("division by zero")
    if abs(b) * (_magnitude(a) + 1) > MAX_MAGNITUDE:
        raise NotCalculable("a power is too large to compute")
    return a**b


def _exponential(x: Real) -> Real:
    if abs(x) > MAX_MAGNITUDE:
        raise NotCalculable("a power is too large to compute")
    return _CONTEXT.exp(x)


def _angular(name: str) -> Callable[[Real], Real]:
    def apply(x: Real) -> Real:
        if abs(x) > _ANGLE:
            raise NotCalculable("an angle is too large")
        return getattr(_CONTEXT, name)(x)

    return apply


def _root(x: Real, degree: Real) -> Real:
    return -_power(-x, 1 / degree) if x < 0 and degree % 2 == 1 else _power(x, 1 / degree)


_FUNCTIONS: dict[str, Callable[..., Real]] = {
    "sqrt": _CONTEXT.sqrt,
    "root": _root,
    "abs": abs,
    "floor": _CONTEXT.floor,
    "ceil": _CONTEXT.ceil,
    "min": min,
    "max": max,
    "mod": lambda a, b: _operate(ast.Mod(), a, b),
    "ln": _CONTEXT.log,
    "log": lambda x, base: _CONTEXT.log(x) / _CONTEXT.log(base),
    "exp": _exponential,
    **{name: _angular(name) for name in ("sin", "cos", "tan", "asin", "acos", "atan")},
}
