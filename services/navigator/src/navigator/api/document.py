"""What the navigator's OpenAPI document says of each route, with examples made by what answers there."""

from functools import partial
from typing import Any

from navigator.access.limits import RATE_LIMIT_HEADERS
from navigator.api.chat_shapes import chunk, completion, usage_chunk
from navigator.api.document_of_reading import LIBRARIES, SHOWING
from navigator.api.naming import choices, model_card
from navigator.api.openai_contracts import (
    ChatChunk,
    ChatCompletion,
    DeletedResponse,
    ModelCard,
    ModelList,
    ResponseBody,
    ResponseEvent,
)
from navigator.api.outcome import extra_of
from navigator.api.response_events import ResponseTeller
from navigator.api.response_shapes import narration, response
from navigator.api.sessions import SessionPage, SessionSummary
from navigator.session import fold
from navigator.webhooks import SessionNotice
from reasonflux.contracts import (
    ActionKind,
    Delta,
    Entry,
    ErrorBody,
    EventPage,
    FailureKind,
    Outcome,
)
from reasonflux.describing import LOCATION, Answer, Document, Operation, Refusal, Stream, event_text, link
from reasonflux.examples import ENTRIES, LIBRARY, SESSION_ID

NOT_FOUND, CONFLICT, EXPIRED = FailureKind.NOT_FOUND, FailureKind.CONFLICT, FailureKind.EXPIRED
STARTS = (FailureKind.RATE_LIMITED, FailureKind.OVERLOADED)
"""What starts work may be refused so."""
WORKS = (
    FailureKind.ENGINE_REFUSED,
    FailureKind.UNPARSABLE_REPLY,
    FailureKind.ENGINE_UNAVAILABLE,
    FailureKind.DEADLINE_EXCEEDED,
)
"""What waits for an answer may end so."""
TOO_LARGE = Refusal(
    413,
    FailureKind.INVALID_REQUEST,
    "The body is too large",
    "POST /v1/sessions: the body is larger than 4194304 bytes",
)
LIMITS = {
    name: {
        "description": "where the tenant stands with its limits a minute, where it has any",
        "schema": {"type": "string"},
    }
    for name in RATE_LIMIT_HEADERS
}
SESSION_HEADER = {
    "X-ReasonFlux-Session": {"description": "the session that answers", "schema": {"type": "string"}},
}
SESSION = fold(SESSION_ID, ENTRIES)
RUNNING = fold(SESSION_ID, ENTRIES[:3])
MODEL = f"reasonflux/{LIBRARY}"
RESPONSE_ID = f"resp_{SESSION_ID}"


def document(*, keys_optional: bool) -> Document:
    return Document(
        summary="Solves problems by planning over a library of thought templates",
        tags={
            "start": "Where to look first.",
            "sessions": "One problem's journal: start it, follow it, follow it up, end it.",
            "OpenAI": "The same for OpenAI's clients: chat completions, responses, models.",
            "libraries": "The template libraries that sessions may use.",
            "showing": "Sessions and formulas, for people to read.",
        },
        operations={**_sessions(), **_chat(), **_responses(), **_models(), **LIBRARIES, **SHOWING},
        fails=(FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN, FailureKind.SERVICE_UNAVAILABLE),
        bodies=(TOO_LARGE,),
        keys_optional=keys_optional,
        parameters={
            "session_id": "the session's `id`",
            "response_id": "the response's `id`: `resp_` and a session's id",
            "seq": "the entry's `seq`",
            "name": "the model's `id`; it may have a slash in it",
            "library": "a template library that this deployment offers",
            "template_id": "the template's `id`",
            "limit": "how many at most",
            "cursor": "`next_cursor` of the page before",
            "stream": "the events instead of the response",
            "type": "only templates of this type",
            "tag": "only templates with this tag",
            "status": "only templates of this status",
            "idempotency-key": "a repeated request with the same key starts nothing",
        },
        hooks={
            "session.finished": (
                "A session has finished: sent to its `webhook`, at least once",
                SessionNotice(session_id=SESSION_ID, outcome=Outcome.SOLVED, metadata=SESSION.metadata),
            )
        },
    )


def _sessions() -> dict[str, Operation]:
    after_creation = {
        "follow": link("sessions_events", "its events", session_id="$response.body#/id"),
        "look": link("sessions_get", "how it stands", session_id="$response.body#/id"),
        "stop": link("sessions_cancel", "end it", session_id="$response.body#/id"),
        "forget": link("sessions_delete", "forget it", session_id="$response.body#/id"),
    }
    finished = {"solved": SESSION}
    return {
        "sessions_create": Operation(
            "Start solving a problem",
            {
                201: Answer("It is started", {"started": RUNNING}, headers=LOCATION, links=after_creation),
                200: Answer("This Idempotency-Key started it before", finished, headers=LOCATION, links=after_creation),
            },
            (NOT_FOUND, CONFLICT, *STARTS),
            headers=LIMITS,
        ),
        "sessions_list_sessions": Operation(
            "List your sessions, newest first", {200: Answer("A page of them", {"one": _page()})}, (EXPIRED,)
        ),
        "sessions_get": Operation(
            "Read a session", {200: Answer("As it stands", {"solved": SESSION, "under way": RUNNING})}, (NOT_FOUND,)
        ),
        "sessions_cancel": Operation("End a session", {200: Answer("It has ended", finished)}, (NOT_FOUND,)),
        "sessions_delete": Operation("Forget a session", {204: Answer("It is forgotten")}, (NOT_FOUND,)),
        "sessions_events": Operation(
            "Follow a session's events",
            {
                200: Answer(
                    "A page of entries; or, to `Accept: text/event-stream`, all of them as they are committed, with "
                    "live text in between",
                    {"page": EventPage(session_id=SESSION_ID, entries=ENTRIES[:2], finished=False)},
                    stream=_event_stream(),
                )
            },
            (NOT_FOUND, EXPIRED),
        ),
    }


