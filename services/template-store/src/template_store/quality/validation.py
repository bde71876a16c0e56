"""Machine checks of templates: what a reader would find by working the example through.

Pure: the calculator is passed in."""

import ast
from collections.abc import Iterator, Sequence
from itertools import islice

from calculator import FORM_NAMES, is_readable
from reasonflux.contracts import Calculation, Contract, ThoughtTemplate
from template_store.ports import Calculate

MAX_INLINED = 600
"""Nodes of the formulas written out as one expression; longer ones are not compared with the check."""


class Finding(Contract):
    """One thing wrong with a template, and where: `steps.2.formula`, `example.check` …"""

    template_id: str
    where: str
    message: str


def validate(template: ThoughtTemplate, calculate: Calculate) -> list[Finding]:
    """Works the example: bindings, formulas, the stated answer, and the check that reaches it another way."""
    bindings = template.example.bindings
    found = list(_missing(template)) or list(_unreadable_bindings(template, calculate))
    if not found:
        found += _formulas(template, calculate)
        found += _check(template, {**bindings, "answer": template.example.answer}, calculate)
    found += _names(template)
    found += _restated(template)
    if not template.pitfalls:
        found.append(("pitfalls", "say at least once when the template misleads"))
    return [Finding(template_id=template.id, where=where, message=message) for where, message in found]


_Found = tuple[str, str]


def _missing(template: ThoughtTemplate) -> Iterator[_Found]:
    for field in ("answer", "check"):
        if not getattr(template.example, field).strip():
            yield f"example.{field}", "is empty: without an answer and a check nothing can be verified"


def _unreadable_bindings(template: ThoughtTemplate, calculate: Calculate) -> Iterator[_Found]:
    """All in one evaluation, so that many slow bindings cost no more than one."""
    bindings = template.example.bindings
    values = calculate(tuple(bindings.values()), {}) if bindings else ()
    if not _worked(values, len(bindings)):
        name = list(bindings)[min(max(len(values) - 1, 0), len(bindings) - 1)]
        yield f"example.bindings.{name}", f"{bindings[name]!r}: {_trouble(values)}"


def _formulas(template: ThoughtTemplate, calculate: Calculate) -> Iterator[_Found]:
    if not template.formulas:
        return
    example = template.example
    places = [f"steps.{i}.formula" for i, step in enumerate(template.steps) if step.formula is not None]
    values = calculate(template.formulas, example.bindings)
    if not _worked(values, len(places)):
        place = places[min(max(len(values) - 1, 0), len(places) - 1)]
        yield place, f"{_trouble(values)} in {template.formulas[places.index(place)]!r}"
        return
    result = values[-1].value
    # The calculator decides equality: 0.5 and 1/2, or 2*sqrt(2) and sqrt(8), are the same answer.
    if not _true(calculate([f"({result}) == ({example.answer})"], {})) and result != example.answer:
        yield "example.answer", f"the formulas give {result}, not {example.answer}"


def _check(template: ThoughtTemplate, names: dict[str, str], calculate: Calculate) -> Iterator[_Found]:
    check = template.example.check
    verdict = calculate([check], names)
    if not _true(verdict):
        shown = verdict[-1].value if _worked(verdict, 1) else _trouble(verdict)
        yield "example.check", f"{check!r} gives {shown} for the answer {template.example.answer}, not True"
        return
    right = names["answer"]
    for wrong in (f"({right}) + 1", f"({right}) - 1", f"2*({right}) + 1"):
        if not _true(calculate([f"({wrong}) == ({right})"], {})) and _true(
            calculate([check], {**names, "answer": wrong})
        ):
            yield "example.check", f"{check!r} is also True for the wrong answer {wrong}"
            return


def _names(template: ThoughtTemplate) -> Iterator[_Found]:
    """Variables that no formula reads, formulas that overwrite a variable, results under a reserved name."""
    read: set[str] = set()
    for index, step in enumerate(template.steps):
        if step.formula is None:
            continue
        assigned, used = _split(step.formula)
        read |= used
        if assigned in template.variables:
            yield f"steps.{index}.formula", f"assigns to {assigned!r}, which is a variable"
        if assigned == "answer":
            yield f"steps.{index}.formula", "assigns to 'answer', which the check reads as the stated answer"
    if template.formulas:
        for name in sorted(set(template.variables) - read):
            yield f"variables.{name}", "no formula uses it"
    if template.example.check and "answer" not in _split(template.example.check)[1]:
        yield "example.check", f"{template.example.check!r} does not mention the answer"


