"""`/v1/models`: the names that `model` may have."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from navigator.api.naming import model_card
from navigator.api.opening import Navigator, OpenNavigator
from navigator.planning import Profile
from reasonflux.contracts import ErrorBody

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.get("/models")
async def models(navigator: Navigator) -> dict[str, Any]:
    """One for each template library, and `reasonflux-direct`, one plain engine call without templates; all of them once
    more as `<name>@<engine>` for each engine profile that the operator offers."""
    return {"object": "list", "data": [_card(name, navigator) for name in navigator.models]}


@router.get("/models/{name:path}", response_model=None)
async def model(name: str, navigator: Navigator) -> dict[str, Any] | Response:
    """What this model stands for."""
    return _card(name, navigator) if name in navigator.models else no_such_model(name, navigator)


def _card(name: str, navigator: OpenNavigator) -> dict[str, Any]:
    choice = navigator.models[name]
    # A plain call hands system messages on as they are; trained weights were never shown any.
    reads = choice.library is None or navigator.llm.on(choice.engine).profile is Profile.INSTRUCT
    return model_card(name, choice, reads_instructions=reads)


def no_such_model(name: str, navigator: OpenNavigator) -> Response:
    offered = ", ".join(navigator.models)
    error = ErrorBody.Error(
        message=f"The model {name[:80]!r} does not exist.",
        type="not_found",
        code="model_not_found",
        param="model",
        hint=f"there are: {offered}",
    )
    return JSONResponse(
        ErrorBody(error=error).model_dump(mode="json", exclude={"error": {"faults"}}),
        status_code=404,
        headers={"x-should-retry": "false"},
    )
