"""Failures as values: what went wrong, whether another try can help, and what the reader can do about it."""

from enum import StrEnum

from pydantic import Field

from reasonflux.contracts.base import Contract


class FailureKind(StrEnum):
    """Every way in which work can fail. The value is the wire name, and appears in metrics and traces."""

    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    EXPIRED = "expired"
    PRECONDITION_FAILED = "precondition_failed"
    PRECONDITION_REQUIRED = "precondition_required"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limit_exceeded"
    OVERLOADED = "overloaded"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    ENGINE_REFUSED = "engine_refused"
    SERVICE_UNAVAILABLE = "service_unavailable"
    UNPARSABLE_REPLY = "unparsable_reply"
    CALCULATION_ERROR = "calculation_error"
    TEMPLATE_UNFIT = "template_unfit"
    TEMPLATE_UNSOUND = "template_unsound"
    BUDGET_EXHAUSTED = "budget_exhausted"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL = "internal"


class Failure(Contract):
    """A failure someone can act on."""

    kind: FailureKind
    message: str
    """One sentence: what happened."""
    hint: str | None = None
    """What the reader can do about it."""
    retryable: bool = False
    """Whether the same call may succeed later without a change."""


class Fault(Contract):
    """One thing to mend in what was sent."""

    field: str = Field(description="its place: `steps.2.formula`, `example.check`; empty for the whole")
    message: str


class ErrorBody(Contract):
    """The body of every non-2xx answer of our services (the shape OpenAI clients understand)."""

    class Error(Contract):
        message: str
        type: str
        code: str | None = None
        param: str | None = None
        hint: str | None = None
        faults: tuple[Fault, ...] = Field(default=(), description="everything to mend, when there is a list of it")

    error: Error
