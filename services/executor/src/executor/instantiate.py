"""One instantiation: ask the LLM, let the calculator carry out what it wrote, tell the LLM what went wrong, again."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from calculator import assigned_name, is_name, is_readable
from executor.errors import ReplyUnusable
from executor.metrics import Metrics
from executor.ports import Calculator, Emit, Engine
from executor.prompting import REPLY_SCHEMA, ExecutorReply, Profile, read, render, repair
from reasonflux import tracing
from reasonflux.contracts import (
    DEFAULT_ENGINE,
    Budget,
    Calculation,
    Failure,
    FailureKind,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    ThoughtTemplate,
    Tokens,
)
from reasonflux.engine import Message, Reply
from reasonflux.engines import no_such_engine
from reasonflux.errors import EngineTimeout, ReasonFluxError
from reasonflux.json_reply import FieldStream

_RESULT_NAME = re.compile(r"\b[rs]\d+\b")
_WORD = re.compile(r"[A-Z]|[A-Za-z]{3,}")
_COUNT_EVERY = 8
_REPAIRABLE = (FailureKind.CALCULATION_ERROR, FailureKind.UNPARSABLE_REPLY)


async def _unheard(_: InstantiateEvent) -> None:
    """Nobody listens to the stream."""


@dataclass(frozen=True)
class Instantiator:
    """Carries out steps. `max_repairs`: how often an error of one kind is told to the LLM before it is the outcome.

    `others`: the same on the engines that a request may choose by name.
    """

    engine: Engine
    calculator: Calculator
    profile: Profile
    max_repairs: int
    clock: Callable[[], float] = time.monotonic
    others: Mapping[str, "Instantiator"] = field(default_factory=dict)
    metrics: Metrics | None = None

    def on(self, engine: str) -> "Instantiator":
        """The role on the engine of this name. Raises InvalidRequest for a name that is none."""
        if engine == DEFAULT_ENGINE:
            return self
        if engine not in self.others:
            raise no_such_engine(engine, self.others)
        return self.others[engine]

    async def instantiate(self, request: InstantiateRequest, emit: Emit = _unheard) -> Instantiation:
        """Carry out one step within the request's budget; every way to fail is in the outcome's `failure`.

        `emit` receives deltas of the reasoning, restarts and calculations. Raises EngineError when the engine is out
        before it gave a single reply, and CalculatorUnavailable.
        """
        started = time.perf_counter()
        try:
            outcome = await self._within_budget(request, emit)
        except ReasonFluxError as error:
            if self.metrics is not None:
                self.metrics.refused(error.failure.kind, time.perf_counter() - started)
            raise
        if self.metrics is not None:
            self.metrics.ended(outcome, time.perf_counter() - started)
        if outcome.failure is not None:
            tracing.tell("reasonflux.failure", outcome.failure.kind.value)
        return outcome

    async def _within_budget(self, request: InstantiateRequest, emit: Emit) -> Instantiation:
        messages = render(request, self.profile)
        deadline = self.clock() + request.budget.seconds
        over = asyncio.get_running_loop().time() + request.budget.seconds
        spent, told = Tokens(), Counter[FailureKind]()
        while True:
            seconds = request.budget.seconds - (deadline - self.clock())
            left = request.budget.minus(tokens=spent.total, completion=spent.completion, seconds=seconds)
            try:
                reply = await self._ask(messages, request, left, emit, spent)
            except ReasonFluxError as error:
                if spent.calls == 0 and not isinstance(error, EngineTimeout | _Exhausted):
                    raise
                return Instantiation(failure=error.failure, usage=spent, attempts=max(1, spent.calls))
            spent += reply.tokens.model_copy(update={"calls": 1})
            try:
                async with asyncio.timeout_at(over):
                    outcome = await self._carry_out(reply.text, request, emit)
            except TimeoutError:
                return Instantiation(failure=_late().failure, usage=spent, attempts=spent.calls)
            failure = outcome.failure
            if failure is None or failure.kind not in _REPAIRABLE or told[failure.kind] >= self.max_repairs:
                return outcome.model_copy(update={"usage": spent, "attempts": spent.calls})
            told[failure.kind] += 1
            if self.metrics is not None:
                self.metrics.repaired(failure.kind)
            messages = [*messages, *repair(reply.text, failure)]
            await emit(InstantiateEvent(restarted=True))

    async def _ask(
        self, messages: list[Message], request: InstantiateRequest, left: Budget, emit: Emit, spent: Tokens
    ) -> Reply:
        _check(left)
        sampling, first = request.sampling, request.attempt == 1
        seed = sampling.seed if first else (sampling.seed or 0) + request.attempt
        return await self.engine.chat(
            messages,
            schema=REPLY_SCHEMA,
            schema_name="instantiation",
            temperature=(sampling.temperature or 0.0) if first else max(0.7, sampling.temperature or 0.0),
            seed=seed,
            max_tokens=min(self.profile.max_tokens, left.generation),
            timeout=left.seconds,
            on_delta=_reasoning_deltas(emit),
            on_usage=_running_count(emit, spent),
        )

    async def _carry_out(self, text: str, request: InstantiateRequest, emit: Emit) -> Instantiation:
        try:
            reply = read(text)
        except ReasonFluxError as error:
            return Instantiation(failure=error.failure)
        outcome = Instantiation(reasoning=reply.reasoning, bindings=reply.bindings)
        if not reply.fits:
            message = reply.reasoning.strip() or "the template does not fit this step"
            failure = Failure(kind=FailureKind.TEMPLATE_UNFIT, message=message, hint="try another template, or none")
            return outcome.model_copy(update={"failure": failure})
        mismatch = _binding_mismatch(reply, request.template)
        if mismatch is not None:
            return outcome.model_copy(update={"failure": mismatch})
        work = await self._calculate(reply, request)
        for calculation in work.calculations:
            await emit(InstantiateEvent(calculation=calculation))
        return work.model_copy(update={"reasoning": reply.reasoning, "bindings": reply.bindings})

    async def _calculate(self, reply: ExecutorReply, request: InstantiateRequest) -> Instantiation:
        """The formulas, the expressions and the result, in one go, so that later ones see the names of earlier ones."""
        formulas = request.template.formulas if request.template and reply.bindings else ()
        statements = (*formulas, *reply.expressions)
        asked = [*_with_names(statements, reply), *([] if reply.result is None else [reply.result])]
        mentioned = set(_RESULT_NAME.findall(" ".join((*asked, *reply.bindings.values()))))
        known = {result.name: result.value for result in request.known if result.name in mentioned}
        with tracing.span("calculate", attributes={"reasonflux.statements": len(asked)}):
            values = await self.calculator.evaluate(asked, {**known, **reply.bindings})
        if not values:
            return Instantiation(failure=ReplyUnusable("the reply calculates nothing and gives no result").failure)
        if values[0].error and values[0].statement not in asked[:1]:  # a binding or a known result has no value
            return _failed(values)
        pairs = zip(values, statements, asked, strict=False)  # values end at the first error
        done = tuple(_as_written(value, statement, named) for value, statement, named in pairs)
        if len(values) <= len(statements):
            return _failed(done) if done[-1].error else Instantiation(calculations=done, result=done[-1].value)
        last = values[-1]
        if last.error is not None and self.profile is Profile.INSTRUCT and _is_text(last.statement):
            return Instantiation(calculations=done, result=reply.result)
        calculations = done if _is_plain(last) else (*done, last)
        return _failed(calculations) if last.error else Instantiation(calculations=calculations, result=last.value)


class _Exhausted(ReasonFluxError):
    """The request's budget does not allow another engine call."""


