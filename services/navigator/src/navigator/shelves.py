"""The template libraries on offer, as readers see them: their cards, and what became of their templates in sessions."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime

from pydantic import Field

from navigator.errors import SessionNotFound
from navigator.ports import Libraries, Sessions
from navigator.session import fold
from reasonflux.contracts import (
    Contract,
    Outcome,
    Phase,
    Session,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
    Usage,
)
from reasonflux.errors import InvalidRequest, NotFound, ServiceUnavailable

MAX_CARDS = 5_000
PAGE = 200
READS = 16
"""Journals read at a time."""
KEPT = 20_000
"""Finished sessions whose use of templates is remembered: they never change."""


class TemplateCard(Contract):
    """A template in a list."""

    id: str
    name: str
    type: TemplateType
    field: str
    tags: tuple[str, ...]
    description: str
    status: TemplateStatus
    revision: int


class LibraryCards(Contract):
    """A library at a glance, ordered by id."""

    library: str
    revision: int
    templates: tuple[TemplateCard, ...]
    complete: bool = Field(description=f"False: the library has more than {MAX_CARDS}; search finds the others")


class SessionUse(Contract):
    """A finished session, and the templates of its steps."""

    id: str
    problem: str
    library: str
    outcome: Outcome
    answer: str | None
    rounds: int
    usage: Usage
    started_at: datetime
    updated_at: datetime
    templates: dict[str, int] = Field(description="template id → steps that followed it")
    done: dict[str, int] = Field(description="template id → those of them that gave a result that stood")


class TemplateUse(Contract):
    """How often a template was followed, and what came of it."""

    template_id: str
    sessions: int
    solved: int = Field(description="of these sessions")
    steps: int
    done: int = Field(description="of these steps: their result stood")


class LibraryUse(Contract):
    """What became of a library's templates in the latest sessions, the most used first."""

    library: str
    sessions: int = Field(description="finished sessions that were counted")
    templates: tuple[TemplateUse, ...]


class Shelves:
    """Reads libraries at the store, and remembers what cannot change."""

    def __init__(self, store: Libraries, offered: tuple[str, ...]) -> None:
        self.store, self.offered = store, offered
        self._cards: dict[str, LibraryCards] = {}
        self._uses: OrderedDict[str, SessionUse] = OrderedDict()

    def check(self, library: str) -> None:
        """Raises NotFound for a library that is not on offer here."""
        if library not in self.offered:
            raise NotFound(
                f"there is no library {library!r}", hint=f"there are: {', '.join(self.offered)}", param="library"
            )

    async def have(self, library: str, templates: Iterable[str]) -> None:
        """Raises InvalidRequest for a template that the library does not have. While the store is not to be reached
        nothing is said: a session waits for it."""
        for template_id in dict.fromkeys(templates):
            try:
                await self.store.get(template_id, library=library)
            except NotFound as error:
                raise InvalidRequest(
                    f"templates: the library {library} has no template {template_id!r}",
                    hint=f"its templates: GET /v1/libraries/{library}/templates",
                    param="templates",
                ) from error
            except ServiceUnavailable:
                return

    async def cards(self, library: str) -> LibraryCards:
        """Read anew when the library has changed."""
        self.check(library)
        revision = next((info.revision for info in await self.store.libraries() if info.name == library), 0)
        known = self._cards.get(library)
        if known is None or known.revision != revision:
            known = await self._read(library, revision)
            self._cards[library] = known
        return known

    async def _read(self, library: str, revision: int) -> LibraryCards:
        found: list[TemplateCard] = []
        cursor: str | None = ""
        while cursor is not None and len(found) < MAX_CARDS:
            page = await self.store.list(library=library, cursor=cursor, limit=PAGE)
            found += map(_card, page.templates)
            cursor = page.next_cursor
        return LibraryCards(library=library, revision=revision, templates=tuple(found), complete=cursor is None)

    async def use(self, library: str, sessions: Sessions, latest: int) -> LibraryUse:
        """Over the tenant's latest sessions."""
        self.check(library)
        uses = [use for use in await self.uses(sessions, latest) if use.library == library]
        counted = [_counted(template_id, uses) for template_id in {name for use in uses for name in use.templates}]
        counted.sort(key=lambda use: (-use.steps, use.template_id))
        return LibraryUse(library=library, sessions=len(uses), templates=tuple(counted))

    async def uses(self, sessions: Sessions, latest: int) -> tuple[SessionUse, ...]:
        """The tenant's latest sessions that have finished, newest first."""
        turn = asyncio.Semaphore(READS)

        async def read(session_id: str) -> SessionUse | None:
            if (known := self._uses.get(session_id)) is not None:
                return known
            async with turn:
                try:
                    session = fold(session_id, await sessions.read(session_id))
                except SessionNotFound:  # deleted since it was listed
                    return None
            return self._remembered(session) if session.finished else None

        ids = await sessions.list(limit=latest)
        return tuple(use for use in await asyncio.gather(*map(read, ids)) if use is not None)

    def _remembered(self, session: Session) -> SessionUse:
        use = self._uses[session.id] = _use(session)
        while len(self._uses) > KEPT:
            self._uses.popitem(last=False)
        return use


def _card(template: ThoughtTemplate) -> TemplateCard:
    return TemplateCard.model_validate(template.model_dump(include=set(TemplateCard.model_fields)))


def _use(session: Session) -> SessionUse:
    followed: dict[str, int] = {}
    done: dict[str, int] = {}
    for state in session.steps:
        template = state.retrieval.template if state.retrieval else None
        if template is not None and state.instantiations:
            followed[template.id] = followed.get(template.id, 0) + 1
            done[template.id] = done.get(template.id, 0) + (state.phase is Phase.DONE)
    assert session.outcome is not None
    return SessionUse(
        id=session.id,
        problem=session.problem.text[:500],
        library=session.options.library,
        outcome=session.outcome,
        answer=session.answer,
        rounds=session.rounds,
        usage=session.usage,
        started_at=session.started_at,
        updated_at=session.updated_at,
        templates=followed,
        done=done,
    )


def _counted(template_id: str, uses: list[SessionUse]) -> TemplateUse:
    own = [use for use in uses if template_id in use.templates]
    return TemplateUse(
        template_id=template_id,
        sessions=len(own),
        solved=sum(use.outcome is Outcome.SOLVED for use in own),
        steps=sum(use.templates[template_id] for use in own),
        done=sum(use.done[template_id] for use in own),
    )
