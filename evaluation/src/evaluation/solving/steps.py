"""Solutions one step at a time, for strategies that search among beginnings of solutions: by any chat model, or by the
executor in the format of its weights."""

import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from pydantic import ValidationError

from evaluation.grading import extract
from evaluation.solving.model import Meter, Model
from evaluation.solving.prompts import render
from evaluation.solving.solutions import ExecutedStep, Path, Step, fit_of
from reasonflux.contracts import (
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    KnownResult,
    Problem,
    Query,
    Sampling,
    SearchRequest,
    SearchResponse,
    Tokens,
)
from reasonflux.engine_port import Message
from reasonflux.json_reply import ReplyUnparsable, parse_reply

MOST_STATEMENTS = 4
"""That a step of the executor takes."""
_SYMBOL = re.compile(r"\b[A-Z]\b")


class ChatSteps:
    """By any chat model, a JSON object a step."""

    async def go_on(self, problem: str, path: Path, model: Model, temperature: float) -> Path | None:
        reply = await model.say(
            _messages(problem, path, "Go on."), temperature=temperature, max_tokens=model.limits.step_tokens,
            schema=Step.model_json_schema(),
        )  # fmt: skip
        try:
            return path.plus(Step.model_validate(parse_reply(reply.text)))
        except (ReplyUnparsable, ValidationError):
            model.meter.counts["replies not readable"] += 1
            return None

    async def finish(self, problem: str, path: Path, model: Model, temperature: float) -> Path:
        if path.finished:
            return path
        reply = await model.say(_messages(problem, path, render("finish")), temperature=temperature)
        return path.plus(Step(step=reply.text.strip() or "(nothing)", answer=extract(reply.text)))


def _messages(problem: str, path: Path, ask: str) -> list[Message]:
    """It only grows at its end, so the engine's prefix cache serves what two paths share."""
    opening = [Message(role="system", content=render("step")), Message(role="user", content=problem)]
    turns = [
        message
        for step in path.steps
        for message in (
            Message(role="assistant", content=step.model_dump_json()),
            Message(role="user", content="Go on."),
        )
    ]
    if not turns:
        return opening if ask == "Go on." else [*opening[:1], Message(role="user", content=f"{problem}\n\n{ask}")]
    return [*opening, *turns[:-1], Message(role="user", content=ask)]


class Executes(Protocol):
    async def instantiate(
        self, request: InstantiateRequest, on_event: Callable[[InstantiateEvent], Awaitable[None]] | None = None
    ) -> Instantiation: ...


async def carried_out(executor: Executes, request: InstantiateRequest, meter: Meter) -> Instantiation:
    """One step of the executor. Its cost is counted, also when it breaks off or is stopped."""
    spent = Tokens()

    async def count(event: InstantiateEvent) -> None:
        nonlocal spent
        spent = event.spent or spent

    try:
        done = await executor.instantiate(request, count)
    except BaseException:
        meter.add(spent)
        raise
    meter.add(done.usage)
    return done


class Searches(Protocol):
    async def search(self, request: SearchRequest) -> SearchResponse: ...


class ExecutorSteps:
    """By the executor without a navigator: a step takes the next few statements of the problem, as many as chance says,
    and is carried out with the template that the store finds for them. The step that takes the last statement answers.

    A step sees the results whose symbols its statements name, and the last one.
    """

    def __init__(self, executor: Executes, templates: Searches, library: str = "math") -> None:
        self._executor = executor
        self._templates = templates
        self._library = library

    async def go_on(self, problem: str, path: Path, model: Model, temperature: float) -> Path | None:
        left = Problem(text=problem).statements[_read(path) :]
        taken = left[: 1 + model.next_seed() % min(MOST_STATEMENTS, len(left))]
        words = " ".join(statement.text for statement in taken)
        search = SearchRequest(queries=(Query(text=words),), library=self._library)
        found = (await self._templates.search(search)).retrievals[0]
        request = InstantiateRequest(
            goal=taken[-1].text, template=found.template, statements=taken, known=_known(path, words),
            sampling=Sampling(temperature=temperature, seed=model.next_seed()),
        )  # fmt: skip
        done = await carried_out(self._executor, request, model.meter)
        if done.result is None:
            model.meter.counts["steps that failed"] += 1
            return None
        step = ExecutedStep(
            step=f"{taken[-1].text} → {done.result}", answer=done.result if len(taken) == len(left) else None,
            read=len(taken), goal=taken[-1].text, result=done.result, fit=fit_of(found),
        )  # fmt: skip
        return path.plus(step)

    async def finish(self, problem: str, path: Path, model: Model, temperature: float) -> Path:
        while not path.finished:
            further = await self.go_on(problem, path, model, temperature)
            if further is None:
                return path
            path = further
        return path


def _read(path: Path) -> int:
    return sum(step.read for step in path.steps if isinstance(step, ExecutedStep))


def _known(path: Path, words: str) -> tuple[KnownResult, ...]:
    """Of the earlier results the last one, and those whose symbol ("Let K be …" gives K first) the words mention."""
    mentioned = set(_SYMBOL.findall(words))
    done = [step for step in path.steps if isinstance(step, ExecutedStep)]
    called = [next(iter(_SYMBOL.findall(step.goal)), None) for step in done]
    return tuple(
        KnownResult(name=f"r{number}", goal=step.goal, value=step.result, symbol=symbol)
        for number, (step, symbol) in enumerate(zip(done, called, strict=True), start=1)
        if number == len(done) or symbol in mentioned
    )