def _restated(template: ThoughtTemplate) -> Iterator[_Found]:
    """A check that is the formulas written once more agrees with them even where they are wrong."""
    check, last = _tree(template.example.check), _inlined(template.formulas)
    match check:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            sides = {canonical(left), canonical(right)}
        case ast.Call(func=ast.Name(id="near"), args=[left, right, *_]):
            sides = {canonical(left), canonical(right)}
        case _:
            sides = set()
    if last is not None and sides == {canonical(ast.Name("answer", ast.Load())), canonical(last)}:
        yield "example.check", "repeats the formulas; reach the answer by another way"
    if check is not None and template.variables and not _looks_elsewhere(check, template):
        yield "example.check", "reads none of the variables and enumerates nothing: it only states the answer"


def _looks_elsewhere(check: ast.expr, template: ThoughtTemplate) -> bool:
    names = {node.id for node in ast.walk(check) if isinstance(node, ast.Name)}
    return bool(names & (set(template.variables) | FORM_NAMES))


def _inlined(formulas: Sequence[str]) -> ast.expr | None:
    """The last formula over the variables alone; None where it cannot be read, or would be long written out."""
    computed: dict[str, ast.expr] = {}
    last: ast.expr | None = None
    for formula in formulas:
        found = statement(formula)
        if found is None:
            return None
        last = _Inlined(computed).visit(found.value)
        if sum(1 for _ in islice(ast.walk(last), MAX_INLINED + 1)) > MAX_INLINED:
            return None  # names used twice double at every step: this must not grow
        if isinstance(found, ast.Assign) and isinstance(found.targets[0], ast.Name):
            computed[found.targets[0].id] = last
    return last


def canonical(node: ast.expr) -> str:
    """Text that is equal for two expressions which differ in the order of their sums and products only."""
    match node:
        case ast.BinOp(op=ast.Add() | ast.Mult() as op):
            return f"{type(op).__name__}({', '.join(sorted(canonical(part) for part in _operands(node, type(op))))})"
        case ast.BinOp(left=left, op=op, right=right):
            return f"{type(op).__name__}[{canonical(left)}, {canonical(right)}]"
        case ast.Call(func=ast.Name(id=name), args=args):
            return f"{name}({', '.join(map(canonical, args))})"
    return ast.dump(node)


def _operands(node: ast.expr, op: type[ast.operator]) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, op):
        yield from _operands(node.left, op)
        yield from _operands(node.right, op)
    else:
        yield node


class _Inlined(ast.NodeTransformer):
    """Names of earlier results become the expressions that they stand for."""

    def __init__(self, computed: dict[str, ast.expr]) -> None:
        self._computed = computed

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._computed.get(node.id, node)


def statement(text: str) -> ast.Assign | ast.Expr | None:
    """The one statement of a text in the calculator's language, for looking at; None where it cannot be read.

    The gate goes first: what it lets through is neither long nor deep."""
    if not is_readable(text):
        return None
    try:
        body = ast.parse(text.strip().replace("^", "**")).body
    except SyntaxError:  # written with signs that the calculator knows and Python does not
        return None
    return body[0] if len(body) == 1 and isinstance(body[0], ast.Assign | ast.Expr) else None


def _tree(text: str) -> ast.expr | None:
    found = statement(text)
    return found.value if isinstance(found, ast.Expr) else None


def _split(text: str) -> tuple[str | None, set[str]]:
    """The name that a statement assigns, and the names that it reads; nothing of what cannot be read."""
    found = statement(text)
    if found is None:
        return None, set()
    read = {node.id for node in ast.walk(found.value) if isinstance(node, ast.Name)}
    if isinstance(found, ast.Assign) and isinstance(found.targets[0], ast.Name):
        return found.targets[0].id, read
    return None, read


def _worked(values: Sequence[Calculation], expected: int) -> bool:
    return len(values) == expected and all(value.value is not None for value in values)


def _true(values: Sequence[Calculation]) -> bool:
    return bool(values) and values[-1].value == "True"


def _trouble(values: Sequence[Calculation]) -> str:
    error = values[-1].error if values else None
    return error.message if error else "the calculator gave no value"
