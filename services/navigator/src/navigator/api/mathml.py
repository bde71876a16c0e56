"""`/v1/mathml`: LaTeX in text, for clients that show text to people."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from navigator.access.door import visiting
from navigator.mathematics import Piece, pieces
from reasonflux.contracts import Contract
from reasonflux.contracts.problem import MAX_PROBLEM_CHARS
from reasonflux.errors import InvalidRequest

router = APIRouter(prefix="/v1", tags=["showing"], dependencies=[Depends(visiting)])

MAX_CHARS = 100_000


class MathRequest(Contract):
    """Texts as problems, models and templates write them."""

    texts: tuple[Annotated[str, Field(max_length=MAX_PROBLEM_CHARS)], ...] = Field(max_length=200)


class MathResponse(Contract):
    """One list of pieces for each text, in order."""

    texts: tuple[tuple[Piece, ...], ...]


@router.post("/mathml")
async def mathml(asked: MathRequest) -> MathResponse:
    """Each text, cut at its formulas, and each formula as MathML. It starts nothing: a key that may read may ask."""
    if sum(map(len, asked.texts)) > MAX_CHARS:
        raise InvalidRequest(
            f"texts: more than {MAX_CHARS} characters", hint="send them in several requests", param="texts"
        )
    return MathResponse(texts=await asyncio.to_thread(lambda: tuple(map(pieces, asked.texts))))
