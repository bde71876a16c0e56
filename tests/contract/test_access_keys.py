"""What the keys' store promises, in memory and on a real Redis; and the commands that write to it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from typer.testing import CliRunner

from navigator.access import cli
from navigator.access.keys import KeyRecord, Scope, id_of, matches, mint
from navigator.access.limits import Limits
from navigator.access.memory import MemoryKeys
from navigator.access.ports import Keys
from navigator.access.redis_access import RedisKeys, open_redis
from reasonflux.errors import InvalidRequest, NotFound

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def keys(request: pytest.FixtureRequest) -> AsyncIterator[Keys]:
    if request.param == "memory":
        yield MemoryKeys()
        return
    client = open_redis(request.getfixturevalue("redis_url"))
    yield RedisKeys(client, prefix=request.getfixturevalue("redis_prefix"))
    await client.aclose()


async def test_a_record_is_found_as_it_was_kept(keys: Keys) -> None:
    _, record = mint("acme", NOW, name="ci", scopes=frozenset({Scope.READ}), expires_at=NOW + timedelta(days=1))
    await keys.keep(record)

    assert await keys.find(record.id) == record
    assert await keys.find("0" * 16) is None


async def test_records_are_listed_oldest_first(keys: Keys) -> None:
    records = [mint("acme", NOW + timedelta(seconds=n))[1] for n in (2, 0, 1)]
    for record in records:
        await keys.keep(record)

    assert await keys.all() == (records[1], records[2], records[0])


async def test_a_dropped_key_is_gone(keys: Keys) -> None:
    _, record = mint("acme", NOW)
    await keys.keep(record)

    assert await keys.drop(record.id)
    assert not await keys.drop(record.id)
    assert await keys.find(record.id) is None


async def test_a_tenants_limits_keep_apart_what_was_set_and_what_was_not(keys: Keys) -> None:
    own = Limits.model_validate({"tokens": None, "sessions": 3})
    await keys.set_limits("acme", own)
    found = await keys.limits("acme")

    assert found is not None
    assert found.over(Limits(tokens=5, requests=7)) == Limits(tokens=None, sessions=3, requests=7)
    assert await keys.limits("other") is None
    await keys.set_limits("acme", None)
    assert await keys.limits("acme") is None


async def test_a_key_is_replaced_whole_or_not_at_all(keys: Keys) -> None:
    (_, old), (_, new) = mint("acme", NOW), mint("acme", NOW)
    ending = old.model_copy(update={"expires_at": NOW})
    assert not await keys.replace(old, ending, new)  # revoked at this moment: it must not come back
    assert await keys.all() == ()
    await keys.keep(old)
    assert await keys.replace(old, ending, new)
    assert {record.id: record for record in await keys.all()} == {old.id: ending, new.id: new}
    assert not await keys.replace(old, ending, new)  # it has changed meanwhile


# Commands


class Commands:
    """`reasonflux keys …` on a real Redis."""

    def __init__(self, url: str) -> None:
        self._runner, self._env = CliRunner(), {"REASONFLUX_REDIS_URL": url, "COLUMNS": "200"}

    def __call__(self, *words: str) -> str:
        done = self._runner.invoke(cli.app, words, env=self._env)
        if done.exception is not None:
            raise done.exception
        return done.stdout

    def record(self, key_id: str) -> KeyRecord | None:
        with redis.Redis.from_url(self._env["REASONFLUX_REDIS_URL"]) as client:
            found = client.hget("rf:{access}:keys", key_id)
        return None if found is None else KeyRecord.model_validate_json(found)


@pytest.fixture
def command(own_redis: object) -> Commands:
    return Commands(own_redis.url)  # type: ignore[attr-defined]


def kept(command: Commands, key: str) -> KeyRecord:
    record = command.record(id_of(key) or "")
    assert record is not None
    return record


@pytest.mark.redis
def test_a_key_is_made_listed_rotated_and_revoked(command: Commands) -> None:
    key = command("create", "acme", "--name", "ci", "--scope", "read").strip()
    record = kept(command, key)
    assert matches(key, record)
    assert (record.tenant, record.name, record.scopes) == ("acme", "ci", frozenset({Scope.READ}))

    new = command("rotate", record.id, "--grace", "2h").strip()
    successor, old = kept(command, new), kept(command, key)
    assert (successor.tenant, successor.scopes, successor.expires_at) == ("acme", record.scopes, None)
    assert old.expires_at is not None
    assert timedelta(hours=1, minutes=55) < old.expires_at - datetime.now(UTC) <= timedelta(hours=2)

    listed = command("list")
    assert record.id in listed
    assert successor.id in listed
    assert key not in listed
    assert record.id not in command("list", "--tenant", "other")

    command("revoke", record.id)
    assert command.record(record.id) is None
    with pytest.raises(NotFound):
        command("revoke", record.id)
    with pytest.raises(NotFound):
        command("rotate", record.id)


@pytest.mark.redis
def test_limits_are_set_one_by_one_and_given_back_to_the_default(command: Commands) -> None:
    command("limits", "acme", "--requests", "60", "--tokens", "none", "--priority", "batch")
    shown = command("limits", "acme", "--sessions", "4")
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["requests", "60"],
        ["tokens", "none"],
        ["sessions", "4"],
        ["priority", "batch"],
    ]
    assert ["requests", "default"] in [
        line.split() for line in command("limits", "acme", "--requests", "default").splitlines()
    ]


@pytest.mark.redis
@pytest.mark.parametrize(
    "words",
    [("create", "no spaces"), ("create", "acme", "--expires", "soon"), ("limits", "acme", "--requests", "many")],
)
def test_what_does_not_fit_is_refused_with_a_hint(command: Commands, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest) as told:
        command(*words)
    assert told.value.failure.hint