def _failed(calculations: tuple[Calculation, ...]) -> Instantiation:
    """The outcome when the last calculation has an error."""
    last = calculations[-1]
    assert last.error is not None
    failure = last.error.model_copy(update={"message": f"{last.statement[:200]}: {last.error.message}"})
    return Instantiation(calculations=calculations, failure=failure)


def _late() -> _Exhausted:
    hint = "give the step more time"
    return _Exhausted("the step's time ran out", hint=hint, kind=FailureKind.DEADLINE_EXCEEDED)


def _check(left: Budget) -> None:
    if left.seconds <= 0:
        raise _late()
    if left.generation <= 0:
        hint = "give the step more tokens"
        raise _Exhausted("the step's tokens are used up", hint=hint, kind=FailureKind.BUDGET_EXHAUSTED)


def _reasoning_deltas(emit: Emit) -> Callable[[str], Awaitable[None]]:
    stream = FieldStream("reasoning")

    async def on_delta(raw: str) -> None:
        text = stream.feed(raw)
        if text:
            await emit(InstantiateEvent(delta=text))

    return on_delta


def _running_count(emit: Emit, before: Tokens) -> Callable[[Tokens], Awaitable[None]]:
    """Tells now and then what the step has cost so far: whoever stops it must know."""
    told = -_COUNT_EVERY

    async def on_usage(tokens: Tokens) -> None:
        nonlocal told
        if tokens.completion - told >= _COUNT_EVERY:
            told = tokens.completion
            await emit(InstantiateEvent(spent=before + tokens))

    return on_usage


def _binding_mismatch(reply: ExecutorReply, template: ThoughtTemplate | None) -> Failure | None:
    """Formulas need every variable of the template, and know no other."""
    if template is None or not template.formulas or not reply.bindings:
        return None
    missing = [name for name in template.variables if name not in reply.bindings]
    unknown = [name for name in reply.bindings if name not in template.variables]
    if not missing and not unknown:
        return None
    faults = [f"not bound: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
    return Failure(
        kind=FailureKind.CALCULATION_ERROR,
        message=f"the bindings do not match the template's variables ({'; '.join(faults)})",
        hint=f"bind exactly: {', '.join(template.variables)}",
    )


def _with_names(statements: tuple[str, ...], reply: ExecutorReply) -> list[str]:
    """Unnamed statements become `c1 = …`, `c2 = …`, unless the name is taken."""
    taken = {*reply.bindings, *filter(None, map(assigned_name, statements))}
    named, count = [], 0
    for statement in statements:
        if assigned_name(statement) is not None:
            named.append(statement)
            continue
        count += 1
        name = f"c{count}"
        named.append(statement if name in taken else f"{name} = {statement}")
    return named


def _as_written(calculation: Calculation, statement: str, asked: str) -> Calculation:
    """Without the name that we added."""
    if statement == asked or calculation.statement != asked:
        return calculation
    return calculation.model_copy(update={"statement": statement, "name": None})


def _is_text(result: str) -> bool:
    """Whether a result was never meant for the calculator: an interval, a set, a word, the letter of a choice."""
    return _WORD.fullmatch(result.strip()) is not None or not is_readable(result)


def _is_plain(result: Calculation) -> bool:
    """Whether a result only repeats a value or a name, which is no calculation of its own."""
    return result.error is None and (result.statement.strip() == result.value or is_name(result.statement.strip()))
