"""Navigator and executor as a run uses them: served on their weights, or servers that the config names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from reasonflux.engine import Engine, OpenAIEngine, engine_http
from reasonflux.errors import EngineUnavailable
from template_store import library as template_files
from training.carrying import ByName, Carrier, carrying
from training.settings import RunConfig
from training.weights.serving import serve, served


@dataclass(frozen=True)
class Actors:
    """`logs`: the folder in which engines that are started here write theirs."""

    config: RunConfig
    library: Path
    logs: Path

    async def answer(self) -> None:
        """Whether the servers that run already answer and offer their models. Raises InvalidRequest, EngineError."""
        engines = self.config.engines
        writer = engines.writer if self.config.similar.source == "llm" else None
        for role, ref in (("navigator", engines.navigator), ("executor", engines.executor), ("writer", writer)):
            if ref is not None and ref.url is not None:
                try:
                    await served(ref)
                except EngineUnavailable as error:
                    hint = f"start it, or mend engines.{role}.url in the config"
                    raise EngineUnavailable(f"engines.{role}: {error.failure.message}", hint=hint) from error

    @asynccontextmanager
    async def both(self, navigator: Path, executor: Path) -> AsyncIterator[tuple[Engine, str, Carrier]]:
        """The navigator's engine, the name of its weights, and the executor's side."""
        ref = self.config.engines.navigator
        async with (
            serve(ref, navigator, self.logs, role="navigator") as config,
            engine_http(config) as http,
            self.executing(executor) as carrier,
        ):
            yield OpenAIEngine(http, config), config.model, carrier

    @asynccontextmanager
    async def executing(self, executor: Path) -> AsyncIterator[Carrier]:
        """The executor's side alone; templates are found by name."""
        templates = ByName(template_files.read(self.library))
        async with (
            serve(self.config.engines.executor, executor, self.logs, role="executor") as config,
            engine_http(config) as http,
            carrying(self.config.carry, OpenAIEngine(http, config), config.model, templates) as carrier,
        ):
            yield carrier
