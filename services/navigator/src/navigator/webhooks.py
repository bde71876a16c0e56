"""Telling a webhook that its session has finished. The operator lists where webhooks may go; by default nowhere.

What is sent names the session and its outcome and nothing else: who wants more asks the API, with their own key. It is
signed as Standard Webhooks has it (standardwebhooks.com), so receivers check it with a library that exists.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
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


def signing_key(secret: str) -> bytes:
    """The key in a secret `whsec_<base64>`. Raises ValueError for anything else."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ and base64") from error
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("a webhook secret is whsec_ and the base64 of 24 to 64 random bytes")
    return key


def signed(secrets: Sequence[str], message_id: str, at: int, body: str) -> dict[str, str]:
    """The headers of a message. One signature for each secret, so that receivers can change over from one to another;
    none without secrets."""
    told = {"webhook-id": message_id, "webhook-timestamp": str(at)}
    content = f"{message_id}.{at}.{body}".encode()
    digests = [hmac.new(signing_key(secret), content, hashlib.sha256).digest() for secret in secrets]
    if digests:
        told["webhook-signature"] = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return told


class Webhooks:
    """Calls what is due. At least once: a process that dies between the call and its note calls again."""

    def __init__(
        self,
        journal: Journal,
        http: httpx.AsyncClient,
        origins: tuple[str, ...],
        secrets: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal, self._http, self._origins = journal, http, origins
        self._secrets, self._clock = secrets, clock

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
        body = told.model_dump_json()
        headers = {"Content-Type": "application/json", **signed(self._secrets, session.id, int(self._clock()), body)}
        try:
            reply = await self._http.post(
                url, content=body, headers=headers, timeout=CALL_SECONDS, follow_redirects=False
            )
        except (*LINE_ERRORS, httpx.InvalidURL) as error:
            logger.warning("webhook failed", session=session.id, tries=notice.tries, error=type(error).__name__)
            return False
        logger.info("webhook called", session=session.id, tries=notice.tries, status=reply.status_code)
        return reply.is_success
