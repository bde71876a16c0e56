"""The composition root: `uvicorn template_store.app:create --factory`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from prometheus_client import Gauge

from reasonflux.errors import ServiceUnavailable
from reasonflux.observing import logger
from reasonflux.service import create_app
from template_store import library
from template_store.api import router
from template_store.embedding import EmbeddingCache, SentenceEmbedder
from template_store.settings import Settings
from template_store.store import TemplateStore


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[TemplateStore]:
    """A store that serves the configured library. Raises LibraryInvalid, ModelUnavailable or WeightsRefused."""
    templates = library.read(settings.library_dir)
    embedder = await SentenceEmbedder.open(settings.embedding_model)
    try:
        from template_store.index import FaissIndex

        store = TemplateStore(
            embedder,
            FaissIndex(embedder.dimension),
            EmbeddingCache(settings.cache_dir),
            library=settings.library,
            threshold=settings.retrieval_threshold,
        )
        await store.upsert(templates)
        yield store
    finally:
        embedder.close()


def create(settings: Settings | None = None) -> FastAPI:
    """The service; its lifespan opens the library, the model and the index."""
    configured = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started = time.monotonic()
        async with opened(configured) as store:
            app.state.store = store
            stats = store.stats()
            Gauge("reasonflux_templates", "Templates that can be found", registry=app.state.registry).set(
                stats.templates
            )
            logger.info("library opened", templates=stats.templates, seconds=round(time.monotonic() - started, 2))
            yield
            app.state.store = None

    async def ready() -> None:
        if getattr(app.state, "store", None) is None:
            raise ServiceUnavailable("the template store is still starting")

    app = create_app(
        title="template-store",
        version=version("reasonflux-template-store"),
        lifespan=lifespan,
        routers=[router],
        ready=ready,
    )
    return app
