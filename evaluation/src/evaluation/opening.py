"""The means of a run, made from what it needs and where things are. The only place where connections are made."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from calculator import Calculator
from evaluation.runs import EngineName, RunSpec, read
from evaluation.solving.chains import Recorded, by_chat, by_executor
from evaluation.solving.judges import CalculatorCheck, LLMJudge, RewardModel, TemplateFit
from evaluation.solving.means import Judge, Means, MeansMissing, Writer
from evaluation.solving.model import Meter, Model
from evaluation.solving.steps import ChatSteps, ExecutorSteps
from evaluation.strategies.catalogue import ON_SERVICES
from evaluation.strategies.reasonflux import by_trajectory
from reasonflux.client import ExecutorClient, NavigatorClient, TemplateStoreClient
from reasonflux.contracts import Contract
from reasonflux.engine import EngineConfig, OpenAIEngine, engine_http
from reasonflux.engine_port import Engine, Message, Reply
from reasonflux.errors import InvalidRequest, ReasonFluxError, ServiceUnavailable
from reasonflux.http import http_client
from reasonflux.settings import ReasonFluxSettings


class Settings(ReasonFluxSettings):
    navigator_url: str = "http://127.0.0.1:8000"
    executor_url: str = "http://127.0.0.1:8001"
    template_store_url: str = "http://127.0.0.1:8002"
    api_key: str | None = Field(default=None, repr=False, description="for a navigator that asks for one")
    eval_engine_key: str | None = Field(default=None, repr=False, description="for an engine that asks for one")


class Places(Contract):
    """Where things are. None of it changes what a run asks, so none of it stands in the result file."""

    navigator_url: str
    executor_url: str
    template_store_url: str
    prm_url: str | None = None
    prm_model: str = "prm"
    engine_key: str | None = Field(default=None, repr=False)
    api_key: str | None = Field(default=None, repr=False)


async def engine_named(url: str, model: str | None, key: str | None) -> EngineName:
    """The engine with the model's name: the given one, or the only one that it offers. Raises EngineError,
    InvalidRequest."""
    config = EngineConfig(url=url, model=model or "", key=key)
    async with engine_http(config) as http:
        offered = await OpenAIEngine(http, config).models()
    if model is None and len(offered) != 1:
        raise InvalidRequest(f"the engine at {url} offers several models", hint=f"--model {' | '.join(offered)}")
    if model is not None and model not in offered:
        raise InvalidRequest(f"the engine at {url} does not offer {model!r}", hint=f"it offers {', '.join(offered)}")
    return EngineName(url=url, model=model or offered[0])


@asynccontextmanager
async def opened(spec: RunSpec, places: Places) -> AsyncIterator[Means]:
    """What this run needs, connected, and reachable where that is a service. Raises ServiceUnavailable."""
    strategy = spec.strategy
    tool = bool(getattr(strategy, "calculator", False)) and spec.chains == "chat"
    judge = getattr(strategy, "judge", None)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(http_client())
        calculator = None
        if tool or judge == "calculator":
            calculator = await stack.enter_async_context(Calculator())
        navigator = None
        if strategy.strategy == "reasonflux" or spec.chains == "trajectory":
            navigator = NavigatorClient(services, places.navigator_url, key=places.api_key)
            await reachable(navigator)
        judges: dict[str, Judge] = {"llm": LLMJudge(), "fit": TemplateFit()}
        if calculator is not None:
            judges["calculator"] = CalculatorCheck(calculator)
        if places.prm_url is not None:
            judges["prm"] = RewardModel(services, places.prm_url, places.prm_model)
        executor = ExecutorClient(services, places.executor_url)
        templates = TemplateStoreClient(services, places.template_store_url)
        yield Means(
            model=Model(await _engine(spec, places, stack), spec.limits, spec.seed, Meter()),
            write=_writer(spec),
            steps=ExecutorSteps(executor, templates) if spec.chains == "executor" else ChatSteps(),
            judges=judges,
            calculator=calculator,
            navigator=navigator,
            executor=executor,
            templates=templates,
        )


def _writer(spec: RunSpec) -> Writer:
    if spec.chains != "recorded":
        return {"chat": by_chat, "executor": by_executor, "trajectory": by_trajectory}[spec.chains]
    if spec.recorded is None:
        raise MeansMissing("no run is named whose solutions are taken", hint="recorded: its result file")
    return Recorded(read(Path(spec.recorded))[1])


async def _engine(spec: RunSpec, places: Places, stack: AsyncExitStack) -> Engine:
    if spec.engine is None:
        return NoEngine()
    timeout = spec.limits.timeout or 3_600.0
    config = EngineConfig(url=spec.engine.url, model=spec.engine.model, key=places.engine_key, timeout=timeout)
    engine = OpenAIEngine(await stack.enter_async_context(engine_http(config)), config)
    await engine.ready()
    return engine


class NoEngine:
    """For strategies that stand on services only."""

    async def chat(self, messages: Sequence[Message], **options: Any) -> Reply:
        raise MeansMissing("this run has no engine", hint="say where it runs with --engine http://HOST:PORT/v1")


def needs_engine(spec: RunSpec) -> bool:
    """Whether the strategy calls an engine by itself."""
    if spec.strategy.strategy in ON_SERVICES:
        return False
    return spec.chains == "chat" or getattr(spec.strategy, "judge", None) == "llm"


async def reachable(navigator: NavigatorClient) -> None:
    """Return when the navigator answers. Raises ServiceUnavailable that says what to do."""
    try:
        async with navigator.response("GET", "/healthz"):
            return
    except ReasonFluxError as error:
        hint = "start the stack with `make up`, or say where it runs with --navigator-url"
        raise ServiceUnavailable(error.failure.message, hint=hint) from error
