"""One of our services at the other end of an HTTP line: requests, streams, and its failures as our errors."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from reasonflux import tracing
from reasonflux.contracts import ErrorBody, Failure, FailureKind
from reasonflux.correlation import REQUEST_ID, SESSION_ID, request_id, session_id
from reasonflux.errors import ReasonFluxError, ServiceUnavailable, from_failure
from reasonflux.http import CONNECT_SECONDS, LINE_ERRORS, what_happened
from reasonflux.sse import ServerEvent, read_sse

SILENT_SECONDS = 45.0
"""A stream that sends nothing for so long is dead: our services send a heartbeat every 15 s."""

Shape = TypeVar("Shape", bound=BaseModel)


class RemoteService:
    """One service behind a base URL. `http` is shared and stays the caller's to close."""

    name: str
    """How messages call the service; REASONFLUX_<NAME>_URL is where its users look for it."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, *, key: str | None = None) -> None:
        self._http = http
        self.base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def ask(self, shape: type[Shape], method: str, path: str, **request: Any) -> Shape:
        """The answer to one request, as a `shape`. Raises ReasonFluxError."""
        async with self.response(method, path, **request) as response:
            try:
                content = await response.aread()
            except LINE_ERRORS as error:
                raise self._gone(error) from error
        return self.understand(shape, content)

    async def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **request: Any
    ) -> AsyncGenerator[ServerEvent, None]:
        """Server-sent events until the stream ends. Raises ServiceUnavailable when it breaks off."""
        limits = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
        accept = {"Accept": "text/event-stream", **(headers or {})}
        async with self.response(method, path, headers=accept, timeout=limits, **request) as response:
            try:
                async for event in read_sse(response.aiter_bytes()):
                    yield event
            except LINE_ERRORS as error:
                raise self._gone(error) from error

    @asynccontextmanager
    async def response(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | None = None,
        content: bytes | None = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,  # noqa: ASYNC109 - of the connection, not of the caller
    ) -> AsyncIterator[httpx.Response]:
        """A 2xx response, its body not yet read. The request carries `body` as JSON, or `content` as it is."""
        # Not the current span: a stream may be closed in another task than it was opened in.
        with tracing.span(f"{method} {self.name}", "client", {"http.request.method": method}, current=False) as span:
            sent = {**self._headers, **(headers or {}), **span.headers()}
            async with self._opened(method, path, sent, body, content, params, timeout) as response:
                span.tell("http.response.status_code", response.status_code)
                yield response

    @asynccontextmanager
    async def _opened(
        self,
        method: str,
        path: str,
        sent: dict[str, str],
        body: BaseModel | None,
        content: bytes | None,
        params: Mapping[str, str | int] | None,
        timeout: httpx.Timeout | None,  # noqa: ASYNC109
    ) -> AsyncIterator[httpx.Response]:
        if asked := request_id():
            sent[REQUEST_ID] = asked
        if session := session_id():
            sent[SESSION_ID] = session
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            request = self._http.build_request(
                method,
                self.base_url + path,
                content=content if body is None else body.model_dump_json(),
                params=params,
                headers=sent,
                timeout=self._http.timeout if timeout is None else timeout,
            )
            response = await self._http.send(request, stream=True)
        except (*LINE_ERRORS, httpx.InvalidURL) as error:
            raise self._gone(error) from error
        try:
            if not response.is_success:
                raise await self._failure(response)
            yield response
        finally:
            await response.aclose()

    async def _failure(self, response: httpx.Response) -> ReasonFluxError:
        try:
            content = await response.aread()
        except LINE_ERRORS as error:
            return self._gone(error)
        return self._read_failure(response, content)

    def _read_failure(self, response: httpx.Response, content: bytes) -> ReasonFluxError:
        status = response.status_code
        retryable = response.headers.get("x-should-retry", "true" if status in (429, 502, 503, 504) else "false")
        try:
            error = ErrorBody.model_validate_json(content).error
            kind = FailureKind(error.type)
            failure = Failure(kind=kind, message=error.message, hint=error.hint, retryable=retryable == "true")
            wait = _seconds(response.headers.get("retry-after"))
            return from_failure(failure, param=error.param, faults=error.faults, retry_after=wait)
        except ValueError:  # not one of ours: a proxy in between, or another server at this address
            kind = FailureKind.NOT_FOUND if status == 404 else FailureKind.SERVICE_UNAVAILABLE
            message = f"{self.name} at {self.base_url} answered {status} to {response.request.url.path}"
            hint = f"check that this is the URL of a {self.name}"
            return from_failure(Failure(kind=kind, message=message, hint=hint, retryable=retryable == "true"))

    def understand(self, shape: type[Shape], content: bytes | str) -> Shape:
        """What the service sent, as a `shape`. Raises ServiceUnavailable when it is something else."""
        try:
            return shape.model_validate_json(content)
        except ValidationError as error:
            raise ServiceUnavailable(
                f"{self.name} at {self.base_url} sent something that is no {shape.__name__}",
                hint="the two may be of different versions: update the older one",
                retryable=False,
            ) from error

    def _gone(self, error: BaseException) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"cannot reach {self.name} at {self.base_url}: {what_happened(error)}",
            hint=f"start it (`make up`), or set REASONFLUX_{self.name.upper().replace(' ', '_')}_URL to where it runs",
        )


def segment(name: str) -> str:
    """A name as one path segment: an id with a slash in it never reaches another path."""
    return quote(name, safe="")


def _seconds(text: str | None) -> float | None:
    """What a Retry-After header says, where it is a number."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
