"""OpenAI's Responses API. A response is a view of a session; nothing of its own is stored."""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse, Response

from navigator.api import streaming, watching
from navigator.api.models import no_such_model
from navigator.api.opening import Navigator, OpenNavigator
from navigator.api.outcome import failure_of
from navigator.api.response_events import ResponseTeller, entry_of
from navigator.api.response_request import PREFIX, ResponseRequest, session_id_of
from navigator.api.response_shapes import narration, response
from navigator.api.watching import unless_left
from navigator.errors import CursorExpired, SessionNotFound
from navigator.session import fold
from reasonflux.contracts import Outcome
from reasonflux.errors import Conflict, NotFound, ReasonFluxError
from reasonflux.service import failure_response

router = APIRouter(prefix="/v1/responses", tags=["OpenAI"])

EXAMPLES: dict[str, Any] = {
    "plain": {"value": {"model": "reasonflux", "input": "What is the remainder when 7^100 is divided by 13?"}},
    "in the background": {
        "value": {"model": "reasonflux/math", "input": "Find gcd(84, 126).", "background": True, "stream": True}
    },
}


@router.post("", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
async def create(
    request: Request, navigator: Navigator, asked: Annotated[ResponseRequest, Body(openapi_examples=EXAMPLES)]
) -> Response:
    """Solve the problem in the input. The way there is a reasoning item's summary, the answer a message.

    `previous_response_id` follows up a finished response: its problem, trajectory and answer are seen. With
    `background` the session goes on whoever leaves; else a client that leaves cancels it. Instructions play no part.
    """
    choice = navigator.models.get(asked.model)
    if choice is None or choice.library is None:
        return no_such_model(asked.model, navigator)
    session_id = await _started(navigator, asked, choice.library, choice.engine)
    if asked.stream:
        return _streamed(navigator, session_id, forget=asked.store is False)
    if asked.background:
        return JSONResponse(await _view(navigator, session_id))
    return await _plain(request, navigator, asked, session_id)


@router.get("/{response_id}", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
async def retrieve(
    response_id: str,
    navigator: Navigator,
    stream: bool = False,
    starting_after: Annotated[
        int | None, Query(ge=0, le=10**18, description="of a stream: the `sequence_number` of the last event received")
    ] = None,
) -> Response:
    """The response as it stands; or its events, from the first or after `starting_after`, up to its end."""
    session_id = session_id_of(response_id)
    view = await _view(navigator, session_id)
    if not stream:
        return JSONResponse(view)
    after = -1 if starting_after is None else starting_after
    entry = entry_of(after)
    if entry and not await navigator.journal.read(session_id, entry - 1, 1):
        raise CursorExpired(
            f"The cursor {after} lies beyond the response's last event.", hint="Read the response from the start."
        )
    return _streamed(navigator, session_id, after)


@router.post("/{response_id}/cancel", response_model=None)
async def cancel(response_id: str, navigator: Navigator) -> dict[str, Any]:
    """End the response. One that has finished already stays as it is."""
    session_id = session_id_of(response_id)
    with _as_response(response_id):
        await navigator.cancel(session_id)
    return await _view(navigator, session_id)


@router.delete("/{response_id}", response_model=None)
async def delete(response_id: str, navigator: Navigator) -> dict[str, Any]:
    """Forget the response and its session; a running one is ended."""
    with _as_response(response_id):
        await navigator.journal.delete(session_id_of(response_id))
    return {"id": response_id, "object": "response", "deleted": True}


async def _started(navigator: OpenNavigator, asked: ResponseRequest, library: str, engine: str) -> str:
    try:
        session_id, _ = await navigator.start(asked.session(library, engine))
    except (NotFound, Conflict) as error:
        if error.param != "parent":
            raise
        found = "there is no response" if isinstance(error, NotFound) else "it has not finished yet:"
        raise type(error)(
            f"previous_response_id: {found} {asked.previous_response_id}",
            hint=error.failure.hint,
            param="previous_response_id",
        ) from error
    return session_id


async def _plain(request: Request, navigator: OpenNavigator, asked: ResponseRequest, session_id: str) -> Response:
    entries = await unless_left(request, navigator.to_the_end(session_id), lambda: navigator.left(session_id))
    if asked.store is False:
        await _forget(navigator, session_id)
    if entries is None:
        return Response(status_code=499)  # nobody reads it
    session = fold(session_id, entries)
    if session.outcome is Outcome.FAILED and (failed := failure_of(session)):
        return failure_response(failed[0], status=failed[1])
    return JSONResponse({**response(session, narration(entries)), "store": asked.store is not False})


async def _forget(navigator: OpenNavigator, session_id: str) -> None:
    with suppress(SessionNotFound):
        await watching.persist(lambda: navigator.journal.delete(session_id))


async def _view(navigator: OpenNavigator, session_id: str) -> dict[str, Any]:
    with _as_response(f"{PREFIX}{session_id}"):
        entries = await navigator.journal.read(session_id)
    return response(fold(session_id, entries), narration(entries))


def _streamed(navigator: OpenNavigator, session_id: str, after: int = -1, *, forget: bool = False) -> Response:
    async def left() -> None:
        await navigator.left(session_id)
        if forget:
            await _forget(navigator, session_id)

    frames = _events(navigator, session_id, after, forget=forget)
    return streaming.event_stream(frames, left=left, heartbeat=navigator.heartbeat)


async def _events(navigator: OpenNavigator, session_id: str, after: int, *, forget: bool) -> streaming.Frames:
    teller = ResponseTeller(session_id, after)
    try:
        async with aclosing(navigator.follow(session_id, deltas=True)) as items:
            async for item in items:
                for event in teller.hear(item):
                    yield streaming.data(event, event=event["type"])
        if forget:
            await _forget(navigator, session_id)
    except ReasonFluxError as error:
        fields = {"code": error.failure.kind, "message": error.failure.message, "param": None}
        yield streaming.data({"type": "error", "sequence_number": teller.next_number, **fields}, event="error")


@contextmanager
def _as_response(response_id: str) -> Iterator[None]:
    """A session that is not there is a response that is not there."""
    try:
        yield
    except SessionNotFound as error:
        hint = "it may have expired, or belong to another key"
        raise NotFound(f"There is no response {response_id[:80]}.", hint=hint) from error
