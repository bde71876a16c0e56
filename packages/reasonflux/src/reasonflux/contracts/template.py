"""Thought templates and their retrieval."""

from enum import StrEnum

from pydantic import Field, model_validator

from reasonflux.contracts.base import Contract

SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
FIELD_PATH = r"^[a-z0-9]+(?:-[a-z0-9]+)*(?:/[a-z0-9]+(?:-[a-z0-9]+)*)*$"
VARIABLE = r"^[a-zA-Z][a-zA-Z0-9_]*$"


class TemplateType(StrEnum):
    """The paper's five kinds of template."""

    PROBLEM_SOLVING_METHOD = "problem_solving_method"
    SECONDARY_CONCLUSION = "secondary_conclusion"
    PROPERTY_THEOREM = "property_theorem"
    KNOWLEDGE_APPLICATION = "knowledge_application"
    FORMULA_RULE = "formula_rule"


class TemplateStatus(StrEnum):
    QUARANTINED = "quarantined"
    ACTIVE = "active"
    RETIRED = "retired"


class TemplateStep(Contract):
    """One thing to do. A formula is a calculator statement: `name = expression` or a bare expression, over the
    template's variables and the names that earlier steps assigned."""

    instruction: str = Field(min_length=1)
    formula: str | None = None


class WorkedExample(Contract):
    """A problem solved with the template, in a form that a machine can check."""

    problem: str = Field(min_length=1)
    bindings: dict[str, str] = Field(default_factory=dict, description="variable → calculator expression")
    steps: tuple[str, ...] = ()
    answer: str
    check: str = Field(
        description="calculator condition over the bindings and `answer`, true only for the right answer, reached by "
        "another way than the formulas (substitution back, enumeration, a second method)"
    )


class Provenance(Contract):
    source: str = "reasonflux"
    detail: str | None = None


class ThoughtTemplate(Contract):
    """A reusable way to do one kind of step. The last formula's value is the template's result."""

    id: str = Field(pattern=SLUG, max_length=80)
    name: str = Field(min_length=3, max_length=120)
    type: TemplateType
    field: str = Field(pattern=FIELD_PATH, description="path such as algebra/quadratics")
    tags: tuple[str, ...] = Field(min_length=1, max_length=12)
    description: str = Field(min_length=10)
    scope: tuple[str, ...] = Field(min_length=1, description="when to use it")
    pitfalls: tuple[str, ...] = Field(default=(), description="when not to use it, and what goes wrong")
    variables: dict[str, str] = Field(default_factory=dict, description="variable → its meaning")
    steps: tuple[TemplateStep, ...] = Field(min_length=1)
    example: WorkedExample
    provenance: Provenance = Provenance()
    revision: int = Field(default=1, ge=1)
    status: TemplateStatus = TemplateStatus.ACTIVE

    @model_validator(mode="after")
    def _example_binds_every_variable(self) -> "ThoughtTemplate":
        if self.formulas and set(self.example.bindings) != set(self.variables):
            missing = sorted(set(self.variables) ^ set(self.example.bindings))
            raise ValueError(f"example.bindings and variables must name the same variables; they differ in {missing}")
        return self

    @property
    def formulas(self) -> tuple[str, ...]:
        """The calculator statements of the steps, in order."""
        return tuple(step.formula for step in self.steps if step.formula is not None)


class Query(Contract):
    """What a navigator writes when it looks for a template."""

    name: str = ""
    tags: tuple[str, ...] = ()
    text: str = ""
    field: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Query":
        if not (self.name.strip() or self.tags or self.text.strip()):
            raise ValueError("an empty query finds nothing: give a name, tags or text")
        return self


class Candidate(Contract):
    """One template that a search found."""

    template_id: str
    name: str
    score: float = Field(description="in 0…1, comparable across queries")
    parts: dict[str, float] = Field(default_factory=dict, description="the score's ingredients: dense, bm25, tags …")


class Retrieval(Contract):
    """The answer to one query: ranked candidates, and the chosen template or None when nothing fits well enough."""

    query: Query
    candidates: tuple[Candidate, ...] = ()
    template: ThoughtTemplate | None = None


class SearchRequest(Contract):
    queries: tuple[Query, ...] = Field(min_length=1, max_length=64)
    top_k: int = Field(default=5, ge=1, le=100)
    fields: tuple[str, ...] = Field(default=(), description="hard filter: field paths or their ancestors")
    types: tuple[TemplateType, ...] = ()
    library: str = "math"


class SearchResponse(Contract):
    retrievals: tuple[Retrieval, ...]
    """One per query, in order."""


class TemplatePage(Contract):
    """A page of `GET /v1/templates`, ordered by id."""

    templates: tuple[ThoughtTemplate, ...]
    next_cursor: str | None = Field(default=None, description="`cursor` of the next page; None: this is the last")
