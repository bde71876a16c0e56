"""Templates that are one: by name, by meaning, or by the same formulas in nearly the same words.

Pure: the embeddings are passed in."""

import ast
from collections.abc import Sequence

from calculator import FUNCTION_NAMES
from reasonflux.contracts import ThoughtTemplate
from template_store.ports import Vectors
from template_store.quality.validation import Finding, statement
from template_store.retrieval.ranking import fold

SAME_MEANING = 0.95
"""Cosine above which two templates are taken for one."""
SAME_FORMULAS_AND_MEANING = 0.8
"""The same for templates whose formulas differ in names only: a + b serves many ends, in different words."""
_CONSTANTS = frozenset({"pi", "e", "True", "False"})


def meaning(template: ThoughtTemplate) -> str:
    """The text by which near-duplicates are told."""
    return " ".join([f"{template.name}.", template.description, *template.scope])


def duplicates(templates: Sequence[ThoughtTemplate], meanings: Vectors | None = None) -> list[Finding]:
    """Templates with the same name, or (given one unit vector of `meaning` each) with nearly the same meaning."""
    found = []
    names: dict[str, str] = {}
    for template in templates:
        earlier = names.setdefault(fold(template.name), template.id)
        if earlier != template.id:
            found.append(Finding(template_id=template.id, where="name", message=f"is also the name of {earlier}"))
    return found + (_alike(templates, meanings) if meanings is not None else [])


def _alike(templates: Sequence[ThoughtTemplate], meanings: Vectors) -> list[Finding]:
    found = []
    work = [computation(template) for template in templates]
    similarities = meanings @ meanings.T
    for later, earlier in zip(*(similarities >= SAME_FORMULAS_AND_MEANING).nonzero(), strict=True):
        if earlier >= later or fold(templates[earlier].name) == fold(templates[later].name):
            continue
        similarity, other = float(similarities[later, earlier]), templates[earlier].id
        if similarity >= SAME_MEANING:
            message = f"means nearly the same as {other} (cosine {similarity:.2f})"
        elif work[later] and work[later] == work[earlier]:
            message = f"computes the same as {other}, in nearly the same words (cosine {similarity:.2f})"
        else:
            continue
        found.append(Finding(template_id=templates[later].id, where="description", message=message))
    return found


def computation(template: ThoughtTemplate) -> tuple[str, ...]:
    """The formulas with their names numbered in the order in which they come: equal when only names differ."""
    numbers: dict[str, str] = {}
    return tuple(_renamed(formula, numbers) for formula in template.formulas)


def _renamed(formula: str, numbers: dict[str, str]) -> str:
    found = statement(formula)
    if found is None:
        return formula
    for node in ast.walk(found):
        if isinstance(node, ast.Name) and node.id not in FUNCTION_NAMES | _CONSTANTS:
            node.id = numbers.setdefault(node.id, f"_{len(numbers)}")
    return ast.dump(found)
