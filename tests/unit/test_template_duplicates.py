"""Near-duplicates: what makes two templates one."""

import numpy as np
import pytest

from reasonflux.contracts import TemplateStep, ThoughtTemplate
from template_store import library
from template_store.quality.duplicates import computation, duplicates
from template_store.settings import SHIPPED_LIBRARY

SUM = library.read_template(SHIPPED_LIBRARY / "arithmetic" / "operations" / "sum-of-two.yaml")


def other(name: str, formula: str) -> ThoughtTemplate:
    steps = (TemplateStep(instruction="Compute.", formula=formula),)
    return SUM.model_copy(update={"id": "another", "name": name, "steps": steps})


def rows(cosine: float) -> np.ndarray:
    return np.array([[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]], dtype=np.float32)


@pytest.mark.parametrize(
    ("cosine", "formula", "where"),
    [
        (0.97, "x = a*b*c", "means nearly the same"),
        (0.85, "u = v + w", "computes the same"),
        (0.85, "u = v - w", None),
        (0.70, "u = v + w", None),
    ],
)
def test_two_are_one_by_meaning_or_by_the_same_formulas_in_similar_words(
    cosine: float, formula: str, where: str | None
) -> None:
    first = SUM.model_copy(update={"steps": (TemplateStep(instruction="Add.", formula="total = first + second"),)})
    found = duplicates([first, other("Another Name", formula)], rows(cosine))
    assert [where in finding.message for finding in found if where] == [True] * len(found)
    assert bool(found) == (where is not None)


def test_one_name_in_two_spellings_is_found_without_embeddings() -> None:
    (found,) = duplicates([SUM, other(f"  {SUM.name.upper()}! ", "x = a*b")])
    assert (found.template_id, found.where) == ("another", "name")


def test_computations_are_equal_when_only_names_differ() -> None:
    assert computation(other("One", "t = sqrt(p) + q")) == computation(other("Two", "x = sqrt(y) + z"))
    assert computation(other("One", "t = p - q*p")) != computation(other("Two", "x = y - z*z"))
    assert computation(other("One", "t = sin(p)")) != computation(other("Two", "t = cos(p)"))
