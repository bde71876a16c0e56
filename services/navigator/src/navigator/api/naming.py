"""The models on offer: one for each template library, and one that asks the engine plainly. Pure."""

from collections.abc import Sequence
from typing import Any

MODEL = "reasonflux"
DIRECT = "reasonflux-direct"
"""One plain engine call, for the side requests of chat clients: titles, tags, suggestions."""


def library_of(model: str, libraries: Sequence[str]) -> str | None:
    """The template library that a model's name stands for; None for a name that stands for none."""
    return {MODEL: libraries[0], **{f"{MODEL}/{library}": library for library in libraries}}.get(model)


def model_names(libraries: Sequence[str]) -> tuple[str, ...]:
    """`reasonflux` with the first library, then `reasonflux/<library>` for each, then `reasonflux-direct`."""
    return (MODEL, *(f"{MODEL}/{library}" for library in libraries), DIRECT)


def model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": MODEL}
