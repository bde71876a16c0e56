"""The loop that touches the world: claim → decide → perform → commit, until the session is finished.

Everything that happened is in the journal, so a worker that dies loses nothing but work in flight: the next one reads
the journal and goes on. Work in flight runs at least once; what is committed, and so what a client sees, exactly once.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from navigator.brief import request_for
from navigator.errors import CommitConflict, JournalUnavailable, LeaseLost
from navigator.llm import NavigatorLLM
from navigator.policy import (
    Action,
    Finish,
    Instantiate,
    Plan,
    Retrieve,
    ReviewStep,
    decide,
    decide_ahead,
    may_lose,
    presume,
    remaining,
    template_for,
    with_its_end,
)
from navigator.ports import Claim, Executor, Journal, TemplateStore
from navigator.session import action_key, advance, fold
from navigator.under_way import UnderWay, name
from navigator.work import LiveText, Meter, Silence, Work
from reasonflux import tracing
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Delta,
    Entry,
    Event,
    Failure,
    FailureKind,
    InstantiateEvent,
    PlanMade,
    Query,
    Retrieval,
    SearchRequest,
    Session,
    SessionStarted,
    StepInstantiated,
    StepRestarted,
    StepRetrieved,
    StepReviewed,
    Usage,
)
from reasonflux.errors import ReasonFluxError

log = structlog.get_logger()

GRACE_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 8.0


@dataclass(frozen=True)
class Runner:
    """Carries sessions on. One runner serves many sessions at the same time; it keeps no state of its own.

    `observe` sees every entry that this runner committed, with the session right after it; `lost` hears what work has
    cost that was stopped half-way because the session was ended or taken over, so that no entry can tell of it.
    `claimed` sees every session as it was taken on, `performed` every action that has ended, with its seconds.
    """

    journal: Journal
    llm: NavigatorLLM
    templates: TemplateStore
    executor: Executor
    lease_seconds: float = 15.0
    observe: Callable[[Session, Entry], None] | None = None
    lost: Callable[[Session, Usage], None] | None = None
    claimed: Callable[[Session, Claim], None] | None = None
    performed: Callable[[ActionKind, float], None] | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    longest_back_off: float = LONGEST_BACK_OFF_SECONDS

    async def run(self, claim: Claim, halt: asyncio.Event | None = None) -> Session:
        """Carry the claimed session to its end, or, once `halt` is set, to the end of what is under way.

        Raises LeaseLost when another worker or a cancellation came first.
        """
        entries = list(await self.journal.read(claim.session_id))
        session = on_the_clock(fold(claim.session_id, entries), claim)
        if self.claimed is not None:
            self.claimed(session, claim)
        with tracing.span("session", "consumer", {"reasonflux.epoch": claim.epoch}, parent=_began(entries)) as span:
            session = await self._carried_on(claim, session, entries, halt or asyncio.Event())
            span.tell("reasonflux.outcome", session.outcome and session.outcome.value)
            span.tell("reasonflux.rounds", session.rounds)
            return session

    async def _carried_on(self, claim: Claim, session: Session, entries: list[Entry], halt: asyncio.Event) -> Session:
        if claim.epoch > 1 and not session.finished:
            session = await self._commit(claim, session, entries, [StepRestarted(epoch=claim.epoch)])
        return await self._loop(claim, session, entries, halt)

    async def _loop(self, claim: Claim, session: Session, entries: list[Entry], halt: asyncio.Event) -> Session:
        under_way, silence = UnderWay(), Silence()
        lost = asyncio.create_task(self._until_lost(claim))
        try:
            while not session.finished:
                due, ahead = decide(session), decide_ahead(session, plans=self.llm.plans_from_view(session))
                if dropped := under_way.keep(due, ahead):  # a new plan or a verdict stopped it
                    session = await self._commit(claim, session, entries, dropped)
                    continue
                if isinstance(due[0], Finish):
                    return await self._commit(claim, session, entries, [due[0].event])
                if not halt.is_set():
                    begin = partial(self._begin, claim, silence)
                    under_way.begin(due, partial(begin, session, tuple(entries)))
                    if ahead and (presumed := presume(session)):
                        then = advance(session, presumed), (*entries, presumed)
                        under_way.bet(ahead, partial(begin, *then, held=True), may_lose(session))
                if not under_way:  # halted, and what had begun is done
                    return session
                ended = await under_way.next(lost)
                if lost.done():
                    raise LeaseLost(f"session {session.id} was taken over or ended elsewhere")
                events = [*ended.values()]
                if under_way.is_all(ended):
                    events = with_its_end(session, events)
                session = await self._commit(claim, session, entries, events)
                under_way.told(ended)
            return session
        finally:
            cost = under_way.abandon()
            if self.lost is not None and cost.all.calls:
                self.lost(session, cost)
            lost.cancel()
            await asyncio.gather(lost, under_way.gone(), return_exceptions=True)

    def _begin(
        self,
        claim: Claim,
        silence: Silence,
        session: Session,
        entries: Sequence[Entry],
        action: Action,
        *,
        held: bool = False,
    ) -> Work:
        meter, live = Meter(), LiveText(partial(self._publish, claim, silence, action), held=held)
        return Work(asyncio.create_task(self._perform(session, entries, action, live, meter)), live, meter)

    async def _commit(self, claim: Claim, session: Session, entries: list[Entry], events: Sequence[Event]) -> Session:
        for entry in await self._append(claim, session, events):
            session = advance(session, entry)
            entries.append(entry)
            if self.observe is not None:
                self.observe(session, entry)
        return session

    async def _append(self, claim: Claim, session: Session, events: Sequence[Event]) -> tuple[Entry, ...]:
        """Commit, however long the journal is away: finished work is not thrown away before the lease is lost."""
        while True:
            try:
                return await self.journal.commit(claim, session.last_seq + 1, events)
            except JournalUnavailable as error:
                log.warning("commit waits for the journal", session=session.id, reason=str(error))
                await self.sleep(1.0)
            except CommitConflict:  # it did take effect when the reply was lost
                written = await self.journal.read(claim.session_id, after=session.last_seq)
                if tuple(entry.event for entry in written) != tuple(events):
                    raise
                return written

    async def _perform(
        self, session: Session, entries: Sequence[Entry], action: Action, live: LiveText, meter: Meter
    ) -> Event:
        """Carry one action out. It always ends in one event, whatever the world does."""
        kind, step_id = name(action)
        started = time.perf_counter()
        with tracing.span(kind.value, attributes={} if step_id is None else {"reasonflux.step": step_id}) as span:
            event = await self._outcome(session, entries, action, live, meter)
            if isinstance(event, ActionFailed):
                span.fail(event.failure.kind.value)
            if self.performed is not None:
                self.performed(kind, time.perf_counter() - started)
            return event

    async def _outcome(
        self, session: Session, entries: Sequence[Entry], action: Action, live: LiveText, meter: Meter
    ) -> Event:
        kind, step_id = name(action)
        try:
            # The engine's own deadline is the session's: it fires first and tells what was spent.
            async with asyncio.timeout(max(0.0, remaining(session).seconds) + GRACE_SECONDS):
                await self._back_off(session, kind, step_id)
                async with live:
                    return await self._carry_out(session, entries, action, live, meter)
        except ReasonFluxError as error:
            spent = meter.at_least(Usage(navigator=error.tokens))
            return ActionFailed(action=kind, step_id=step_id, failure=error.failure, usage=spent)
        except TimeoutError:
            failure = Failure(
                kind=FailureKind.DEADLINE_EXCEEDED,
                message=f"the session's deadline passed during {kind.value}",
                hint="ask again with a longer deadline (budget.seconds)",
            )
            return ActionFailed(action=kind, step_id=step_id, failure=failure, usage=meter.spent)
        except Exception as error:  # a bug of ours must end the session, not hang it
            log.exception("action crashed", session=session.id, action=kind.value, step=step_id)
            failure = Failure(kind=FailureKind.INTERNAL, message=f"{type(error).__name__} during {kind.value}")
            return ActionFailed(action=kind, step_id=step_id, failure=failure, usage=meter.spent)

    async def _carry_out(
        self, session: Session, entries: Sequence[Entry], action: Action, live: LiveText, meter: Meter
    ) -> Event:
        match action:
            case Plan():
                trajectory, tokens = await self.llm.plan(session, entries, live.say, meter.navigator)
                return PlanMade(trajectory=trajectory, usage=tokens)
            case Retrieve():
                return await self._retrieve(session, action)
            case Instantiate():
                return await self._instantiate(session, action, live, meter)
            case ReviewStep(step_id=step_id, attempt=attempt):
                review, tokens = await self.llm.review(session, entries, step_id, live.say, meter.navigator)
                return StepReviewed(step_id=step_id, attempt=attempt, review=review, usage=tokens)
            case Finish():
                raise AssertionError("finishing is committed by the loop, not performed")

    async def _back_off(self, session: Session, kind: ActionKind, step_id: int | None) -> None:
        """Before another try of what has failed: a service that restarts must be given the time for it."""
        if tries := session.failures.get(action_key(kind, step_id), 0):
            await self.sleep(min(self.longest_back_off, 2.0**tries) * random.uniform(0.5, 1.0))

    async def _retrieve(self, session: Session, action: Retrieve) -> StepRetrieved:
        step = session.step(action.step_id).step
        if (template_id := template_for(session, step.id)) is not None:
            template = await self.templates.get(template_id, library=session.options.library)
            retrieval = Retrieval(query=step.query or Query(name=template.name), template=template)
        else:
            assert step.query is not None
            request = SearchRequest(queries=(step.query,), library=session.options.library)
            retrieval = (await self.templates.search(request)).retrievals[0]
        return StepRetrieved(step_id=step.id, retrieval=retrieval)

    async def _instantiate(
        self, session: Session, action: Instantiate, live: LiveText, meter: Meter
    ) -> StepInstantiated:
        async def on_event(event: InstantiateEvent) -> None:
            if event.restarted:
                await live.start_over()
            elif event.delta:
                await live.say(event.delta)
            elif event.spent is not None:
                await meter.executor(event.spent)

        instantiation = await self.executor.instantiate(request_for(session, action), on_event)
        return StepInstantiated(step_id=action.step_id, attempt=action.attempt, instantiation=instantiation)

    async def _publish(self, claim: Claim, silence: Silence, action: Action, text: str, restarted: bool) -> bool:
        if silence.lasts():
            return False
        kind, step_id = name(action)
        attempt = getattr(action, "attempt", 1)
        delta = Delta(action=kind, step_id=step_id, attempt=attempt, epoch=claim.epoch, text=text, restarted=restarted)
        return silence.note(heard=await self.journal.publish(claim.session_id, delta))

    async def _until_lost(self, claim: Claim) -> None:
        """Keep the lease; return when the session is no longer ours: taken over, cancelled or deleted."""
        watchers = [
            asyncio.create_task(self._keep_lease(claim)),
            asyncio.create_task(self._until_ended(claim.session_id)),
        ]
        try:
            await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def _keep_lease(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            try:
                await self.journal.renew(claim, self.lease_seconds)
            except JournalUnavailable as error:  # it may come back before the lease ends
                log.warning("lease not renewed", session=claim.session_id, reason=str(error))
            except LeaseLost:
                return

    async def _until_ended(self, session_id: str) -> None:
        """A cancellation is in the journal long before the next renewal."""
        while True:
            try:
                return await self.journal.ended(session_id)
            except JournalUnavailable:
                await asyncio.sleep(self.lease_seconds / 3)


def _began(entries: Sequence[Entry]) -> dict[str, str]:
    """Where the trace of this session began: with the request that created it, wherever that was served."""
    first = entries[0].event
    return {tracing.TRACEPARENT: first.trace} if isinstance(first, SessionStarted) and first.trace else {}


def on_the_clock(session: Session, claim: Claim) -> Session:
    """The session at the time of its claim: what it waited for a worker counts against its deadline."""
    return session.model_copy(update={"updated_at": max(session.updated_at, claim.at)})
