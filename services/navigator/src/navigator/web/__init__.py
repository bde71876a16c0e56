"""The trace page: a reader of the public API, served as files. There is no build step and nothing comes from elsewhere.

Every path of the page answers with the same document; the browser shows what the path names. The policy lets in no
inline script or style, no other origin, and no text as markup.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

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
"""`no-cache`: a browser asks each time whether there is another version."""

FOR_EVER = "public, max-age=31536000, immutable"
"""What stands under the version's own address never changes, so a browser asks for it only once."""

TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}

router = APIRouter(tags=["start"])


@dataclass(frozen=True)
class Version:
    """The page's files as this process serves them, and a name that no other files have."""

    name: str
    files: Mapping[str, bytes]

    @property
    def document(self) -> bytes:
        """The one document, which loads everything from the version's own address."""
        return self.files["index.html"].replace(b'"/web/', f'"/web/{self.name}/'.encode())


@cache
def version() -> Version:
    """Read with the first request."""
    found = {path.relative_to(FILES).as_posix(): path.read_bytes() for path in FILES.rglob("*") if path.is_file()}
    digest = sha256()
    for name, content in sorted(found.items()):
        digest.update(f"{name}:{len(content)}:".encode() + content)
    return Version(digest.hexdigest()[:12], found)


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
    return Response(version().document, media_type="text/html", headers=HEADERS)


async def file(request: Request) -> Response:
    """One of the files, at its version's address or, for who asks without one, as it is now."""
    served, path = version(), str(request.path_params["path"])
    own = path.startswith(f"{served.name}/")
    content = served.files.get(path.removeprefix(f"{served.name}/"))
    if content is None:
        raise HTTPException(404)
    headers = {**HEADERS, "ETag": f'"{served.name}"', "Cache-Control": FOR_EVER if own else HEADERS["Cache-Control"]}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=TYPES[PurePosixPath(path).suffix], headers=headers)


async def icon(_: Request) -> Response:
    return RedirectResponse("/web/icon.svg", status_code=308)


router.routes.extend(
    (*(Route(path, page) for path in PAGES), Route("/web/{path:path}", file), Route("/favicon.ico", icon))
)
