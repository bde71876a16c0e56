"""The composition root: `uvicorn template_store.app:create --factory`."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from calculator import Calculator
from calculator.metrics import CalculatorMetrics, Evaluated
from reasonflux.draining import Drain
from reasonflux.errors import ServiceUnavailable
from reasonflux.observing import logger
from reasonflux.service import create_app
from template_store import library, seeding
from template_store.api import changing, reading
from template_store.api.document import document
from template_store.api.opened import OpenStore, Searched
from template_store.editing import Editor
from template_store.exchange.bulk import Importer
from template_store.libraries import Libraries
from template_store.metrics import LibraryMetrics, SearchMetrics
from template_store.ports import Embedder, Records
from template_store.quality.checks import Calculates, Checks
from template_store.records import RedisRecords
from template_store.replica import Replica
from template_store.retrieval.embedding import EmbeddingCache, Runtime, SentenceEmbedder
from template_store.retrieval.retriever import Retriever
from template_store.settings import Settings


def create(
    settings: Settings | None = None,
    *,
    records: Records | None = None,
    embedder: Embedder | None = None,
    calculator: Calculates | None = None,
) -> FastAPI:
    """The service; its lifespan opens the records, the model, the calculator and the libraries.

    What is given takes the place of the real thing, and closing it is the caller's.
    """
    configured = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started = time.monotonic()
        searches, calculations = SearchMetrics(app.state.registry), CalculatorMetrics(app.state.registry)
        async with opened(
            configured,
            records=records,
            embedder=embedder,
            calculator=calculator,
            searched=searches.searched,
            calculated=calculations.observe,
        ) as store:
            app.state.store = store
            app.state.registry.register(LibraryMetrics(store.libraries))
            logger.info("store opened", seconds=round(time.monotonic() - started, 2))
            yield
            app.state.store = None

    async def ready() -> None:
        store = getattr(app.state, "store", None)
        if store is None:
            raise ServiceUnavailable("the template store is still starting")
        await store.ready()

    app = create_app(
        title="template-store",
        version=version("reasonflux-template-store"),
        lifespan=lifespan,
        routers=[changing.router, reading.router, reading.libraries_router],
        ready=ready,
        document=document,
        drain=Drain(configured.drain_seconds),
    )
    return app


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    records: Records | None = None,
    embedder: Embedder | None = None,
    calculator: Calculates | None = None,
    searched: Searched | None = None,
    calculated: Callable[[Evaluated, float], None] | None = None,
) -> AsyncIterator[OpenStore]:
    """A store that serves every library of the records, the configured folder taken over into the default one.
    `searched` and `calculated` hear of what it does.

    Raises LibraryInvalid, ModelUnavailable, WeightsRefused, RecordsUnavailable or CalculatorUnavailable."""
    templates = await asyncio.to_thread(library.read, settings.library_dir)
    async with AsyncExitStack() as stack:
        if records is None:
            records = RedisRecords(settings.redis_url)
            stack.push_async_callback(records.close)
        await _reached(records, settings.redis_patience)
        if embedder is None:
            embedder = await SentenceEmbedder.open(
                settings.embedding_model,
                cache_dir=settings.cache_dir,
                runtime=Runtime(settings.embedding_runtime),
            )
            stack.callback(embedder.close)
        if calculator is None:
            calculator = await stack.enter_async_context(
                Calculator(
                    processes=settings.calculator_processes, timeout=settings.calculator_timeout, observe=calculated
                )
            )
            logger.info("calculator started", jailed=calculator.jailed)
        await records.create_library(settings.library)
        await seeding.sync(records, settings.library, templates)
        libraries = Libraries(records, _Builder(records, embedder, settings))
        stack.push_async_callback(libraries.close)
        await libraries.all()
        checks = Checks(calculator, slots=settings.calculator_processes)
        yield OpenStore(records, libraries, Editor(records, checks), Importer(records, checks), searched)


async def _reached(records: Records, patience: float) -> None:
    """Wait until the records answer: the parts of a deployment start in any order."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await records.ping()
        except ServiceUnavailable as error:
            if time.monotonic() > deadline:
                raise
            logger.info("waits for Redis", reason=error.failure.message)
            await asyncio.sleep(0.5)


class _Builder:
    """Makes the empty replica of a library, on the one embedder that all libraries share."""

    def __init__(self, records: Records, embedder: Embedder, settings: Settings) -> None:
        self._records, self._embedder, self._settings = records, embedder, settings

    def __call__(self, name: str) -> Replica:
        from template_store.retrieval.index import FaissIndex

        # A folder each: the cache forgets what the library that it was last used for does not hold.
        cache = EmbeddingCache(self._settings.cache_dir / "libraries" / name)
        index = FaissIndex(self._embedder.dimension)
        return Replica(
            name,
            self._records,
            Retriever(self._embedder, index, cache, threshold=self._settings.retrieval_threshold),
        )
