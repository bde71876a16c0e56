"""API keys: how one is made, what is kept of it, and how it is recognised. Pure.

A key is `rf_<id>_<secret>`. The id is public: logs and commands name it. Of the secret only the SHA-256 is kept; it has
256 random bits, so there is nothing to guess that a slow hash would have to protect.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from reasonflux.contracts import Contract

DEFAULT_TENANT = "default"
"""Whose sessions they are where nobody has to show a key."""

TENANT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

_KEY = re.compile(r"rf_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a key may be used for."""

    READ = "read"
    """See the tenant's sessions, and the models."""
    SOLVE = "solve"
    """Start sessions, follow them up, cancel and delete them."""
    PROMPTS = "prompts"
    """See what the engines were asked, word by word."""


class KeyRecord(Contract):
    """What is kept of a key."""

    id: str
    tenant: str = Field(pattern=TENANT_PATTERN)
    name: str = Field(default="", max_length=200, description="what it is for, in its owner's words")
    digest: str = Field(repr=False, description="SHA-256 of the whole key")
    scopes: frozenset[Scope] = Field(default=frozenset(Scope), min_length=1)
    created_at: datetime
    expires_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Caller(Contract):
    """Whoever asks, as far as it matters here."""

    tenant: str
    scopes: frozenset[Scope] = frozenset(Scope)
    key_id: str | None = None
    """None: no key was asked for."""


ANYBODY = Caller(tenant=DEFAULT_TENANT)


def mint(
    tenant: str,
    now: datetime,
    *,
    name: str = "",
    scopes: frozenset[Scope] = frozenset(Scope),
    expires_at: datetime | None = None,
) -> tuple[str, KeyRecord]:
    """A new key, which is shown once, and what is kept of it."""
    key_id = secrets.token_hex(8)
    key = f"rf_{key_id}_{secrets.token_urlsafe(32)}"
    record = KeyRecord(
        id=key_id,
        tenant=tenant,
        name=name,
        digest=_digest(key),
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
    )
    return key, record


def id_of(key: str) -> str | None:
    """The public part of a key; None for what cannot be one."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def matches(key: str, record: KeyRecord) -> bool:
    """Whether this is the key, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(_digest(key), record.digest)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
