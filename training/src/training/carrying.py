"""Carrying a trajectory out on a problem, without review: what it is worth there.

in    a trajectory's steps, a problem, the executor's engine, templates
out   the result of every step that could be carried out; the last step's result is the answer

Steps run as soon as the results that they use are there, side by side where the plan allows it. The executor is the
service's own (`executor.instantiate`), so a step is worth here what it is worth in a session. Unlike in a session
nobody reads the results: a step that fails is not tried again, and ends the trajectory.

A trajectory points at statements by their ids. On another problem they mean something only where its statements
correspond (`correspond`); elsewhere every step sees all of them.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import Field

from calculator import Calculator, evaluate_in_process
from executor.instantiate import Instantiator
from executor.prompting import Profile
from navigator import naming
from reasonflux.contracts import (
    Budget,
    Calculation,
    Contract,
    Failure,
    FailureKind,
    InstantiateRequest,
    Instantiation,
    KnownResult,
    Problem,
    Query,
    SearchRequest,
    SearchResponse,
    Statement,
    Step,
    ThoughtTemplate,
    Tokens,
    Trajectory,
)
from reasonflux.engine import Engine
from reasonflux.errors import EngineRefused, from_failure
from training.records import TrainingProblem

_NOT_THE_PLANS_FAULT = (
    FailureKind.ENGINE_UNAVAILABLE,
    FailureKind.DEADLINE_EXCEEDED,
    FailureKind.SERVICE_UNAVAILABLE,
    FailureKind.OVERLOADED,
)
_PATIENT = Budget(seconds=86_400.0)
"""The engine's own timeout bounds a call; a stage is in no hurry."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class CarryConfig(Contract):
    """How steps are carried out."""

    profile: Profile = Field(default=Profile.COMPACT, description="which prompts the executor's weights read")
    max_repairs: int | None = Field(
        default=None, ge=0, description="errors of one kind that are told to the executor; None: 2, and 0 for compact"
    )
    calculators: int = Field(
        default=2, ge=0, description="calculator processes; 0: in this process, without jail and timeout"
    )

    calculation_seconds: float = Field(
        default=20.0, gt=0, description="for one calculation; more than in a session, since a busy machine says nothing"
    )

    @property
    def repairs(self) -> int:
        return self.max_repairs if self.max_repairs is not None else 0 if self.profile is Profile.COMPACT else 2


class Templates(Protocol):
    """Where a step's template comes from."""

    @property
    def name(self) -> str:
        """Stands for what is found, in the keys of what is kept."""
        ...

    async def find(self, query: Query) -> ThoughtTemplate | None:
        """The template for a query, or None when none fits."""
        ...


class ByName:
    """The template whose name the query says, exactly; no retrieval is involved."""

    def __init__(self, library: Iterable[ThoughtTemplate]) -> None:
        self._templates = {template.name: template for template in library}

    name = "by name"

    async def find(self, query: Query) -> ThoughtTemplate | None:
        return self._templates.get(query.name)


class Store(Protocol):
    """The template store, as `reasonflux.store_client.TemplateStoreClient` speaks to it."""

    async def search(self, request: SearchRequest) -> SearchResponse: ...


class FromStore:
    """What the template store's search finds, as in a session. Equal queries are asked once."""

    def __init__(self, store: Store, library: str) -> None:
        self._store, self._library = store, library
        self._asked: dict[Query, asyncio.Task[ThoughtTemplate | None]] = {}
        self.name = f"store {library}"

    async def find(self, query: Query) -> ThoughtTemplate | None:
        if query not in self._asked:
            self._asked[query] = asyncio.create_task(self._search(query))
        return await asyncio.shield(self._asked[query])

    async def _search(self, query: Query) -> ThoughtTemplate | None:
        response = await self._store.search(SearchRequest(queries=(query,), library=self._library))
        return response.retrievals[0].template


class CarriedStep(Contract):
    """One step with its outcome."""

    step: Step
    template: ThoughtTemplate | None = None
    instantiation: Instantiation


class Carried(Contract):
    """A trajectory carried out."""

    answer: str | None = None
    failure: Failure | None = None
    rounds: int = 0
    tokens: Tokens = Tokens()


