"""Metrics that services have in common: how they are told to Prometheus, and what is counted about engine calls.

Names end in their unit; counters in `_total`. A label has few values, all of them known beforehand or chosen by the
operator: never an id, never a client's text.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder

from reasonflux import tracing

SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Buckets for what takes milliseconds."""
LONG_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200)
"""Buckets for what an LLM takes part in."""


class EngineWatch(Protocol):
    """Hears of the calls of one engine."""

    def ended(self, outcome: str, seconds: float) -> None:
        """`outcome`: answered, cancelled, or the kind of the failure."""
        ...

    def tried_again(self) -> None: ...


class EngineCalls:
    """What is counted about engine calls, on the side of who calls: what an engine cannot tell of itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "reasonflux_engine_call_seconds",
            "Seconds of an engine call, its further tries included: answered, cancelled, or the kind of its failure",
            ("engine", "outcome"),
            registry=registry,
            buckets=LONG_SECONDS,
        )
        self._retries = Counter(
            "reasonflux_engine_call_retries",
            "Further tries of engine calls after 429, 5xx and broken connections",
            ("engine",),
            registry=registry,
        )

    def of(self, engine: str) -> EngineWatch:
        """For the engine that the operator calls so; the one that a deployment is started with is `default`."""
        seconds, retries = self._seconds, self._retries.labels(engine)
        for outcome in ("answered", "cancelled", "engine_unavailable", "engine_refused", "deadline_exceeded"):
            seconds.labels(engine, outcome)  # a counter that is not there yet hides its first increase from rate()

        class Watch:
            def ended(self, outcome: str, took: float) -> None:
                seconds.labels(engine, outcome).observe(took, tracing.exemplar())

            def tried_again(self) -> None:
                retries.inc()

        return Watch()


def endpoint(
    registry: CollectorRegistry, refresh: Callable[[], Coroutine[Any, Any, None]]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """GET /metrics: OpenMetrics, with exemplars, for who asks for it, else Prometheus' text format.

    `refresh` is awaited first: it looks up what is not known in the process."""

    async def metrics(request: Request) -> Response:
        await refresh()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    return metrics
