"""Statement by statement: text through the gate to exact values, or to the reason why there is none."""

from collections.abc import Iterator, Mapping, Sequence

from calculator import gate, numbers
from calculator.interpreter import Interpreter
from calculator.limits import (
    MAX_CHARS,
    MAX_DIGITS,
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_STATEMENTS,
    NotCalculable,
    Work,
)
from calculator.numbers import Value
from reasonflux.contracts import Calculation, Failure, FailureKind


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
    return Interpreter(expression, known, work).value(gate.read(expression))


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
