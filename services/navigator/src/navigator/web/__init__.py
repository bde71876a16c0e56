"""The trace page: a reader of the public API, served as files. There is no build step and nothing comes from elsewhere.

Every path of the page answers with the same document; the browser shows what the path names. The policy lets in no
inline script or style, no other origin, and no text as markup.
"""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

FILES = Path(str(files(__package__))) / "static"

PAGES = ("/sessions", "/sessions/{rest:path}", "/compare", "/compare/{rest:path}", "/library", "/library/{rest:path}")

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types formulas",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""`no-cache`: a browser asks each time whether a file has changed, so a new version is there at once."""

router = APIRouter(tags=["start"])


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


@router.get("/", response_model=dict[str, str])
async def start(request: Request) -> Response:
    """The trace page for browsers; for programs, where the documentation of this API is."""
    if "text/html" in request.headers.get("accept", ""):
        response = await page(request)
    else:
        told = {"service": "ReasonFlux navigator", "docs": "/docs", "openapi": "/openapi.json"}
        response = JSONResponse(told)
    response.headers["Vary"] = "Accept"
    return response


async def page(_: Request) -> Response:
    return FileResponse(FILES / "index.html", headers=HEADERS)


async def _icon(_: Request) -> Response:
    return RedirectResponse("/web/icon.svg", status_code=308)


def static() -> ASGIApp:
    """The page's modules and styles, to be mounted at /web."""
    return _Files(directory=FILES)


router.routes.extend((*(Route(path, page) for path in PAGES), Route("/favicon.ico", _icon)))
