"""One Pub/Sub connection per process, shared by everyone who waits.

A blocking connection for each follower would make the number of open streams the number of Redis connections, and a
bounded pool would run dry under them. So one connection listens, only to the sessions that are followed from this
process, and hands what it hears to mailboxes. When it breaks, everyone is told to look again after reconnecting.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from navigator.journal.following import LOOK_AGAIN, Mailbox
from reasonflux.contracts import Delta
from reasonflux.http import what_happened

log = structlog.get_logger()

_IDLE_SECONDS = 30.0
_RECONNECT_SECONDS = (0.05, 1.0)


@dataclass
class _Channel:
    mailboxes: set[Mailbox] = field(default_factory=set)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once Redis has confirmed the subscription."""


class Listener:
    """Hands the messages of Redis channels to mailboxes. The client given must not retry: reconnecting is done here."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._channels: dict[str, _Channel] = {}
        self._pubsub: PubSub | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self, name: str, mailbox: Mailbox, patience: float) -> AsyncIterator[None]:
        """Let the mailbox hear the channel. Waits up to `patience` seconds for Redis to confirm; what was published
        from then on is heard. Without confirmation it starts deaf, and is told to look again when Redis is back."""
        channel = self._channels.setdefault(name, _Channel())
        channel.mailboxes.add(mailbox)
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._listen(), name="journal listener")
            elif len(channel.mailboxes) == 1:
                await self._settle(name)
            with suppress(TimeoutError):  # not wait_for, which loses cancellations (see `Mailbox.take`)
                async with asyncio.timeout(patience):
                    await channel.heard.wait()
            yield
        finally:
            channel.mailboxes.discard(mailbox)
            if not channel.mailboxes and self._channels.get(name) is channel:
                del self._channels[name]
                await self._settle(name)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _settle(self, name: str) -> None:
        """Make the live connection hear `name` exactly when somebody wants it, as of now: followers come and go
        while earlier changes are still on their way."""
        async with self._changing:
            if self._pubsub is None or self._hearing is None:
                return
            change = self._pubsub.subscribe if name in self._channels else self._pubsub.unsubscribe
            try:
                await change(name)
            except Exception as error:  # the connection broke: a new one subscribes to what is wanted
                log.info("listening anew", reason=what_happened(error))
                self._hearing.cancel()

    async def _listen(self) -> None:
        """Hold a connection for as long as anybody listens.

        A broken one is left for good: redis-py would connect it again by itself, from whichever task comes first, and
        two tasks that read one connection fail in ways of their own (a RuntimeError of asyncio among them).
        """
        while self._channels:
            try:
                async with self._redis.pubsub() as pubsub:
                    try:
                        async with self._changing:
                            await pubsub.subscribe(*self._channels)
                            self._pubsub = pubsub
                            self._hearing = asyncio.create_task(self._hear(pubsub))
                        await asyncio.wait((self._hearing,))
                        if not self._hearing.cancelled():
                            self._hearing.result()
                    finally:
                        await self._deaf()
            except Exception as error:
                log.info("listening anew", reason=what_happened(error))
                await asyncio.sleep(random.uniform(*_RECONNECT_SECONDS))

    async def _deaf(self) -> None:
        """Until there is another connection. Whoever changes something on this one comes to an end first."""
        async with self._changing:
            hearing, self._hearing, self._pubsub = self._hearing, None, None
        if hearing is not None:
            hearing.cancel()
            await asyncio.wait((hearing,))
        for channel in self._channels.values():
            channel.heard.clear()

    async def _hear(self, pubsub: PubSub) -> None:
        while pubsub.subscribed:
            message = await pubsub.get_message(timeout=_IDLE_SECONDS)
            channel = self._channels.get(message["channel"]) if message else None
            if message is None or channel is None:
                continue
            if message["type"] == "subscribe":
                channel.heard.set()
                _hand_out(channel, LOOK_AGAIN)
            elif message["type"] == "message":
                _hand_out(channel, _item(message["data"]))


def _item(data: str) -> Delta | int:
    if data.isdigit():
        return int(data)
    try:
        return Delta.model_validate_json(data)
    except ValidationError:
        return LOOK_AGAIN


def _hand_out(channel: _Channel, item: Delta | int) -> None:
    for mailbox in channel.mailboxes:
        mailbox.put(item)
