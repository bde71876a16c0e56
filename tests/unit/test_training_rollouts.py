"""Rollouts: trajectories sampled as a session asks for them, whole or a horizon at a time, and never sampled twice."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from templates import template

from evaluation.ladder.problem import digest
from executor.instantiate import Instantiator
from executor.prompting import Profile as ExecutorProfile
from navigator.planning import Profile, plan_messages
from navigator.testing import plan, step
from reasonflux.contracts import (
    Entry,
    FailureKind,
    Problem,
    Query,
    SearchRequest,
    SearchResponse,
    SessionStarted,
    Statement,
    Step,
    Trajectory,
)
from reasonflux.errors import Conflict, EngineRefused, EngineUnavailable
from reasonflux.testing.fake_engine import Call, FakeEngine, Scripted
from reasonflux.testing.fakes import FakeTemplateStore
from training.carrying import ByName, Carrier, FromStore, InProcess, correspond, request_for
from training.records import Rollout, TrainingProblem
from training.running.ledger import Ledger, read
from training.stages import rollouts
from training.stages.rollouts import RolloutConfig, Sampler

TEXT = "Ann has 4 apples. Let K be twice that. What is twice K?"
DOUBLE = template()
GOALS = ("Find K", "Find twice K")
WHOLE = plan(step(GOALS[0], "s1", "s2", template=DOUBLE.name), step(GOALS[1], "s3", "r1", template=DOUBLE.name))


def problem(text: str = TEXT, answer: str = "16", families: Sequence[str] = ()) -> TrainingProblem:
    return TrainingProblem(id=digest(text), text=text, answer=answer, families=tuple(families))


def doubling(call: Call) -> str:
    """An executor that binds the first number that it sees; earlier results go first."""
    shown = call.messages[-1].content
    found = "r1" if "r1" in shown else next(word.strip(".,") for word in shown.split() if word.strip(".,").isdigit())
    return json.dumps({"fits": True, "reasoning": "", "bindings": {"a": found}})


def carrier(executor: Callable[[Call], Scripted] = doubling) -> Carrier:
    instantiator = Instantiator(FakeEngine(executor), InProcess(), ExecutorProfile.COMPACT, 0)
    return Carrier(instantiator, ByName([DOUBLE]), "executor-1")


def quiet(_: str) -> None:
    """Nobody reads the progress."""


# --- sampling -------------------------------------------------------------------------------------------------------


async def test_a_whole_plan_is_one_exchange_with_the_services_own_prompt() -> None:
    rollout = await Sampler(FakeEngine([WHOLE]), RolloutConfig(horizon=None)).rollout(problem(), 0)
    assert rollout.trajectory is not None
    assert [one.goal for one in rollout.trajectory.steps] == list(GOALS)
    (exchange,) = rollout.exchanges
    assert exchange.reply == WHOLE
    asked = SessionStarted(problem=Problem(text=TEXT))
    journal = (Entry(seq=1, at=datetime(2026, 1, 1, tzinfo=UTC), event=asked),)
    assert list(exchange.prompt) == plan_messages("any", journal, Profile.COMPACT)
    assert rollout.completion_tokens > 0


async def test_the_first_sample_is_greedy_and_each_other_one_is_drawn_with_a_seed_of_its_own() -> None:
    engine = FakeEngine(lambda _: WHOLE)
    sampler = Sampler(engine, RolloutConfig(horizon=None, temperature=0.9))
    for sample in range(3):
        await sampler.rollout(problem(), sample)
    assert [call.temperature for call in engine.calls] == [0.0, 0.9, 0.9]
    assert len({call.seed for call in engine.calls}) == 3
    assert all(call.schema_ for call in engine.calls)


async def test_a_horizon_is_planned_on_with_the_results_so_far_until_the_plan_is_complete() -> None:
    first = plan(step(GOALS[0], "s1", "s2", template=DOUBLE.name), complete=False)
    second = plan(step(GOALS[1], "s3", "r1", template=DOUBLE.name), first=2)
    engine = FakeEngine([first, second])
    rollout = await Sampler(engine, RolloutConfig(horizon=1), carrier()).rollout(problem(), 1)
    assert rollout.failure is None
    assert [exchange.reply for exchange in rollout.exchanges] == [first, second]
    assert rollout.trajectory is not None
    assert rollout.trajectory.complete
    assert [(one.id, one.depends_on) for one in rollout.trajectory.steps] == [(1, ()), (2, (1,))]
    assert rollout.exchanges[0].prompt != rollout.exchanges[1].prompt


async def test_an_unreadable_reply_is_a_rollout_that_failed() -> None:
    rollout = await Sampler(FakeEngine(["no plan at all"]), RolloutConfig(horizon=None)).rollout(problem(), 1)
    assert rollout.trajectory is None
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.UNPARSABLE_REPLY
    assert rollout.exchanges[0].reply == "no plan at all"
    assert rollout.key == ""


async def test_a_prompt_that_the_engine_refuses_is_a_rollout_that_failed() -> None:
    engine = FakeEngine([EngineRefused("the prompt is too long")])
    rollout = await Sampler(engine, RolloutConfig(horizon=None)).rollout(problem(), 0)
    assert rollout.trajectory is None
    assert rollout.exchanges == ()


@pytest.mark.parametrize(("text", "planned"), [("What is 2 + 2?", "plan all"), (TEXT, "1 at a time")])
async def test_an_automatic_horizon_plans_as_a_session_does(text: str, planned: str) -> None:
    engine = FakeEngine(["no plan"])
    await Sampler(engine, RolloutConfig(horizon="auto")).rollout(problem(text), 0)
    assert planned in engine.calls[0].messages[-1].content


async def test_a_failing_step_ends_a_rollout_that_is_planned_in_parts() -> None:
    first = plan(step(GOALS[0], "s1", template=DOUBLE.name), complete=False)
    unfit = carrier(lambda _: '{"fits": false, "reasoning": "no"}')
    rollout = await Sampler(FakeEngine([first]), RolloutConfig(horizon=1), unfit).rollout(problem(), 0)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.TEMPLATE_UNFIT
    assert rollout.trajectory is not None
    assert not rollout.trajectory.complete


async def test_a_plan_that_is_never_complete_ends_after_the_last_round() -> None:
    def on_and_on(call: Call) -> str:
        return plan(step("Find K", "s1", template=DOUBLE.name), complete=False)

    engine = FakeEngine(on_and_on)
    rollout = await Sampler(engine, RolloutConfig(horizon=1, rounds=3), carrier()).rollout(problem(), 0)
    assert len(engine.calls) == 3
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.BUDGET_EXHAUSTED


# --- the stage ------------------------------------------------------------------------------------------------------


async def test_a_stopped_stage_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    config = RolloutConfig(samples=3, horizon=None, concurrency=1)
    problems = [problem(), problem("What is twice 5?", "10")]
    dying = FakeEngine([WHOLE, WHOLE, WHOLE, WHOLE, EngineUnavailable("gone")])
    with pytest.raises(EngineUnavailable):
        await rollouts.run(config, problems, dying, "navigator-1", tmp_path, say=quiet)
    torn = tmp_path / "rollouts.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"problem": {"id": "cut sh')
    engine = FakeEngine(lambda _: WHOLE)
    path = await rollouts.run(config, problems, engine, "navigator-1", tmp_path, say=quiet)
    assert len(engine.calls) == 2
    found = [(rollout.problem.id, rollout.sample) for rollout in read(path, Rollout)]
    assert sorted(found) == sorted((p.id, sample) for p in problems for sample in range(3))


async def test_more_samples_may_be_asked_for_later_and_other_weights_may_not(tmp_path: Path) -> None:
    engine = FakeEngine(lambda _: WHOLE)
    config = RolloutConfig(samples=1, horizon=None)
    await rollouts.run(config, [problem()], engine, "navigator-1", tmp_path, say=quiet)
    more = config.model_copy(update={"samples": 4, "concurrency": 7})
    await rollouts.run(more, [problem()], engine, "navigator-1", tmp_path, say=quiet)
    assert len(engine.calls) == 4
    with pytest.raises(Conflict, match="other settings or weights"):
        await rollouts.run(config, [problem()], engine, "navigator-2", tmp_path, say=quiet)


def test_a_ledger_drops_the_line_that_a_kill_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    with Ledger(path, TrainingProblem) as ledger:
        ledger.add(problem())
    path.write_bytes(path.read_bytes() + b'{"id": "' + b"x" * 100_000)
    with Ledger(path, TrainingProblem) as ledger:
        assert list(ledger) == [problem()]
        ledger.add(problem("What is twice 5?", "10"))
    assert len(list(read(path, TrainingProblem))) == 2


# --- carrying a trajectory out --------------------------------------------------------------------------------------


def chain() -> Trajectory:
    query = Query(name=DOUBLE.name)
    steps = (
        Step(id=1, goal=GOALS[0], query=query, uses=("s1", "s2")),
        Step(id=2, goal=GOALS[1], query=query, uses=("s3", "r1")),
    )
    return Trajectory(abstraction="doubling", steps=steps)


async def test_the_last_steps_result_is_the_answer() -> None:
    carried = await carrier().carry(chain(), TEXT)
    assert (carried.answer, carried.rounds, carried.failure) == ("16", 2, None)
    assert carried.tokens.completion > 0


async def test_a_step_sees_only_what_it_uses_and_everything_where_statements_do_not_correspond() -> None:
    engine = FakeEngine(doubling)
    one = Carrier(Instantiator(engine, InProcess(), ExecutorProfile.COMPACT, 0), ByName([DOUBLE]), "executor-1")
    await one.carry(chain(), TEXT)
    await one.carry(chain(), TEXT, see_all=True)
    shown = [call.messages[-1].content for call in engine.calls]
    assert ["What is twice K?" in text for text in shown] == [False, False, True, True]
    assert ["What is twice r1?" in text for text in shown] == [False, True, False, False]
    assert ["Ann has 4" in text for text in shown] == [True, False, True, True]


async def test_nothing_is_begun_after_a_failure_and_there_is_no_answer() -> None:
    engine = FakeEngine(lambda _: '{"fits": false, "reasoning": "no"}')
    one = Carrier(Instantiator(engine, InProcess(), ExecutorProfile.COMPACT, 0), ByName([DOUBLE]), "executor-1")
    carried = await one.carry(chain(), TEXT)
    assert len(engine.calls) == 1
    assert carried.answer is None
    assert carried.failure is not None


async def test_an_engine_that_is_out_is_raised_and_one_that_refuses_the_prompt_fails_the_step() -> None:
    with pytest.raises(EngineUnavailable):
        await carrier(lambda _: EngineUnavailable("gone")).carry(chain(), TEXT)
    refused = await carrier(lambda _: EngineRefused("the prompt is too long")).carry(chain(), TEXT)
    assert refused.failure is not None
    assert refused.failure.kind is FailureKind.ENGINE_REFUSED


async def test_a_trajectory_without_an_end_answers_nothing() -> None:
    for unfinished in (Trajectory(abstraction="none"), chain().model_copy(update={"complete": False})):
        carried = await carrier().carry(unfinished, TEXT)
        assert carried.answer is None
        assert carried.rounds == 0


def test_a_step_without_a_template_of_that_name_runs_without_one() -> None:
    request = request_for(chain().steps[0], None, [Statement(id="s1", text="a"), Statement(id="s9", text="b")], {})
    assert request.template is None
    assert [statement.id for statement in request.statements] == ["s1"]


async def test_the_store_finds_templates_as_in_a_session_and_is_asked_once_for_equal_queries() -> None:
    class Counting(FakeTemplateStore):
        searches = 0

        async def search(self, request: SearchRequest) -> SearchResponse:
            self.searches += 1
            return await super().search(request)

    store = Counting([DOUBLE])
    asked = FromStore(store, "math")
    found = [await asked.find(Query(name=name)) for name in (DOUBLE.name, DOUBLE.name, "something else entirely")]
    assert found == [DOUBLE, DOUBLE, None]
    assert store.searches == 2


@pytest.mark.parametrize(
    ("other", "families", "meant"),
    [
        ("Ann has 71 apples. Let K be twice that. What is twice K?", (), True),
        ("Let K be twice 4. Ann has some apples. What is twice K?", (), False),
        ("Let K be twice 4. Ann has some apples. What is twice K?", ("doubling",), True),
        ("Ann has 4 apples. What is twice that?", ("doubling",), False),
    ],
)
def test_statements_correspond_where_only_numbers_differ_or_the_families_say_so(
    other: str, families: tuple[str, ...], meant: bool
) -> None:
    assert correspond(problem(families=families), problem(other, families=families)) is meant
