"""Logs, request ids and request metrics: JSON lines on stderr, one per request, never with a problem's text."""

import logging
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "x-request-id"
SESSION_ID = "x-session-id"
"""Names the session that a call belongs to: logs carry it, and a router keeps a session on one engine by it."""
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

logger: structlog.stdlib.BoundLogger = structlog.get_logger("reasonflux")


def configure_logging(level: str = "INFO") -> None:
    """Send our logs and those of the libraries as JSON lines to stderr. Calling it again changes only `level`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # no local variables: they hold prompts and keys
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


class _ToStructlog(logging.Handler):
    """Libraries log through `logging`; their lines join ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def request_id() -> str | None:
    """The id of the request being served here, to be passed on to the services it calls."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return found if isinstance(found, str) else None


def session_id() -> str | None:
    """The session that is worked on here, to be passed on to the services and engines that it calls."""
    found = structlog.contextvars.get_contextvars().get("session")
    return found if isinstance(found, str) else None


@contextmanager
def of_session(name: str) -> Iterator[None]:
    """Inside, what happens belongs to this session: its logs say so, and its calls carry the name."""
    with structlog.contextvars.bound_contextvars(session=name):
        yield


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
        name = asked if _ACCEPTABLE_ID.fullmatch(asked) else uuid.uuid4().hex
        session = Headers(scope=scope).get(SESSION_ID, "")
        known = {"session": session} if _ACCEPTABLE_ID.fullmatch(session) else {}
        status = 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = name
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=name, **known), self._open.track_inprogress():
            try:
                await self._app(scope, receive, reply)
            except Exception:
                logger.exception("request crashed", method=scope["method"], route=_route(scope))
                if status:  # too late for an answer; the server breaks the connection off
                    raise
                await self._on_crash(name)(scope, receive, reply)
            finally:
                self._observe(scope, status or 499, time.perf_counter() - started)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        """499: the client left, or the service was stopped, before there was an answer."""
        labels = (scope["method"], _route(scope), str(status))
        self._count.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)
        log = logger.debug if scope["path"] in _PROBES else logger.info
        log(
            "request",
            service=self._service,
            method=labels[0],
            route=labels[1],
            status=status,
            seconds=round(seconds, 4),
        )


def _route(scope: Scope) -> str:
    """The route's template, so that ids in paths do not make a time series each."""
    return getattr(scope.get("route"), "path", "unmatched")
