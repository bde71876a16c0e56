"""`reasonflux keys …`: make, list, rotate and revoke API keys, and set the limits of tenants.

They are written straight to the navigator's Redis (REASONFLUX_REDIS_URL), so who can reach it needs no key; running
navigators know at once. Errors are left to the command line that this is a part of.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from navigator.access.keys import KeyRecord, Scope, mint
from navigator.access.limits import Limits, Priority
from navigator.access.ports import Keys
from navigator.access.redis_access import RedisKeys, open_redis
from navigator.settings import Settings
from reasonflux.errors import Conflict, InvalidRequest, NotFound

Answer = TypeVar("Answer")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make, list, rotate and revoke API keys; set the limits of tenants.",
)
out = Console(highlight=False)
aside = Console(stderr=True, highlight=False)
"""For what is not the key itself, so that a key can be piped."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_NO_LIMIT = "default"


def _for(span: str) -> timedelta:
    """`90m`, `12h`, `30d`."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", span)
    if found is None:
        raise InvalidRequest(f"{span!r} is no span of time", hint="write 90m, 12h or 30d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _ask(question: Callable[[Keys], Awaitable[Answer]]) -> Answer:
    async def asked() -> Answer:
        redis = open_redis(Settings().redis_url, connections=1)
        try:
            return await question(RedisKeys(redis))
        finally:
            await redis.aclose()

    return asyncio.run(asked())


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="whose sessions the key opens")],
    name: Annotated[str, typer.Option(help="what it is for")] = "",
    scope: Annotated[list[Scope] | None, typer.Option(help="what it may do; default: everything")] = None,
    expires: Annotated[str | None, typer.Option(help="when it ends by itself: 12h, 30d")] = None,
) -> None:
    """Make a key. It is printed once, and cannot be shown again."""
    now = datetime.now(UTC)
    until = None if expires is None else now + _for(expires)
    try:
        key, record = mint(tenant, now, name=name, scopes=frozenset(scope or Scope), expires_at=until)
    except ValidationError as error:
        raise InvalidRequest(
            f"{tenant!r} is no tenant's name", hint="letters, digits, '.', '_' and '-', at most 64 of them"
        ) from error
    _ask(lambda keys: keys.keep(record))
    _show_once(key, record)


@app.command("list")
def list_keys(tenant: Annotated[str | None, typer.Option(help="only this tenant's")] = None) -> None:
    """Show all keys, without their secrets."""
    whole = Column("id", no_wrap=True, min_width=16)  # `rotate` and `revoke` take no shorter one
    table = Table(whole, "tenant", "name", "scopes", "created", "expires", box=None)
    for record in _ask(lambda keys: keys.all()):
        if tenant in (None, record.tenant):
            scopes = ", ".join(sorted(record.scopes))
            told = (record.id, record.tenant, record.name, scopes, _day(record.created_at), _day(record.expires_at))
            table.add_row(*(Text(part) for part in told))
    out.print(table)


@app.command()
def rotate(
    key_id: str,
    grace: Annotated[str, typer.Option(help="how long the old key stays good")] = "24h",
) -> None:
    """Make a key like this one, and let the old one end."""
    now = datetime.now(UTC)
    end = now + _for(grace)

    async def rotated(keys: Keys) -> tuple[str, KeyRecord]:
        old = await keys.find(key_id)
        if old is None or old.expired(now):
            raise _unknown(key_id)
        key, record = mint(old.tenant, now, name=old.name, scopes=old.scopes, expires_at=old.expires_at)
        ending = old.model_copy(update={"expires_at": min(end, old.expires_at or end)})
        if not await keys.replace(old, ending, record):
            raise Conflict(f"the key {key_id!r} was changed or revoked at this moment", hint="look at `keys list`")
        return key, record

    key, record = _ask(rotated)
    _show_once(key, record)
    aside.print(f"{key_id} ends in {grace}", soft_wrap=True)


@app.command()
def revoke(key_id: str) -> None:
    """End a key now."""
    if not _ask(lambda keys: keys.drop(key_id)):
        raise _unknown(key_id)
    out.print(f"revoked {key_id}", soft_wrap=True)


@app.command()
def limits(
    tenant: str,
    requests: Annotated[str | None, typer.Option(help="that start work, a minute; a number, none or default")] = None,
    tokens: Annotated[str | None, typer.Option(help="a minute; a number, none or default")] = None,
    sessions: Annotated[str | None, typer.Option(help="at a time; a number, none or default")] = None,
    priority: Annotated[Priority | None, typer.Option(help="batch: only while half of the room is free")] = None,
) -> None:
    """Show or set the limits of a tenant, over all its keys. Options that are left out stay as they are."""
    given = {"requests": requests, "tokens": tokens, "sessions": sessions, "priority": priority}

    async def changed(keys: Keys) -> Limits:
        before = await keys.limits(tenant) or Limits()
        fields = before.model_dump(exclude_unset=True)
        for name, value in given.items():
            if value == _NO_LIMIT:
                fields.pop(name, None)
            elif value is not None:
                fields[name] = None if value == "none" else value
        after = Limits.model_validate(fields)
        if any(value is not None for value in given.values()):
            await keys.set_limits(tenant, after if fields else None)
        return after

    try:
        after = _ask(changed)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise InvalidRequest(f"--{name}: {error.errors()[0]['msg']}", hint="a number, none or default") from error
    told = Table("limit", tenant, box=None)
    for name in Limits.model_fields:
        value = getattr(after, name)
        said = "default" if name not in after.model_fields_set else "none" if value is None else str(value)
        told.add_row(name, said)
    out.print(told)


def _show_once(key: str, record: KeyRecord) -> None:
    print(key)
    end = "" if record.expires_at is None else f", until {record.expires_at:%Y-%m-%d %H:%M} UTC"
    aside.print(f"key {record.id} of tenant {record.tenant}{end}; it cannot be shown again", soft_wrap=True)


def _day(when: datetime | None) -> str:
    return "never" if when is None else f"{when:%Y-%m-%d %H:%M}"


def _unknown(key_id: str) -> NotFound:
    return NotFound(f"there is no key {key_id!r}", hint="`reasonflux keys list` shows the ids; they are no secret")
