"""What the executor counts: instantiations by outcome, and what the model had to be told."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from reasonflux import tracing
from reasonflux.contracts import FailureKind, Instantiation
from reasonflux.measuring import LONG_SECONDS

RESULT = "result"
FAILURES = (
    FailureKind.CALCULATION_ERROR,
    FailureKind.UNPARSABLE_REPLY,
    FailureKind.TEMPLATE_UNFIT,
    FailureKind.BUDGET_EXHAUSTED,
    FailureKind.DEADLINE_EXCEEDED,
)
"""What most often keeps a step from having a result; told as 0 from the start."""


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "reasonflux_instantiations",
            "Steps carried out: result, or the kind of the failure",
            ("outcome",),
            registry=registry,
        )
        self._seconds = Histogram(
            "reasonflux_instantiation_seconds",
            "Seconds of an instantiation, engine and calculator included",
            registry=registry,
            buckets=LONG_SECONDS,
        )
        self._repairs = Counter(
            "reasonflux_instantiation_repairs",
            "Replies that were sent back to the model with their fault",
            ("kind",),
            registry=registry,
        )
        for outcome in (RESULT, *(kind.value for kind in FAILURES)):
            self._outcomes.labels(outcome)
        for kind in (FailureKind.CALCULATION_ERROR, FailureKind.UNPARSABLE_REPLY):
            self._repairs.labels(kind.value)

    def ended(self, instantiation: Instantiation, seconds: float) -> None:
        failure = instantiation.failure
        self._count(RESULT if failure is None else failure.kind.value, seconds)

    def refused(self, kind: FailureKind, seconds: float) -> None:
        """The engine was out before it gave a single reply, or there is no calculator."""
        self._count(kind.value, seconds)

    def repaired(self, kind: FailureKind) -> None:
        self._repairs.labels(kind.value).inc()

    def _count(self, outcome: str, seconds: float) -> None:
        self._outcomes.labels(outcome).inc()
        self._seconds.observe(seconds, tracing.exemplar())