def _page() -> SessionPage:
    shown = {name: getattr(SESSION, name) for name in SessionSummary.model_fields if name != "problem"}
    return SessionPage(sessions=(SessionSummary(problem=SESSION.problem.text, **shown),), next_cursor=SESSION_ID)


def _event_stream() -> Stream:
    delta = Delta(action=ActionKind.PLAN, text="The sum of the roots")
    shown: list[Entry | Delta] = [ENTRIES[0], delta, ENTRIES[1], ENTRIES[-1]]
    told = (
        event_text(item, event=item.event.type, id=str(item.seq))
        if isinstance(item, Entry)
        else event_text(item, event="delta")
        for item in shown
    )
    return Stream(
        "Entries as they are committed, and text while it is generated. It ends after `session.finished`; one that "
        "broke off goes on after the `Last-Event-ID`.",
        (Entry, Delta),
        "".join(told),
        names=(
            *dict.fromkeys(entry.event.type for entry in ENTRIES),
            "action.failed",
            "action.dropped",
            "step.restarted",
            "delta",
        ),
        ids="the entry's seq: send the last one as Last-Event-ID to resume; live text has none",
    )


def _chat() -> dict[str, Operation]:
    said = narration(ENTRIES)
    opening = {"role": "assistant", "content": "", "reasoning": said, "reasoning_content": said}
    extra = partial(extra_of, SESSION)
    frames: list[dict[str, Any]] = [
        chunk(RUNNING, MODEL, opening, reasonflux=extra_of(fold(SESSION_ID, ENTRIES[:1]), ENTRIES[0])),
        chunk(SESSION, MODEL, {"content": "The answer is \\boxed{7}"}),
        chunk(SESSION, MODEL, {}, finish_reason="stop", reasonflux=extra(ENTRIES[-1])),
        usage_chunk(SESSION, MODEL),
    ]
    stream = Stream(
        "Chunks as OpenAI's clients know them; an error in the middle has `error`. The last data is `[DONE]`.",
        (ChatChunk, ErrorBody),
        "".join([*map(event_text, frames), event_text("[DONE]")]),
        end="[DONE]",
    )
    answered = {"solved": completion(SESSION, MODEL, said, ())}
    return {
        "openai_complete": Operation(
            "Answer a chat",
            {
                200: Answer(
                    "The answer; a stream of chunks where the request says `stream: true`",
                    answered,
                    ChatCompletion,
                    stream=stream,
                    headers=SESSION_HEADER,
                )
            },
            (NOT_FOUND, CONFLICT, *STARTS, *WORKS),
            headers=LIMITS,
        )
    }


def _responses() -> dict[str, Operation]:
    finished = {"completed": response(SESSION, narration(ENTRIES))}
    teller = ResponseTeller(SESSION_ID)
    told = [event for entry in ENTRIES for event in teller.hear(entry)]
    stream = Stream(
        "The events of OpenAI's Responses API. One that broke off goes on at GET /v1/responses/{id}?stream=true"
        "&starting_after=<sequence_number>.",
        (ResponseEvent,),
        "".join(event_text(event, event=event["type"]) for event in (*told[:2], told[-1])),
        names=sorted({event["type"] for event in told} | {"response.failed", "response.incomplete", "error"}),
    )
    shown = partial(Answer, examples=finished, model=ResponseBody)
    next_ = {
        "read": link("openai_retrieve", "how it stands", response_id="$response.body#/id"),
        "stop": link("openai_cancel", "end it", response_id="$response.body#/id"),
        "forget": link("openai_delete", "forget it", response_id="$response.body#/id"),
    }
    return {
        "openai_create": Operation(
            "Create a response",
            {200: shown("The response; its events where the request says `stream: true`", stream=stream, links=next_)},
            (NOT_FOUND, CONFLICT, *STARTS, *WORKS),
            headers=LIMITS,
        ),
        "openai_retrieve": Operation(
            "Read a response",
            {200: shown("As it stands; its events where the query says `stream=true`", stream=stream)},
            (NOT_FOUND, EXPIRED),
        ),
        "openai_cancel": Operation("End a response", {200: shown("It has ended")}, (NOT_FOUND,)),
        "openai_delete": Operation(
            "Forget a response",
            {
                200: Answer(
                    "It is forgotten",
                    {"forgotten": {"id": RESPONSE_ID, "object": "response", "deleted": True}},
                    DeletedResponse,
                )
            },
            (NOT_FOUND,),
        ),
    }


def _models() -> dict[str, Operation]:
    cards = [
        model_card(name, choice, reads_instructions=True) for name, choice in choices([LIBRARY], ["default"]).items()
    ]
    return {
        "openai_models": Operation(
            "List the models", {200: Answer("All of them", {"list": {"object": "list", "data": cards}}, ModelList)}
        ),
        "openai_model": Operation(
            "Read a model", {200: Answer("It is there", {"model": cards[0]}, ModelCard)}, (NOT_FOUND,)
        ),
    }
