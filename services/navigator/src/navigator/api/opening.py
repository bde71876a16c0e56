"""What all front doors share: starting a session, reading it, following it, ending it."""

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, cast
from uuid import uuid4

from fastapi import Depends, Request
from pydantic import ValidationError

from navigator.access.door import Visitor
from navigator.access.keys import Scope
from navigator.access.visit import Visit
from navigator.api import watching
from navigator.api.conversation import latest, turn_of
from navigator.api.naming import Choice, choices
from navigator.errors import SessionNotFound
from navigator.exchanges import Exchanges
from navigator.llm import NavigatorLLM
from navigator.metrics import Metrics
from navigator.ports import Sessions
from navigator.session import fold
from navigator.shelves import Shelves
from navigator.webhooks import origin_of
from reasonflux import tracing
from reasonflux.contracts import (
    CreateSession,
    Delivery,
    Delta,
    Entry,
    OnDisconnect,
    Options,
    Problem,
    Session,
    SessionStarted,
    Turn,
)
from reasonflux.correlation import belongs_to
from reasonflux.errors import Conflict, InvalidRequest, NotFound, ServiceUnavailable
from reasonflux.observing import logger
from reasonflux.service import HEARTBEAT_SECONDS


@dataclass(frozen=True)
class OpenNavigator:
    """What the endpoints stand on.

    `libraries`: the template libraries that may be asked for, the default first. `llm`: the navigator role, which
    knows the engines on offer. `webhook_origins`: where webhooks may go. `journal`: as the visit's tenant sees it.
    `speculation`: what a session may lose to bets on reviews where its request does not say.
    """

    journal: Sessions
    visit: Visit
    llm: NavigatorLLM
    libraries: tuple[str, ...]
    metrics: Metrics
    shelves: Shelves
    exchanges: Exchanges
    webhook_origins: tuple[str, ...] = ()
    speculation: int = 0
    heartbeat: float = HEARTBEAT_SECONDS

    @property
    def models(self) -> dict[str, Choice]:
        """The names that `model` may have."""
        return choices(self.libraries, self.llm.engines)

    async def start(self, request: CreateSession, idempotency_key: str | None = None) -> tuple[str, bool]:
        """The session's id, and whether it is new: the same key with the same request gives the first one's id.

        Raises InvalidRequest, also for an engine, a library or a template that is not on offer, NotFound or Conflict
        for a parent that cannot be followed up, and IdempotencyConflict when the key belongs to another request.
        """
        wanted = uuid4().hex
        fingerprint = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
        first = self._first(request, await self._turns(request))
        await self.shelves.have(request.library, request.templates)
        known = await self.journal.create(wanted, first, idempotency_key=idempotency_key, fingerprint=fingerprint)
        belongs_to(known)
        if known == wanted:
            self.metrics.started()
        return known, known == wanted

    async def session(self, session_id: str) -> Session:
        """The session as it stands now. Raises SessionNotFound."""
        return fold(session_id, await self.journal.read(session_id))

    async def follow(
        self, session_id: str, after: int = 0, *, deltas: bool = False
    ) -> AsyncGenerator[Entry | Delta, None]:
        """See `Journal.follow`; outages of the journal are waited out."""
        followed = watching.follow(self.journal, session_id, after, deltas=deltas)
        async with self.journal.attending(session_id), aclosing(followed) as items:
            async for item in items:
                yield item

    async def to_the_end(self, session_id: str) -> tuple[Entry, ...]:
        """The whole journal, once the session has finished. Raises SessionNotFound."""
        async with self.journal.attending(session_id):
            await watching.persist(lambda: self.journal.ended(session_id))
            return await watching.persist(lambda: self.journal.read(session_id))

    async def cancel(self, session_id: str) -> Session:
        """End the session now; one that is finished stays as it is. Raises SessionNotFound."""
        cancelled = await self.journal.cancel(session_id)
        entries = await self.journal.read(session_id)
        session = fold(session_id, entries)
        if cancelled:
            self.metrics.observe(session, entries[-1])
        return session

    async def left(self, session_id: str) -> None:
        """A client that follows this session is about to go: the session ends, unless it was made to go on or others
        follow it, here or at another replica. Who may only read ends nothing by leaving."""
        if Scope.SOLVE not in self.visit.caller.scopes:
            return
        try:
            others = await watching.persist(lambda: self.journal.leave(session_id))
            if others:
                return
            session = await watching.persist(lambda: self.session(session_id))
            logger.info("client left", session=session_id, then=session.delivery.on_disconnect.value)
            if session.delivery.on_disconnect is OnDisconnect.CANCEL and not session.finished:
                await watching.persist(lambda: self.cancel(session_id))
        except SessionNotFound:  # deleted meanwhile
            return

    async def _turns(self, request: CreateSession) -> tuple[Turn, ...]:
        """What was said before: the parent's conversation, then what the client tells."""
        if request.parent is None:
            return latest(request.turns)
        try:
            parent = await self.session(request.parent)
        except SessionNotFound as error:
            hint = "it may have expired; send the earlier turns themselves"
            raise NotFound(f"parent: there is no session {request.parent}", hint=hint, param="parent") from error
        if not parent.finished:
            hint = "wait for its end, or cancel it"
            raise Conflict(f"parent: session {parent.id} has not finished yet", hint=hint, param="parent")
        return latest((*parent.turns, turn_of(parent), *request.turns))

    def _first(self, request: CreateSession, turns: tuple[Turn, ...]) -> SessionStarted:
        if request.library not in self.libraries:
            raise InvalidRequest(
                f"library: there is no library {request.library!r}",
                hint=f"there are: {', '.join(self.libraries)}",
                param="library",
            )
        if request.webhook is not None and origin_of(request.webhook) not in self.webhook_origins:
            raise InvalidRequest(
                "webhook: this deployment calls no webhook at that address",
                hint="its operator lists what may be called in REASONFLUX_WEBHOOK_ORIGINS",
                param="webhook",
            )
        try:
            problem = Problem(text=request.problem)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise InvalidRequest(f"problem: {reason}") from error
        horizon = self.llm.on(request.engine).horizon_for(problem, goes_on=bool(turns))  # the weights know best
        options = Options(
            library=request.library,
            engine=request.engine,
            budget=request.budget or request.effort.budget,
            horizon=request.horizon or horizon,
            review=request.review,
            retrieve=request.retrieve,
            templates=request.templates,
            sampling=request.sampling,
            max_revisions=request.max_revisions,
            speculation=self.speculation if request.speculation is None else request.speculation,
        )
        delivery = Delivery(on_disconnect=request.on_disconnect, webhook=request.webhook)
        told = {"parent": request.parent, "turns": turns, "metadata": request.metadata}
        return SessionStarted(
            problem=problem,
            options=options,
            delivery=delivery,
            instructions=request.instructions,
            trace=tracing.traceparent(),
            **told,
        )


async def opened(request: Request, visit: Visitor) -> OpenNavigator:
    """The navigator as this visit may use it."""
    found = getattr(request.app.state, "navigator_for", None)
    if found is None:
        raise ServiceUnavailable("the navigator is starting or stopping")
    return cast(Callable[[Visit], OpenNavigator], found)(visit)


Navigator = Annotated[OpenNavigator, Depends(opened)]
