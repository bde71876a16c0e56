"""Connections to Redis, and its errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.exceptions import RedisError

from navigator.errors import JournalUnavailable
from reasonflux.http import what_happened
from reasonflux.observing import logger


def client(url: str, connections: int, retry: Retry) -> Redis:
    """A client whose callers queue for a connection instead of failing or opening more and more of them."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=10.0,
        decode_responses=True,
        protocol=2,
        socket_timeout=5.0,
        socket_connect_timeout=2.0,
        socket_keepalive=True,
        health_check_interval=30,
        retry=retry,
    )
    return Redis.from_pool(pool)


@contextmanager
def redis_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        # Redis names hosts, users and keys in its errors: that is for the log, not for clients.
        logger.warning("Redis does not serve", error=what_happened(error))
        raise JournalUnavailable(
            "the store of sessions does not answer",
            hint="try again; its operator checks that Redis runs, that REASONFLUX_REDIS_URL points at it, and that it "
            "has memory and disk left",
        ) from error
