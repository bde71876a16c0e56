"""Every strategy through a whole run, on an engine over HTTP: a fake one, and the embedded stack with real vLLM."""

import json
from pathlib import Path
from typing import Any

import pytest
from embedded import Embedded

from evaluation import running
from evaluation.attempt import Verdict
from evaluation.opening import Places
from evaluation.questions import BenchmarkQuestions, LadderQuestions
from evaluation.runs import RunSpec, read
from evaluation.solving.model import Limits
from evaluation.strategies.catalogue import parse
from navigator.testing import is_review, on_fakes, plan, review, step
from reasonflux.contracts import InstantiateRequest
from reasonflux.testing.fake_engine import Call, FakeEngine, fake_openai_app
from reasonflux.testing.serving import served

NOWHERE = "http://127.0.0.1:9"
ON_AN_ENGINE = (
    "direct", "direct:calculator=true", "majority@3", "best_of_n@3", "best_of_n@3:judge=calculator",
    "beam@2:branching=2,depth=3", "mcts@4:branching=2,depth=3",
)  # fmt: skip


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"problem": f"What is {n} + 1?", "answer": n + 1}) + "\n" for n in range(3)))
    return path


def places(url: str = NOWHERE) -> Places:
    return Places(navigator_url=url, executor_url=url, template_store_url=url)


def solver(call: Call) -> str:
    """A model that can do all that strategies ask for: steps, scores, turns with the calculator, whole solutions."""
    number = next(int(message.content.split()[2]) for message in call.messages if message.content.startswith("What is"))
    asked = (call.schema_ or {}).get("properties", {})
    if "calculate" in asked:
        said = call.messages[-1].content
        known = "→" in said
        turn: dict[str, Any] = {"reasoning": "Add.", "calculate": [] if known else [f"{number} + 1"], "answer": None}
        return json.dumps({**turn, "answer": said.rpartition("→")[2].strip()} if known else turn)
    if "step" in asked:
        done = any(message.role == "assistant" for message in call.messages)
        return json.dumps({"step": f"{number} + 1 = {number + 1}", "answer": str(number + 1) if done else None})
    return rf"{number} + 1 = {number + 1}, so \boxed{{{number + 1}}}"


def judging(call: Call) -> str:
    if "score" in (call.schema_ or {}).get("properties", {}):
        return json.dumps({"reason": "It adds.", "score": 9})
    return solver(call)


@pytest.mark.parametrize("name", ON_AN_ENGINE)
async def test_a_strategy_solves_on_an_engine_over_http_and_all_its_calls_are_in_the_report(
    name: str, sums: Path, tmp_path: Path
) -> None:
    engine = FakeEngine(judging)
    spec = RunSpec(questions=BenchmarkQuestions.find(str(sums)), strategy=parse(name))
    async with served(fake_openai_app(engine)) as url:
        assert await running.start(spec, tmp_path / "run.jsonl", places(), 2, f"{url}/v1") == 0
    _, attempts = read(tmp_path / "run.jsonl")
    assert [attempt.verdict for attempt in attempts] == [Verdict.RIGHT] * 3
    assert sum(attempt.usage.all.calls for attempt in attempts) == len(engine.calls)
    assert all(attempt.usage.all.prompt and attempt.usage.all.completion for attempt in attempts)
    assert len({attempt.seed for attempt in attempts}) == 3


async def test_our_service_solves_over_http_and_its_calls_are_in_the_report(sums: Path, tmp_path: Path) -> None:
    def mind(call: Call) -> str:
        return review("finish", "solved", answer="r1") if is_review(call) else plan(step("find the sum", "s1"))

    def hand(request: InstantiateRequest) -> str:
        return str(int(request.statements[0].text.split()[2]) + 1)

    spec = RunSpec(questions=BenchmarkQuestions.find(str(sums)), strategy=parse("reasonflux:effort=low"))
    async with served(on_fakes(mind, hand)) as url:
        assert await running.start(spec, tmp_path / "run.jsonl", places(url), 2) == 0
    _, attempts = read(tmp_path / "run.jsonl")
    assert [attempt.verdict for attempt in attempts] == [Verdict.RIGHT] * 3
    assert all(attempt.usage.navigator.calls == 2 for attempt in attempts)
    assert all(attempt.rounds == 1 for attempt in attempts)


# --- the real engine ------------------------------------------------------------------------------------------------


@pytest.fixture
def stack(embedded: Embedded) -> Places:
    return Places(
        navigator_url=embedded.url("navigator"), executor_url=embedded.url("executor"),
        template_store_url=embedded.url("template_store"),
    )  # fmt: skip


@pytest.mark.vllm
@pytest.mark.parametrize("name", [name for name in ON_AN_ENGINE if name != "best_of_n@3:judge=calculator"])
async def test_a_strategy_comes_to_its_end_on_a_real_engine(
    name: str, sums: Path, tmp_path: Path, stack: Places, embedded: Embedded
) -> None:
    """The shipped weights say nothing useful in chat; the calls, the schemas and the costs are real all the same."""
    limits = Limits(max_tokens=48, step_tokens=48)
    spec = RunSpec(questions=BenchmarkQuestions.find(str(sums), limit=1), strategy=parse(name), limits=limits)
    path = tmp_path / "run.jsonl"
    assert await running.start(spec, path, stack, 1, f"{embedded.url('executor_engine')}/v1") == 0
    run, (attempt,) = read(path)
    assert run.spec.engine is not None
    assert run.spec.engine.model == "reasonflux-tiny-executor"
    assert attempt.failure is None
    assert attempt.usage.all.prompt > 0
    assert 0 < attempt.usage.all.completion <= 48 * attempt.usage.all.calls


@pytest.mark.vllm
@pytest.mark.redis
@pytest.mark.faiss
@pytest.mark.parametrize(
    "name", ["reasonflux", "reasonflux:templates=oracle", "executor:templates=retrieved,step=gold"]
)
async def test_our_services_solve_the_ladder(name: str, tmp_path: Path, stack: Places) -> None:
    spec = RunSpec(questions=LadderQuestions(depths=(1,), limit=2), strategy=parse(name))
    assert await running.start(spec, tmp_path / "run.jsonl", stack, 2) == 0
    _, attempts = read(tmp_path / "run.jsonl")
    assert any(attempt.verdict is Verdict.RIGHT for attempt in attempts)
    assert all(attempt.usage.executor.calls and attempt.templates for attempt in attempts)
