"""The store over HTTP: templates read and searched. What changes them is in `api_changes`."""

import re
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from reasonflux.contracts import (
    LibraryInfo,
    LibraryList,
    SearchRequest,
    SearchResponse,
    TemplateHistory,
    TemplatePage,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
    TransferFormat,
)
from reasonflux.contracts.template import LIBRARY_NAME, MAX_REVISION
from reasonflux.errors import InvalidRequest, ServiceUnavailable
from template_store.api.bodies import GuardedRoute
from template_store.api.opened import OpenStore
from template_store.exchange.transfer import WRITTEN_AS, written
from template_store.replica import Listing, Replica

LIBRARY_NAME_PATTERN = re.compile(LIBRARY_NAME)

libraries_router = APIRouter(prefix="/v1/libraries", tags=["libraries"])
router = APIRouter(prefix="/v1/templates", tags=["templates"], route_class=GuardedRoute)


async def opened_store(request: Request) -> OpenStore:
    store = getattr(request.app.state, "store", None)
    if store is None:
        raise ServiceUnavailable("the template store is still starting")
    return cast(OpenStore, store)


Store = Annotated[OpenStore, Depends(opened_store)]
LibraryName = Annotated[str, Query(max_length=60, description="the library's name")]


async def asked_library(store: Store, library: LibraryName = "math") -> Replica:
    return await store.libraries.find(library)


Library = Annotated[Replica, Depends(asked_library)]


async def asked_listing(
    field: Annotated[str | None, Query(description="a field path; fields below it count")] = None,
    type: TemplateType | None = None,
    tag: str | None = None,
    status: TemplateStatus | None = None,
) -> Listing:
    return Listing(field=field, type=type, tag=tag, status=status)


Asked = Annotated[Listing, Depends(asked_listing)]


def etag(template: ThoughtTemplate) -> str:
    return f'"{template.revision}"'


def opaque(tag: str) -> str:
    """An ETag as it was given out: proxies that compress mark it as weak."""
    return tag.strip().removeprefix("W/")


@libraries_router.get("")
async def list_libraries(store: Store) -> LibraryList:
    """All libraries with their revision and how many templates they have, by name."""
    return LibraryList(libraries=tuple(library.info() for library in await store.libraries.all()))


@libraries_router.get("/{name}")
async def library_info(name: str, store: Store) -> LibraryInfo:
    """Its revision, which every change raises, and how many templates it has by status."""
    return (await store.libraries.find(name)).info()


@libraries_router.put("/{name}", responses={201: {"model": LibraryInfo, "description": "It is new"}})
async def create_library(name: str, store: Store, response: Response) -> LibraryInfo:
    """Make a library of this name. One that is there already stays as it is."""
    if not LIBRARY_NAME_PATTERN.fullmatch(name) or len(name) > 60:
        raise InvalidRequest(
            f"name: {name[:80]!r} cannot name a library",
            hint="use lower-case letters, digits and single hyphens, such as number-theory; at most 60 characters",
            param="name",
        )
    library, new = await store.libraries.create(name)
    response.status_code = 201 if new else 200
    return library.info()


@router.post("/search")
async def search(request: SearchRequest, store: Store) -> SearchResponse:
    """The best templates for each query; `template` is None where the best does not reach the threshold."""
    return await store.search(request)


@router.get("/export", response_class=StreamingResponse)
async def export(
    library: Library,
    listing: Asked,
    format: Annotated[
        Literal[TransferFormat.JSONL, TransferFormat.YAML], Query(description="how they are written")
    ] = TransferFormat.JSONL,
) -> StreamingResponse:
    """Every template that the filters admit, by id, as a stream that POST /v1/templates/import reads."""
    return StreamingResponse(written(library.each(listing), format), media_type=WRITTEN_AS[format])


@router.get("/{template_id}", response_model=ThoughtTemplate, responses={304: {"description": "It is unchanged"}})
async def get(
    template_id: str,
    library: Library,
    store: Store,
    response: Response,
    revision: Annotated[
        int | None, Query(ge=1, le=MAX_REVISION, description="as it was then; default: as it is now")
    ] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> ThoughtTemplate | Response:
    """One template. Its revision is the ETag, which a change must name in If-Match."""
    template = library.get(template_id)
    if revision is not None and revision != template.revision:
        template = (await store.records.at(library.name, template_id, revision)).template
    if if_none_match is not None and opaque(if_none_match) == etag(template):
        return Response(status_code=304, headers={"ETag": etag(template)})
    response.headers["ETag"] = etag(template)
    return template


@router.get("/{template_id}/history")
async def history(template_id: str, library: Library, store: Store) -> TemplateHistory:
    """Every change of the template, the oldest first."""
    changes = await store.records.history(library.name, template_id)
    return TemplateHistory(library=library.name, template_id=template_id, changes=changes)


@router.get("")
async def list_templates(
    library: Library, listing: Asked, cursor: str = "", limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> TemplatePage:
    """Whole templates, ordered by id, a page at a time."""
    templates, next_cursor = library.page(listing, after=cursor, limit=limit)
    return TemplatePage(templates=tuple(templates), next_cursor=next_cursor)
