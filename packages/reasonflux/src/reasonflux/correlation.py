"""The ids by which logs, metrics, traces and services find what belongs together."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

REQUEST_ID = "x-request-id"
SESSION_ID = "x-session-id"
"""Names the session that a call belongs to: logs carry it, and a router keeps a session on one engine by it."""
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id() -> str | None:
    """The id of the request being served here, to be passed on to the services it calls."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return found if isinstance(found, str) else None


def session_id() -> str | None:
    """The session that is worked on here, to be passed on to the services and engines that it calls."""
    found = structlog.contextvars.get_contextvars().get("session")
    return found if isinstance(found, str) else None


def belongs_to(session: str) -> None:
    """From here on, the request being served belongs to this session."""
    structlog.contextvars.bind_contextvars(session=session)


@contextmanager
def of_session(name: str) -> Iterator[None]:
    """Inside, what happens belongs to this session: its logs and spans say so, and its calls carry the name."""
    with structlog.contextvars.bound_contextvars(session=name):
        yield
