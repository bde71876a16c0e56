"""What a request's body is held to before anything reads it."""

import json
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from reasonflux.contracts import Fault
from reasonflux.errors import InvalidRequest
from template_store.exchange.admission import MAX_SENT, admissible, not_text


async def limited(pieces: AsyncIterable[bytes], most: int, hint: str) -> bytes:
    """The whole body; no more than `most` bytes of it are ever held. Raises InvalidRequest."""
    content = bytearray()
    async for piece in pieces:
        content += piece
        if len(content) > most:
            size = f"{most // 1024**2} MiB" if most >= 1024**2 else f"{most // 1024} KiB"
            raise InvalidRequest(f"body: more than {size}", hint=hint, param="body")
    return bytes(content)


class _Limited(Request):
    """A request whose body is read once, up to a limit."""

    most = 0
    hint = ""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await limited(self.stream(), self.most, self.hint)
        return self._body


class GuardedRoute(APIRoute):
    """Refuses a JSON body that is too large, or holds text that is none and could not even be told in an error.

    Endpoints that read the request themselves are left alone."""

    most: ClassVar[int] = 2 * 1024**2
    hint: ClassVar[str] = "send it in several requests"

    def faults(self, data: Any) -> tuple[Fault, ...]:
        """What is wrong with the body's data."""
        return not_text(data)

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def guarded(request: Request) -> Response:
            received = _Limited(request.scope, request.receive)
            received.most, received.hint = self.most, self.hint
            try:
                data = json.loads(await received.body())
            except (ValueError, RecursionError):
                return await handle(received)  # FastAPI says what is wrong with it
            if faults := self.faults(data):
                raise _refused(faults)
            return await handle(received)

        return guarded


class TemplateRoute(GuardedRoute):
    """Takes one template at a time, and holds it to what is admissible."""

    most = MAX_SENT
    hint = "a template is at most 100 KiB of JSON: say it shorter, or split it"

    def faults(self, data: Any) -> tuple[Fault, ...]:
        return admissible(data)


def _refused(faults: tuple[Fault, ...]) -> InvalidRequest:
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if faults[1:] else ""
    return InvalidRequest(
        f"{first.field or 'body'}: {first.message}{more}",
        hint=f"correct {first.field or 'body'!r} and send the request again",
        param=first.field or "body",
        faults=faults if faults[1:] else (),
    )
