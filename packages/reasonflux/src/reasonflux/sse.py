"""Reading server-sent events.

httpx's `aiter_lines` also cuts at U+2028, U+0085 and the like, which JSON may carry as they are, so lines are cut here,
where the standard cuts them: at LF, CR LF and CR.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple

# A CR at the very end may be the first half of a CR LF: it waits for the next chunk.
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class ServerEvent(NamedTuple):
    """One event. `id` is None unless this very event carried one."""

    event: str
    data: str
    id: str | None


async def read_sse(chunks: AsyncIterable[bytes]) -> AsyncIterator[ServerEvent]:
    """Events from a response's bytes. Comments are skipped; an event that the stream's end cut short is dropped."""
    event, event_id = "message", None
    data: list[str] = []
    async for line in _lines(chunks):
        if not line:
            if data:
                yield ServerEvent(event, "\n".join(data), event_id)
            event, data, event_id = "message", [], None
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            event = value
        elif field == "id":
            event_id = value


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = _LINE_END.split(rest + chunk)
        for line in lines:
            yield line.decode("utf-8", errors="replace")
    if rest.endswith(b"\r"):
        yield rest[:-1].decode("utf-8", errors="replace")
