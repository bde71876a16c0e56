"""HTTP clients for the hot path."""

import socket
import ssl

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 4.0
"""An idle connection is not used again after it: uvicorn, and with it vLLM, closes it after five."""

# What a request or a half-read response can raise. The aiohttp transport lets some of aiohttp's own errors through,
# such as the one for a server that speaks no HTTP.
LINE_ERRORS = (httpx.RequestError, aiohttp.ClientError)


class _NoCookies(httpx.Cookies):
    """Services and engines set none that mean anything, and to look for them takes a tenth of a call's CPU time."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class _Client(HttpxAiohttpClient):  # type: ignore[misc]  # the package has no types
    @property
    def cookies(self) -> httpx.Cookies:
        return _NoCookies()


def http_client(*, timeout: float = 30.0, max_connections: int = 512) -> httpx.AsyncClient:
    """An httpx client on aiohttp's transport (many times faster than httpx's own under load). Close it with `aclose()`.

    The transport's limits: HTTP/1.1 only; `max_keepalive_connections` and write timeouts are ignored; a refused
    connection surfaces as `httpx.ConnectTimeout`. Loopback addresses never go through a proxy from the environment,
    whatever NO_PROXY says.
    """
    client: httpx.AsyncClient = _Client(
        timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=max_connections, keepalive_expiry=IDLE_SECONDS),
        mounts=dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]")),
    )
    return client


# The first that stands anywhere in an error's chain of causes. The last is also how the transport calls most others.
_IN_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ConnectionRefusedError,), "nothing listens there"),
    ((socket.gaierror,), "there is no host of this name"),
    ((ssl.SSLError,), "no secure connection could be made (is it http and not https?)"),
    (
        (ConnectionResetError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
        "it broke the connection off",
    ),
    ((aiohttp.ClientResponseError,), "what answers there does not speak HTTP"),
    ((TimeoutError, httpx.TimeoutException), "it did not answer in time"),
)


def what_happened(error: BaseException) -> str:
    """An exception in a few words, also when it carries no message."""
    chain, cause = [error], error.__cause__ or error.__context__
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for kinds, words in _IN_WORDS:
        if any(isinstance(each, kinds) for each in chain):
            return words
    return f"{type(error).__name__} {error}".rstrip()
