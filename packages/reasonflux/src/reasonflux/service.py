"""What every service's HTTP side shares: one way to start, to be watched, to fail and to stream.

Failures become HTTP answers here and nowhere else: `STATUS` maps the failure's kind, the body is an `ErrorBody`.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from reasonflux.contracts import ErrorBody, Failure, FailureKind, Fault
from reasonflux.errors import InvalidRequest, NotFound, ReasonFluxError, ServiceUnavailable
from reasonflux.observing import RequestObserver, configure_logging, logger
from reasonflux.settings import ReasonFluxSettings as ReasonFluxSettings

READY_SECONDS = 10.0
HEARTBEAT_SECONDS = 15

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


def create_app(
    *,
    title: str,
    version: str,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    routers: Sequence[APIRouter] = (),
    ready: Callable[[], Awaitable[None]] | None = None,
    guards: Sequence[Middleware] = (),
) -> FastAPI:
    """A service: `routers` plus /healthz (the process lives), /readyz (it can do its work) and /metrics.

    `ready` returns when everything that the service stands on answers, and raises (best a ReasonFluxError) naming what
    is missing. `guards` see a request before its body is read, the first one first; what they answer is logged and
    counted like anything else. The app's own metrics belong in `app.state.registry`, a registry of this app alone.
    """
    configure_logging()
    app = FastAPI(
        title=title,
        version=version,
        lifespan=lifespan,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
    )
    app.state.registry = CollectorRegistry()
    ProcessCollector(registry=app.state.registry)
    for guard in reversed(guards):
        app.add_middleware(guard.cls, *guard.args, **guard.kwargs)
    app.add_middleware(RequestObserver, service=title, registry=app.state.registry, on_crash=_crashed)
    app.add_exception_handler(ReasonFluxError, _failed)
    app.add_exception_handler(RequestValidationError, _misfit)
    app.add_exception_handler(HTTPException, _http_error)
    for router in routers:
        app.include_router(router)
    _add_probes(app, ready)
    return app


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


def sse(events: AsyncIterator[tuple[str | None, str, str]], *, headers: Mapping[str, str] | None = None) -> Response:
    """Stream (id or None, event name, data) as server-sent events, with a heartbeat comment when it is quiet.

    When the client goes away, `events` is cancelled and closed. The status is sent before the first event, so check
    what can be refused before calling this; an exception out of `events` breaks the connection off, which readers take
    as a reason to resume.
    """
    return EventSourceResponse(
        _events(events),
        headers={"Cache-Control": "no-cache, no-transform", **(headers or {})},
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat", sep="\n"),
        sep="\n",
    )


async def _events(events: AsyncIterator[tuple[str | None, str, str]]) -> AsyncGenerator[ServerSentEvent, None]:
    try:
        async for event_id, name, data in events:
            yield ServerSentEvent(data, event=name, id=event_id, sep="\n")
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


def _add_probes(app: FastAPI, ready: Callable[[], Awaitable[None]] | None) -> None:
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    async def readyz() -> Response:
        try:
            async with asyncio.timeout(READY_SECONDS):
                if ready is not None:
                    await ready()
        except ReasonFluxError as error:
            return failure_response(error.failure, status=503)
        except Exception as error:
            logger.warning("not ready", error=repr(error))
            missing = ServiceUnavailable(f"{app.title} is not ready: {type(error).__name__} {error}".rstrip())
            return failure_response(missing.failure)
        return JSONResponse({"status": "ready"})

    async def metrics() -> Response:
        return Response(generate_latest(app.state.registry), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_api_route(path, endpoint, methods=["GET"], include_in_schema=path != "/metrics", response_model=None)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, ReasonFluxError)
    status = STATUS[error.failure.kind]
    log = logger.error if status >= 500 else logger.info
    log("request failed", kind=error.failure.kind.value, message=error.failure.message, exc_info=status == 500)
    return error_response(error)


async def _misfit(_: Request, error: Exception) -> Response:
    """A body, path or query that does not fit: name the first field at fault, why, and how many more there are."""
    assert isinstance(error, RequestValidationError)
    faults = [_fault(fault) for fault in error.errors()]
    param, reason = faults[0]
    others = f" (and {len(faults) - 1} more: {', '.join(field for field, _ in faults[1:6])})" if faults[1:] else ""
    hint = f"correct {param!r} and send the request again; /docs lists the fields"
    listed = [Fault(field=field, message=message) for field, message in faults] if others else []
    return failure_response(InvalidRequest(f"{param}: {reason}{others}", hint=hint).failure, param=param, faults=listed)


def _fault(fault: Mapping[str, Any]) -> tuple[str, str]:
    """The field's path and the reason; never the value, which may be somebody's problem text."""
    if fault["type"] == "json_invalid":
        return "body", f"not valid JSON: {fault.get('ctx', {}).get('error', fault['msg'])}"
    place = [str(part) for part in fault["loc"]]
    field = ".".join(place[1:] if len(place) > 1 else place) or "body"
    return field, str(fault["msg"]).removeprefix("Value error, ")


async def _http_error(request: Request, error: Exception) -> Response:
    """FastAPI's own refusals: no such path, wrong method."""
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return failure_response(NotFound(f"there is no {asked}", hint="/docs lists the paths").failure)
    kind = FailureKind.INVALID_REQUEST if error.status_code < 500 else FailureKind.INTERNAL
    hint = "/docs lists the methods of each path" if error.status_code == 405 else None
    response = failure_response(
        Failure(kind=kind, message=f"{asked}: {error.detail}", hint=hint), status=error.status_code
    )
    response.headers.update(error.headers or {})
    return response


def _crashed(request_id: str) -> Response:
    """The answer to a bug: no trace; the log has it under the request id."""
    return failure_response(
        Failure(
            kind=FailureKind.INTERNAL,
            message="something went wrong inside the service",
            hint=f"the service's log tells more under request id {request_id}",
        )
    )
