"""The executor over HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from executor.instantiate import Instantiator
from executor.prompting import render
from reasonflux.contracts import (
    CalculateRequest,
    CalculateResponse,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Prompt,
)
from reasonflux.errors import ReasonFluxError, ServiceUnavailable
from reasonflux.service import sse

router = APIRouter(prefix="/v1")

EVENT_STREAM = "text/event-stream"


async def instantiator(request: Request) -> Instantiator:
    running = getattr(request.app.state, "instantiator", None)
    if running is None:
        raise ServiceUnavailable("the executor is still starting")
    return cast(Instantiator, running)


Running = Annotated[Instantiator, Depends(instantiator)]


@router.post(
    "/instantiate", response_model=Instantiation, responses={200: {"content": {EVENT_STREAM: {}}}}, tags=["instantiate"]
)
async def instantiate(body: InstantiateRequest, request: Request, running: Running) -> Instantiation | Response:
    """Carry out one step. With `Accept: text/event-stream`, InstantiateEvents as they happen, the outcome last."""
    if EVENT_STREAM in request.headers.get("accept", ""):
        return sse(_stream(running.on(body.engine), body))
    return await running.on(body.engine).instantiate(body)


@router.post("/prompt", tags=["instantiate"])
async def prompt(body: InstantiateRequest, running: Running) -> Prompt:
    """What the engine would be asked for this step, first try; nothing is carried out."""
    return Prompt(messages=tuple(render(body, running.on(body.engine).profile)))


@router.post("/calculate", tags=["calculate"])
async def calculate(body: CalculateRequest, running: Running) -> CalculateResponse:
    """Evaluate statements exactly; an error is the last calculation, not an HTTP error."""
    return CalculateResponse(calculations=await running.calculator.evaluate(body.statements, body.names))


async def _stream(running: Instantiator, body: InstantiateRequest) -> AsyncGenerator[tuple[str | None, str, str], None]:
    """What the instantiation emits, then its outcome or its failure. A reader who goes away ends the work."""
    events: asyncio.Queue[InstantiateEvent | None] = asyncio.Queue()

    async def work() -> None:
        try:
            await events.put(InstantiateEvent(instantiation=await running.instantiate(body, events.put)))
        except ReasonFluxError as error:
            await events.put(InstantiateEvent(failure=error.failure))
        finally:
            events.put_nowait(None)

    task = asyncio.create_task(work())
    try:
        while (event := await events.get()) is not None:
            yield None, _name(event), event.model_dump_json(exclude_none=True)
        await task  # a bug breaks the stream off rather than end it quietly
    finally:
        # Not awaited itself: who cancels us would cancel it once more then, in the middle of closing its connection to
        # the engine, which would go on generating.
        task.cancel()
        await asyncio.wait((task,))


def _name(event: InstantiateEvent) -> str:
    return next(name for name in InstantiateEvent.model_fields if getattr(event, name) is not None)
