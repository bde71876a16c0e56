"""The baselines on a scripted engine: what each algorithm promises, and that every call is counted."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calculator import evaluate_in_process
from evaluation.attempt import Attempt, Task, Verdict
from evaluation.solving.chains import by_chat
from evaluation.solving.judges import CalculatorCheck, LLMJudge, RewardModel, equalities, step_scores
from evaluation.solving.means import Judge, Means, MeansMissing
from evaluation.solving.model import Limits, Meter, Model, seed_of
from evaluation.solving.solutions import Chain, Path, Step
from evaluation.solving.solver import Solver
from evaluation.solving.voting import alike, vote
from evaluation.strategies import beam, mcts
from evaluation.strategies.catalogue import STRATEGIES, AnyStrategy, label, parse
from reasonflux.contracts import Calculation, Outcome, Tokens
from reasonflux.engine_port import Message, Reply
from reasonflux.errors import EngineRefused, EngineTimeout, EngineUnavailable, InvalidRequest
from reasonflux.testing.fake_engine import Call, FakeEngine, Replies

TASK = Task(id="t", text="What is 3 + 4?", gold="7")
BY_NAME = ("direct", "majority@4", "best_of_n@4", "beam@2:branching=2,depth=3", "mcts@6:branching=2,depth=3")


class Scores:
    """A judge that looks its scores up: the first of them whose words stand in the solution."""

    def __init__(self, scores: Mapping[str, float | None], otherwise: float | None = 0.5) -> None:
        self.scores = scores
        self.otherwise = otherwise
        self.seen: list[str] = []

    async def score(self, problem: str, solution: Chain, model: Model) -> float | None:
        self.seen.append(solution.text)
        return next((score for words, score in self.scores.items() if words in solution.text), self.otherwise)


class Exact:
    async def evaluate(self, statements: list[str], names: dict[str, str]) -> tuple[Calculation, ...]:
        return evaluate_in_process(statements, names)


async def attempt(
    strategy: str | AnyStrategy, replies: Replies, *, judge: Judge | None = None, samples: int = 1, **means: Any
) -> tuple[Attempt, FakeEngine]:
    engine = FakeEngine(replies)
    judges = {"llm": judge or LLMJudge(), "calculator": CalculatorCheck(Exact())}
    model = Model(engine, Limits(), 0, Meter())
    given = Means(model=model, write=by_chat, judges=judges, calculator=Exact(), **means)
    chosen = parse(strategy) if isinstance(strategy, str) else strategy
    return await Solver(chosen, given, "run", samples=samples)(TASK), engine


def solver_of_steps(call: Call) -> str:
    """Any model of the right kind: a step where one is asked for, a score, a whole solution."""
    properties = (call.schema_ or {}).get("properties", {})
    if "score" in properties:
        return json.dumps({"reason": "fine", "score": (call.seed or 0) % 11})
    if "step" in properties:
        depth = sum(message.role == "assistant" for message in call.messages)
        answer = "7" if depth >= 2 else None
        return json.dumps({"step": f"step {depth} way {(call.seed or 0) % 97}", "answer": answer})
    return rf"3 + 4 = 7, so \boxed{{{7 + (call.seed or 0) % 2}}}"


# --- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_NAME)
async def test_every_call_is_counted(name: str) -> None:
    found, engine = await attempt(name, solver_of_steps)
    assert found.usage.all.calls == len(engine.calls) > 0
    assert found.usage.all.completion > 0
    assert found.outcome is Outcome.SOLVED


@pytest.mark.parametrize("name", BY_NAME)
async def test_the_same_seed_asks_the_same_and_no_two_calls_share_a_seed(name: str) -> None:
    (_, first), (_, again) = await attempt(name, solver_of_steps), await attempt(name, solver_of_steps)
    seeds = [call.seed for call in first.calls]
    assert seeds == [call.seed for call in again.calls]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("name", BY_NAME)
async def test_an_engine_that_is_gone_ends_the_run(name: str) -> None:
    with pytest.raises(EngineUnavailable):
        await attempt(name, lambda _: EngineUnavailable("gone"))


@pytest.mark.parametrize("name", BY_NAME)
async def test_an_engine_that_refuses_fails_the_attempt_and_its_calls_are_counted(name: str) -> None:
    found, engine = await attempt(name, lambda _: EngineRefused("the prompt is too long"))
    assert found.verdict is Verdict.FAILED
    assert found.failure is not None
    assert found.usage.all.calls == len(engine.calls)
    assert found.counts["failed calls"] == len(engine.calls)


@pytest.mark.parametrize("name", BY_NAME)
async def test_replies_that_say_nothing_are_wrong_and_no_crash(name: str) -> None:
    found, _ = await attempt(name, lambda _: "")
    assert found.verdict is Verdict.WRONG
    assert found.answer is None


@pytest.mark.parametrize("name", [*BY_NAME, "direct:calculator=true", "reasonflux:horizon=2", "mcts@3:exploration=0.5"])
def test_a_strategy_is_called_by_a_name_that_reads_back(name: str) -> None:
    assert parse(label(parse(name))) == parse(name)


def test_there_is_no_strategy_without_its_name() -> None:
    assert {parse(name).strategy for name in STRATEGIES} == set(STRATEGIES)


@pytest.mark.parametrize("name", ["", "dirct", "mcts@0", "mcts@x", "direct@3", "mcts:width=2", "beam@2:judge=me"])
def test_a_strategy_that_is_none_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(name)
    assert refused.value.failure.hint


async def test_a_call_that_breaks_off_has_cost_what_was_heard_of_it() -> None:
    class Breaking:
        async def chat(self, messages: list[Message], *, on_usage: Callable[[Tokens], Any], **_: Any) -> Reply:
            await on_usage(Tokens(prompt=20, completion=5, calls=1))
            raise EngineTimeout("too late")

    meter = Meter()
    with pytest.raises(EngineTimeout):
        await Model(Breaking(), Limits(), 0, meter).say([], temperature=0.0)  # type: ignore[arg-type]
    assert meter.tokens == Tokens(prompt=20, completion=5, calls=1)


@given(st.integers(), st.text(max_size=8), st.text(max_size=8))
def test_seeds_are_stable_and_fit_every_engine(seed: int, one: str, other: str) -> None:
    assert seed_of(seed, one) == seed_of(seed, one)
    assert 0 <= seed_of(seed, one, other) < 2**31


# --- direct, with the calculator and without ------------------------------------------------------------------------


async def test_one_chain_is_greedy_and_several_attempts_are_sampled() -> None:
    _, once = await attempt("direct", [r"\boxed{7}"])
    _, often = await attempt("direct", [r"\boxed{7}"], samples=4)
    assert (once.calls[0].temperature, often.calls[0].temperature) == (0.0, Limits().temperature)


async def test_the_calculator_tells_exact_values_until_there_is_an_answer() -> None:
    turns = [
        {"reasoning": "Add.", "calculate": ["total = 3 + 4", "total / 3"], "answer": None},
        {"reasoning": "Done.", "calculate": [], "answer": "7"},
    ]
    found, engine = await attempt("direct:calculator=true", map(json.dumps, turns))
    assert found.verdict is Verdict.RIGHT
    assert engine.calls[1].messages[-1].content == "total = 3 + 4 → 7\ntotal / 3 → 7/3"
    assert engine.calls[1].messages[: len(engine.calls[0].messages)] == engine.calls[0].messages


async def test_an_answer_beside_a_calculation_is_not_taken_before_the_value_is_known() -> None:
    turns = [
        {"reasoning": "Guess.", "calculate": ["3 + 4"], "answer": "8"},
        {"reasoning": "Now I know.", "calculate": [], "answer": "7"},
    ]
    found, _ = await attempt("direct:calculator=true", map(json.dumps, turns))
    assert found.answer == "7"


async def test_a_model_that_calculates_for_ever_is_stopped_without_an_answer() -> None:
    forever = json.dumps({"reasoning": "More.", "calculate": ["1 + 1"], "answer": None})
    found, engine = await attempt("direct:calculator=true", lambda _: forever)
    assert found.verdict is Verdict.WRONG
    assert len(engine.calls) < 20
    assert found.counts["ended without an answer"] == 1


async def test_without_a_calculator_the_run_says_so() -> None:
    model = Model(FakeEngine([]), Limits(), 0, Meter())
    with pytest.raises(MeansMissing, match="calculator"):
        await Solver(parse("direct:calculator=true"), Means(model=model, write=by_chat), "run")(TASK)


# --- majority and votes ---------------------------------------------------------------------------------------------


async def test_the_majority_wins_however_it_writes_its_answer() -> None:
    found, _ = await attempt("majority@5", [r"\boxed{8}", r"\boxed{14/2}", r"\boxed{8}", r"\boxed{7}", r"\boxed{7.0}"])
    assert found.verdict is Verdict.RIGHT
    assert "ties" not in found.counts


async def test_a_tie_is_counted_and_the_answer_that_came_first_wins() -> None:
    found, _ = await attempt("majority@4", [r"\boxed{8}", r"\boxed{7}", r"\boxed{7}", r"\boxed{8}"])
    assert found.answer == "8"
    assert found.counts["ties"] == 1


async def test_a_solution_without_an_answer_has_no_vote() -> None:
    found, _ = await attempt("majority@3", ["", "", r"\boxed{7}"])
    assert found.verdict is Verdict.RIGHT
    assert found.counts["solutions without an answer"] == 2


async def test_a_refused_sample_is_missing_and_the_others_vote() -> None:
    found, _ = await attempt("majority@3", [EngineTimeout("late"), r"\boxed{7}", r"\boxed{7}"])
    assert found.verdict is Verdict.RIGHT
    assert found.counts["solutions missing"] == 1


@given(st.lists(st.one_of(st.none(), st.integers(-3, 3).map(str)), max_size=12))
def test_a_vote_is_won_by_an_answer_that_none_outnumbers(answers: list[str | None]) -> None:
    found = asyncio.run(vote(answers))
    counts = {answer: answers.count(answer) for answer in answers if answer is not None}
    assert found.without_answer == answers.count(None)
    if not counts:
        assert found.winner is None
    else:
        assert found.winner is not None
        assert counts[str(answers[found.winner])] == max(counts.values())
        assert found.tied == sum(count == max(counts.values()) for count in counts.values()) - 1


@given(st.lists(st.one_of(st.none(), st.integers(-3, 3).map(str)), max_size=12))
def test_groups_hold_every_answer_once(answers: list[str | None]) -> None:
    places = sorted(place for group in alike(answers) for place in group)
    assert places == [place for place, answer in enumerate(answers) if answer is not None]


# --- best of n ------------------------------------------------------------------------------------------------------


async def test_the_highest_score_wins_against_the_majority() -> None:
    judge = Scores({r"\boxed{7}": 0.9}, otherwise=0.2)
    found, _ = await attempt("best_of_n@3", [r"\boxed{8}", r"\boxed{7}", r"\boxed{8}"], judge=judge)
    assert found.verdict is Verdict.RIGHT


async def test_a_tie_of_scores_is_counted_and_broken_by_frequency() -> None:
    found, _ = await attempt("best_of_n@3", [r"\boxed{8}", r"\boxed{7}", r"a \boxed{7}"], judge=Scores({}))
    assert found.answer == "7"
    assert found.counts["ties"] == 1


async def test_what_has_no_score_is_counted_and_not_taken_for_zero() -> None:
    judge = Scores({r"\boxed{7}": None, r"\boxed{8}": 0.0})
    found, _ = await attempt("best_of_n@2", [r"\boxed{7}", r"\boxed{8}"], judge=judge)
    assert found.answer == "8"
    assert found.counts["solutions without a score"] == 1


async def test_where_nothing_is_scored_the_majority_decides_and_that_is_counted() -> None:
    judge = Scores({}, otherwise=None)
    found, _ = await attempt("best_of_n@3", [r"\boxed{8}", r"\boxed{7}", r"b \boxed{7}"], judge=judge)
    assert found.answer == "7"
    assert found.counts["nothing scored"] == 1
    assert found.counts["solutions without a score"] == 3


@pytest.mark.parametrize("said", ["I cannot tell", '{"score": 12}', '{"reason": "no score"}', '{"score": "high"}'])
async def test_a_judgement_that_cannot_be_read_is_no_score(said: str) -> None:
    model = Model(FakeEngine([said]), Limits(), 0, Meter())
    assert await LLMJudge().score("p", Chain(text="s", answer=None), model) is None


async def test_a_judgement_is_greedy_and_held_to_its_schema() -> None:
    engine = FakeEngine(['{"reason": "right", "score": 8}'])
    assert await LLMJudge().score("p", Chain(text="s", answer=None), Model(engine, Limits(), 0, Meter())) == 0.8
    assert engine.calls[0].temperature == 0.0
    assert engine.calls[0].schema_ is not None


async def test_the_calculator_checks_the_calculations_of_a_solution() -> None:
    check, model = CalculatorCheck(Exact()), Model(FakeEngine([]), Limits(), 0, Meter())
    assert await check.score("p", Chain(text="3 + 4 = 7, and 7 * 2 = 14", answer=None), model) == 1.0
    assert await check.score("p", Chain(text="3 + 4 = 8, and 8 * 2 = 16", answer=None), model) == 0.5
    assert await check.score("p", Chain(text="It is obvious.", answer=None), model) is None


def test_equations_between_numbers_are_found_in_prose_and_formulas() -> None:
    text = r"We have $3 \times 4 = 12$ and 12 + 5 = 17 = 34/2. Here x + 1 = 2, so 5 = 5. And 1,200 * 2 = 2400."
    assert equalities(text) == [("3 * 4", "12"), ("12 + 5", "17"), ("17", "34/2"), ("1200 * 2", "2400")]


@given(st.text(max_size=60))
def test_equations_are_looked_for_in_any_text(text: str) -> None:
    assert all(re.search(r"\d", left) and re.search(r"\d", right) for left, right in equalities(text))


async def test_a_reward_model_is_asked_for_every_step_and_its_lowest_score_counts() -> None:
    asked: list[dict[str, Any]] = []

    def pooling(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        data = [{"data": [[0.1, 0.9], [0.7, 0.3]]}]
        return httpx.Response(200, json={"data": data, "usage": {"prompt_tokens": 40}})

    meter = Meter()
    async with httpx.AsyncClient(transport=httpx.MockTransport(pooling)) as http:
        judge = RewardModel(http, "http://prm:8000/v1", "prm")
        score = await judge.score("p", Chain(text="one\n\ntwo", answer=None), Model(FakeEngine([]), Limits(), 0, meter))
    assert score == 0.3
    assert asked[0]["messages"][1]["content"] == "one<extra_0>two<extra_0>"
    assert meter.tokens == Tokens(prompt=40, calls=1)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(400, {}, EngineRefused), (500, {}, EngineUnavailable), (200, {"data": []}, None), (200, {"x": 1}, None),
     (200, {"data": [{"data": "high"}]}, None), (200, {"data": [{"data": [3.5]}]}, None)],
)  # fmt: skip
async def test_a_reward_model_that_gives_no_score(status: int, body: Any, error: type[Exception] | None) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    async with httpx.AsyncClient(transport=transport) as http:
        judge, model = RewardModel(http, "http://prm/v1", "prm"), Model(FakeEngine([]), Limits(), 0, Meter())
        if error is None:
            assert await judge.score("p", Chain(text="s", answer=None), model) is None
        else:
            with pytest.raises(error):
                await judge.score("p", Chain(text="s", answer=None), model)


def test_step_scores_are_numbers_or_pairs() -> None:
    assert step_scores([[0.2, 0.8], [0.5, 0.5]]) == [0.8, 0.5]
    assert step_scores([0.1, 0.2]) == [0.1, 0.2]
    assert step_scores(0.4) == [0.4]


async def test_a_judge_that_the_run_does_not_have_is_said() -> None:
    with pytest.raises(MeansMissing, match="prm"):
        await attempt("best_of_n@2:judge=prm", [])


# --- beam -----------------------------------------------------------------------------------------------------------


async def test_no_more_beginnings_are_carried_on_than_the_beam_is_wide() -> None:
    found, engine = await attempt("beam@2:branching=3,depth=3", solver_of_steps, judge=Scores({}))
    steps = [call for call in engine.calls if call.schema_ and "step" in call.schema_["properties"]]
    by_depth = [sum(message.role == "assistant" for message in call.messages) for call in steps]
    assert [by_depth.count(depth) for depth in sorted(set(by_depth))] == [3, 6, 6]
    assert found.rounds == 3
    assert found.verdict is Verdict.RIGHT


Scored = st.tuples(st.integers(0, 99), st.one_of(st.none(), st.floats(0, 1)))


@given(st.lists(Scored, max_size=12), st.integers(1, 6))
def test_the_best_stay_and_what_has_no_score_comes_last(drawn: list[tuple[int, float | None]], width: int) -> None:
    candidates = [(Path(steps=(Step(step=str(number)),)), score) for number, score in drawn]
    kept = beam.best(candidates, width)
    assert len(kept) == min(width, len(candidates))
    scores = [score for _, score in kept]
    numbers = [score for score in scores if score is not None]
    assert scores == sorted(numbers, reverse=True) + [None] * (len(scores) - len(numbers))
    left = [score for path, score in candidates if (path, score) not in kept and score is not None]
    assert not left or not numbers or max(left) <= min(numbers)
    assert not (left and None in scores)


async def test_a_finished_beginning_is_kept_and_not_carried_on() -> None:
    done = json.dumps({"step": "at once", "answer": "7"})
    found, engine = await attempt("beam@2:branching=2,depth=5", lambda _: done, judge=Scores({}))
    assert found.answer == "7"
    assert len(engine.calls) == 2  # both ways of the first level say the same, and it is whole


async def test_a_beam_that_is_deep_enough_is_finished_in_one_go() -> None:
    def endless(call: Call) -> str:
        return r"so \boxed{7}" if call.schema_ is None else json.dumps({"step": f"on {call.seed}", "answer": None})

    found, _ = await attempt("beam@2:branching=2,depth=2", endless, judge=Scores({}))
    assert found.verdict is Verdict.RIGHT
    assert found.rounds == 2


# --- mcts -----------------------------------------------------------------------------------------------------------


def nodes(root: mcts.Node) -> list[mcts.Node]:
    return [root, *(node for child in root.children for node in nodes(child))]


@given(
    st.lists(st.tuples(st.booleans(), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=60),
    st.integers(1, 4),
    st.floats(0, 3),
)
def test_visits_and_values_add_up_on_the_way_to_the_root(
    simulations: list[tuple[bool, float | None]], branching: int, exploration: float
) -> None:
    root, own = mcts.Node(), dict[int, int]()
    for grows, value in simulations:
        leaf = mcts.select(root, branching, exploration)
        node = leaf
        if grows:
            node = mcts.Node(leaf.path.plus(Step(step=f"{len(leaf.children)}")), parent=leaf)
            leaf.children.append(node)
        mcts.back_up(node, value)
        own[id(node)] = own.get(id(node), 0) + 1
    values = [value for _, value in simulations if value is not None]
    assert root.visits == len(simulations)
    assert root.scored == len(values)
    assert root.total == pytest.approx(sum(values))
    for node in nodes(root):
        assert node.visits == own.get(id(node), 0) + sum(child.visits for child in node.children)
        assert len(node.children) <= branching
        assert 0 <= node.value <= 1


def test_a_child_that_was_never_visited_is_selected_first() -> None:
    root = mcts.Node(visits=3)
    root.children = [mcts.Node(parent=root, visits=2, scored=2, total=2.0), mcts.Node(parent=root)]
    assert mcts.select(root, 2, 1.4) is root.children[1]


def test_without_exploration_the_best_value_is_selected_and_with_much_of_it_the_least_visited() -> None:
    root = mcts.Node(visits=10)
    good = mcts.Node(parent=root, visits=8, scored=8, total=7.0)
    rare = mcts.Node(parent=root, visits=2, scored=2, total=0.2)
    root.children = [good, rare]
    assert mcts.select(root, 2, 0.0) is good
    assert mcts.select(root, 2, 10.0) is rare


def test_a_visit_without_a_score_does_not_change_the_value() -> None:
    root = mcts.Node()
    mcts.back_up(root, 0.8)
    mcts.back_up(root, None)
    assert (root.visits, root.value) == (2, 0.8)


async def test_there_are_as_many_simulations_as_were_asked_for() -> None:
    found, _ = await attempt("mcts@7:branching=2,depth=3", solver_of_steps, judge=Scores({}))
    assert found.rounds == 7


async def test_the_search_prefers_what_the_judge_values() -> None:
    def two_ways(call: Call) -> str:
        if call.schema_ is None:
            return r"\boxed{7}" if any("good" in m.content for m in call.messages) else r"\boxed{8}"
        return json.dumps({"step": "good" if (call.seed or 0) % 2 else "bad", "answer": None})

    judge = Scores({"good": 1.0}, otherwise=0.0)
    found, _ = await attempt("mcts@12:branching=3,depth=2", two_ways, judge=judge)
    assert found.verdict is Verdict.RIGHT


async def test_a_whole_solution_is_not_carried_on_any_further() -> None:
    done = json.dumps({"step": "at once", "answer": "7"})
    _, engine = await attempt("mcts@6:branching=1,depth=4", lambda _: done, judge=Scores({}))
    assert len(engine.calls) == 1
