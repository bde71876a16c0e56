"""What the OpenAPI document says of the routes that only read: template libraries, and sessions shown to people."""

from navigator.api.mathml import MathRequest, MathResponse
from navigator.mathematics import Piece
from navigator.session import fold
from navigator.shelves import LibraryCards, LibraryUse, SessionUse, TemplateCard, TemplateUse
from navigator.worked import markdown
from reasonflux.contracts import (
    Exchange,
    FailureKind,
    LibraryList,
    Message,
    Outcome,
    TemplateHistory,
    TemplatePage,
)
from reasonflux.describing import Answer, Operation
from reasonflux.examples import (
    CHANGE,
    ENTRIES,
    GOAL,
    LIBRARY,
    LIBRARY_INFO,
    PROBLEM,
    RETRIEVAL,
    SESSION_ID,
    STATEMENT,
    TEMPLATE,
)

NOT_FOUND = FailureKind.NOT_FOUND
_SESSION = fold(SESSION_ID, ENTRIES)
_USE = SessionUse(
    id=SESSION_ID,
    problem=PROBLEM,
    library=LIBRARY,
    outcome=Outcome.SOLVED,
    answer="7",
    rounds=_SESSION.rounds,
    usage=_SESSION.usage,
    started_at=_SESSION.started_at,
    updated_at=_SESSION.updated_at,
    templates={TEMPLATE.id: 1},
    done={TEMPLATE.id: 1},
)
_COUNTED = LibraryUse(
    library=LIBRARY,
    sessions=1,
    templates=(TemplateUse(template_id=TEMPLATE.id, sessions=1, solved=1, steps=1, done=1),),
)
_CARDS = LibraryCards(
    library=LIBRARY,
    revision=12,
    templates=(TemplateCard.model_validate(TEMPLATE.model_dump(include=set(TemplateCard.model_fields))),),
    complete=True,
)
_EXCHANGE = Exchange(
    role="executor",
    messages=(Message(role="user", content=f"goal: {GOAL}"),),
    reply='{"fits": true, "reasoning": "Here a = 1 and b = -7.", "bindings": {"a": "1", "b": "-7"}}',
)
_PIECES = MathResponse(
    texts=((Piece(text="Find "), Piece(text="$x$", mathml='<math display="inline"><mi>x</mi></math>')),)
)

LIBRARIES: dict[str, Operation] = {
    "libraries_libraries": Operation(
        "List the libraries", {200: Answer("All on offer", {"list": LibraryList(libraries=(LIBRARY_INFO,))})}
    ),
    "libraries_cards": Operation(
        "Look over a library", {200: Answer("Its templates in short", {"cards": _CARDS})}, (NOT_FOUND,)
    ),
    "libraries_search": Operation(
        "Search a library", {200: Answer("What is found", {"found": RETRIEVAL})}, (NOT_FOUND,)
    ),
    "libraries_use": Operation(
        "See what templates led to", {200: Answer("How often, and what came of it", {"use": _COUNTED})}, (NOT_FOUND,)
    ),
    "libraries_templates": Operation(
        "List templates",
        {200: Answer("A page of them", {"page": TemplatePage(templates=(TEMPLATE,))})},
        (NOT_FOUND,),
    ),
    "libraries_template": Operation(
        "Read a template", {200: Answer("As it is, or as it was", {"template": TEMPLATE})}, (NOT_FOUND,)
    ),
    "libraries_history": Operation(
        "Read a template's history",
        {
            200: Answer(
                "Every change",
                {"history": TemplateHistory(library=LIBRARY, template_id=TEMPLATE.id, changes=(CHANGE,))},
            )
        },
        (NOT_FOUND,),
    ),
    "libraries_sessions": Operation(
        "List sessions that followed a template",
        {200: Answer("Your latest", {"one": [_USE.model_dump(mode="json")]})},
        (NOT_FOUND,),
    ),
}

SHOWING: dict[str, Operation] = {
    "start_start": Operation(
        "Where to look first",
        {
            200: Answer(
                "Where the documentation is; the trace page to `Accept: text/html`",
                {"service": {"service": "ReasonFlux navigator", "docs": "/docs", "openapi": "/openapi.json"}},
            )
        },
    ),
    "showing_worked_solution": Operation(
        "Read a session as a worked solution",
        {200: Answer("Markdown", {"solved": markdown(_SESSION)}, media=("text/markdown",))},
        (NOT_FOUND,),
    ),
    "showing_statements": Operation(
        "Read a session's statements",
        {200: Answer("What `uses` of a step names", {"one": [STATEMENT.model_dump(mode="json")]})},
        (NOT_FOUND,),
    ),
    "showing_exchange": Operation(
        "See what an engine was asked", {200: Answer("Prompt and reply", {"exchange": _EXCHANGE})}, (NOT_FOUND,)
    ),
    "showing_mathml": Operation(
        "Cut texts at their formulas",
        {200: Answer("One list of pieces for each text", {"pieces": _PIECES})},
        asks={"a problem": MathRequest(texts=(PROBLEM,))},
    ),
}
