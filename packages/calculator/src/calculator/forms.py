"""Forms: what is written like a function but binds a variable, or does not evaluate all that it is given.

Bounded enumeration (sum, count, first_where …), a choice (when), a recurrence (iterate), and numerical analysis (solve,
integral, derivative). Every loop spends work, so nested ones end as surely as single ones.
"""

import ast
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from calculator import gate, numbers
from calculator.functions import FORM_USAGE
from calculator.limits import MAX_TERMS, NotCalculable
from calculator.numbers import Value

if TYPE_CHECKING:
    from calculator.interpreter import Interpreter

Form = Callable[["Interpreter", list[ast.expr]], Value]
Loop = Callable[[str, "Interpreter", list[ast.expr]], Value]


def _shaped(name: str, args: list[ast.expr], fits: bool) -> None:
    if not fits:
        raise NotCalculable(f"{name} is not given what it needs", f"write {FORM_USAGE[name]}")


def _variable(name: str, node: ast.expr) -> str:
    if not isinstance(node, ast.Name):
        raise NotCalculable(f"{name} needs a variable's name", f"write {FORM_USAGE[name]}")
    gate.check_name(node.id)
    return node.id


def _bindings(name: str, scope: "Interpreter", args: list[ast.expr]) -> Iterator["Interpreter"]:
    """The scope with the variables of (variable, low, high)… bound to every combination, the last moving fastest."""
    if not args:
        yield scope
        return
    variable = _variable(name, args[0])
    low, high = (numbers.integer(scope.value(bound), f"a bound of {name}") for bound in args[1:3])
    if high - low >= MAX_TERMS:
        raise NotCalculable(f"{name} has more than {MAX_TERMS} terms", "find a closed form")
    inner = scope.inner()
    for k in range(low, high + 1):
        inner.known[variable] = k
        yield from _bindings(name, inner, args[3:])


def _every(name: str, scope: "Interpreter", args: list[ast.expr]) -> Iterator["Interpreter"]:
    _shaped(name, args, len(args) >= 4 and len(args) % 3 == 1)
    return _bindings(name, scope, args[1:])


def _sum(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    total: Value = 0
    for inner in _every(name, scope, args):
        total = numbers.add(total, inner.value(args[0]), scope.work)
    return total


def _prod(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    total: Value = 1
    for inner in _every(name, scope, args):
        total = numbers.multiply(total, inner.value(args[0]), scope.work)
    return total


def _count(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    return sum(inner.truth(args[0]) for inner in _every(name, scope, args))


def _forall(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    return all(inner.truth(args[0]) for inner in _every(name, scope, args))


def _exists(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    return any(inner.truth(args[0]) for inner in _every(name, scope, args))


def _extreme(sign: int) -> Loop:
    def find(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
        best: Value = None
        for inner in _every(name, scope, args):
            value = inner.value(args[0])
            numbers.sign(value, scope.work)  # refuses conditions
            if best is None or numbers.compare(value, best, scope.work) == sign:
                best = value
        if best is None:
            raise NotCalculable(f"{name} has no terms")
        return best

    return find


def _where(step: int) -> Loop:
    def find(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
        _shaped(name, args, len(args) == 4)
        variable, inner = _variable(name, args[1]), scope.inner()
        low, high = (numbers.integer(scope.value(bound), f"a bound of {name}") for bound in args[2:])
        if high - low >= MAX_TERMS:
            raise NotCalculable(f"{name} looks at more than {MAX_TERMS} values", "narrow the range")
        for k in range(low, high + 1)[::step]:
            inner.known[variable] = k
            if inner.truth(args[0]):
                return k
        raise NotCalculable(f"no {variable} from {low} to {high} satisfies the condition")

    return find


def _when(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    _shaped(name, args, len(args) == 3)
    return scope.value(args[1] if scope.truth(args[0]) else args[2])


def _iterate(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    """(next, variable, start)… and how often; all variables move at once, the first one's value is the result."""
    _shaped(name, args, len(args) >= 4 and len(args) % 3 == 1)
    triples = [(args[i], _variable(name, args[i + 1]), args[i + 2]) for i in range(0, len(args) - 1, 3)]
    times = numbers.integer(scope.value(args[-1]), "the number of times of iterate")
    if not 0 <= times <= MAX_TERMS:
        raise NotCalculable(f"iterate goes from 0 to {MAX_TERMS} times")
    inner = scope.inner()
    inner.known.update({variable: scope.value(start) for _, variable, start in triples})
    for _ in range(times):
        inner.known.update({variable: inner.value(following) for following, variable, _ in triples})
    return inner.known[triples[0][1]]


def _numerical(name: str, scope: "Interpreter", args: list[ast.expr]) -> Value:
    """solve, integral and derivative: an expression, its variable, and a place or two."""
    _shaped(name, args, len(args) == (3 if name == "derivative" else 4))
    variable, places = _variable(name, args[1]), [scope.value(place) for place in args[2:]]
    from calculator import numerical  # mpmath takes a moment to import

    return getattr(numerical, name)(scope.inner(), args[0], variable, *places)


_LOOPS: dict[str, Loop] = {
    "sum": _sum,
    "prod": _prod,
    "count": _count,
    "forall": _forall,
    "exists": _exists,
    "min_over": _extreme(-1),
    "max_over": _extreme(1),
    "first_where": _where(1),
    "last_where": _where(-1),
    "when": _when,
    "iterate": _iterate,
    "solve": _numerical,
    "integral": _numerical,
    "derivative": _numerical,
}


def _form(name: str) -> Form:
    return lambda scope, args: _LOOPS[name](name, scope, args)


FORMS: dict[str, Form] = {name: _form(name) for name in FORM_USAGE}
