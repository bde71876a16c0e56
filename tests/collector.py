"""An OpenTelemetry collector for tests: takes OTLP over HTTP on loopback, and may be made to hang or to refuse."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    trace: str
    id: str
    parent: str
    name: str
    service: str
    attributes: dict[str, Any]
    failed: bool
    told: str
    """All of it, as text."""


class Collector:
    """`status`: what it answers. While `held` is set it answers nothing."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[Span] = []
        self.asked = threading.Event()
        self._free = threading.Event()
        self._free.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                collector._free.wait()
                if collector.status == 200:
                    collector.spans.extend(_spans(body))
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def hang(self) -> None:
        self._free.clear()

    def news(self, seconds: float) -> None:
        """Wait for the next batch, for so long at the most."""
        self.asked.clear()
        self.asked.wait(seconds)

    def go_on(self) -> None:
        self._free.set()

    def of_trace(self, trace: str) -> list[Span]:
        return [span for span in self.spans if span.trace == trace]

    @contextmanager
    def running(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.go_on()
            self._server.shutdown()
            self._server.server_close()


def _spans(body: bytes) -> Iterator[Span]:
    for told in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _attributes(told.resource.attributes).get("service.name", "")
        for scope in told.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    name=span.name,
                    service=service,
                    attributes=_attributes(span.attributes),
                    failed=span.status.code == 2,
                    told=str(span),
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
