"""Redis behind a line that breaks when a test wants it to."""

import asyncio
from contextlib import suppress


class CuttingProxy:
    """A TCP hop to Redis that can cut a connection between a request's arrival and its reply."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self.cut_next_reply = False
        self.cut_reply_to: bytes | None = None
        """What a request holds whose reply is to be lost."""
        self.cuts = 0

    async def __aenter__(self) -> "CuttingProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self._port)

        lost = asyncio.Event()

        async def forward() -> None:
            with suppress(ConnectionError):  # a client whose connection was cut may well reset it
                while data := await reader.read(65536):
                    if self.cut_reply_to is not None and self.cut_reply_to in data:
                        self.cut_reply_to = None
                        lost.set()
                    to_redis.write(data)
            to_redis.close()

        forwarding = asyncio.create_task(forward())
        while data := await from_redis.read(65536):
            if self.cut_next_reply or lost.is_set():
                self.cut_next_reply, self.cuts = False, self.cuts + 1
                break
            writer.write(data)
        writer.close()
        to_redis.close()
        await asyncio.gather(forwarding, return_exceptions=True)
