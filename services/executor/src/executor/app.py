"""The composition root: `uvicorn executor.app:create --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version

from fastapi import FastAPI

from calculator import Calculator
from calculator.metrics import CalculatorMetrics
from executor.api import router
from executor.document import document
from executor.instantiate import Instantiator
from executor.metrics import Metrics
from executor.ports import Engine
from executor.prompting import Profile
from executor.settings import Settings
from reasonflux.contracts import DEFAULT_ENGINE
from reasonflux.draining import Drain
from reasonflux.engine import OpenAIEngine, engine_http
from reasonflux.errors import ServiceUnavailable
from reasonflux.measuring import EngineCalls
from reasonflux.observing import logger
from reasonflux.service import create_app


def create(settings: Settings | None = None, *, engine: Engine | None = None) -> FastAPI:
    """The service; its lifespan starts the calculator and opens connections. `engine` replaces the real engine."""
    configured = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        calls, metrics = EngineCalls(app.state.registry), Metrics(app.state.registry)
        calculator = Calculator(
            processes=configured.calculator_processes,
            timeout=configured.calculator_timeout,
            observe=CalculatorMetrics(app.state.registry).observe,
        )
        others = configured.other_engines
        configs = [configured.engine, *(chosen[0] for chosen in others.values() if chosen)]
        async with engine_http(*configs) as http, calculator:
            real = OpenAIEngine(http, configured.engine, watch=calls.of(DEFAULT_ENGINE))
            app.state.engine = real if engine is None else None

            def role(on: Engine, profile: Profile) -> Instantiator:
                return Instantiator(on, calculator, profile, configured.max_repairs(profile), metrics=metrics)

            own = role(engine or real, configured.profile)
            named = {
                name: role(OpenAIEngine(http, chosen[0], watch=calls.of(name)), chosen[1]) if chosen else own
                for name, chosen in others.items()
            }
            app.state.instantiator = replace(own, others=named)
            logger.info("calculator started", processes=configured.calculator_processes, jailed=calculator.jailed)
            yield
            app.state.instantiator = None

    async def ready() -> None:
        running = getattr(app.state, "instantiator", None)
        if running is None:
            raise ServiceUnavailable("the executor is still starting")
        await running.calculator.evaluate(["1"])
        if app.state.engine is not None:
            await app.state.engine.ready()

    app = create_app(
        title="executor",
        version=version("reasonflux-executor"),
        lifespan=lifespan,
        routers=[router],
        ready=ready,
        document=document,
        drain=Drain(configured.drain_seconds),
    )
    return app
