"""What the template store's OpenAPI document says of each route."""

from reasonflux.contracts import (
    FailureKind,
    ImportedEntry,
    ImportOutcome,
    ImportReport,
    LibraryList,
    RollbackRequest,
    SearchRequest,
    SearchResponse,
    TemplateHistory,
    TemplatePage,
)
from reasonflux.describing import LOCATION, Answer, Document, Operation, link
from reasonflux.examples import CHANGE, LIBRARY, LIBRARY_INFO, QUERY, RETRIEVAL, TEMPLATE

NOT_FOUND, UNSOUND = FailureKind.NOT_FOUND, FailureKind.TEMPLATE_UNSOUND
ETAG = {"ETag": {"description": "its revision: what a change names in If-Match", "schema": {"type": "string"}}}
CHANGES = (NOT_FOUND, FailureKind.CONFLICT, FailureKind.PRECONDITION_FAILED)
_LINES = TEMPLATE.model_dump_json() + "\n"


def document() -> Document:
    return Document(
        summary="Holds named libraries of thought templates, and retrieves them",
        tags={"templates": "Thought templates: find, read, change.", "libraries": "Named libraries of templates."},
        operations={**_reading(), **_changing(), **_libraries()},
        fails=(FailureKind.SERVICE_UNAVAILABLE,),
        parameters={
            "library": "the library's name",
            "name": "the library's name",
            "template_id": "the template's `id`",
            "limit": "how many at most",
            "cursor": "`next_cursor` of the page before",
            "type": "only templates of this type",
            "tag": "only templates with this tag",
            "status": "only templates of this status",
            "format": "how they are written",
            "if-none-match": "an ETag that one has: unchanged is answered with 304",
        },
    )


def _reading() -> dict[str, Operation]:
    page = TemplatePage(templates=(TEMPLATE,), next_cursor=TEMPLATE.id)
    read = Answer("As it is, or as it was", {"template": TEMPLATE}, headers=ETAG)
    return {
        "templates_search": Operation(
            "Search for templates",
            {200: Answer("One retrieval per query", {"found": SearchResponse(retrievals=(RETRIEVAL,))})},
            (NOT_FOUND,),
            asks={"a query": SearchRequest(queries=(QUERY,), top_k=3)},
        ),
        "templates_list_templates": Operation(
            "List templates",
            {200: Answer("A page, ordered by id", {"page": page})},
            (NOT_FOUND,),
        ),
        "templates_export": Operation(
            "Export templates",
            {200: Answer("A stream of them", {"lines": _LINES}, media=("application/x-ndjson", "application/yaml"))},
            (NOT_FOUND,),
        ),
        "templates_get": Operation(
            "Read a template",
            {200: read, 304: Answer("It is unchanged", headers=ETAG)},
            (NOT_FOUND,),
        ),
        "templates_history": Operation(
            "Read a template's history",
            {
                200: Answer(
                    "Every change, the oldest first",
                    {"history": TemplateHistory(library=LIBRARY, template_id=TEMPLATE.id, changes=(CHANGE,))},
                )
            },
            (NOT_FOUND,),
        ),
    }


def _changing() -> dict[str, Operation]:
    changed = Answer("The template as it is now", {"template": TEMPLATE}, headers=ETAG)
    report = ImportReport(
        library=LIBRARY,
        counts={ImportOutcome.CREATED: 1},
        entries=(ImportedEntry(place="line 1", template_id=TEMPLATE.id, outcome=ImportOutcome.CREATED),),
    )
    next_ = {
        "read": link("templates_get", "read it", template_id="$response.body#/id"),
        "retire": link("templates_retire", "take it out of use", template_id="$response.body#/id"),
        "history": link("templates_history", "what was done to it", template_id="$response.body#/id"),
    }
    created = Answer("It is there", {"template": TEMPLATE}, headers={**ETAG, **LOCATION}, links=next_)
    replaced = Operation(
        "Replace a template",
        {200: changed},
        (*CHANGES, UNSOUND, FailureKind.PRECONDITION_REQUIRED),
        asks={"a template": TEMPLATE},
    )
    return {
        "templates_create": Operation(
            "Create a template",
            {201: created},
            (NOT_FOUND, FailureKind.CONFLICT, UNSOUND),
            asks={"a template": TEMPLATE},
        ),
        "templates_update": replaced,
        "templates_import_templates": Operation(
            "Import templates",
            {200: Answer("What became of each", {"report": report})},
            (NOT_FOUND,),
            asks={"lines": _LINES},
        ),
        "templates_retire": Operation("Take a template out of use", {200: changed}, CHANGES),
        "templates_activate": Operation("Let search find a template", {200: changed}, (*CHANGES, UNSOUND)),
        "templates_quarantine": Operation("Keep a template from being found", {200: changed}, CHANGES),
        "templates_roll_back": Operation(
            "Make a template what it was",
            {200: changed},
            (*CHANGES, UNSOUND),
            asks={"the first revision": RollbackRequest(revision=1)},
        ),
    }


def _libraries() -> dict[str, Operation]:
    info = {"library": LIBRARY_INFO}
    return {
        "libraries_list_libraries": Operation(
            "List the libraries", {200: Answer("By name", {"list": LibraryList(libraries=(LIBRARY_INFO,))})}
        ),
        "libraries_library_info": Operation("Look at a library", {200: Answer("It is there", info)}, (NOT_FOUND,)),
        "libraries_create_library": Operation(
            "Make a library", {200: Answer("It was there already", info), 201: Answer("It is new", info)}
        ),
    }
