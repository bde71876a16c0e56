"""The composition root: `uvicorn navigator.app:create --factory`.

Connections are made in the lifespan, and nowhere else. Tests call `build` with fakes instead.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from navigator import web
from navigator.access.door import Door, Doorkeeper
from navigator.access.gate import Gate
from navigator.access.limits import RATE_LIMIT_HEADERS
from navigator.access.memory import MemoryAdmission, MemoryKeys
from navigator.access.metrics import AccessMetrics
from navigator.access.ports import Admission, Keys
from navigator.access.redis_access import RedisAdmission, RedisKeys, open_redis
from navigator.access.visit import TenantsSessions, Visit
from navigator.api import ROUTERS
from navigator.api.document import document
from navigator.api.opening import OpenNavigator
from navigator.exchanges import Exchanges
from navigator.journal import RedisJournal
from navigator.llm import NavigatorLLM
from navigator.metrics import JournalMetrics, Metrics, WorkerMetrics
from navigator.planning import Profile
from navigator.ports import Executor, Journal, Libraries
from navigator.runner import Runner
from navigator.settings import Settings
from navigator.shelves import Shelves
from navigator.upkeep import Upkeep
from navigator.webhooks import Webhooks
from navigator.worker import Worker
from reasonflux.client import ExecutorClient, TemplateStoreClient
from reasonflux.contracts import DEFAULT_ENGINE
from reasonflux.draining import Drain
from reasonflux.engine import EngineConfig, OpenAIEngine, engine_http
from reasonflux.errors import ReasonFluxError, ServiceUnavailable
from reasonflux.http import http_client
from reasonflux.measuring import EngineCalls
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
    templates: Libraries
    executor: Executor
    http: httpx.AsyncClient
    """For calls that go out of the house: webhooks."""
    keys: Keys
    admission: Admission
    checks: Sequence[Check] = ()
    refresh: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Looks up, for /metrics, what no process knows by itself."""


def create(settings: Settings | None = None) -> FastAPI:
    """The service on the real things that the settings name."""
    chosen = settings or Settings()
    return _app(chosen, lambda registry: connected(chosen, registry))


def build(
    *,
    journal: Journal,
    llm: NavigatorLLM,
    templates: Libraries,
    executor: Executor,
    http: httpx.AsyncClient | None = None,
    keys: Keys | None = None,
    admission: Admission | None = None,
    checks: Sequence[Check] = (),
    settings: Settings | None = None,
) -> FastAPI:
    """The service on what it is given; closing that is the caller's."""

    @asynccontextmanager
    async def given(_: CollectorRegistry) -> AsyncIterator[World]:
        async with http_client() if http is None else nullcontext(http) as line:
            yield World(
                journal, llm, templates, executor, line, keys or MemoryKeys(), admission or MemoryAdmission(), checks
            )

    return _app(settings or Settings(), given)


