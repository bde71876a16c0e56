"""The interpreter: checked trees to exact values, statement by statement."""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

from calculator import gate, numbers
from calculator.functions import FUNCTION_NAMES, FUNCTIONS, LOOPS
from calculator.limits import (
    MAX_CHARS,
    MAX_DIGITS,
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_STATEMENTS,
    MAX_TERMS,
    SYMBOLIC_STEP,
    NotCalculable,
    Work,
)
from calculator.numbers import Value
from reasonflux.contracts import Calculation, Failure, FailureKind

_BINARY: dict[type[ast.operator], Callable[[Value, Value, Work], Value]] = {
    ast.Add: numbers.add,
    ast.Sub: numbers.subtract,
    ast.Mult: numbers.multiply,
    ast.Div: numbers.divide,
    ast.Pow: numbers.power,
    ast.Mod: numbers.modulo,
    ast.FloorDiv: lambda a, b, work: numbers.floor(numbers.divide(a, b, work), work),
}
_COMPARISON: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def evaluate_in_process(statements: Sequence[str], names: Mapping[str, str] | None = None) -> tuple[Calculation, ...]:
    """Evaluate in this process: the same language, gate and limits, but neither jail nor timeout.

    statements: `expression` or `name = expression`, in order; an assigned name is visible later. names: values as text,
    evaluated first, through the same gate; each sees the ones before it. Returns one Calculation per statement up to
    the first error, which is the last one returned. A name that cannot be bound is returned as the failed statement
    `name = value`. Never raises for bad input.
    """
    return tuple(calculations(statements, names or {}))


def calculations(statements: Sequence[str], names: Mapping[str, str]) -> Iterator[Calculation]:
    """The same, one at a time, so that what was finished is known when a later statement hangs."""
    work = Work()
    known: dict[str, Value] = {}
    if len(statements) > MAX_STATEMENTS or len(names) > MAX_NAMES:
        yield _failed("", None, NotCalculable(f"more than {MAX_STATEMENTS} statements or {MAX_NAMES} names"))
        return
    for name, text in names.items():
        try:
            gate.check_name(name)
            target, expression = gate.split(text)
            if target is not None:
                raise NotCalculable("the value of a name is an expression, not an assignment")
            known[name] = _value(expression, known, work)
        except Exception as error:
            yield _failed(f"{name} = {text}", name, error)
            return
    for statement in statements:
        calculation = _calculate(statement, known, work)
        yield calculation
        if calculation.error is not None:
            return


def _calculate(statement: str, known: dict[str, Value], work: Work) -> Calculation:
    name: str | None = None
    try:
        name, expression = gate.split(statement)
        value = _value(expression, known, work)
        text = _written(value)
    except Exception as error:  # SymPy raises many kinds; whatever the text was, the caller gets a value
        return _failed(statement, name, error)
    if name is not None:
        known[name] = value
    return Calculation(statement=statement, name=name, value=text)


def _failed(statement: str, name: str | None, error: Exception) -> Calculation:
    if isinstance(error, NotCalculable):
        message, hint = error.message, error.hint
    else:
        message, hint = "the value cannot be computed", "write it in a simpler way"
    shown = statement if len(statement) <= MAX_CHARS else statement[:MAX_CHARS] + "…"
    return Calculation(
        statement=_encodable(shown),
        name=None if name is None else _encodable(name[:MAX_NAME_CHARS]),
        error=Failure(kind=FailureKind.CALCULATION_ERROR, message=message, hint=hint),
    )


def _encodable(text: str) -> str:
    """Lone surrogates, which no contract can carry, become question marks."""
    return text.encode("utf-8", "replace").decode()


def _value(expression: str, known: Mapping[str, Value], work: Work) -> Value:
    return _Interpreter(expression, dict(known), work).value(gate.read(expression))


