"""What is counted about access: refusals by reason, and tokens by tenant."""

from prometheus_client import CollectorRegistry, Counter

from navigator.access.limits import Closed


class AccessMetrics:
    """Tenants are named by the operator, so there are few enough of them for a label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "reasonflux_requests_refused",
            "Requests refused before any work: unauthorized, forbidden, open, requests, tokens, sessions, room",
            ("reason",),
            registry=registry,
        )
        for reason in ("unauthorized", "forbidden", "open", "requests", "tokens", "sessions", "room"):
            self._refused.labels(reason)
        self._tokens = Counter(
            "reasonflux_tenant_tokens", "Tokens of the work that has ended, by tenant", ("tenant",), registry=registry
        )

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def spent(self, closed: Closed) -> None:
        self._tokens.labels(closed.tenant).inc(closed.tokens)
