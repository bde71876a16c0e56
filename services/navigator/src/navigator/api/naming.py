"""The models on offer: a template library on an engine each, and plain engine calls. Pure.

`reasonflux/<library>@<engine>`: without the library it is the first one, without the engine the deployment's own.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from reasonflux.contracts import DEFAULT_ENGINE

MODEL = "reasonflux"
DIRECT = "reasonflux-direct"
"""One plain engine call, for the side requests of chat clients: titles, tags, suggestions."""


class Choice(NamedTuple):
    """What a model's name stands for."""

    library: str | None
    """None: a plain engine call."""
    engine: str


def choices(libraries: Sequence[str], engines: Sequence[str]) -> dict[str, Choice]:
    """Every model's name, in the order in which they are listed. The first library and engine need not be named."""
    return {
        f"{name}{at}": Choice(library, engine) for at, engine in _places(engines) for name, library in _names(libraries)
    }


def model_card(name: str, choice: Choice, *, reads_instructions: bool) -> dict[str, Any]:
    """`reasonflux`: what OpenAI's fields cannot tell."""
    told = {"library": choice.library, "engine": choice.engine, "reads_instructions": reads_instructions}
    return {"id": name, "object": "model", "created": 0, "owned_by": MODEL, "reasonflux": told}


def model_of(library: str, engine: str) -> str:
    """The name of the model for this library and engine."""
    return f"{MODEL}/{library}" if engine == DEFAULT_ENGINE else f"{MODEL}/{library}@{engine}"


def _places(engines: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "", engines[0]
    for engine in engines[1:]:
        yield f"@{engine}", engine


def _names(libraries: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    yield MODEL, libraries[0]
    for library in libraries:
        yield f"{MODEL}/{library}", library
    yield DIRECT, None
