"""Whole solutions: by the engine in free text or with the calculator, by the executor in its format, or recorded."""

from collections import Counter
from collections.abc import Iterable

from pydantic import Field, ValidationError

from calculator import FUNCTION_NAMES
from evaluation.attempt import Attempt, Task
from evaluation.grading import extract
from evaluation.solving.means import Means, MeansMissing
from evaluation.solving.model import Model, gather
from evaluation.solving.prompts import render
from evaluation.solving.solutions import Chain
from evaluation.solving.steps import carried_out
from reasonflux.contracts import Calculation, Contract, InstantiateRequest, Problem, Sampling, ThoughtTemplate
from reasonflux.engine_port import Message
from reasonflux.errors import EngineRefused, EngineTimeout
from reasonflux.json_reply import ReplyUnparsable, parse_reply

MAX_TURNS = 12
"""Turns of a solution with the calculator."""


class CalculatorTurn(Contract):
    """What the model says in one turn with the calculator."""

    reasoning: str
    calculate: tuple[str, ...] = Field(default=(), max_length=16)
    answer: str | None = None


async def sample(n: int, task: Task, means: Means, *, tool: bool) -> list[Chain]:
    """`n` solutions at the run's temperature. One that the engine refuses or does not finish in time is missing, and
    counted; raises its error when all are."""

    async def one(number: int) -> Chain | EngineRefused | EngineTimeout:
        model = means.model.branch(number)
        try:
            return await means.write(task, means, model, model.limits.temperature, tool=tool)
        except (EngineRefused, EngineTimeout) as error:
            return error

    found = await gather(*(one(number) for number in range(n)))
    chains = [chain for chain in found if isinstance(chain, Chain)]
    if not chains and isinstance(found[0], Exception):
        raise found[0]
    means.model.meter.counts["solutions missing"] += n - len(chains)
    return chains


async def by_chat(task: Task, means: Means, model: Model, temperature: float, *, tool: bool) -> Chain:
    """A chain of thought by any chat model."""
    if tool:
        return await _with_calculator(task, means, model, temperature)
    messages = [Message(role="system", content=render("chain")), Message(role="user", content=task.text)]
    reply = await model.say(messages, temperature=temperature)
    return Chain(text=reply.text, answer=extract(reply.text))


async def _with_calculator(task: Task, means: Means, model: Model, temperature: float) -> Chain:
    if means.calculator is None:
        raise MeansMissing("this run has no calculator", hint="leave calculator=true out")
    system = render("calculator", functions=", ".join(sorted(FUNCTION_NAMES)))
    messages = [Message(role="system", content=system), Message(role="user", content=task.text)]
    told: list[str] = []
    names: dict[str, str] = {}
    for _ in range(MAX_TURNS):
        reply = await model.say(messages, temperature=temperature, schema=CalculatorTurn.model_json_schema())
        try:
            turn = CalculatorTurn.model_validate(parse_reply(reply.text))
        except (ReplyUnparsable, ValidationError):
            model.meter.counts["replies not readable"] += 1
            break
        told.append(turn.reasoning)
        if turn.answer is not None and not turn.calculate:
            return Chain(text="\n".join(told), answer=turn.answer)
        values = await means.calculator.evaluate(list(turn.calculate), names) if turn.calculate else ()
        names |= {value.name: value.value for value in values if value.name and value.value is not None}
        said = "\n".join(map(_told, values)) or "Go on."
        told += [said] if values else []
        messages += [Message(role="assistant", content=reply.text), Message(role="user", content=said)]
    model.meter.counts["ended without an answer"] += 1
    return Chain(text="\n".join(told), answer=None)


def _told(value: Calculation) -> str:
    if value.error is not None:
        return f"{value.statement}: error: {value.error.message}"
    return f"{value.statement} → {value.value}"


async def by_executor(task: Task, means: Means, model: Model, temperature: float, *, tool: bool) -> Chain:
    """A solution by the executor service in one step without a template, in the format of its weights.

    The executor always has the calculator, so `tool` changes nothing.
    """
    return await instantiate(task, means, model, temperature, None)


async def instantiate(
    task: Task,
    means: Means,
    model: Model,
    temperature: float,
    template: ThoughtTemplate | None,
    *,
    gold: bool = False,
) -> Chain:
    """The whole problem as one step of the executor, told by its last sentence; `gold`: as the gold trajectory tells
    it, with its goal and only the statements that it takes."""
    if means.executor is None:
        raise MeansMissing("this run has no executor", hint="say where it runs with --executor-url")
    statements = Problem(text=task.text).statements
    goal = statements[-1].text
    if gold and task.goal is not None:
        goal, statements = task.goal, tuple(one for one in statements if one.id in task.uses)
    request = InstantiateRequest(
        goal=goal,
        template=template,
        statements=statements,
        sampling=Sampling(temperature=temperature, seed=model.next_seed()),
    )
    done = await carried_out(means.executor, request, model.meter)
    if done.failure is not None:
        model.meter.counts["ended without an answer"] += 1
    calculated = [f"{one.statement} → {one.value}" for one in done.calculations if one.value is not None]
    return Chain(text="\n".join([done.reasoning, *calculated]).strip(), answer=done.result)


class Recorded:
    """The whole solutions of an earlier run, in the order of its samples and with what they cost: what more of them are
    worth is told without paying for them again. The draws of all numbers of solutions are the same."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._kept: dict[str, list[Attempt]] = {}
        for attempt in sorted(attempts, key=lambda one: one.sample):
            self._kept.setdefault(attempt.task.id, []).append(attempt)
        self._told: Counter[str] = Counter()

    async def __call__(self, task: Task, means: Means, model: Model, temperature: float, *, tool: bool) -> Chain:
        """The next one of this attempt. Raises MeansMissing when there are no more."""
        kept, place = self._kept.get(task.id, []), self._told[means.key]
        self._told[means.key] += 1
        if place >= len(kept):
            hint = "record a run with as many samples"
            raise MeansMissing(f"{len(kept)} solutions of {task.id} are recorded, and more are asked for", hint=hint)
        found = kept[place]
        model.meter.add(found.usage)
        model.meter.recorded_seconds = max(model.meter.recorded_seconds, found.seconds)
        return Chain(text=found.text or "", answer=found.answer, fit=found.fit)
