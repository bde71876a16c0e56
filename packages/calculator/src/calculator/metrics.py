"""What is counted about a calculator."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

from reasonflux.measuring import SHORT_SECONDS

Evaluated = Literal["value", "error", "timeout", "crashed"]
"""Every statement has its value; one has none; it took too long; its process ended (too much memory, or an attack)."""
_ALL: tuple[Evaluated, ...] = ("value", "error", "timeout", "crashed")


class CalculatorMetrics:
    """Pass `observe` to `Calculator`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "reasonflux_calculations",
            "Evaluations by the calculator: value, error (no value), timeout and crashed (its process was replaced)",
            ("outcome",),
            registry=registry,
        )
        self._seconds = Histogram(
            "reasonflux_calculation_seconds",
            "Seconds of an evaluation, waiting for a free process included",
            registry=registry,
            buckets=SHORT_SECONDS,
        )
        for outcome in _ALL:
            self._outcomes.labels(outcome)

    def observe(self, outcome: Evaluated, seconds: float) -> None:
        self._outcomes.labels(outcome).inc()
        self._seconds.observe(seconds)
