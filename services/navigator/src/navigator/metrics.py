"""The navigator's metrics: most of them are read off committed entries, the rest off claims and the journal's calls."""

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from navigator.errors import JournalUnavailable
from navigator.ports import Backlog, Claim, Journal
from navigator.session import usage_of
from reasonflux import tracing
from reasonflux.contracts import (
    ActionDropped,
    ActionFailed,
    ActionKind,
    Entry,
    Outcome,
    Session,
    SessionFinished,
    StepRetrieved,
    StepReviewed,
    Tokens,
    Usage,
    Verdict,
)
from reasonflux.measuring import LONG_SECONDS, SHORT_SECONDS

_ROUNDS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_TEMPLATES = (0, 1, 2, 3, 4, 6, 8, 12, 16)
_TOKENS = (250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 1_000_000)
_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200)
BACKLOG_SECONDS = 2.0
"""How long /metrics waits for the journal to tell its backlog."""


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
        self._started = Counter("reasonflux_sessions_started", "Sessions created here", registry=registry)
        self._finished = Counter("reasonflux_sessions_finished", "Sessions finished", ("outcome",), registry=registry)
        self._rounds = Histogram(
            "reasonflux_session_rounds", "Rounds of a finished session", registry=registry, buckets=_ROUNDS
        )
        self._templates = Histogram(
            "reasonflux_session_templates",
            "Different templates that the steps of a finished session followed",
            registry=registry,
            buckets=_TEMPLATES,
        )
        self._seconds = Histogram(
            "reasonflux_session_seconds",
            "Seconds from a session's start to its end",
            ("outcome",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._cost = Histogram(
            "reasonflux_session_tokens",
            "Prompt and completion tokens of a finished session, both roles",
            ("outcome",),
            registry=registry,
            buckets=_TOKENS,
        )
        self._tokens = Counter(
            "reasonflux_tokens",
            "Tokens of all engine calls: prompt, cached (a part of prompt), completion; direct is calls of no session",
            ("role", "kind", "engine"),
            registry=registry,
        )
        self._calls = Counter(
            "reasonflux_engine_calls", "Engine calls that gave a reply", ("role", "engine"), registry=registry
        )
        self._verdicts = Counter("reasonflux_steps_reviewed", "Reviews of steps", ("verdict",), registry=registry)
        self._retrievals = Counter("reasonflux_retrievals", "Templates looked for", registry=registry)
        self._abstentions = Counter(
            "reasonflux_retrieval_abstentions", "Retrievals that chose no template", registry=registry
        )
        self._failures = Counter(
            "reasonflux_actions_failed", "Actions without an outcome", ("action", "kind"), registry=registry
        )
        self._dropped = Counter(
            "reasonflux_actions_dropped",
            "Actions that a change of plan stopped half-way; ahead: begun before the last review was known",
            ("action", "ahead"),
            registry=registry,
        )
        self._action_seconds = Histogram(
            "reasonflux_action_seconds",
            "Seconds of plan, retrieve, instantiate and review, as the navigator waits for them",
            ("action",),
            registry=registry,
            buckets=LONG_SECONDS,
        )
        for outcome in Outcome:  # a counter that is not there yet hides its first increase from rate()
            self._finished.labels(outcome.value)
        for verdict in Verdict:
            self._verdicts.labels(verdict.value)
        for action in ActionKind:
            for ahead in ("true", "false"):
                self._dropped.labels(action.value, ahead)
        self._timed = {kind: self._action_seconds.labels(kind.value) for kind in ActionKind}

    def started(self) -> None:
        self._started.inc()

    def performed(self, action: ActionKind, seconds: float) -> None:
        """An action has come to its end, whatever it was."""
        self._timed[action].observe(seconds, tracing.exemplar())

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
            case ActionDropped():
                self._dropped.labels(event.action.value, str(event.ahead).lower()).inc()
            case SessionFinished():
                self._observe_end(session, event.outcome.value)

    def _observe_end(self, session: Session, outcome: str) -> None:
        pointing = tracing.exemplar()
        followed = {
            state.retrieval.template.id for state in session.steps if state.retrieval and state.retrieval.template
        }
        self._finished.labels(outcome).inc()
        self._rounds.observe(session.rounds)
        self._templates.observe(len(followed))
        self._seconds.labels(outcome).observe(session.seconds, pointing)
        self._cost.labels(outcome).observe(session.usage.all.total, pointing)
        if self._ended is not None:
            self._ended(session)

    def _count_tokens(self, usage: Usage, engine: str) -> None:
        for role, tokens in (("navigator", usage.navigator), ("executor", usage.executor)):
            self._count(role, tokens, engine)

    def _count(self, role: str, tokens: Tokens, engine: str) -> None:
        for kind in ("prompt", "cached", "completion"):
            if spent := getattr(tokens, kind):
                self._tokens.labels(role, kind, engine).inc(spent)
        if tokens.calls:
            self._calls.labels(role, engine).inc(tokens.calls)


class WorkerMetrics:
    """How busy this process is, and how work comes to it."""

    def __init__(self, registry: CollectorRegistry, slots: int, busy: Callable[[], int]) -> None:
        Gauge("reasonflux_worker_slots", "Sessions that this process carries on at a time", registry=registry).set(
            slots
        )
        working = Gauge("reasonflux_worker_sessions", "Sessions that this process carries on now", registry=registry)
        working.set_function(busy)
        self._waited = Histogram(
            "reasonflux_session_queue_seconds",
            "Seconds that a new session waited for its first worker",
            registry=registry,
            buckets=(0.01, *LONG_SECONDS),
        )
        self._claims = Counter(
            "reasonflux_session_claims",
            "Sessions that a worker took on: new, given_back by one that left, taken_over from one that fell silent",
            ("reason",),
            registry=registry,
        )
        for reason in ("new", "given_back", "taken_over"):
            self._claims.labels(reason)

    def claimed(self, session: Session, claim: Claim) -> None:
        """`session` is the session as the worker found it."""
        reason = "taken_over" if claim.taken_over else "new" if claim.epoch == 1 else "given_back"
        self._claims.labels(reason).inc()
        if reason == "new":
            self._waited.observe(max(0.0, (claim.at - session.started_at).total_seconds()))


class JournalMetrics:
    """How the journal answers, and how much it holds. The backlog is the whole deployment's: every navigator tells the
    same, so take the maximum over them, never the sum."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "reasonflux_journal_call_seconds",
            "Seconds of a call to the journal in Redis",
            ("call",),
            registry=registry,
            buckets=SHORT_SECONDS,
        )
        self._failed = Counter(
            "reasonflux_journal_calls_failed", "Calls that Redis did not answer", ("call",), registry=registry
        )
        self._up = Gauge("reasonflux_journal_up", "1 while the journal tells its backlog, else 0", registry=registry)
        self._sessions = Gauge(
            "reasonflux_sessions",
            "Sessions that are not finished, in the whole deployment: waiting for a worker, or working",
            ("state",),
            registry=registry,
        )
        self._oldest = Gauge(
            "reasonflux_journal_oldest_waiting_seconds",
            "How long the session that is free the longest has waited for a worker",
            registry=registry,
        )
        self._notices = Gauge("reasonflux_webhooks_due", "Webhooks that are still to be told", registry=registry)
        self._used = Gauge("reasonflux_redis_memory_used_bytes", "Memory that Redis uses", registry=registry)
        self._limit = Gauge(
            "reasonflux_redis_memory_limit_bytes",
            "Memory at which Redis refuses writes; 0: unknown or no limit",
            registry=registry,
        )
        for call in ("create", "claim", "commit", "renew", "read"):
            self._failed.labels(call)

    def called(self, call: str, seconds: float, answered: bool) -> None:
        self._seconds.labels(call).observe(seconds)
        if not answered:
            self._failed.labels(call).inc()

    async def refresh(self, journal: Journal) -> None:
        """Look the backlog up. Never raises: what is not known stays as it was, and `up` says so."""
        try:
            async with asyncio.timeout(BACKLOG_SECONDS):
                self._tell(await journal.backlog())
            self._up.set(1)
        except (JournalUnavailable, TimeoutError):
            self._up.set(0)

    def _tell(self, backlog: Backlog) -> None:
        self._sessions.labels("waiting").set(backlog.waiting)
        self._sessions.labels("working").set(backlog.working)
        self._oldest.set(backlog.oldest_wait)
        self._notices.set(backlog.notices)
        self._used.set(backlog.memory_used)
        self._limit.set(backlog.memory_limit)
