"""Failures as HTTP answers: `STATUS` maps a failure's kind, the body is an `ErrorBody`. The same for every service."""

import math
from collections.abc import Mapping, Sequence

from fastapi.responses import JSONResponse

from reasonflux.contracts import ErrorBody, Failure, FailureKind, Fault
from reasonflux.errors import ReasonFluxError

STATUS: Mapping[FailureKind, int] = {
    FailureKind.INVALID_REQUEST: 400,
    FailureKind.UNAUTHORIZED: 401,
    FailureKind.FORBIDDEN: 403,
    FailureKind.NOT_FOUND: 404,
    FailureKind.CONFLICT: 409,
    FailureKind.EXPIRED: 410,
    FailureKind.PRECONDITION_FAILED: 412,
    FailureKind.CALCULATION_ERROR: 422,
    FailureKind.TEMPLATE_UNFIT: 422,
    FailureKind.TEMPLATE_UNSOUND: 422,
    FailureKind.BUDGET_EXHAUSTED: 422,
    FailureKind.PRECONDITION_REQUIRED: 428,
    FailureKind.OVERLOADED: 429,
    FailureKind.RATE_LIMITED: 429,
    FailureKind.INTERNAL: 500,
    FailureKind.ENGINE_REFUSED: 502,
    FailureKind.UNPARSABLE_REPLY: 502,
    FailureKind.ENGINE_UNAVAILABLE: 503,
    FailureKind.SERVICE_UNAVAILABLE: 503,
    FailureKind.DEADLINE_EXCEEDED: 504,
}


def failure_response(
    failure: Failure,
    *,
    status: int | None = None,
    param: str | None = None,
    faults: Sequence[Fault] = (),
    retry_after: float | None = None,
) -> JSONResponse:
    """The HTTP answer to a failure. `param` names the field at fault, `faults` everything to mend."""
    error = ErrorBody.Error(
        message=failure.message,
        type=failure.kind,
        code=failure.kind,
        param=param,
        hint=failure.hint,
        faults=tuple(faults),
    )
    # OpenAI's clients obey x-should-retry; ours read `retryable` back from it.
    headers = {"x-should-retry": "true" if failure.retryable else "false"}
    if failure.kind is FailureKind.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if failure.retryable:
        headers["retry-after"] = str(math.ceil(retry_after or 1.0))
    return JSONResponse(
        ErrorBody(error=error).model_dump(mode="json", exclude=None if faults else {"error": {"faults"}}),
        status_code=STATUS[failure.kind] if status is None else status,
        headers=headers,
    )


def error_response(error: ReasonFluxError) -> JSONResponse:
    """The HTTP answer to an error."""
    return failure_response(error.failure, param=error.param, faults=error.faults, retry_after=error.retry_after)
