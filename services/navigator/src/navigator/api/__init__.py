"""The navigator over HTTP: sessions (ours) and chat completions (OpenAI's)."""

from fastapi import APIRouter

from navigator.api import chat, sessions

start = APIRouter(tags=["start"])


@start.get("/")
async def where_to_look() -> dict[str, str]:
    """Where the documentation of this API is."""
    return {"service": "ReasonFlux navigator", "docs": "/docs", "openapi": "/openapi.json"}


ROUTERS = (start, sessions.router, chat.router)
