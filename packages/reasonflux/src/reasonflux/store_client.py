"""The typed client of the template store. Every method raises ReasonFluxError, as all clients do (see client.py)."""

from collections.abc import AsyncGenerator, Mapping

import httpx

from reasonflux.contracts import (
    ImportReport,
    LibraryInfo,
    LibraryList,
    RollbackRequest,
    SearchRequest,
    SearchResponse,
    TemplateHistory,
    TemplatePage,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
    TransferFormat,
)
from reasonflux.http import CONNECT_SECONDS, LINE_ERRORS
from reasonflux.remote import RemoteService, segment

DEFAULT_LIBRARY = "math"
IMPORT_SECONDS = 600.0
"""An import as active works every example through before it is answered."""


class TemplateStoreClient(RemoteService):
    """Templates of named libraries: find, read, change."""

    name = "template store"

    async def search(self, request: SearchRequest) -> SearchResponse:
        return await self.ask(SearchResponse, "POST", "/v1/templates/search", body=request)

    async def get(
        self, template_id: str, *, library: str = DEFAULT_LIBRARY, revision: int | None = None
    ) -> ThoughtTemplate:
        """The template as it is now, or as it was at `revision`. Raises NotFound."""
        return await self.ask(ThoughtTemplate, "GET", _path(template_id), params=_said(library, revision=revision))

    async def list(
        self,
        *,
        library: str = DEFAULT_LIBRARY,
        field: str | None = None,
        type: TemplateType | None = None,
        tag: str | None = None,
        status: TemplateStatus | None = None,
        cursor: str = "",
        limit: int = 50,
    ) -> TemplatePage:
        """A page of templates, ordered by id. `field` is a path; those below it count."""
        asked = _said(library, field=field, type=type, tag=tag, status=status, cursor=cursor, limit=limit)
        return await self.ask(TemplatePage, "GET", _path(), params=asked)

    async def create(
        self, template: ThoughtTemplate, *, library: str = DEFAULT_LIBRARY, by: str = "", note: str = ""
    ) -> ThoughtTemplate:
        """Raises Conflict when its id or name is taken, TemplateUnsound when it is active and fails its checks."""
        return await self.ask(ThoughtTemplate, "POST", _path(), body=template, params=_said(library, by=by, note=note))

    async def update(
        self, template: ThoughtTemplate, *, library: str = DEFAULT_LIBRARY, by: str = "", note: str = ""
    ) -> ThoughtTemplate:
        """Replace the template; the change is made from `template.revision`.

        Raises PreconditionFailed when that is not the current one."""
        said, made_from = _said(library, by=by, note=note), _if_match(template.revision)
        return await self.ask(ThoughtTemplate, "PUT", _path(template.id), body=template, params=said, headers=made_from)

    async def activate(
        self,
        template_id: str,
        *,
        library: str = DEFAULT_LIBRARY,
        revision: int | None = None,
        by: str = "",
        note: str = "",
    ) -> ThoughtTemplate:
        """Let search find it; with `revision`, only if that is current. Raises TemplateUnsound when its checks fail."""
        return await self._move("activate", template_id, revision, _said(library, by=by, note=note))

    async def quarantine(
        self,
        template_id: str,
        *,
        library: str = DEFAULT_LIBRARY,
        revision: int | None = None,
        by: str = "",
        note: str = "",
    ) -> ThoughtTemplate:
        """Keep it from being found until it is activated."""
        return await self._move("quarantine", template_id, revision, _said(library, by=by, note=note))

    async def retire(
        self,
        template_id: str,
        *,
        library: str = DEFAULT_LIBRARY,
        revision: int | None = None,
        by: str = "",
        note: str = "",
    ) -> ThoughtTemplate:
        """Take it out of use; its history stays."""
        return await self._move("retire", template_id, revision, _said(library, by=by, note=note))

    async def _move(
        self, verb: str, template_id: str, revision: int | None, said: Mapping[str, str | int]
    ) -> ThoughtTemplate:
        path = _path(template_id, verb)
        return await self.ask(ThoughtTemplate, "POST", path, params=said, headers=_if_match(revision))

    async def history(self, template_id: str, *, library: str = DEFAULT_LIBRARY) -> TemplateHistory:
        """Every change of the template, the oldest first. Raises NotFound."""
        return await self.ask(TemplateHistory, "GET", _path(template_id, "history"), params=_said(library))

    async def rollback(
        self, template_id: str, to: int, *, library: str = DEFAULT_LIBRARY, by: str = "", note: str = ""
    ) -> ThoughtTemplate:
        """Make the template again what it was at revision `to`; that is a new revision."""
        body, said = RollbackRequest(revision=to), _said(library, by=by, note=note)
        return await self.ask(ThoughtTemplate, "POST", _path(template_id, "rollback"), body=body, params=said)

    async def import_templates(
        self,
        content: bytes,
        form: TransferFormat = TransferFormat.JSONL,
        *,
        library: str = DEFAULT_LIBRARY,
        status: TemplateStatus = TemplateStatus.QUARANTINED,
        update: bool = False,
        by: str = "",
        note: str = "",
    ) -> ImportReport:
        """Send many templates; the report tells what became of each. `update`: replace those that are there already."""
        existing = "update" if update else "refuse"
        said = _said(library, format=form, status=status, existing=existing, by=by, note=note)
        long = httpx.Timeout(IMPORT_SECONDS, connect=CONNECT_SECONDS)
        return await self.ask(ImportReport, "POST", _path("import"), content=content, params=said, timeout=long)

    async def export(
        self,
        form: TransferFormat = TransferFormat.JSONL,
        *,
        library: str = DEFAULT_LIBRARY,
        field: str | None = None,
        status: TemplateStatus | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """The library in a form that `import_templates` takes, piece by piece. Close it when leaving early."""
        asked = _said(library, format=form, field=field, status=status)
        async with self.response("GET", _path("export"), params=asked) as response:
            try:
                async for piece in response.aiter_bytes():
                    yield piece
            except LINE_ERRORS as error:
                raise self._gone(error) from error

    async def libraries(self) -> tuple[LibraryInfo, ...]:
        return (await self.ask(LibraryList, "GET", "/v1/libraries")).libraries

    async def create_library(self, name: str) -> LibraryInfo:
        """The library of this name, made if it is not there."""
        return await self.ask(LibraryInfo, "PUT", f"/v1/libraries/{segment(name)}")


def _path(*names: str) -> str:
    return "/".join(["/v1/templates", *map(segment, names)])


def _said(library: str, **params: str | int | None) -> dict[str, str | int]:
    """Query parameters without those that say nothing."""
    return {"library": library, **{key: value for key, value in params.items() if value is not None and value != ""}}


def _if_match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}
