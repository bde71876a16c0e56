"""The store over HTTP: what changes templates. Every change is from a revision, and stands in the history."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from reasonflux.contracts import (
    ImportReport,
    RollbackRequest,
    TemplateStatus,
    ThoughtTemplate,
    TransferFormat,
)
from reasonflux.errors import InvalidRequest, PreconditionRequired
from template_store.api.bodies import TemplateRoute, limited
from template_store.api.reading import Library, Store, etag, opaque
from template_store.editing import Author
from template_store.exchange import transfer

router = APIRouter(prefix="/v1/templates", tags=["templates"], route_class=TemplateRoute)


async def named_author(
    by: Annotated[str, Query(max_length=120, description="who makes the change; kept in the history")] = "",
    note: Annotated[str, Query(max_length=500, description="why; kept in the history")] = "",
) -> Author:
    return Author(by, note)


Said = Annotated[Author, Depends(named_author)]


ETAG = r'^(\*|(W/)?"[0-9]{1,15}"|[0-9]{1,15})$'


async def expected_revision(
    if_match: Annotated[
        str | None,
        Header(
            description='the ETag that the change is made from, such as "3"; `*`: whatever it is now',
            json_schema_extra={"pattern": ETAG},
        ),
    ] = None,
) -> int | None:
    """The revision that If-Match names; None when it names none, or any (`*`)."""
    if if_match is None or if_match.strip() == "*":
        return None
    revision = opaque(if_match).strip('"')
    if not revision.isdecimal() or len(revision) > 15:
        raise InvalidRequest(
            f"If-Match: {if_match[:40]!r} is no ETag of a template", hint='send the one that GET gave, such as "3"'
        )
    return int(revision)


Expected = Annotated[int | None, Depends(expected_revision)]


def answered(response: Response, template: ThoughtTemplate) -> ThoughtTemplate:
    response.headers["ETag"] = etag(template)
    return template


@router.post("", status_code=201)
async def create(
    template: ThoughtTemplate, library: Library, store: Store, author: Said, response: Response
) -> ThoughtTemplate:
    """A new template. An active one must pass the machine checks; a quarantined one is kept as it is."""
    created = await store.editor.create(library, template, author)
    response.headers["Location"] = f"/v1/templates/{created.id}?library={library.name}"
    return answered(response, created)


_IMPORTED = {
    "requestBody": {
        "required": True,
        "content": {media: {"schema": {"type": "string", "minLength": 1}} for media in transfer.MEDIA_TYPES},
    }
}


@router.post("/import", openapi_extra=_IMPORTED)
async def import_templates(
    request: Request,
    library: Library,
    store: Store,
    author: Said,
    format: Annotated[TransferFormat | None, Query(description="default: by Content-Type")] = None,
    status: Annotated[
        Literal[TemplateStatus.QUARANTINED, TemplateStatus.ACTIVE], Query(description="what all of them become")
    ] = TemplateStatus.QUARANTINED,
    existing: Annotated[str, Query(pattern="^(refuse|update)$", description="what becomes of ids in use")] = "refuse",
) -> ImportReport:
    """Many templates at once, reported one by one: JSON lines, YAML documents or a JSON list."""
    form = transfer.chosen_format(format, request.headers.get("content-type"))
    content = await limited(request.stream(), transfer.MAX_BYTES, "send it in several parts")
    received = await asyncio.to_thread(transfer.read, content, form)
    return await store.importer.bring(library, received, status, author, update=existing == "update")


@router.put("/{template_id}")
async def update(
    template_id: str,
    template: ThoughtTemplate,
    library: Library,
    store: Store,
    author: Said,
    expected: Expected,
    request: Request,
    response: Response,
) -> ThoughtTemplate:
    """Replace the template, status included. If-Match is needed: the ETag that the change is made from."""
    if "if-match" not in request.headers:
        raise PreconditionRequired(
            "If-Match: it must be said which revision the change is made from",
            hint=f"GET /v1/templates/{template_id} and send its ETag as If-Match",
            param="If-Match",
        )
    if template.id != template_id:
        raise InvalidRequest(
            f"id: is {template.id!r}, but the path says {template_id!r}",
            hint="an id never changes: create a new template and retire this one",
            param="id",
        )
    return answered(response, await store.editor.update(library, template, expected, author))


async def _move(
    status: TemplateStatus,
    template_id: str,
    library: Library,
    store: Store,
    author: Author,
    expected: int | None,
    response: Response,
) -> ThoughtTemplate:
    return answered(response, await store.editor.move(library, template_id, status, expected, author))


@router.post("/{template_id}/retire")
async def retire(
    template_id: str, library: Library, store: Store, author: Said, expected: Expected, response: Response
) -> ThoughtTemplate:
    """Search finds it no more and its name is free; it can be read, listed, activated and rolled back."""
    return await _move(TemplateStatus.RETIRED, template_id, library, store, author, expected, response)


@router.post("/{template_id}/activate")
async def activate(
    template_id: str, library: Library, store: Store, author: Said, expected: Expected, response: Response
) -> ThoughtTemplate:
    """Search finds it from here on. It must pass the machine checks."""
    return await _move(TemplateStatus.ACTIVE, template_id, library, store, author, expected, response)


@router.post("/{template_id}/quarantine")
async def quarantine(
    template_id: str, library: Library, store: Store, author: Said, expected: Expected, response: Response
) -> ThoughtTemplate:
    """Search finds it no more until it is activated; its name stays its own."""
    return await _move(TemplateStatus.QUARANTINED, template_id, library, store, author, expected, response)


@router.post("/{template_id}/rollback")
async def roll_back(
    template_id: str,
    asked: RollbackRequest,
    library: Library,
    store: Store,
    author: Said,
    expected: Expected,
    response: Response,
) -> ThoughtTemplate:
    """Make the template again what it was at an earlier revision. This is a new revision of its own."""
    template = await store.editor.roll_back(library, template_id, asked.revision, expected, author)
    return answered(response, template)
