"""The named libraries of this process. They are made known in the records, and opened here when they are asked for."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from reasonflux.errors import ReasonFluxError, ServiceUnavailable
from reasonflux.observing import logger
from template_store.errors import LibraryNotFound
from template_store.ports import Records
from template_store.replica import Replica


class Libraries:
    """`build` makes a replica that is still empty. `close` ends what follows the changes."""

    def __init__(self, records: Records, build: Callable[[str], Replica]) -> None:
        self._records = records
        self._build = build
        self._open: dict[str, asyncio.Task[Replica]] = {}
        self._following: set[asyncio.Task[None]] = set()

    async def create(self, name: str) -> tuple[Replica, bool]:
        """The library of this name, and whether it is new."""
        new = await self._records.create_library(name)
        return await self._opened(name), new

    async def find(self, name: str) -> Replica:
        """Raises LibraryNotFound. A library that another replica created is opened on the way."""
        if name not in self._open:
            known = await self._records.libraries()
            if name not in known:
                raise LibraryNotFound(name, known)
        return await self._opened(name)

    async def all(self) -> list[Replica]:
        """Every library, by name. While Redis is away: those that are open here."""
        try:
            known = await self._records.libraries()
        except ServiceUnavailable:
            known = tuple(sorted(self._open))
        return [await self._opened(name) for name in known]

    def check(self) -> None:
        """Raises the first trouble of a library that does not follow its changes."""
        for replica in self.replicas():
            if replica.trouble is not None:
                raise replica.trouble

    def replicas(self) -> Iterator[Replica]:
        """Those that are open here, as of now."""
        for opening in self._open.values():
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                yield opening.result()

    async def close(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._open.values(), *self._following]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._open.clear()

    async def _opened(self, name: str) -> Replica:
        """Everyone who asks waits for the same opening; one that failed is tried again by the next who asks."""
        if name not in self._open:
            self._open[name] = asyncio.create_task(self._read(name), name=f"open library {name}")
        opening = self._open[name]
        try:
            return await asyncio.shield(opening)
        except ReasonFluxError:
            if self._open.get(name) is opening:
                del self._open[name]
            raise

    async def _read(self, name: str) -> Replica:
        replica = self._build(name)
        await replica.reload()
        self._keep(replica.follow(), name)
        logger.info("library opened", library=name, **{k: v for k, v in replica.info().counts.items() if v})
        return replica

    def _keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"follow library {name}")
        self._following.add(task)
        task.add_done_callback(self._following.discard)
