"""The composition root: `uvicorn navigator.app:create --factory`.

Connections are made in the lifespan, and nowhere else. Tests call `build` with fakes instead.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from uuid import uuid4

import httpx
from fastapi import FastAPI

from navigator.api import ROUTERS
from navigator.api.opening import OpenNavigator
from navigator.journal import RedisJournal
from navigator.llm import NavigatorLLM
from navigator.metrics import Metrics
from navigator.planning import Profile
from navigator.ports import Executor, Journal, TemplateStore
from navigator.runner import Runner
from navigator.settings import Settings
from navigator.upkeep import Upkeep
from navigator.webhooks import Webhooks
from navigator.worker import Worker
from reasonflux.client import ExecutorClient, TemplateStoreClient
from reasonflux.engine import OpenAIEngine, engine_http
from reasonflux.errors import ReasonFluxError, ServiceUnavailable
from reasonflux.http import http_client
from reasonflux.observing import configure_logging, logger
from reasonflux.remote import RemoteService
from reasonflux.service import create_app

DRAIN_SECONDS = 10.0
"""How long stopping may take until the leases of unfinished sessions are left to run out."""

REPAIRS = {Profile.INSTRUCT: 2, Profile.COMPACT: 1}

Check = Callable[[], Awaitable[None]]
"""Returns when something that the work needs answers, and raises when it does not."""


@dataclass(frozen=True)
class World:
    """What the navigator stands on."""

    journal: Journal
    llm: NavigatorLLM
    templates: TemplateStore
    executor: Executor
    http: httpx.AsyncClient
    """For calls that go out of the house: webhooks."""
    checks: Sequence[Check] = ()


def create(settings: Settings | None = None) -> FastAPI:
    """The service on the real things that the settings name."""
    chosen = settings or Settings()
    return _app(chosen, lambda: connected(chosen))


def build(
    *,
    journal: Journal,
    llm: NavigatorLLM,
    templates: TemplateStore,
    executor: Executor,
    http: httpx.AsyncClient | None = None,
    checks: Sequence[Check] = (),
    settings: Settings | None = None,
) -> FastAPI:
    """The service on what it is given; closing that is the caller's."""

    @asynccontextmanager
    async def given() -> AsyncIterator[World]:
        async with http_client() if http is None else nullcontext(http) as line:
            yield World(journal, llm, templates, executor, line, checks)

    return _app(settings or Settings(), given)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[World]:
    """The Redis journal, the engine, and the clients of the two other services."""
    profile = Profile(settings.profile)
    async with (
        _journal(settings) as journal,
        engine_http(settings.engine) as engine_line,
        http_client() as service_line,
    ):
        engine = OpenAIEngine(engine_line, settings.engine)
        templates = TemplateStoreClient(service_line, settings.template_store_url)
        executor = ExecutorClient(service_line, settings.executor_url)
        yield World(
            journal,
            NavigatorLLM(engine, profile, REPAIRS[profile]),
            templates,
            executor,
            service_line,
            checks=(engine.ready, lambda: _reach(executor), lambda: _reach(templates)),
        )


@asynccontextmanager
async def _journal(settings: Settings) -> AsyncIterator[RedisJournal]:
    journal = RedisJournal(settings.redis_url, retention=settings.session_retention_seconds)
    try:
        yield journal
    finally:
        await journal.close()


def _app(settings: Settings, opening: Callable[[], AbstractAsyncContextManager[World]]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings.log_level)
        metrics = Metrics(app.state.registry)
        async with (
            opening() as world,
            _working(settings, world, metrics) as check_worker,
            _kept_up(settings, world, metrics),
        ):
            app.state.navigator = OpenNavigator(
                journal=world.journal,
                engine=world.llm.engine,
                libraries=settings.libraries,
                metrics=metrics,
                webhook_origins=settings.webhook_origins,
            )
            # Without workers this process only reads and writes the journal: it can do that while an engine is away.
            needed = (*world.checks, check_worker) if settings.navigator_workers else ()
            app.state.checks = (world.journal.ping, *needed)
            yield
            app.state.navigator, app.state.checks = None, None

    async def ready() -> None:
        checks = getattr(app.state, "checks", None)
        if checks is None:
            raise ServiceUnavailable("the navigator is starting or stopping")
        await _all_answer(checks)

    app = create_app(
        title="navigator",
        version=version("reasonflux-navigator"),
        lifespan=lifespan,
        routers=ROUTERS,
        ready=ready,
    )
    return app


@asynccontextmanager
async def _working(settings: Settings, world: World, metrics: Metrics) -> AsyncIterator[Check]:
    """A worker beside the API. At the end it stops claiming and gives back what it has not finished."""
    runner = Runner(
        journal=world.journal,
        llm=world.llm,
        templates=world.templates,
        executor=world.executor,
        lease_seconds=settings.navigator_lease_seconds,
        observe=metrics.observe,
    )
    owner = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    worker = Worker(runner, owner, settings.navigator_workers)
    task = asyncio.create_task(worker.run(), name="worker") if settings.navigator_workers else None

    async def check() -> None:
        if task is not None and task.done():
            raise ServiceUnavailable(
                "the navigator's worker has stopped", hint="restart the navigator; its log says why"
            )

    try:
        yield check
    finally:
        if task is not None:
            task.cancel()
            _, pending = await asyncio.wait((task,), timeout=DRAIN_SECONDS)
            if pending:
                logger.warning("worker did not stop in time; its leases run out by themselves", owner=owner)


@asynccontextmanager
async def _kept_up(settings: Settings, world: World, metrics: Metrics) -> AsyncIterator[None]:
    """Deadlines and webhooks, in every process: whichever comes first does it."""
    webhooks = Webhooks(world.journal, world.http, settings.webhook_origins)
    task = asyncio.create_task(Upkeep(world.journal, webhooks, metrics).run(), name="upkeep")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,), timeout=DRAIN_SECONDS)


async def _all_answer(checks: Sequence[Check]) -> None:
    """Raises one error that names everything that does not answer."""
    outcomes = await asyncio.gather(*(check() for check in checks), return_exceptions=True)
    faults = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if len(faults) == 1 or any(not isinstance(fault, ReasonFluxError) for fault in faults):
        raise faults[0]
    if faults:
        raise ServiceUnavailable("; ".join(str(fault) for fault in faults))


async def _reach(service: RemoteService) -> None:
    async with service.response("GET", "/healthz"):
        pass
