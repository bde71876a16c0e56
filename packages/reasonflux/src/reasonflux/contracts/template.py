"""Thought templates and their retrieval."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from reasonflux.contracts.base import Contract
from reasonflux.contracts.errors import Fault

SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
FIELD_PATH = r"^[a-z0-9]+(?:-[a-z0-9]+)*(?:/[a-z0-9]+(?:-[a-z0-9]+)*)*$"
LIBRARY_NAME = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
MAX_REVISION = 2**53
"""Every JSON reader can tell numbers up to this one apart."""
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
    answer: str = Field(default="", description="calculator expression; empty only while nothing has been checked")
    check: str = Field(
        default="",
        description="calculator condition over the bindings and `answer`, true only for the right answer, reached by "
        "another way than the formulas (substitution back, enumeration, a second method)",
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
    """What a navigator writes when it looks for a template.

    Models write these, and one that writes too much should not lose its plan: what is longer than said here is cut,
    never refused. The beginning tells what is looked for.
    """

    name: str = Field(default="", max_length=200, description="what is longer is cut")
    tags: tuple[Annotated[str, Field(max_length=100)], ...] = Field(
        default=(), max_length=16, description="what is longer, and what is more, is cut"
    )
    text: str = Field(default="", max_length=8_000, description="what is longer is cut")
    field: str | None = None

    @field_validator("name", mode="before")
    @classmethod
    def _cut_name(cls, value: Any) -> Any:
        return value[:200] if isinstance(value, str) else value

    @field_validator("text", mode="before")
    @classmethod
    def _cut_text(cls, value: Any) -> Any:
        return value[:8_000] if isinstance(value, str) else value

    @field_validator("tags", mode="before")
    @classmethod
    def _cut_tags(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(tag[:100] if isinstance(tag, str) else tag for tag in value[:16])

    @model_validator(mode="after")
    def _says_something(self) -> "Query":
        if not (self.name.strip() or self.tags or self.text.strip()):
            raise ValueError("an empty query finds nothing: give a name, tags or text")
        return self


class Candidate(Contract):
    """One template that a search found."""

    template_id: str
    name: str
    score: float = Field(description="in 0…1: the calibrated probability that this template is the right one")
    parts: dict[str, float] = Field(default_factory=dict, description="the score's ingredients: dense, bm25, tags …")
    matched: tuple[str, ...] = Field(
        default=(), description="the fields of the template that the query met: name, tags, scope, steps, field"
    )


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


class ChangeKind(StrEnum):
    """What was done to a template."""

    CREATED = "created"
    UPDATED = "updated"
    ACTIVATED = "activated"
    QUARANTINED = "quarantined"
    RETIRED = "retired"
    ROLLED_BACK = "rolled_back"
    SEEDED = "seeded"
    IMPORTED = "imported"


class TemplateChange(Contract):
    """One change of a library: which template became what, when, and who says so."""

    seq: int = Field(ge=1, description="the library's revision after the change; every change adds one")
    library: str
    template_id: str
    revision: int = Field(ge=1, description="the template's revision after the change")
    kind: ChangeKind
    at: datetime
    by: str = Field(default="", description="who made it, as they said")
    note: str = ""
    template: ThoughtTemplate = Field(description="the whole template after the change")


class TemplateHistory(Contract):
    """Every change of one template, the oldest first."""

    library: str
    template_id: str
    changes: tuple[TemplateChange, ...]


class RollbackRequest(Contract):
    """The body of `POST /v1/templates/{id}/rollback`: the template becomes again what it was at this revision."""

    revision: int = Field(ge=1, le=MAX_REVISION)


class TransferFormat(StrEnum):
    """How many templates travel: one JSON object a line, YAML documents, or a JSON list (read only)."""

    JSONL = "jsonl"
    YAML = "yaml"
    JSON = "json"


class ImportOutcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ImportedEntry(Contract):
    """What became of one entry of an import."""

    place: str = Field(description="where it stood in what was sent: line 3, document 2, entry 7")
    template_id: str | None = Field(default=None, description="None when the entry could not be read so far")
    outcome: ImportOutcome
    faults: tuple[Fault, ...] = Field(default=(), description="why it was refused")
    hint: str | None = None


class ImportReport(Contract):
    """The answer to an import, entry by entry."""

    library: str
    counts: dict[ImportOutcome, int]
    entries: tuple[ImportedEntry, ...]


class LibraryInfo(Contract):
    """A named library: how many templates it has by status, and its revision, which every change raises by one."""

    name: str = Field(pattern=LIBRARY_NAME, max_length=60)
    revision: int = Field(ge=0)
    counts: dict[TemplateStatus, int]


class LibraryList(Contract):
    """The answer of `GET /v1/libraries`, ordered by name."""

    libraries: tuple[LibraryInfo, ...]
