"""Every template that we ship is right: its example is worked by machine, and its check agrees by another way."""

import pytest

from calculator import evaluate_in_process
from reasonflux.contracts import TemplateStatus, ThoughtTemplate
from template_store import library
from template_store.quality import validation
from template_store.quality.duplicates import duplicates
from template_store.settings import SHIPPED_LIBRARY

TEMPLATES = library.read(SHIPPED_LIBRARY)
PROOFS = {"infinite-descent"}
"""Techniques of proof: nothing is computed, and the check confirms a consequence."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.id)
def test_the_worked_example_checks_out(template: ThoughtTemplate) -> None:
    assert validation.validate(template, evaluate_in_process) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.id)
def test_the_example_is_worked_in_words_too(template: ThoughtTemplate) -> None:
    assert template.formulas or template.id in PROOFS, "an executor could not compute with it"
    assert template.example.steps
    assert len(template.tags) >= 2, "a navigator asks by name and two tags"


def test_no_two_templates_share_a_name() -> None:
    assert duplicates(TEMPLATES) == []


def test_the_library_is_large_and_active() -> None:
    assert len(TEMPLATES) >= 500
    assert {template.status for template in TEMPLATES} == {TemplateStatus.ACTIVE}
