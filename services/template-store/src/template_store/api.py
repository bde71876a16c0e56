"""The store over HTTP."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request

from reasonflux.contracts import (
    SearchRequest,
    SearchResponse,
    TemplatePage,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
)
from reasonflux.errors import ServiceUnavailable
from template_store.store import Listing, TemplateStore

router = APIRouter(prefix="/v1/templates", tags=["templates"])


def opened_store(request: Request) -> TemplateStore:
    store = getattr(request.app.state, "store", None)
    if store is None:
        raise ServiceUnavailable("the template store is still starting")
    return cast(TemplateStore, store)


Store = Annotated[TemplateStore, Depends(opened_store)]


@router.post("/search")
async def search(request: SearchRequest, store: Store) -> SearchResponse:
    """The best templates for each query; `template` is None where the best does not reach the threshold."""
    return await store.search(request)


@router.get("/{template_id}")
async def get(template_id: str, store: Store) -> ThoughtTemplate:
    return store.get(template_id)


@router.get("")
async def list_templates(
    store: Store,
    field: Annotated[str | None, Query(description="a field path; fields below it count")] = None,
    type: TemplateType | None = None,
    tag: str | None = None,
    status: TemplateStatus | None = None,
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> TemplatePage:
    listing = Listing(field=field, type=type, tag=tag, status=status)
    templates, next_cursor = store.list(listing, after=cursor, limit=limit)
    return TemplatePage(templates=tuple(templates), next_cursor=next_cursor)
