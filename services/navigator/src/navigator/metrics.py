"""The navigator's metrics, all of them read off committed entries."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

from navigator.session import usage_of
from reasonflux.contracts import (
    ActionFailed,
    Entry,
    Session,
    SessionFinished,
    StepRetrieved,
    StepReviewed,
    Tokens,
    Usage,
)

_ROUNDS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200)


class Metrics:
    """Counts what sessions do. `observe` wants each committed entry exactly once, from whoever committed it.

    `ended` hears of every session that has ended, `lost` of what work cost that no entry tells of.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        ended: Callable[[Session], None] | None = None,
        lost: Callable[[str, Usage], None] | None = None,
    ) -> None:
        self._ended, self._lost = ended, lost
        self._finished = Counter("reasonflux_sessions_finished", "Sessions finished", ("outcome",), registry=registry)
        self._rounds = Histogram(
            "reasonflux_session_rounds", "Rounds of a finished session", registry=registry, buckets=_ROUNDS
        )
        self._seconds = Histogram(
            "reasonflux_session_seconds",
            "Seconds from a session's start to its end",
            registry=registry,
            buckets=_SECONDS,
        )
        self._tokens = Counter(
            "reasonflux_tokens",
            "Tokens of all engine calls; cached ones are part of prompt",
            ("role", "kind", "engine"),
            registry=registry,
        )
        self._verdicts = Counter("reasonflux_steps_reviewed", "Reviews of steps", ("verdict",), registry=registry)
        self._retrievals = Counter("reasonflux_retrievals", "Templates looked for", registry=registry)
        self._abstentions = Counter(
            "reasonflux_retrieval_abstentions", "Retrievals that chose no template", registry=registry
        )
        self._failures = Counter(
            "reasonflux_actions_failed", "Actions without an outcome", ("action", "kind"), registry=registry
        )

    def count_direct(self, tokens: Tokens, engine: str) -> None:
        """A plain engine call that belongs to no session."""
        self._count("direct", tokens, engine)

    def lost(self, session: Session, usage: Usage) -> None:
        """What work cost that was stopped because its session was ended or taken over: no entry tells of it."""
        self._count_tokens(usage, session.options.engine)
        if self._lost is not None:
            self._lost(session.id, usage)

    def observe(self, session: Session, entry: Entry) -> None:
        """Count one entry; `session` is the session right after it."""
        event = entry.event
        self._count_tokens(usage_of(event), session.options.engine)
        match event:
            case StepRetrieved():
                self._retrievals.inc()
                if event.retrieval.template is None:
                    self._abstentions.inc()
            case StepReviewed():
                self._verdicts.labels(event.review.verdict.value).inc()
            case ActionFailed():
                self._failures.labels(event.action.value, event.failure.kind.value).inc()
            case SessionFinished():
                self._finished.labels(event.outcome.value).inc()
                self._rounds.observe(session.rounds)
                self._seconds.observe(session.seconds)
                if self._ended is not None:
                    self._ended(session)

    def _count_tokens(self, usage: Usage, engine: str) -> None:
        for role, tokens in (("navigator", usage.navigator), ("executor", usage.executor)):
            self._count(role, tokens, engine)

    def _count(self, role: str, tokens: Tokens, engine: str) -> None:
        for kind in ("prompt", "cached", "completion"):
            if spent := getattr(tokens, kind):
                self._tokens.labels(role, kind, engine).inc(spent)
