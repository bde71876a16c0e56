"""Logs, request ids, request metrics and spans: JSON lines on stderr, one per request, never with a problem's text."""

import logging
import sys
import time
import uuid
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reasonflux import tracing
from reasonflux.correlation import ACCEPTABLE_ID, belongs_to
from reasonflux.correlation import REQUEST_ID as REQUEST_ID
from reasonflux.correlation import SESSION_ID as SESSION_ID
from reasonflux.correlation import of_session as of_session
from reasonflux.correlation import request_id as request_id
from reasonflux.correlation import session_id as session_id
from reasonflux.tracebacks import told
from reasonflux.tracing import Span

_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_JOINED = (tracing.TRACEPARENT, "tracestate")
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

logger: structlog.stdlib.BoundLogger = structlog.get_logger("reasonflux")


def configure_logging(level: str = "INFO") -> None:
    """Send our logs and those of the libraries as JSON lines to stderr. Calling it again changes only `level`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_trace,
            _with_exception,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(level.upper(), 20)),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _ToStructlog)] + [_ToStructlog()]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # One line per request is ours already; httpx would add one per call, the SSE library one per token.
    for name in ("uvicorn.access", "httpx", "httpcore", "sse_starlette"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _with_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.get("session", "") is None:
        del event["session"]
    if (trace_id := tracing.trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def _with_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else (info if isinstance(info, tuple) else sys.exc_info())[1]
    if info and error is not None:
        event["exception"] = told(error)
    return event


class _ToStructlog(logging.Handler):
    """Libraries log through `logging`; their lines join ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


class RequestObserver:
    """ASGI middleware: a request id in and out, metrics, one log line, and an answer when the app crashes.

    It passes messages straight through, so that streams stay streams and a client that leaves is noticed.
    """

    def __init__(
        self, app: ASGIApp, *, service: str, registry: CollectorRegistry, on_crash: Callable[[str], Response]
    ) -> None:
        self._app = app
        self._service = service
        self._on_crash = on_crash
        labels = ("method", "route", "status")
        self._count = Counter("reasonflux_http_requests", "Requests answered", labels, registry=registry)
        self._seconds = Histogram(
            "reasonflux_http_request_seconds",
            "Seconds from a request to its last byte",
            labels,
            registry=registry,
            buckets=_SECONDS,
        )
        self._open = Gauge("reasonflux_http_requests_open", "Requests being answered now", registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(REQUEST_ID, "")
        name = asked if ACCEPTABLE_ID.fullmatch(asked) else uuid.uuid4().hex
        session = Headers(scope=scope).get(SESSION_ID, "")
        known = session if ACCEPTABLE_ID.fullmatch(session) else None
        method, status = _method(scope), 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = name
            await send(message)

        started = time.perf_counter()
        with (
            structlog.contextvars.bound_contextvars(request_id=name, session=known),
            self._open.track_inprogress(),
            _span(scope, method) as span,
        ):
            try:
                await self._app(scope, receive, reply)
            except Exception as error:
                logger.exception("request crashed", method=method, route=_route(scope))
                span.fail(type(error).__name__)
                if status:  # too late for an answer; the server breaks the connection off
                    raise
                await self._on_crash(name)(scope, receive, reply)
            finally:
                _name_session(scope, span)
                span.rename(f"{method} {_route(scope)}")
                span.tell("http.route", _route(scope))
                span.tell("http.response.status_code", status or 499)
                self._observe(scope, method, status or 499, time.perf_counter() - started)

    def _observe(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        """499: the client left, or the service was stopped, before there was an answer."""
        labels = (method, _route(scope), str(status))
        self._count.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds, tracing.exemplar())
        log = logger.debug if scope["path"] in _PROBES else logger.info
        log(
            "request",
            service=self._service,
            method=labels[0],
            route=labels[1],
            status=status,
            seconds=round(seconds, 4),
        )


def _span(scope: Scope, method: str) -> AbstractContextManager[Span]:
    if scope["path"] in _PROBES:
        return nullcontext(Span())
    parent = {name: value for name in _JOINED if (value := Headers(scope=scope).get(name)) is not None}
    return tracing.span(method, "server", {"http.request.method": method}, parent=parent)


def _name_session(scope: Scope, span: Span) -> None:
    """A request belongs to the session that it names in its path, or that it has created."""
    named = scope.get("path_params", {}).get("session_id")
    if isinstance(named, str) and ACCEPTABLE_ID.fullmatch(named):
        belongs_to(named)
    span.tell("session.id", session_id())


def _method(scope: Scope) -> str:
    """What a client may call its method is without end; a time series each would be too."""
    method = str(scope["method"])
    return method if method in _METHODS else "OTHER"


def _route(scope: Scope) -> str:
    """The route's template, so that ids in paths do not make a time series each."""
    return getattr(scope.get("route"), "path", "unmatched")
