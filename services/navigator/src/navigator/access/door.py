"""The door: every request under /v1 passes it before its body is read, and comes out as a `Visit`.

It stands before the routes, so no endpoint can forget it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from navigator.access.gate import Gate
from navigator.access.keys import ANYBODY, Caller, id_of, matches
from navigator.access.keys import Scope as May
from navigator.access.metrics import AccessMetrics
from navigator.access.ports import Keys
from navigator.access.visit import Visit
from reasonflux.errors import Forbidden, InvalidRequest, RateLimited, ReasonFluxError, ServiceUnavailable, Unauthorized
from reasonflux.service import error_response, failure_response

GUARDED = "/v1"
"""Probes, metrics and documentation are open; do not publish /metrics."""

MAX_HEADER_BYTES = 65_536
BODY_SECONDS = 30.0

READING = frozenset({"/v1/mathml"})
"""Asked with POST because of their length; they start nothing."""

_HINT = (
    "send it as 'Authorization: Bearer <key>' (OpenAI's clients: api_key, ours: REASONFLUX_API_KEY); "
    "an operator makes one with `reasonflux keys create`"
)


class Doorkeeper:
    """Knows callers by their key. Without `required`, everybody is the default tenant."""

    def __init__(self, keys: Keys, gate: Gate, metrics: AccessMetrics, *, required: bool) -> None:
        self._keys, self._gate, self._metrics, self._required = keys, gate, metrics, required

    async def visit(self, authorization: str, method: str, path: str) -> Visit:
        """Raises Unauthorized, Forbidden, and JournalUnavailable when keys cannot be looked up."""
        if not self._required:
            return Visit(ANYBODY, self._gate)
        try:
            caller = await self._caller(authorization)
            needed = May.READ if method in ("GET", "HEAD") or path in READING else May.SOLVE
            if needed not in caller.scopes:
                raise Forbidden(
                    f"this API key may not {needed.value}", hint=f"use a key with the scope {needed.value!r}"
                )
        except (Unauthorized, Forbidden) as error:
            self._metrics.refused(error.failure.kind.value)
            raise
        return Visit(caller, self._gate)

    def too_many_open(self) -> RateLimited:
        """The answer to one request more than a tenant may have under way here."""
        self._metrics.refused("open")
        hint = "wait for one to end, or close a stream that nobody reads"
        return RateLimited("the limit of requests under way at a time is reached", hint=hint, retry_after=1.0)

    async def _caller(self, authorization: str) -> Caller:
        kind, _, key = authorization.partition(" ")
        if kind.lower() != "bearer" or not key.strip():
            raise Unauthorized("an API key is needed", hint=_HINT)
        key = key.strip()
        key_id = id_of(key)
        record = None if key_id is None else await self._keys.find(key_id)
        if record is None or not matches(key, record) or record.expired(datetime.now(UTC)):
            raise Unauthorized("this API key is not good, or not any more", hint=_HINT)
        return Caller(tenant=record.tenant, scopes=record.scopes, key_id=record.id)


class Door:
    """ASGI middleware. The doorkeeper stands in `app.state.doorkeeper` while the service runs.

    `body_seconds`: how long a body may pause on its way. `most_open`: requests of one tenant that are under way at a
    time in this process, streams included; None: no limit.
    """

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: int, body_seconds: float = BODY_SECONDS, most_open: int | None = None
    ) -> None:
        self._app, self._most, self._body_seconds, self._most_open = app, max_body_bytes, body_seconds, most_open
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _guarded(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            failure = InvalidRequest(f"the headers are larger than {MAX_HEADER_BYTES} bytes").failure
            await failure_response(failure, status=431)(scope, receive, send)
            return
        try:
            doorkeeper = getattr(scope["app"].state, "doorkeeper", None)
            if doorkeeper is None:
                raise ServiceUnavailable("the navigator is starting or stopping")
            visit = await doorkeeper.visit(headers.get("authorization", ""), scope["method"], _path(scope))
            if self._most_open is not None and self._open[visit.caller.tenant] >= self._most_open:
                raise doorkeeper.too_many_open()
        except ReasonFluxError as error:
            await error_response(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["visit"] = visit

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(visit.standing.headers)
            await send(message)

        with self._counted(visit.caller.tenant):
            await self._app(scope, self._bounded(headers, receive), answer)

    @contextmanager
    def _counted(self, tenant: str) -> Iterator[None]:
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        """The body, and an error in place of what is too much of it, or does not come."""
        told = headers.get("content-length", "")
        announced = int(told) if told.isascii() and told.isdigit() else 0
        seen, complete = 0, False

        async def bounded() -> Message:
            nonlocal seen, complete
            if announced <= self._most:
                try:
                    async with asyncio.timeout(None if complete else self._body_seconds):
                        message = await receive()
                except TimeoutError as error:
                    raise HTTPException(408, f"the body did not arrive within {self._body_seconds:g} s") from error
                complete = not message.get("more_body", False)
                seen += len(message.get("body", b""))
                if seen <= self._most:
                    return message
            raise HTTPException(413, f"the body is larger than {self._most} bytes")

        return bounded


def _path(scope: Scope) -> str:
    """The path behind the prefix that a proxy in front has, as the router reads it."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path


def _guarded(scope: Scope) -> bool:
    """In doubt it is: a path that leads to what is guarded with or without the prefix."""
    return any(path == GUARDED or path.startswith(f"{GUARDED}/") for path in (_path(scope), str(scope["path"])))


_told_to_clients = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="needed where the operator has set REASONFLUX_ACCESS=keys"
)


async def visiting(request: Request, _: Annotated[object, Depends(_told_to_clients)]) -> Visit:
    """The visit that the door began. The second parameter is for the OpenAPI document only."""
    visit = request.state.visit
    assert isinstance(visit, Visit)
    return visit


Visitor = Annotated[Visit, Depends(visiting)]
