"""Template libraries over HTTP, to read: what the template store tells, as far as this navigator offers it."""

from typing import Annotated

from fastapi import APIRouter, Query

from navigator.api.opening import Navigator
from navigator.shelves import LibraryCards, LibraryUse, SessionUse
from reasonflux.contracts import (
    LibraryList,
    Retrieval,
    SearchRequest,
    TemplateHistory,
    TemplatePage,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
)
from reasonflux.contracts import Query as TemplateQuery
from reasonflux.contracts.template import MAX_REVISION

router = APIRouter(prefix="/v1/libraries", tags=["libraries"])

Latest = Annotated[int, Query(ge=1, le=1000, description="how many of your latest sessions count")]


@router.get("")
async def libraries(navigator: Navigator) -> LibraryList:
    """The libraries that a session may ask for, the default first."""
    known = {info.name: info for info in await navigator.shelves.store.libraries()}
    return LibraryList(libraries=tuple(known[name] for name in navigator.shelves.offered if name in known))


@router.get("/{library}/cards")
async def cards(library: str, navigator: Navigator) -> LibraryCards:
    """Every template in short, to filter and to browse."""
    return await navigator.shelves.cards(library)


@router.get("/{library}/search")
async def search(
    library: str,
    navigator: Navigator,
    q: Annotated[str, Query(min_length=1, max_length=1000, description="what is looked for, in words")],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    field: Annotated[str | None, Query(description="a field path; fields below it count")] = None,
    type: TemplateType | None = None,
) -> Retrieval:
    """What the library has for these words, as a session would find it: candidates with scores, and the choice."""
    navigator.shelves.check(library)
    request = SearchRequest(
        queries=(TemplateQuery(name=q, text=q),),
        top_k=limit,
        fields=(field,) if field else (),
        types=(type,) if type else (),
        library=library,
    )
    return (await navigator.shelves.store.search(request)).retrievals[0]


@router.get("/{library}/use")
async def use(library: str, navigator: Navigator, sessions: Latest = 200) -> LibraryUse:
    """How often your latest sessions followed each template, and what came of it."""
    return await navigator.shelves.use(library, navigator.journal, sessions)


@router.get("/{library}/templates")
async def templates(
    library: str,
    navigator: Navigator,
    field: Annotated[str | None, Query(description="a field path; fields below it count")] = None,
    tag: str | None = None,
    type: TemplateType | None = None,
    status: TemplateStatus | None = None,
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> TemplatePage:
    """Whole templates, ordered by id."""
    navigator.shelves.check(library)
    return await navigator.shelves.store.list(
        library=library, field=field, tag=tag, type=type, status=status, cursor=cursor, limit=limit
    )


@router.get("/{library}/templates/{template_id}")
async def template(
    library: str,
    template_id: str,
    navigator: Navigator,
    revision: Annotated[int | None, Query(ge=1, le=MAX_REVISION, description="as it was then")] = None,
) -> ThoughtTemplate:
    """One template, as it is or as it was."""
    navigator.shelves.check(library)
    return await navigator.shelves.store.get(template_id, library=library, revision=revision)


@router.get("/{library}/templates/{template_id}/history")
async def history(library: str, template_id: str, navigator: Navigator) -> TemplateHistory:
    """Every change of the template, the oldest first."""
    navigator.shelves.check(library)
    return await navigator.shelves.store.history(template_id, library=library)


@router.get("/{library}/templates/{template_id}/sessions")
async def sessions(
    library: str, template_id: str, navigator: Navigator, sessions: Latest = 200
) -> tuple[SessionUse, ...]:
    """Those of your latest sessions that followed the template, newest first."""
    navigator.shelves.check(library)
    found = await navigator.shelves.uses(navigator.journal, sessions)
    return tuple(use for use in found if use.library == library and template_id in use.templates)
