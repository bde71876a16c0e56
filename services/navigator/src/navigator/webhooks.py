"""Telling a webhook that its session has finished. The operator lists where webhooks may go; by default nowhere.

What is sent names the session and its outcome and nothing else: who wants more asks the API, with their own key.
"""

from typing import Literal
from urllib.parse import urlsplit

import httpx

from navigator.ports import Journal, Notice
from navigator.session import fold
from reasonflux.contracts import Contract, Outcome
from reasonflux.http import LINE_ERRORS
from reasonflux.observing import logger

MAX_TRIES = 8
FIRST_PAUSE_SECONDS = 15.0
"""Until the second try; it doubles with each, so the last comes about half an hour after the first."""
CALL_SECONDS = 10.0


class SessionNotice(Contract):
    """The body of a webhook's POST."""

    type: Literal["session.finished"] = "session.finished"
    session_id: str
    outcome: Outcome
    metadata: dict[str, str]


def origin_of(url: str) -> str | None:
    """`https://host:port` of an http(s) URL, in lower case and without a default port; None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "\\" in url:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")


class Webhooks:
    """Calls what is due. At least once: a process that dies between the call and its note calls again."""

    def __init__(self, journal: Journal, http: httpx.AsyncClient, origins: tuple[str, ...]) -> None:
        self._journal, self._http, self._origins = journal, http, origins

    async def send_due(self) -> None:
        """Call every webhook that is due. Raises JournalUnavailable."""
        while (notice := await self._journal.due_notice(FIRST_PAUSE_SECONDS)) is not None:
            if await self._send(notice) or notice.tries >= MAX_TRIES:
                await self._journal.settle_notice(notice.session_id)

    async def _send(self, notice: Notice) -> bool:
        """Whether there is nothing left to do."""
        session = fold(notice.session_id, await self._journal.read(notice.session_id))
        url = session.delivery.webhook
        if url is None or session.outcome is None or origin_of(url) not in self._origins:  # the list has changed
            return True
        told = SessionNotice(session_id=session.id, outcome=session.outcome, metadata=session.metadata)
        try:
            headers = {"Content-Type": "application/json", "Idempotency-Key": session.id}
            reply = await self._http.post(
                url, content=told.model_dump_json(), headers=headers, timeout=CALL_SECONDS, follow_redirects=False
            )
        except (*LINE_ERRORS, httpx.InvalidURL) as error:
            logger.warning("webhook failed", session=session.id, tries=notice.tries, error=type(error).__name__)
            return False
        logger.info("webhook called", session=session.id, tries=notice.tries, status=reply.status_code)
        return reply.is_success
