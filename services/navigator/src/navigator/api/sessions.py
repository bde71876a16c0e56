"""Sessions over HTTP: start one, read it, watch it happen, end it."""

import asyncio
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import Response
from pydantic import Field
from sse_starlette import ServerSentEvent

from navigator.api.opening import Navigator, OpenNavigator
from navigator.api.streaming import Frames, event_stream
from navigator.errors import CursorExpired, SessionNotFound
from reasonflux.contracts import (
    Contract,
    CreateSession,
    Entry,
    ErrorBody,
    EventPage,
    Outcome,
    Session,
    SessionFinished,
    Usage,
)
from reasonflux.errors import InvalidRequest, ReasonFluxError
from reasonflux.observing import logger

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

EXAMPLES: dict[str, Any] = {
    "a problem": {
        "summary": "A problem, solved with the usual effort",
        "value": {"problem": "What is the remainder when 7^100 is divided by 13?"},
    },
    "a budget": {
        "summary": "With a budget of one's own, two steps planned at a time",
        "value": {
            "problem": "Let K be the greatest common divisor of 84 and 126. An arithmetic sequence has first term 5 "
            "and common difference 2. What is the sum of its first K terms?",
            "budget": {"rounds": 8, "tokens": 20000, "seconds": 60, "samples": 2},
            "horizon": 2,
            "metadata": {"course": "algebra-1"},
        },
    },
    "a follow-up": {
        "summary": "A question about a session that has finished",
        "value": {
            "problem": "Let M be the previous answer. What is the sum of M and 180?",
            "parent": "4f1c2b0a9d8e4c7fb1a2c3d4e5f60718",
        },
    },
    "a baseline": {
        "summary": "Plan once, without templates and without reviews",
        "value": {"problem": "Find the greatest common divisor of 84 and 126.", "review": False, "retrieve": False},
    },
}


class SessionSummary(Contract):
    """A session in a list."""

    id: str
    problem: str
    outcome: Outcome | None = Field(description="None while it runs")
    answer: str | None
    rounds: int
    usage: Usage
    started_at: datetime
    updated_at: datetime


class SessionPage(Contract):
    """A page of `GET /v1/sessions`, newest first."""

    sessions: tuple[SessionSummary, ...]
    next_cursor: str | None = Field(default=None, description="`cursor` of the next page; None: this is the last")


Replayed: dict[int | str, dict[str, Any]] = {
    200: {"model": Session, "description": "The session that this idempotency key started before"},
    404: {"model": ErrorBody, "description": "There is no such parent (any more)"},
    409: {
        "model": ErrorBody,
        "description": "The key belongs to another request, or the parent still runs",
    },
}


@router.post("", status_code=201, responses=Replayed)
async def create(
    navigator: Navigator,
    response: Response,
    asked: Annotated[CreateSession, Body(openapi_examples=EXAMPLES)],
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="a repeated request with the same key starts nothing"),
    ] = None,
) -> Session:
    """Start solving a problem. Follow it at the `Location`, or its events at `Location`/events.

    With `parent` it follows up a finished session and sees its problem, trajectory and answer.
    """
    session_id, is_new = await navigator.start(asked, idempotency_key)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/sessions/{session_id}"
    return await navigator.session(session_id)


@router.get("")
async def list_sessions(
    navigator: Navigator,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
) -> SessionPage:
    """Sessions, newest first."""
    ids = await navigator.journal.list(limit=limit + 1, before=cursor)
    shown = ids[:limit]
    found = await asyncio.gather(*(_summary(navigator, session_id) for session_id in shown))
    return SessionPage(
        sessions=tuple(summary for summary in found if summary is not None),
        next_cursor=shown[-1] if len(ids) > limit else None,
    )


@router.get("/{session_id}")
async def get(session_id: str, navigator: Navigator) -> Session:
    """Everything that is known about the session so far, also while it runs."""
    return await navigator.session(session_id)


@router.post("/{session_id}/cancel")
async def cancel(session_id: str, navigator: Navigator) -> Session:
    """End the session. One that has finished already stays as it is."""
    return await navigator.cancel(session_id)


@router.delete("/{session_id}", status_code=204)
async def delete(session_id: str, navigator: Navigator) -> None:
    """Forget the session and all its events; a running one is ended."""
    await navigator.journal.delete(session_id)


@router.get(
    "/{session_id}/events",
    response_model=EventPage,
    responses={
        200: {
            "description": "A page of entries; or, to `Accept: text/event-stream`, server-sent events: committed "
            "entries (`id`: seq, `event`: the event's type, `data`: the Entry) and live text (`event: delta`, no id)",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        410: {"model": ErrorBody, "description": "The cursor lies beyond the session's last event"},
    },
)
async def events(
    request: Request,
    session_id: str,
    navigator: Navigator,
    after: Annotated[int, Query(ge=0, le=10**15, description="only entries with a larger seq")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="of a page")] = 100,
    deltas: Annotated[bool, Query(description="of a stream: also text while it is being generated")] = True,
    last_event_id: Annotated[
        str | None,
        Header(
            description="goes before `after`: a stream that resumes", json_schema_extra={"pattern": "^[0-9]{1,18}$"}
        ),
    ] = None,
) -> Any:
    """The session's events: a JSON page, or a stream that ends after `session.finished` and can be resumed."""
    seq = after if last_event_id is None else _seq(last_event_id)
    before = await navigator.journal.read(session_id, max(0, seq - 1), 1)
    if seq and not before:
        raise CursorExpired(
            f"The cursor {seq} lies beyond the session's last event.", hint="Read the session from the start."
        )
    if "text/event-stream" in request.headers.get("accept", ""):
        stream = _stream(navigator, session_id, seq, deltas)
        left = partial(navigator.left, session_id)
        return event_stream(stream, left=left, heartbeat=navigator.heartbeat)
    entries = await navigator.journal.read(session_id, seq, limit)
    last = (entries or before)[-1]
    return EventPage(session_id=session_id, entries=entries, finished=isinstance(last.event, SessionFinished))


async def _stream(navigator: OpenNavigator, session_id: str, after: int, deltas: bool) -> Frames:
    """Ends early, for the reader to resume, when the journal fails or the session is deleted."""
    try:
        async with aclosing(navigator.follow(session_id, after, deltas=deltas)) as items:
            async for item in items:
                if isinstance(item, Entry):
                    yield ServerSentEvent(item.model_dump_json(), event=item.event.type, id=str(item.seq), sep="\n")
                else:
                    yield ServerSentEvent(item.model_dump_json(), event="delta", sep="\n")
    except ReasonFluxError as error:
        logger.warning("event stream ended early", session=session_id, reason=str(error))


async def _summary(navigator: OpenNavigator, session_id: str) -> SessionSummary | None:
    try:
        session = await navigator.session(session_id)
    except SessionNotFound:  # deleted since it was listed
        return None
    return SessionSummary(
        id=session.id,
        problem=session.problem.text,
        outcome=session.outcome,
        answer=session.answer,
        rounds=session.rounds,
        usage=session.usage,
        started_at=session.started_at,
        updated_at=session.updated_at,
    )


def _seq(last_event_id: str) -> int:
    if not (last_event_id.isascii() and last_event_id.isdigit()) or len(last_event_id) > 18:
        raise InvalidRequest(
            f"last-event-id: {last_event_id[:40]!r} is no event id", hint="send the id of the last event received"
        )
    return int(last_event_id)
