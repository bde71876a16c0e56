"""Traces over OpenTelemetry. Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set, and then next to free.

Spans carry ids, counts and kinds of failures, never a text of a client or a model: no prompt, no reply, no exception's
message. They are exported in batches by a thread of their own: a collector that is away or slow costs spans, never a
request. What OpenTelemetry's own variables say (OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, …) is followed.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

from reasonflux.correlation import session_id
from reasonflux.errors import ReasonFluxError

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

Value = str | int | float | bool
Kind = Literal["internal", "server", "client", "consumer"]

TRACEPARENT = "traceparent"
FLUSH_SECONDS = 3.0
"""How long a service that leaves waits for its last spans to arrive."""


class Span:
    """One piece of work in a trace. This one is what there is while tracing is off: it forgets everything."""

    def tell(self, name: str, value: Value | None) -> None:
        """Set an attribute; None sets none."""

    def rename(self, name: str) -> None: ...

    def fail(self, kind: str) -> None:
        """It went wrong, in this way."""

    def headers(self) -> Mapping[str, str]:
        """By which whoever is called joins the trace below this span."""
        return {}


_OFF: AbstractContextManager[Span] = nullcontext(Span())
_on: "_Tracer | None" = None


def span(
    name: str,
    kind: Kind = "internal",
    attributes: Mapping[str, Value] | None = None,
    *,
    parent: Mapping[str, str] | None = None,
    current: bool = True,
) -> AbstractContextManager[Span]:
    """A span around what happens inside, below the current one or the one that the headers `parent` name.

    An exception fails it, with its kind and not its message. `current`: spans begun inside belong below it; False for
    a context that may be left in another task than it was entered in.
    """
    return _OFF if _on is None else _on.span(name, kind, attributes or {}, parent, current=current)


def tell(name: str, value: Value) -> None:
    """Set an attribute of the current span."""
    if _on is not None:
        _on.api.get_current_span().set_attribute(name, value)


def traceparent() -> str | None:
    """The current span in the form of W3C Trace Context, to be kept for those who go on with its work later."""
    return None if _on is None else _on.headers(None).get(TRACEPARENT)


def trace_id() -> str | None:
    """The current trace, if it is recorded."""
    if _on is None:
        return None
    context = _on.api.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else None


def exemplar() -> dict[str, str] | None:
    """By which a measurement points at the trace that it was made in."""
    found = trace_id()
    return None if found is None else {"trace_id": found}


def wanted() -> bool:
    """Whether the environment asks for traces."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    refused = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not refused and any(os.environ.get(name) for name in names)


@asynccontextmanager
async def traced(service: str, version: str) -> AsyncIterator[None]:
    """Inside, spans of this process are exported as those of `service`, where the environment asks for it."""
    global _on
    if _on is not None or not wanted():
        yield
        return
    _on = tracer = _Tracer(service, version)
    try:
        yield
    finally:
        _on = None
        await tracer.close()


class _Tracer:
    """OpenTelemetry's packages are loaded here: a service that traces nothing does not pay for them."""

    def __init__(self, service: str, version: str) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation import tracecontext

        self.api = trace
        self._provider = TracerProvider(resource=_resource(service, version), shutdown_on_exit=False)
        _export(self._provider)
        self._tracer = self._provider.get_tracer("reasonflux", version)
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        self._kinds = {
            "internal": trace.SpanKind.INTERNAL,
            "server": trace.SpanKind.SERVER,
            "client": trace.SpanKind.CLIENT,
            "consumer": trace.SpanKind.CONSUMER,
        }

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Value],
        parent: Mapping[str, str] | None,
        *,
        current: bool,
    ) -> Iterator[Span]:
        if kind == "client" and not self.api.get_current_span().get_span_context().is_valid:
            yield Span()  # a look at a neighbour's health, say: no trace is about it
            return
        above = None if parent is None else self._propagator.extract(parent)
        session = session_id()
        told = {**attributes, "session.id": session} if session else dict(attributes)
        recording = self._tracer.start_span(name, above, self._kinds[kind], told)
        inside = (
            self.api.use_span(recording, record_exception=False, set_status_on_exception=False)
            if current
            else nullcontext()
        )
        span = _Recording(self, recording)
        try:
            with inside:
                yield span
        except asyncio.CancelledError:
            span.tell("reasonflux.cancelled", True)
            raise
        except GeneratorExit:
            raise
        except ReasonFluxError as error:
            span.fail(error.failure.kind.value)
            raise
        except Exception as error:
            span.fail(type(error).__name__)
            raise
        finally:
            recording.end()

    def headers(self, context: "Context | None") -> dict[str, str]:
        found: MutableMapping[str, str] = {}
        self._propagator.inject(found, context)
        return dict(found)

    async def close(self) -> None:
        """Send what is left, for so long; a thread of its own, because a collector that hangs must hold nothing up."""
        done, loop = asyncio.Event(), asyncio.get_running_loop()

        def close() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=close, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await done.wait()
        except TimeoutError:
            pass


class _Recording(Span):
    def __init__(self, tracer: _Tracer, span: "trace.Span") -> None:
        self._tracer, self._span = tracer, span

    def tell(self, name: str, value: Value | None) -> None:
        if value is not None:
            self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(self._tracer.api.StatusCode.ERROR)

    def headers(self) -> Mapping[str, str]:
        return self._tracer.headers(self._tracer.api.set_span_in_context(self._span))


def _resource(service: str, version: str) -> "Resource":
    from opentelemetry.sdk.resources import Resource

    own = {"service.namespace": "reasonflux", "service.version": version}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        own["service.name"] = f"reasonflux-{service}"
    return Resource.create(own)


def _export(provider: "TracerProvider") -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
