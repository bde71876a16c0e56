"""What a strategy may use. The command line makes it; tests make it of fakes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from evaluation.attempt import Task
from evaluation.solving.model import Model
from evaluation.solving.solutions import Chain, Path
from evaluation.solving.steps import ChatSteps
from reasonflux.client import ExecutorClient, NavigatorClient, TemplateStoreClient
from reasonflux.contracts import Calculation
from reasonflux.errors import InvalidRequest


class MeansMissing(InvalidRequest):
    """The run lacks what its strategy needs: no attempt can be made."""


class Calculates(Protocol):
    async def evaluate(self, statements: list[str], names: dict[str, str]) -> tuple[Calculation, ...]:
        """In order, up to and including the first that fails."""
        ...


class Writer(Protocol):
    """Who writes a whole solution."""

    async def __call__(self, task: Task, means: "Means", model: Model, temperature: float, *, tool: bool) -> Chain:
        """`tool`: with the calculator. Raises EngineError."""
        ...


class Judge(Protocol):
    async def score(self, problem: str, solution: Chain, model: Model) -> float | None:
        """How good a solution, or its beginning, looks: 0 to 1. None: no score could be had, which is not 0."""
        ...


class Steps(Protocol):
    """Who writes solutions a step at a time."""

    async def go_on(self, problem: str, path: Path, model: Model, temperature: float) -> Path | None:
        """The path with one more step; None when there was none to be had, which is counted."""
        ...

    async def finish(self, problem: str, path: Path, model: Model, temperature: float) -> Path:
        """The path carried on to an answer in one go; without one where there is none."""
        ...


@dataclass(frozen=True)
class Means:
    """For one attempt. `single` is the temperature of a solution that is sampled once; `key` names the attempt."""

    model: Model
    write: Writer
    steps: Steps = field(default_factory=ChatSteps)
    single: float = 0.0
    run: str = "run"
    key: str = "attempt"
    seed: int = 0
    judges: Mapping[str, Judge] = field(default_factory=dict)
    calculator: Calculates | None = None
    navigator: NavigatorClient | None = None
    executor: ExecutorClient | None = None
    templates: TemplateStoreClient | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
