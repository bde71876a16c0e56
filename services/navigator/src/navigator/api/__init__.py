"""The navigator over HTTP: sessions (ours), chat completions and responses (OpenAI's)."""

from fastapi import APIRouter

from navigator.api import chat, models, responses, sessions

start = APIRouter(tags=["start"])


@start.get("/")
async def where_to_look() -> dict[str, str]:
    """Where the documentation of this API is."""
    return {"service": "ReasonFlux navigator", "docs": "/docs", "openapi": "/openapi.json"}


ROUTERS = (start, sessions.router, chat.router, responses.router, models.router)
