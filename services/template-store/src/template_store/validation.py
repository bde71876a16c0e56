"""Machine checks of templates: what a reader would find by working the example through.

Pure: the calculator is passed in, and so are the embeddings that near-duplicates are told by."""

import ast
from collections.abc import Iterator, Sequence

from reasonflux.contracts import Calculation, Contract, ThoughtTemplate
from template_store.ports import Calculate, Vectors
from template_store.ranking import fold

SAME_MEANING = 0.95
"""Cosine above which two templates are taken for one."""


class Finding(Contract):
    """One thing wrong with a template, and where: `steps.2.formula`, `example.check` …"""

    template_id: str
    where: str
    message: str


def validate(template: ThoughtTemplate, calculate: Calculate) -> list[Finding]:
    """Works the example: bindings, formulas, the stated answer, and the check that reaches it another way."""
    bindings = template.example.bindings
    found = list(_unreadable_bindings(template, calculate))
    if not found:
        found += _formulas(template, calculate)
        found += _check(template, {**bindings, "answer": template.example.answer}, calculate)
    found += _names(template)
    return [Finding(template_id=template.id, where=where, message=message) for where, message in found]


_Found = tuple[str, str]


def _unreadable_bindings(template: ThoughtTemplate, calculate: Calculate) -> Iterator[_Found]:
    for name, expression in template.example.bindings.items():
        value = calculate([expression], {})
        if not _worked(value, 1):
            yield f"example.bindings.{name}", f"{expression!r}: {_trouble(value)}"


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
    for wrong in (f"({names['answer']}) + 1", f"({names['answer']}) - 1", f"2*({names['answer']}) + 1"):
        if _true(calculate([check], {**names, "answer": wrong})):
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
    if "answer" not in _split(template.example.check)[1]:
        yield "example.check", f"{template.example.check!r} does not mention the answer"


def _split(statement: str) -> tuple[str | None, set[str]]:
    """The name that a statement assigns, and the names that it reads; nothing of what the calculator cannot parse."""
    try:
        body = ast.parse(statement.strip().replace("^", "**")).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, set()
    names = (node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name))
    read = {name.id for name in names if isinstance(name.ctx, ast.Load)}
    first = body[0] if body else None
    if isinstance(first, ast.Assign) and isinstance(first.targets[0], ast.Name):
        return first.targets[0].id, read
    return None, read


def _worked(values: Sequence[Calculation], expected: int) -> bool:
    return len(values) == expected and all(value.value is not None for value in values)


def _true(values: Sequence[Calculation]) -> bool:
    return bool(values) and values[-1].value == "True"


def _trouble(values: Sequence[Calculation]) -> str:
    error = values[-1].error if values else None
    return error.message if error else "the calculator gave no value"


def meaning(template: ThoughtTemplate) -> str:
    """The text by which near-duplicates are told."""
    return " ".join([f"{template.name}.", template.description, *template.scope])


def duplicates(templates: Sequence[ThoughtTemplate], meanings: Vectors | None = None) -> list[Finding]:
    """Templates with the same name, or (given one unit vector of `meaning` each) with nearly the same meaning."""
    found = []
    for i, later in enumerate(templates):
        for j, earlier in enumerate(templates[:i]):
            if fold(earlier.name) == fold(later.name):
                found.append(Finding(template_id=later.id, where="name", message=f"is also the name of {earlier.id}"))
            elif meanings is not None and (similarity := float(meanings[i] @ meanings[j])) >= SAME_MEANING:
                message = f"means nearly the same as {earlier.id} (cosine {similarity:.2f})"
                found.append(Finding(template_id=later.id, where="description", message=message))
    return found
