"""Small sound templates for tests: each says what its id says, and its example can be checked."""

from typing import Any

from reasonflux.contracts import TemplateStatus, TemplateStep, TemplateType, ThoughtTemplate, WorkedExample


def template(template_id: str = "double-it", **fields: Any) -> ThoughtTemplate:
    """A sound template; `fields` replace what it says."""
    words = template_id.replace("-", " ")
    said = {
        "id": template_id,
        "name": f"The template {words}",
        "type": TemplateType.FORMULA_RULE,
        "field": "arithmetic/doubling",
        "tags": (words, "doubling"),
        "description": f"Doubles a number as {words} does.",
        "scope": (f"Twice a number is asked for in the way of {words}",),
        "pitfalls": ("A number may be asked for that is doubled already",),
        "variables": {"a": "the number"},
        "steps": (TemplateStep(instruction="Double the number.", formula="twice = 2*a"),),
        "example": WorkedExample(
            problem="What is twice 21?",
            bindings={"a": "21"},
            steps=("2*21 = 42",),
            answer="42",
            check="answer - a == a",
        ),
    }
    return ThoughtTemplate.model_validate({**said, **fields})


def unsound(template_id: str = "wrong-answer", **fields: Any) -> ThoughtTemplate:
    """Its example's answer is wrong."""
    example = WorkedExample(problem="What is twice 21?", bindings={"a": "21"}, answer="43", check="answer - a == a")
    return template(template_id, example=example, **fields)


QUARANTINED = {"status": TemplateStatus.QUARANTINED}
