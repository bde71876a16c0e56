"""Solutions that are recorded or made by our services: taken again, judged by their templates, searched in steps."""

from collections.abc import Awaitable, Callable, Mapping

import pytest
from templates import template

from evaluation.attempt import Attempt, Task, Verdict
from evaluation.questions import ExampleQuestions
from evaluation.solving.chains import Recorded, by_chat
from evaluation.solving.judges import TemplateFit
from evaluation.solving.means import Means, MeansMissing
from evaluation.solving.model import Limits, Meter, Model
from evaluation.solving.solutions import Chain, Path, fit_of
from evaluation.solving.solver import Solver
from evaluation.solving.steps import ExecutorSteps, carried_out
from evaluation.strategies.catalogue import parse
from reasonflux.contracts import (
    Candidate,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Outcome,
    Query,
    Retrieval,
    Tokens,
    Usage,
)
from reasonflux.errors import EngineTimeout, InvalidRequest
from reasonflux.testing.fake_engine import FakeEngine
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore

TASK = Task(id="t", text="Let A be 3 + 4. Let B be twice A. Find B minus A.", gold="7")


def model() -> Model:
    return Model(FakeEngine([]), Limits(), 0, Meter())


def recorded(*answers: str | None, fits: Mapping[int, float] | None = None) -> Recorded:
    """Backwards, because a file's order is that in which attempts ended."""
    return Recorded(
        Attempt(
            task=TASK, sample=sample, outcome=Outcome.SOLVED, answer=answer, verdict=Verdict.WRONG,
            seconds=sample + 1.0, fit=(fits or {}).get(sample),
            usage=Usage(navigator=Tokens(prompt=10 * (sample + 1), calls=1)),
        )
        for sample, answer in reversed(list(enumerate(answers)))
    )  # fmt: skip


async def chosen(strategy: str, solutions: Recorded) -> Attempt:
    means = Means(model=model(), write=solutions, judges={"fit": TemplateFit()})
    return await Solver(parse(strategy), means, "run")(TASK)


# --- recorded -------------------------------------------------------------------------------------------------------


async def test_recorded_solutions_are_taken_in_the_order_of_their_samples_with_what_they_cost() -> None:
    solutions = recorded("7", "8", "8", "8")
    two, four = await chosen("majority@2", solutions), await chosen("majority@4", recorded("7", "8", "8", "8"))
    assert (two.answer, two.usage.navigator.prompt, two.seconds) == ("7", 30, 2.0)
    assert (four.answer, four.usage.navigator.prompt, four.seconds) == ("8", 100, 4.0)


async def test_every_attempt_begins_with_the_first_solution() -> None:
    solutions = recorded("7", "8")
    means = Means(model=model(), write=solutions)
    solver = Solver(parse("direct"), means, "run", samples=2)
    assert [(await solver(TASK, sample)).answer for sample in (0, 1)] == ["7", "7"]


async def test_more_solutions_than_were_recorded_are_no_result() -> None:
    with pytest.raises(MeansMissing, match="2 solutions"):
        await chosen("majority@3", recorded("7", "8"))


# --- the fit of templates -------------------------------------------------------------------------------------------


async def test_the_solution_whose_templates_fit_best_is_chosen() -> None:
    found = await chosen("best_of_n@3:judge=fit", recorded("8", "7", "8", fits={0: 0.4, 1: 0.9}))
    assert found.verdict is Verdict.RIGHT
    assert found.counts["solutions without a score"] == 1


def test_the_fit_is_that_of_the_chosen_template() -> None:
    one = template("one")
    candidates = (
        Candidate(template_id="other", name="o", score=0.9),
        Candidate(template_id="one", name="n", score=0.6),
    )
    assert fit_of(Retrieval(query=Query(text="q"), candidates=candidates, template=one)) == 0.6
    assert fit_of(Retrieval(query=Query(text="q"), candidates=candidates)) is None


# --- steps of the executor ------------------------------------------------------------------------------------------


def computes(request: InstantiateRequest) -> str:
    """Knows what each statement gives when it is told what it stands on."""
    known = {result.goal: result.value for result in request.known}
    first, second, last = (f"{text}." for text in TASK.text.rstrip(".").split(". "))
    values = {
        first: "7",
        second: "14" if first in known else "?",
        last: "7" if {first, second} <= known.keys() else "?",
    }
    return values[request.goal]


async def test_steps_take_every_statement_once_and_see_the_results_that_they_name() -> None:
    executor = FakeExecutor(computes)
    steps, engine = ExecutorSteps(executor, FakeTemplateStore()), model()
    path = Path()
    while not path.finished:
        path = await steps.go_on(TASK.text, path, engine, 0.5) or path
    taken = [statement.id for request in executor.requests for statement in request.statements]
    assert taken == ["s1", "s2", "s3"]
    assert path.chain.answer == path.answer
    assert engine.meter.tokens.calls == len(executor.requests)
    assert all(request.sampling.temperature == 0.5 for request in executor.requests)


async def test_a_step_that_breaks_off_has_cost_what_was_heard_of_it() -> None:
    class Breaking:
        async def instantiate(
            self, request: InstantiateRequest, on_event: Callable[[InstantiateEvent], Awaitable[None]] | None = None
        ) -> Instantiation:
            assert on_event is not None
            await on_event(InstantiateEvent(spent=Tokens(prompt=30, completion=4, calls=1)))
            raise EngineTimeout("too late")

    meter = Meter()
    with pytest.raises(EngineTimeout):
        await carried_out(Breaking(), InstantiateRequest(goal="g"), meter)
    assert meter.usage == Usage(executor=Tokens(prompt=30, completion=4, calls=1))


async def test_a_search_over_steps_finds_the_reading_that_works() -> None:
    executor = FakeExecutor(computes)
    means = Means(
        model=model(), write=by_chat, steps=ExecutorSteps(executor, FakeTemplateStore()),
        judges={"fit": Believes("?")},
    )  # fmt: skip
    found = await Solver(parse("mcts@12:judge=fit,branching=3"), means, "run")(TASK)
    assert found.verdict is Verdict.RIGHT
    assert found.usage.all.calls == len(executor.requests)


class Believes:
    """A judge that knows what a wrong value looks like."""

    def __init__(self, wrong: str) -> None:
        self._wrong = wrong

    async def score(self, problem: str, solution: Chain, model: Model) -> float | None:
        return 0.0 if self._wrong in solution.text else 1.0


# --- examples of templates ------------------------------------------------------------------------------------------


def test_examples_are_of_templates_that_the_ladder_uses_or_of_others() -> None:
    seen = {task.id for task in ExampleQuestions(seen=True, limit=1_000).tasks()}
    unseen = {task.id for task in ExampleQuestions(seen=False, limit=1_000).tasks()}
    assert len(seen) > 40
    assert not seen & unseen
    assert len(unseen) > 500
    few = ExampleQuestions(seen=False, limit=5, seed=3).tasks()
    assert few == ExampleQuestions(seen=False, limit=5, seed=3).tasks()
    assert all(task.templates == (task.id,) and task.gold for task in few)


def test_a_folder_without_templates_is_refused_with_what_to_give() -> None:
    with pytest.raises(InvalidRequest, match="no such template"):
        ExampleQuestions(seen=True, folder="docs").tasks()
