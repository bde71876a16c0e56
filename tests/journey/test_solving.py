"""The main job on the whole stack: real Redis, real vLLM with the shipped weights, real FAISS, over HTTP."""

import json
import re
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path

import httpx
import openai
import pytest
from embedded import Embedded

from evaluation.ladder import LadderProblem, Split, generate
from evaluation.ladder.outside import outside
from reasonflux.client import NavigatorClient
from reasonflux.contracts import CreateSession, Effort, Entry, Outcome, Phase, SessionFinished

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

# 20*(3 + 79)/2 = 820
SUM = "An arithmetic sequence has first term 3 and common difference 4. What is the sum of its first 20 terms?"


@pytest.fixture
async def navigator(embedded: Embedded) -> AsyncIterator[NavigatorClient]:
    async with NavigatorClient.open(embedded.url("navigator")) as client:
        yield client


def heldout(depth: int, count: int) -> list[LadderProblem]:
    return list(islice(generate(Split.HELDOUT, [depth], seed=20), count))


async def test_a_problem_is_solved_with_a_retrieved_template_and_an_exact_calculation(
    navigator: NavigatorClient,
) -> None:
    session = await navigator.solve(SUM)
    assert (session.outcome, session.answer) == (Outcome.SOLVED, "820")
    (state,) = session.steps
    assert state.phase is Phase.DONE
    assert state.retrieval is not None
    assert state.retrieval.template is not None
    assert state.retrieval.template.id == "arithmetic-series-sum"
    assert state.instantiations[-1].bindings == {"first": "3", "diff": "4", "n": "20"}
    assert [calculation.value for calculation in state.instantiations[-1].calculations] == ["79", "820"]
    assert session.usage.navigator.calls == 2
    assert session.usage.executor.calls == 1


@pytest.mark.parametrize("depth", [1, 2])
async def test_most_heldout_problems_are_solved(navigator: NavigatorClient, depth: int) -> None:
    """The measured rates are in docs/results; this holds that the stack has not come apart."""
    problems = heldout(depth, 8)
    answers = [(await navigator.solve(problem.text)).answer for problem in problems]
    right = sum(answer == problem.answer for answer, problem in zip(answers, problems, strict=True))
    assert right >= 6, list(zip(answers, (problem.answer for problem in problems), strict=True))


async def test_a_problem_deeper_than_any_in_training_is_planned_a_view_at_a_time(navigator: NavigatorClient) -> None:
    """Trained on chains of three; the rate at each depth is in docs/results."""
    problems = heldout(5, 6)
    sessions = [await navigator.solve(problem.text, effort=Effort.HIGH) for problem in problems]
    assert all(session.options.horizon == 1 for session in sessions)
    right = [s for s, problem in zip(sessions, problems, strict=True) if s.answer == problem.answer]
    assert right, [(s.answer, problem.answer) for s, problem in zip(sessions, problems, strict=True)]
    assert all(len([state for state in s.steps if state.phase is Phase.DONE]) >= 5 for s in right)
    assert all(s.done for s in right)


async def test_a_conversation_of_three_turns_goes_on_from_each_answer(navigator: NavigatorClient) -> None:
    first = await navigator.solve(SUM)
    second = await navigator.solve("Let K be the previous answer. What is the sum of K and 180?", parent=first.id)
    third = await navigator.solve("Take the last answer as N. Compute 3 times N.", parent=second.id)
    assert [session.answer for session in (first, second, third)] == ["820", "1000", "3000"]
    assert [turn.session for turn in third.turns] == [first.id, second.id]


async def test_problems_outside_the_library_are_not_answered(navigator: NavigatorClient) -> None:
    texts = ["Prove that the square root of 2 is irrational.", *islice(outside(Split.HELDOUT, seed=3), 5)]
    sessions = [await navigator.solve(text) for text in texts]
    answered = [(text, s.answer) for text, s in zip(texts, sessions, strict=True) if s.outcome is Outcome.SOLVED]
    assert sessions[0].outcome is Outcome.UNSOLVED
    assert len(answered) <= 1, answered
    assert all(session.explanation for session in sessions)


async def test_a_stream_is_resumed_by_its_last_event_id(navigator: NavigatorClient) -> None:
    created = await navigator.create(CreateSession(problem=SUM))
    whole = [item async for item in navigator.events(created.id) if isinstance(item, Entry)]
    assert isinstance(whole[-1].event, SessionFinished)
    for last in (1, len(whole) // 2, len(whole) - 1):
        rest = [item async for item in navigator.events(created.id, after=last) if isinstance(item, Entry)]
        assert rest == whole[last:]


async def test_later_rounds_are_served_from_the_prefix_cache(navigator: NavigatorClient) -> None:
    sessions = [await navigator.solve(problem.text) for problem in heldout(3, 4)]
    reviewed = [session for session in sessions if session.rounds >= 2]
    assert reviewed, "no session had a second round"
    assert sum(session.usage.navigator.cached for session in reviewed) > 0


def test_the_openai_client_works_unmodified(embedded: Embedded) -> None:
    client = openai.OpenAI(base_url=f"{embedded.url('navigator')}/v1", api_key="none")
    assert "reasonflux" in {model.id for model in client.models.list()}
    whole = client.chat.completions.create(model="reasonflux", messages=[{"role": "user", "content": SUM}])
    assert whole.choices[0].finish_reason == "stop"
    assert r"\boxed{820}" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0

    stream = client.chat.completions.create(
        model="reasonflux",
        messages=[{"role": "user", "content": SUM}],
        stream=True,
        stream_options={"include_usage": True},
    )
    content, reasoning, usage = "", "", None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            content += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning", None) or ""
    assert content == whole.choices[0].message.content
    assert "common difference" in reasoning
    assert usage is not None
    assert usage.completion_tokens > 0


def test_the_command_line_solves_and_shows_the_trace(embedded: Embedded) -> None:
    solved = embedded.run("solve", SUM)
    assert solved.returncode == 0, solved.stdout + solved.stderr
    assert "820" in solved.stdout
    assert "Sum of an Arithmetic Series" in solved.stdout
    session_id = re.search(r"session (\w+)", solved.stdout)
    assert session_id is not None, solved.stdout
    traced = embedded.run("trace", session_id[1])
    assert traced.returncode == 0, traced.stderr
    assert "820" in traced.stdout


def test_the_ladder_is_evaluated_through_the_api(embedded: Embedded, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ("--split", "heldout", "--limit", "6", "--depth", "1,2", "--json", str(report))
    done = embedded.run("eval", "ladder", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(report.read_text())


def test_every_service_tells_its_health_and_metrics(embedded: Embedded) -> None:
    for service in ("navigator", "executor", "template_store"):
        assert httpx.get(f"{embedded.url(service)}/healthz").status_code == 200
        assert httpx.get(f"{embedded.url(service)}/readyz").status_code == 200
        assert "reasonflux_" in httpx.get(f"{embedded.url(service)}/metrics").text
