"""`/v1/models`: the names that `model` may have."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from navigator.api.naming import model_card, model_names
from navigator.api.opening import Navigator, OpenNavigator
from reasonflux.contracts import ErrorBody

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.get("/models")
async def models(navigator: Navigator) -> dict[str, Any]:
    """One for each template library, and `reasonflux-direct`: one plain engine call without templates."""
    return {"object": "list", "data": [model_card(name) for name in model_names(navigator.libraries)]}


@router.get("/models/{name:path}", response_model=None)
async def model(name: str, navigator: Navigator) -> dict[str, Any] | Response:
    return model_card(name) if name in model_names(navigator.libraries) else no_such_model(name, navigator)


def no_such_model(name: str, navigator: OpenNavigator) -> Response:
    offered = ", ".join(model_names(navigator.libraries))
    error = ErrorBody.Error(
        message=f"The model {name[:80]!r} does not exist.",
        type="not_found",
        code="model_not_found",
        param="model",
        hint=f"there are: {offered}",
    )
    return JSONResponse(
        ErrorBody(error=error).model_dump(mode="json"), status_code=404, headers={"x-should-retry": "false"}
    )
