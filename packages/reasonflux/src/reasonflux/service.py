"""What every service's HTTP side shares: one way to start, to be watched, to fail and to stream.

Failures become HTTP answers here and nowhere else (`answering` says which); `describing` makes the OpenAPI document.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Match, Route

from reasonflux import measuring, tracing
from reasonflux.answering import STATUS as STATUS
from reasonflux.answering import error_response as error_response
from reasonflux.answering import failure_response as failure_response
from reasonflux.contracts import Contract, Failure, FailureKind, Fault
from reasonflux.describing import Answer, DescribedApp, Document, Operation, operation_id
from reasonflux.documentation import add_page
from reasonflux.draining import AnswersCounted, Drain
from reasonflux.errors import InvalidRequest, NotFound, ReasonFluxError, ServiceUnavailable
from reasonflux.observing import RequestObserver, configure_logging, logger
from reasonflux.settings import ReasonFluxSettings as ReasonFluxSettings

READY_SECONDS = 10.0
UNDESCRIBED = Document(summary="A service of ReasonFlux", tags={}, operations={})
HEARTBEAT_SECONDS = 15


class Probe(Contract):
    """What a probe that goes well answers."""

    status: str


def create_app(
    *,
    title: str,
    version: str,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    routers: Sequence[APIRouter] = (),
    ready: Callable[[], Awaitable[None]] | None = None,
    guards: Sequence[Middleware] = (),
    drain: Drain | None = None,
    document: Callable[[], Document] = lambda: UNDESCRIBED,
) -> FastAPI:
    """A service: `routers` plus /healthz (the process lives), /readyz (it can do its work) and /metrics.

    `ready` returns when everything that the service stands on answers, and raises (best a ReasonFluxError) naming what
    is missing. `guards` see a request before its body is read, the first one first; what they answer is logged and
    counted like anything else. `drain` says what has to finish before the process leaves, besides the requests that it
    answers. The app's own metrics belong in `app.state.registry`, a registry of this app alone;
    `app.state.refresh_metrics` is awaited before they are told, to look up what is not known in the process.
    `document` completes the OpenAPI document that FastAPI makes of the routes.
    """
    configure_logging()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a time series more for each, which nobody reads
    leaving = drain or Drain()

    @asynccontextmanager
    async def until_left(app: FastAPI) -> AsyncIterator[None]:
        async with tracing.traced(title, version), lifespan(app), leaving.on_sigterm():
            yield

    app = DescribedApp(
        title=title,
        version=version,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=until_left,
        generate_unique_id_function=operation_id,
        docs_url=None,  # FastAPI's own pages load from elsewhere
        redoc_url=None,
    )
    app.describe = lambda: _with_probes(document())
    app.state.registry = CollectorRegistry()
    app.state.refresh_metrics = _nothing_to_look_up
    ProcessCollector(registry=app.state.registry)
    _tell_version(app.state.registry, title, version)
    for guard in reversed(guards):
        app.add_middleware(guard.cls, *guard.args, **guard.kwargs)
    app.add_middleware(AnswersCounted, drain=leaving)
    app.add_middleware(RequestObserver, service=title, registry=app.state.registry, on_crash=_crashed)
    app.add_exception_handler(ReasonFluxError, _failed)
    app.add_exception_handler(RequestValidationError, _misfit)
    app.add_exception_handler(HTTPException, _http_error)
    for router in routers:
        app.include_router(router)
    _add_probes(app, ready, leaving)
    add_page(app)
    return app


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


def _add_probes(app: FastAPI, ready: Callable[[], Awaitable[None]] | None, drain: Drain) -> None:
    async def healthz() -> dict[str, str]:
        """Restart the process when this fails."""
        return {"status": "ok"}

    async def readyz() -> Response:
        """Send no requests while this fails; the error names what is missing."""
        if drain.told.is_set():
            return failure_response(ServiceUnavailable(f"{app.title} finishes what it has begun and leaves").failure)
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

    metrics = measuring.endpoint(app.state.registry, lambda: app.state.refresh_metrics())
    for path, endpoint in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        shown = path != "/metrics"
        app.add_api_route(
            path, endpoint, methods=["GET"], tags=["probes"], include_in_schema=shown, response_model=None
        )


async def _nothing_to_look_up() -> None: ...


def _tell_version(registry: CollectorRegistry, service: str, version: str) -> None:
    told = Gauge("reasonflux_build_info", "1, with the version as a label", ("service", "version"), registry=registry)
    told.labels(service, version).set(1)


def _with_probes(document: Document) -> Document:
    lives = Answer("It lives", {"ok": Probe(status="ok")}, Probe)
    can = Answer("It can", {"ready": Probe(status="ready")}, Probe)
    probes = {
        "probes_healthz": Operation("Whether the process lives", {200: lives}),
        "probes_readyz": Operation("Whether it can do its work", {200: can}, (FailureKind.SERVICE_UNAVAILABLE,)),
    }
    tags = {**document.tags, "probes": "For whoever runs the service."}
    return replace(document, operations={**document.operations, **probes}, tags=tags)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, ReasonFluxError)
    status = STATUS[error.failure.kind]
    log = logger.error if status >= 500 else logger.info
    log("request failed", kind=error.failure.kind.value, message=error.logged, exc_info=status == 500)
    return error_response(error)


async def _misfit(request: Request, error: Exception) -> Response:
    """A body, path or query that does not fit: name the first field at fault, why, and how many more there are."""
    assert isinstance(error, RequestValidationError)
    if error.errors()[0]["type"] == "model_attributes_type" and "json" not in request.headers.get("content-type", ""):
        hint = "send it with the header 'Content-Type: application/json'"
        return failure_response(InvalidRequest("body: it is not marked as JSON", hint=hint).failure, param="body")
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
    if error.status_code == 405:
        response.headers["allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """What can be asked of the path: of all routes that it fits, those with the fewest names to fill in count."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fit = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    closest = min((route.path.count("{") for route in fit), default=0)
    return sorted({method for route in fit if route.path.count("{") == closest for method in route.methods or ()})


def _crashed(request_id: str) -> Response:
    """The answer to a bug: no trace; the log has it under the request id."""
    return failure_response(
        Failure(
            kind=FailureKind.INTERNAL,
            message="something went wrong inside the service",
            hint=f"the service's log tells more under request id {request_id}",
        )
    )
