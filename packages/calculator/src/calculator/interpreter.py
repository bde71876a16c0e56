"""The interpreter of one expression: a checked tree to an exact value."""

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction

from calculator import gate, numbers
from calculator.forms import FORMS
from calculator.functions import FUNCTION_NAMES, FUNCTIONS, USAGE
from calculator.limits import SYMBOLIC_STEP, NotCalculable, Work
from calculator.numbers import Value

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


class Interpreter:
    """Evaluates one expression over known values."""

    def __init__(self, source: str, known: Mapping[str, Value], work: Work) -> None:
        self.source = source
        self.known = dict(known)
        self.work = work

    def inner(self) -> "Interpreter":
        """Another one of the same expression, whose names may be bound without being seen here."""
        return Interpreter(self.source, self.known, self.work)

    def value(self, node: ast.expr) -> Value:
        self.work.spend()
        match node:
            case ast.Constant(value=bool(truth)):
                return truth
            case ast.Constant():
                return numbers.checked(Fraction(gate.number(node, self.source)))
            case ast.Name(id=name):
                return self._named(name)
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](self.value(left), self.value(right), self.work)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self.truth(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return numbers.negate(self.value(operand), self.work)
            case ast.UnaryOp(operand=operand):
                return numbers.add(self.value(operand), 0, self.work)
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self.truth(part) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self.truth(part) for part in parts)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._compared(left, ops, rest)
            case ast.Call(func=ast.Name(id=name), args=args):
                return FORMS[name](self, args) if name in FORMS else self._call(name, args)
        raise NotCalculable("the expression cannot be read")

    def _named(self, name: str) -> Value:
        if name in self.known:
            return self.known[name]
        if name in ("pi", "e"):
            self.work.spend(SYMBOLIC_STEP)
            return numbers.symbolic().constant(name)
        if name in FUNCTION_NAMES:
            raise NotCalculable(f"{name} is a function and needs arguments", f"write {USAGE[name]}")
        known = ", ".join(list(self.known)[:20]) or "none"
        raise NotCalculable(f"the name {name!r} has no value", f"names with a value here: {known}")

    def truth(self, node: ast.expr) -> bool:
        truth = self.value(node)
        if isinstance(truth, bool):
            return truth
        raise NotCalculable("and, or, not, count and when need conditions such as n % 3 == 0")

    def _compared(self, left: ast.expr, ops: list[ast.cmpop], rest: list[ast.expr]) -> bool:
        a = self.value(left)
        for op, right in zip(ops, rest, strict=True):
            b = self.value(right)
            both_conditions = isinstance(a, bool) and isinstance(b, bool) and isinstance(op, ast.Eq | ast.NotEq)
            order = int(a) - int(b) if both_conditions else numbers.compare(a, b, self.work)
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
        return function.call(self.work, *values)
