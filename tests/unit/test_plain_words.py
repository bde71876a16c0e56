"""What went wrong on a line or in a store, in words for those who read them, and in full for the log."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis.exceptions import NoPermissionError

from navigator.errors import JournalUnavailable
from navigator.journal.connection import redis_errors
from reasonflux.errors import ServiceUnavailable
from reasonflux.http import http_client, what_happened
from reasonflux.observing import configure_logging
from reasonflux.remote import RemoteService


class Navigator(RemoteService):
    name = "navigator"


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[str]:
    """A server that says this, whatever it is asked, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def complaint(url: str) -> str:
    async with http_client(timeout=5) as http:
        with pytest.raises(ServiceUnavailable) as failed:
            async with Navigator(http, url).response("GET", "/"):
                pass
    return str(failed.value)


async def test_a_service_that_does_not_run_is_told_with_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        told = await complaint(url)
    assert told == (
        f"cannot reach navigator at {url}: nothing listens there "
        "(start it (`make up`), or set REASONFLUX_NAVIGATOR_URL to where it runs)"
    )


@pytest.mark.parametrize(
    ("answer", "words"), [(b"", "it broke the connection off"), (b"220 mail\r\n\r\n", "does not speak HTTP")]
)
async def test_what_a_strange_server_does_is_told_in_words(answer: bytes, words: str) -> None:
    async with saying(answer) as url:
        assert words in await complaint(url)


def test_what_has_no_words_of_its_own_keeps_its_name() -> None:
    assert what_happened(httpx.ReadTimeout("")) == "it did not answer in time"
    assert what_happened(KeyError("x")) == "KeyError 'x'"


def test_what_redis_says_is_for_the_log_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    with pytest.raises(JournalUnavailable) as failed, redis_errors():
        raise NoPermissionError("user reasonflux at 10.0.0.7 may not HGET rf:{0}:session:x")

    assert "10.0.0.7" not in f"{failed.value} {failed.value.failure.model_dump_json()}"
    logged = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert "10.0.0.7" in logged["error"]
