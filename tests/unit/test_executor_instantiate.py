"""The executor's loop against scripted replies and the real calculator language."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from calculator import evaluate_in_process
from executor.instantiate import Instantiator
from executor.prompting import Profile
from reasonflux.contracts import (
    Budget,
    Calculation,
    FailureKind,
    InstantiateEvent,
    InstantiateRequest,
    KnownResult,
    Sampling,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    Tokens,
    WorkedExample,
)
from reasonflux.engine import Message, OnDelta, Reply
from reasonflux.errors import EngineTimeout, EngineUnavailable

TEMPLATE = ThoughtTemplate(
    id="discriminant",
    name="Discriminant",
    type=TemplateType.FORMULA_RULE,
    field="algebra/quadratics",
    tags=("quadratic",),
    description="The larger root of a quadratic.",
    scope=("quadratics",),
    variables={"a": "leading", "b": "linear", "c": "constant"},
    steps=(
        TemplateStep(instruction="Discriminant.", formula="disc = b**2 - 4*a*c"),
        TemplateStep(instruction="Root.", formula="(-b + sqrt(disc))/(2*a)"),
    ),
    example=WorkedExample(
        problem="x^2 = 1", bindings={"a": "1", "b": "0", "c": "-1"}, answer="1", check="answer**2 == 1"
    ),
)


class InProcess:
    async def evaluate(
        self, statements: Sequence[str], names: Mapping[str, str] | None = None
    ) -> tuple[Calculation, ...]:
        return evaluate_in_process(statements, names or {})


class Scripted:
    """An engine that gives the scripted replies in order; an exception is raised instead."""

    def __init__(self, *replies: str | dict[str, Any] | Exception) -> None:
        self.replies = [reply if not isinstance(reply, dict) else json.dumps(reply) for reply in replies]
        self.calls: list[dict[str, Any]] = []

    async def chat(self, messages: Sequence[Message], *, on_delta: OnDelta | None = None, **options: Any) -> Reply:
        self.calls.append({"messages": list(messages), **options})
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        for start in range(0, len(reply), 7) if on_delta else ():
            assert on_delta is not None
            await on_delta(reply[start : start + 7])
        return Reply(text=reply, finish_reason="stop", tokens=Tokens(prompt=100, completion=10, calls=1))


def says(**reply: Any) -> dict[str, Any]:
    return {"fits": True, "reasoning": "because", **reply}


def executor(engine: Scripted, profile: Profile = Profile.INSTRUCT, repairs: int = 2, **options: Any) -> Instantiator:
    return Instantiator(engine, InProcess(), profile, repairs, **options)


async def carried_out(engine: Scripted, request: InstantiateRequest | None = None, **options: Any) -> Any:
    return await executor(engine, **options).instantiate(request or InstantiateRequest(goal="g"))


QUADRATIC = InstantiateRequest(goal="larger root", template=TEMPLATE)


async def test_bindings_are_substituted_into_the_templates_formulas() -> None:
    outcome = await carried_out(Scripted(says(bindings={"a": "1", "b": "-5", "c": "2*3"})), QUADRATIC)
    assert outcome.failure is None
    assert [(c.statement, c.name, c.value) for c in outcome.calculations] == [
        ("disc = b**2 - 4*a*c", "disc", "1"),
        ("(-b + sqrt(disc))/(2*a)", None, "3"),
    ]
    assert outcome.result == "3"
    assert outcome.bindings == {"a": "1", "b": "-5", "c": "2*3"}
    assert (outcome.reasoning, outcome.attempts) == ("because", 1)


async def test_expressions_may_use_bindings_results_names_and_earlier_values() -> None:
    known = (KnownResult(name="r1", goal="g", value="sqrt(2)"), KnownResult(name="r2", goal="g", value="[1, 2)"))
    request = InstantiateRequest(goal="g", known=known)
    reply = says(bindings={"k": "3"}, expressions=["k*r1", "x = c1**2", "x + 1", "c2 - 1"], result="c3*2")
    outcome = await carried_out(Scripted(reply), request)
    assert [c.value for c in outcome.calculations] == ["3*sqrt(2)", "18", "19", "18", "36"]
    assert [c.name for c in outcome.calculations] == [None, "x", None, None, None]
    assert outcome.calculations[0].statement == "k*r1"
    assert outcome.result == "36"


async def test_an_answer_of_an_earlier_turn_is_put_in_by_the_name_of_its_statement() -> None:
    known = (KnownResult(name="s7", goal="g", value="-7/2"),)
    reply = says(bindings={"a": "1", "b": "s7", "c": "2*s7"})
    outcome = await carried_out(Scripted(reply), QUADRATIC.model_copy(update={"known": known}))
    assert outcome.calculations[0].value == "161/4"


async def test_a_binding_called_c1_is_not_overwritten() -> None:
    outcome = await carried_out(Scripted(says(bindings={"c1": "10"}, expressions=["1 + 1", "c1*2"])))
    assert outcome.result == "20"


@pytest.mark.parametrize("result", ["3", "x", "(3)"])
async def test_the_result_is_evaluated(result: str) -> None:
    outcome = await carried_out(Scripted(says(expressions=["x = 1 + 2"], result=result)))
    assert outcome.result == "3"


@pytest.mark.parametrize("text", ["[1, 2)", "{1, 2}", "no solution", "x = 3 or x = 5", "Tuesday", "B", r"\emptyset"])
async def test_a_result_that_is_no_number_is_kept_as_text(text: str) -> None:
    outcome = await carried_out(Scripted(says(result=text)))
    assert (outcome.result, outcome.failure) == (text, None)


@pytest.mark.parametrize("text", ["1/0", "r7", "sqrt(y)"])
async def test_a_result_that_has_no_value_is_an_error(text: str) -> None:
    outcome = await carried_out(Scripted(says(result=text)), repairs=0)
    assert outcome.result is None
    assert outcome.failure.kind is FailureKind.CALCULATION_ERROR


async def test_the_compact_profile_keeps_no_text() -> None:
    outcome = await carried_out(Scripted(says(result="[1, 2)")), profile=Profile.COMPACT, repairs=0)
    assert outcome.failure.kind is FailureKind.CALCULATION_ERROR


async def test_a_template_that_does_not_fit_is_said_so() -> None:
    outcome = await carried_out(Scripted({"fits": False, "reasoning": "it is cubic"}), QUADRATIC)
    assert outcome.failure.kind is FailureKind.TEMPLATE_UNFIT
    assert outcome.failure.message == "it is cubic"
    assert outcome.usage.calls == 1


@pytest.mark.parametrize(
    ("bindings", "because"),
    [({"a": "1", "b": "2"}, "not bound: c"), ({"a": "1", "b": "2", "c": "3", "z": "4"}, "unknown: z")],
)
async def test_bindings_must_match_the_variables(bindings: dict[str, str], because: str) -> None:
    engine = Scripted(says(bindings=bindings), says(bindings={"a": "1", "b": "-5", "c": "6"}))
    outcome = await carried_out(engine, QUADRATIC)
    assert outcome.result == "3"
    assert because in engine.calls[1]["messages"][-1].content


async def test_a_calculation_error_is_told_to_the_model_and_mended() -> None:
    engine = Scripted(says(expressions=["1/0"]), says(expressions=["1/2"]))
    outcome = await carried_out(engine)
    assert (outcome.result, outcome.attempts) == ("1/2", 2)
    assert outcome.usage == Tokens(prompt=200, completion=20, calls=2)
    first, second = (call["messages"] for call in engine.calls)
    assert second[: len(first)] == first
    assert [m.role for m in second[len(first) :]] == ["assistant", "user"]
    assert "division by zero" in second[-1].content


async def test_a_calculation_error_is_the_outcome_after_two_repairs() -> None:
    outcome = await carried_out(Scripted(*[says(expressions=["2 + 2", "1/0"])] * 3))
    assert outcome.failure.kind is FailureKind.CALCULATION_ERROR
    assert outcome.failure.message == "1/0: division by zero"
    assert [c.value for c in outcome.calculations] == ["4", None]
    assert (outcome.attempts, outcome.usage.total) == (3, 330)


async def test_a_hostile_binding_is_a_calculation_error() -> None:
    reply = says(bindings={"a": "__import__('os')", "b": "1", "c": "1"})
    outcome = await carried_out(Scripted(reply), QUADRATIC, repairs=0)
    assert outcome.failure.kind is FailureKind.CALCULATION_ERROR
    assert "a = __import__" in outcome.failure.message


async def test_an_unparsable_reply_is_told_twice_and_then_the_outcome() -> None:
    engine = Scripted("nonsense", '{"fits": true', says())
    outcome = await carried_out(engine)
    assert outcome.failure.kind is FailureKind.UNPARSABLE_REPLY
    assert outcome.attempts == 3
    assert "no JSON object" in engine.calls[1]["messages"][-1].content
    assert "cut off" in engine.calls[2]["messages"][-1].content


async def test_bindings_without_a_formula_or_a_result_are_nothing() -> None:
    outcome = await carried_out(Scripted(says(bindings={"a": "1"})), repairs=0)
    assert outcome.failure.kind is FailureKind.UNPARSABLE_REPLY


async def test_without_repairs_the_first_error_is_the_outcome() -> None:
    engine = Scripted(says(expressions=["1/0"]))
    assert (await carried_out(engine, profile=Profile.COMPACT, repairs=0)).failure is not None
    assert len(engine.calls) == 1


@pytest.mark.parametrize(("attempt", "temperature", "seed"), [(1, 0.0, None), (2, 0.7, 2), (3, 0.7, 3)])
async def test_later_attempts_are_sampled(attempt: int, temperature: float, seed: int | None) -> None:
    engine = Scripted(says(result="1"))
    await carried_out(engine, InstantiateRequest(goal="g", attempt=attempt))
    assert (engine.calls[0]["temperature"], engine.calls[0]["seed"]) == (temperature, seed)


@pytest.mark.parametrize(
    ("profile", "tokens", "expected"),
    [(Profile.INSTRUCT, 64_000, 1024), (Profile.INSTRUCT, 300, 300), (Profile.COMPACT, 64_000, 256)],
)
async def test_a_reply_is_never_longer_than_the_budget(profile: Profile, tokens: int, expected: int) -> None:
    engine = Scripted(says(result="1"))
    await carried_out(engine, InstantiateRequest(goal="g", budget=Budget(tokens=tokens)), profile=profile)
    assert engine.calls[0]["max_tokens"] == expected


async def test_no_call_is_made_when_the_tokens_are_used_up() -> None:
    engine = Scripted(says(expressions=["1/0"]))
    outcome = await carried_out(engine, InstantiateRequest(goal="g", budget=Budget(tokens=110)))
    assert outcome.failure.kind is FailureKind.BUDGET_EXHAUSTED
    assert (outcome.usage.total, outcome.attempts) == (110, 1)


def ticking(times: Iterable[float]) -> Any:
    iterator = iter(times)
    return lambda: next(iterator)


async def test_no_call_is_made_when_the_time_has_run_out() -> None:
    engine = Scripted(says(expressions=["1/0"]))
    request = InstantiateRequest(goal="g", budget=Budget(seconds=10))
    outcome = await carried_out(engine, request, clock=ticking([0.0, 4.0, 11.0]))
    assert outcome.failure.kind is FailureKind.DEADLINE_EXCEEDED
    assert engine.calls[0]["timeout"] == 6.0
    assert outcome.usage.calls == 1


async def test_a_calculation_does_not_outlast_the_step() -> None:
    class Hanging:
        async def evaluate(self, *_: Any) -> tuple[Calculation, ...]:
            await asyncio.Event().wait()
            return ()

    request = InstantiateRequest(goal="g", budget=Budget(seconds=0.05))
    hanging = Instantiator(Scripted(says(expressions=["1+1"])), Hanging(), Profile.INSTRUCT, 2)
    outcome = await hanging.instantiate(request)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.DEADLINE_EXCEEDED
    assert outcome.usage.total == 110  # what is known so far


async def test_an_engine_that_is_too_slow_is_a_deadline_exceeded() -> None:
    outcome = await carried_out(Scripted(EngineTimeout("late")))
    assert outcome.failure.kind is FailureKind.DEADLINE_EXCEEDED


async def test_an_engine_outage_is_raised() -> None:
    with pytest.raises(EngineUnavailable):
        await carried_out(Scripted(EngineUnavailable("down")))


async def test_an_outage_after_a_reply_still_counts_its_tokens() -> None:
    outcome = await carried_out(Scripted("nonsense", EngineUnavailable("down")))
    assert outcome.failure.kind is FailureKind.ENGINE_UNAVAILABLE
    assert outcome.usage.total == 110


async def test_the_stream_shows_reasoning_restarts_and_calculations() -> None:
    events: list[InstantiateEvent] = []

    async def emit(event: InstantiateEvent) -> None:
        events.append(event)

    good = '{"fits": true, "reasoning": "take \\theta and \\\\frac{1}{2}", "expressions": ["1/2"]}'
    await executor(Scripted("nonsense", good)).instantiate(InstantiateRequest(goal="g"), emit)
    assert events[0].restarted is True
    assert "".join(event.delta or "" for event in events) == r"take \theta and \frac{1}{2}"
    assert events[-1].calculation == Calculation(statement="1/2", value="1/2")


async def test_the_caller_s_sampling_is_used_and_later_attempts_vary_it() -> None:
    engine = Scripted(*[says(expressions=["1 + 1"])] * 3)
    sampling = Sampling(temperature=0.3, seed=40)
    for attempt in (1, 2):
        await executor(engine).instantiate(InstantiateRequest(goal="g", attempt=attempt, sampling=sampling))
    await executor(engine).instantiate(InstantiateRequest(goal="g"))

    assert [(call["temperature"], call["seed"]) for call in engine.calls] == [(0.3, 40), (0.7, 42), (0.0, None)]


async def test_a_cap_on_generated_tokens_bounds_each_call() -> None:
    engine = Scripted("nonsense", says(expressions=["1 + 1"]))
    await executor(engine).instantiate(InstantiateRequest(goal="g", budget=Budget(completion_tokens=25)))

    assert [call["max_tokens"] for call in engine.calls] == [25, 15]