@dataclass(frozen=True)
class Carrier:
    """The executor's side. `model` names its weights, in the keys of what is kept."""

    instantiator: Instantiator
    templates: Templates
    model: str

    @property
    def name(self) -> str:
        """Everything that an outcome depends on beside the trajectory and the problem."""
        return f"{self.model} | {self.instantiator.profile.value} | {self.templates.name}"

    async def carry(self, trajectory: Trajectory, text: str, *, see_all: bool = False) -> Carried:
        """The whole trajectory on a problem. Raises EngineError and CalculatorUnavailable: those say nothing about it.

        `see_all`: the problem's statements do not correspond to those that the trajectory was planned for.
        """
        if not trajectory.steps or not trajectory.complete:
            reason = "it has no steps" if trajectory.complete else "it was not planned to its end"
            message = f"the trajectory cannot be carried out: {reason}"
            return Carried(failure=Failure(kind=FailureKind.BUDGET_EXHAUSTED, message=message))
        statements = Problem(text=text).statements
        steps = seeing_all(trajectory.steps, statements) if see_all else trajectory.steps
        done = await self.steps(steps, statements)
        spent = sum((one.instantiation.usage for one in done), Tokens())
        failed = next((one.instantiation.failure for one in done if one.instantiation.failure), None)
        answer = None if failed else done[-1].instantiation.result
        return Carried(answer=answer, failure=failed, rounds=len(done), tokens=spent)

    async def steps(
        self, steps: Sequence[Step], statements: Sequence[Statement], earlier: Sequence[CarriedStep] = ()
    ) -> tuple[CarriedStep, ...]:
        """The steps in the plan's order, each begun as soon as its dependencies are done; none after a failure."""
        run = _Run(self, statements, naming.symbols(statements, [*(one.step for one in earlier), *steps]))
        for one in earlier:
            run.keep(one)
        run.tasks.update({step.id: asyncio.create_task(run.one(step)) for step in steps})
        try:
            outcomes = await asyncio.gather(*run.tasks.values())
        finally:
            for task in run.tasks.values():
                task.cancel()
        return tuple(outcome for outcome in outcomes if outcome is not None)


@dataclass
class _Run:
    carrier: Carrier
    statements: Sequence[Statement]
    named: Mapping[int, str]
    known: dict[str, KnownResult] = field(default_factory=dict)
    tasks: "dict[int, asyncio.Task[CarriedStep | None]]" = field(default_factory=dict)
    failed: bool = False

    async def one(self, step: Step) -> CarriedStep | None:
        for earlier in step.depends_on:
            if earlier in self.tasks:
                await self.tasks[earlier]
        template = None if step.query is None else await self.carrier.templates.find(step.query)
        if self.failed:
            return None
        request = request_for(step, template, self.statements, self.known)
        done = CarriedStep(
            step=step, template=template, instantiation=await _instantiated(self.carrier.instantiator, request)
        )
        self.keep(done)
        return done

    def keep(self, done: CarriedStep) -> None:
        """Its result, as later steps see it."""
        if done.instantiation.result is None:
            self.failed = True
        else:
            name, symbol = f"r{done.step.id}", self.named.get(done.step.id)
            result = KnownResult(name=name, goal=done.step.goal, value=done.instantiation.result, symbol=symbol)
            self.known[name] = result


def request_for(
    step: Step, template: ThoughtTemplate | None, statements: Sequence[Statement], known: Mapping[str, KnownResult]
) -> InstantiateRequest:
    """What the executor may see of a step: its goal, its template, and exactly what the step uses."""
    results = sorted((known[use] for use in step.uses if use in known), key=lambda result: int(result.name[1:]))
    return InstantiateRequest(
        goal=step.goal,
        template=template,
        statements=tuple(statement for statement in statements if statement.id in step.uses),
        known=tuple(results),
        budget=_PATIENT,
    )


def seeing_all(steps: Sequence[Step], statements: Sequence[Statement]) -> tuple[Step, ...]:
    """The steps with every statement in view; the earlier results that they use stay."""
    every = tuple(statement.id for statement in statements)
    return tuple(
        step.model_copy(update={"uses": (*every, *(use for use in step.uses if use.startswith("r")))}) for step in steps
    )


def correspond(planned_for: TrainingProblem, other: TrainingProblem) -> bool:
    """Whether s1, s2, … mean the same in both: the same text but for its numbers, or the same families told in as many
    sentences. The ladder's generator keeps to one of these; a dataset's neighbours and an LLM's variants mostly don't.
    """
    ours, theirs = (Problem(text=problem.text).statements for problem in (planned_for, other))
    if len(ours) != len(theirs):
        return False
    if planned_for.families and planned_for.families == other.families:
        return True
    return all(_skeleton(a.text) == _skeleton(b.text) for a, b in zip(ours, theirs, strict=True))


@asynccontextmanager
async def carrying(config: CarryConfig, engine: Engine, model: str, templates: Templates) -> AsyncIterator[Carrier]:
    """A carrier with its calculator, which is stopped at the end. Raises CalculatorUnavailable."""
    if config.calculators == 0:
        yield Carrier(Instantiator(engine, InProcess(), config.profile, config.repairs), templates, model)
        return
    async with Calculator(processes=config.calculators, timeout=config.calculation_seconds) as calculator:
        yield Carrier(Instantiator(engine, calculator, config.profile, config.repairs), templates, model)


class InProcess:
    """The calculator in this process: for tests, and for replies that nobody hostile has made."""

    async def evaluate(
        self, statements: Sequence[str], names: Mapping[str, str] | None = None
    ) -> tuple[Calculation, ...]:
        return evaluate_in_process(statements, names)


async def _instantiated(instantiator: Instantiator, request: InstantiateRequest) -> Instantiation:
    """An engine that is out says nothing about the plan, and is raised; one that refuses this prompt does."""
    try:
        outcome = await instantiator.instantiate(request)
    except EngineRefused as error:
        return Instantiation(failure=error.failure)
    if outcome.failure is not None and outcome.failure.kind in _NOT_THE_PLANS_FAULT:
        raise from_failure(outcome.failure)
    return outcome


def _skeleton(text: str) -> str:
    return _NUMBER.sub("#", text.casefold())