def _written(value: Value) -> str:
    """The value as text that passes the gate again."""
    if numbers.is_rational(value):
        if max(abs(value.numerator), value.denominator) >= 10**MAX_DIGITS:
            raise NotCalculable(f"the result has more than {MAX_DIGITS} digits", "take a remainder, or a digit sum")
        return numbers.render(value)
    text = numbers.render(value)
    try:
        gate.read(gate.split(text)[1])
    except NotCalculable as error:
        raise NotCalculable("the exact value is too long to be written down") from error
    return text


class _Interpreter:
    """Evaluates one expression over known values."""

    def __init__(self, source: str, known: dict[str, Value], work: Work) -> None:
        self._source = source
        self._known = known
        self._work = work

    def value(self, node: ast.expr) -> Value:
        self._work.spend()
        match node:
            case ast.Constant(value=bool(truth)):
                return truth
            case ast.Constant():
                return numbers.checked(Fraction(gate.number(node, self._source)))
            case ast.Name(id=name):
                return self._named(name)
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](self.value(left), self.value(right), self._work)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._truth(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return numbers.negate(self.value(operand), self._work)
            case ast.UnaryOp(operand=operand):
                return numbers.add(self.value(operand), 0, self._work)
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._truth(part) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._truth(part) for part in parts)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._compared(left, ops, rest)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._loop(name, args) if name in LOOPS else self._call(name, args)
        raise NotCalculable("the expression cannot be read")

    def _named(self, name: str) -> Value:
        if name in self._known:
            return self._known[name]
        if name in ("pi", "e"):
            self._work.spend(SYMBOLIC_STEP)
            return numbers.symbolic().constant(name)
        if name in FUNCTION_NAMES:
            raise NotCalculable(f"{name} is a function and needs arguments", f"write {_usage(name)}")
        known = ", ".join(list(self._known)[:20]) or "none"
        raise NotCalculable(f"the name {name!r} has no value", f"names with a value here: {known}")

    def _truth(self, node: ast.expr) -> bool:
        truth = self.value(node)
        if isinstance(truth, bool):
            return truth
        raise NotCalculable("and, or, not and count need conditions such as n % 3 == 0")

    def _compared(self, left: ast.expr, ops: list[ast.cmpop], rest: list[ast.expr]) -> bool:
        a = self.value(left)
        for op, right in zip(ops, rest, strict=True):
            b = self.value(right)
            both_conditions = isinstance(a, bool) and isinstance(b, bool) and isinstance(op, ast.Eq | ast.NotEq)
            order = int(a) - int(b) if both_conditions else numbers.compare(a, b, self._work)
            if not _COMPARISON[type(op)](order, 0):
                return False
            a = b
        return True

    def _call(self, name: str, args: list[ast.expr]) -> Value:
        function = FUNCTIONS[name]
        if not function.least <= len(args) <= function.most:
            raise NotCalculable(f"{name} does not take {len(args)} arguments", f"write {function.usage}")
        values = [self.value(arg) for arg in args]
        if any(isinstance(value, bool) for value in values):
            raise NotCalculable(f"{name} needs numbers, not conditions")
        return function.call(self._work, *values)

    def _loop(self, name: str, args: list[ast.expr]) -> Value:
        """sum, prod and count: the first argument for every integer from low to high."""
        if len(args) != 4 or not isinstance(args[1], ast.Name):
            raise NotCalculable(f"{name} takes an expression, a variable and two bounds", f"write {_usage(name)}")
        body, variable = args[0], args[1].id
        gate.check_name(variable)
        low, high = (numbers.integer(self.value(bound), f"a bound of {name}") for bound in args[2:])
        if high - low >= MAX_TERMS:
            raise NotCalculable(f"{name} has more than {MAX_TERMS} terms", "find a closed form")
        total: Value = 1 if name == "prod" else 0
        inner = _Interpreter(self._source, dict(self._known), self._work)
        for k in range(low, high + 1):
            inner._known[variable] = k
            if name == "count":
                total += inner._truth(body)
            elif name == "sum":
                total = numbers.add(total, inner.value(body), self._work)
            else:
                total = numbers.multiply(total, inner.value(body), self._work)
        return total


def _usage(name: str) -> str:
    return f"{name}(expression, k, low, high)" if name in LOOPS else FUNCTIONS[name].usage