@asynccontextmanager
async def connected(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[World]:
    """The Redis journal, the engines, and the clients of the two other services. What they do is counted there."""
    calls, journal_metrics = EngineCalls(registry), JournalMetrics(registry)
    others = [chosen[0] for chosen in settings.other_engines.values() if chosen]
    async with (
        _journal(settings, journal_metrics) as journal,
        _access_redis(settings) as redis,
        engine_http(settings.engine, *others) as engine_line,
        http_client() as service_line,
    ):
        engine = OpenAIEngine(engine_line, settings.engine, watch=calls.of(DEFAULT_ENGINE))
        templates = TemplateStoreClient(service_line, settings.template_store_url)
        executor = ExecutorClient(service_line, settings.executor_url)
        yield World(
            journal,
            _navigator_llm(settings, engine, engine_line, calls),
            templates,
            executor,
            service_line,
            RedisKeys(redis),
            RedisAdmission(redis),
            checks=(engine.ready, lambda: _reach(executor), lambda: _reach(templates)),
            refresh=lambda: journal_metrics.refresh(journal),
        )


def _navigator_llm(
    settings: Settings, engine: OpenAIEngine, line: httpx.AsyncClient, calls: EngineCalls
) -> NavigatorLLM:
    """The navigator role on its own engine, and on those that clients may choose by name."""
    own = NavigatorLLM(engine, Profile(settings.profile), REPAIRS[Profile(settings.profile)])

    def on(name: str, config: EngineConfig, profile: Profile) -> NavigatorLLM:
        return NavigatorLLM(OpenAIEngine(line, config, watch=calls.of(name)), profile, REPAIRS[profile])

    given = settings.other_engines.items()
    return replace(own, others={name: on(name, each[0], Profile(each[1])) if each else own for name, each in given})


@asynccontextmanager
async def _journal(settings: Settings, metrics: JournalMetrics) -> AsyncIterator[RedisJournal]:
    journal = RedisJournal(settings.redis_url, retention=settings.session_retention_seconds, observe=metrics.called)
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def _access_redis(settings: Settings) -> AsyncIterator[Redis]:
    redis = open_redis(settings.redis_url)
    try:
        yield redis
    finally:
        await redis.aclose()


def _app(settings: Settings, opening: Callable[[CollectorRegistry], AbstractAsyncContextManager[World]]) -> FastAPI:
    drain = Drain(settings.drain_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings.log_level)
        counted = AccessMetrics(app.state.registry)
        async with opening(app.state.registry) as world, _gated(settings, world, counted) as gate:
            metrics = Metrics(app.state.registry, gate.ended, gate.lost)
            if world.refresh is not None:
                app.state.refresh_metrics = world.refresh
            async with (
                _working(settings, world, metrics, drain, app.state.registry) as check_worker,
                _kept_up(settings, world, metrics),
            ):
                required = settings.access == "keys"
                app.state.doorkeeper = Doorkeeper(world.keys, gate, counted, required=required)
                app.state.navigator_for = _front(settings, world, metrics)
                # Without workers this process only reads and writes the journal: it can while an engine is away.
                needed = (*world.checks, check_worker) if settings.navigator_workers else ()
                app.state.checks = (world.journal.ping, *needed)
                yield
                app.state.doorkeeper, app.state.navigator_for, app.state.checks = None, None, None

    async def ready() -> None:
        checks = getattr(app.state, "checks", None)
        if checks is None:
            raise ServiceUnavailable("the navigator is starting or stopping")
        await _all_answer(checks)

    app = create_app(
        title="navigator",
        version=version("reasonflux-navigator"),
        lifespan=lifespan,
        routers=(web.router, *ROUTERS),
        ready=ready,
        document=lambda: document(keys_optional=settings.access != "keys"),
        guards=(Middleware(Door, max_body_bytes=settings.max_body_bytes, most_open=settings.tenant_open_requests),),
        drain=drain,
    )
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, **_cors(settings))
    return app


def _front(settings: Settings, world: World, metrics: Metrics) -> Callable[[Visit], OpenNavigator]:
    """The navigator as one visit may use it: it sees the sessions of its own tenant."""
    shelves = Shelves(world.templates, settings.libraries)
    exchanges = Exchanges(world.llm, world.executor)

    def opened(visit: Visit) -> OpenNavigator:
        return OpenNavigator(
            journal=TenantsSessions(world.journal, visit),
            visit=visit,
            llm=world.llm,
            libraries=settings.libraries,
            metrics=metrics,
            shelves=shelves,
            exchanges=exchanges,
            webhook_origins=settings.webhook_origins,
            speculation=settings.speculation,
        )

    return opened


@asynccontextmanager
async def _gated(settings: Settings, world: World, metrics: AccessMetrics) -> AsyncIterator[Gate]:
    """The gate; at the end it waits until everything that has ended is counted."""
    gate = Gate(
        world.admission,
        world.keys,
        metrics,
        defaults=settings.limits,
        room=settings.room,
        metered=settings.access == "keys",
    )
    try:
        yield gate
    finally:
        await gate.settle()


def _cors(settings: Settings) -> dict[str, Any]:
    """Keys travel in a header that the page sets itself, so no cookies or other credentials are let through."""
    return {
        "allow_origins": settings.cors_origins,
        "allow_methods": ("GET", "POST", "DELETE"),
        "allow_headers": ("*",),  # clients send many of their own
        "expose_headers": ("Location", "Retry-After", "X-ReasonFlux-Session", "X-Request-ID", *RATE_LIMIT_HEADERS),
    }


@asynccontextmanager
async def _working(
    settings: Settings, world: World, metrics: Metrics, drain: Drain, registry: CollectorRegistry
) -> AsyncIterator[Check]:
    """A worker beside the API. Before the end it finishes the steps under way; at the end it gives the rest back."""
    counted = WorkerMetrics(registry, settings.navigator_workers, lambda: worker.busy)
    runner = Runner(
        journal=world.journal,
        llm=world.llm,
        templates=world.templates,
        executor=world.executor,
        lease_seconds=settings.navigator_lease_seconds,
        longest_back_off=settings.navigator_longest_back_off,
        observe=metrics.observe,
        lost=metrics.lost,
        claimed=counted.claimed,
        performed=metrics.performed,
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
        with drain.before_leaving(worker.drain):
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
    webhooks = Webhooks(world.journal, world.http, settings.webhook_origins, settings.webhook_secrets)
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
