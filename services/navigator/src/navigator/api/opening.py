"""What both front doors share: starting a session, reading it, ending it."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, cast
from uuid import uuid4

from fastapi import Depends, Request
from pydantic import ValidationError

from navigator.metrics import Metrics
from navigator.ports import Journal
from navigator.session import fold
from reasonflux.contracts import CreateSession, Options, Problem, Session, SessionStarted
from reasonflux.errors import InvalidRequest, ServiceUnavailable


@dataclass(frozen=True)
class OpenNavigator:
    """What the endpoints stand on. `libraries`: the template libraries that may be asked for, the default first."""

    journal: Journal
    libraries: tuple[str, ...]
    metrics: Metrics

    async def start(self, request: CreateSession, idempotency_key: str | None = None) -> tuple[str, bool]:
        """The session's id, and whether it is new: the same key with the same request gives the first one's id.

        Raises InvalidRequest, and IdempotencyConflict when the key belongs to another request.
        """
        wanted = uuid4().hex
        fingerprint = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
        known = await self.journal.create(
            wanted, self._first(request), idempotency_key=idempotency_key, fingerprint=fingerprint
        )
        return known, known == wanted

    async def session(self, session_id: str) -> Session:
        """The session as it stands now. Raises SessionNotFound."""
        return fold(session_id, await self.journal.read(session_id))

    async def cancel(self, session_id: str) -> Session:
        """End the session now; one that is finished stays as it is. Raises SessionNotFound."""
        cancelled = await self.journal.cancel(session_id)
        entries = await self.journal.read(session_id)
        session = fold(session_id, entries)
        if cancelled:
            self.metrics.observe(session, entries[-1])
        return session

    def _first(self, request: CreateSession) -> SessionStarted:
        if request.library not in self.libraries:
            raise InvalidRequest(
                f"library: there is no library {request.library!r}", hint=f"there are: {', '.join(self.libraries)}"
            )
        try:
            problem = Problem(text=request.problem)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise InvalidRequest(f"problem: {reason}") from error
        options = Options(
            library=request.library,
            budget=request.budget or request.effort.budget,
            horizon=request.horizon,
            review=request.review,
            retrieve=request.retrieve,
        )
        return SessionStarted(problem=problem, options=options, metadata=request.metadata)


def opened(request: Request) -> OpenNavigator:
    found = getattr(request.app.state, "navigator", None)
    if found is None:
        raise ServiceUnavailable("the navigator is starting or stopping")
    return cast(OpenNavigator, found)


Navigator = Annotated[OpenNavigator, Depends(opened)]
