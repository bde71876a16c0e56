"""What holds for every contract value, found with hypothesis."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reasonflux.contracts import (
    EVENT,
    ActionFailed,
    ActionKind,
    Budget,
    Calculation,
    Contract,
    CreateSession,
    Effort,
    Entry,
    Failure,
    FailureKind,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    KnownResult,
    Outcome,
    PlanMade,
    Problem,
    Query,
    Review,
    SessionFinished,
    SessionStarted,
    Statement,
    Step,
    StepInstantiated,
    StepRestarted,
    StepReviewed,
    Tokens,
    Trajectory,
    Usage,
    Verdict,
)
from reasonflux.contracts.problem import split_sentences

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SAID = TEXT.filter(str.strip)
COUNT = st.integers(0, 10**9)
TOKENS = st.builds(Tokens, prompt=COUNT, cached=COUNT, completion=COUNT, calls=COUNT)
USAGE = st.builds(Usage, navigator=TOKENS, executor=TOKENS)
FAILURES = st.builds(
    Failure, kind=st.sampled_from(FailureKind), message=TEXT, hint=st.none() | TEXT, retryable=st.booleans()
)
BUDGETS = st.builds(
    Budget,
    rounds=st.integers(0, 10_000),
    tokens=COUNT,
    seconds=st.floats(0, 604_800, allow_nan=False),
    samples=st.integers(1, 9),
)
QUERIES = st.builds(Query, name=SAID, tags=st.lists(TEXT, max_size=3).map(tuple), text=TEXT, field=st.none() | TEXT)


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    count = draw(st.integers(0, 4))
    steps = []
    for number in range(1, count + 1):
        earlier = st.sampled_from([f"r{n}" for n in range(1, number)]) if number > 1 else st.nothing()
        uses = draw(st.lists(earlier | st.sampled_from(["s1", "s2", "s12"]), max_size=3))
        steps.append(Step(id=number, goal=draw(SAID), query=draw(st.none() | QUERIES), uses=tuple(uses)))
    return Trajectory(abstraction=draw(TEXT), steps=tuple(steps), complete=count == 0 or draw(st.booleans()))


CALCULATIONS = st.builds(Calculation, statement=TEXT, name=st.none() | TEXT, value=TEXT) | st.builds(
    Calculation, statement=TEXT, error=FAILURES
)
INSTANTIATIONS = st.builds(
    Instantiation,
    reasoning=TEXT,
    bindings=st.dictionaries(TEXT, TEXT, max_size=2),
    calculations=st.lists(CALCULATIONS, max_size=2).map(tuple),
    result=TEXT,
    usage=TOKENS,
) | st.builds(Instantiation, failure=FAILURES, usage=TOKENS)
REVIEWS = st.builds(Review, verdict=st.just(Verdict.REVISE), reason=TEXT, remainder=trajectories()) | st.builds(
    Review,
    verdict=st.sampled_from([Verdict.CONTINUE, Verdict.RETRY, Verdict.FINISH]),
    reason=TEXT,
    answer=st.none() | TEXT,
)
EVENTS = st.one_of(
    st.builds(SessionStarted, problem=st.builds(Problem, text=SAID), metadata=st.dictionaries(TEXT, TEXT, max_size=2)),
    st.builds(PlanMade, trajectory=trajectories(), usage=TOKENS),
    st.builds(StepInstantiated, step_id=COUNT, attempt=COUNT, instantiation=INSTANTIATIONS),
    st.builds(StepReviewed, step_id=COUNT, attempt=COUNT, review=REVIEWS, usage=TOKENS),
    st.builds(ActionFailed, action=st.sampled_from(ActionKind), failure=FAILURES, usage=USAGE),
    st.builds(StepRestarted, epoch=COUNT),
    st.builds(SessionFinished, outcome=st.sampled_from(Outcome), answer=st.none() | TEXT, explanation=TEXT),
)
ENTRIES = st.builds(Entry, seq=st.integers(1, 10**9), at=st.datetimes(timezones=st.just(UTC)), event=EVENTS)
REQUESTS = st.builds(
    InstantiateRequest,
    goal=SAID,
    statements=st.lists(st.builds(Statement, id=st.just("s1"), text=TEXT), max_size=2).map(tuple),
    known=st.lists(st.builds(KnownResult, name=st.just("r1"), goal=TEXT, value=TEXT), max_size=2).map(tuple),
    budget=BUDGETS,
)


@given(ENTRIES | REQUESTS | BUDGETS)
def test_json_gives_back_the_same_value(value: Contract) -> None:
    assert type(value).model_validate_json(value.model_dump_json()) == value
    assert type(value).model_validate(json.loads(json.dumps(value.model_dump(mode="json")))) == value


@given(EVENTS)
def test_an_event_is_told_by_its_type(event: Any) -> None:
    assert type(EVENT.validate_json(EVENT.dump_json(event))) is type(event)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="not permitted"):
        Budget.model_validate({"rouns": 3})


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_numbers_that_json_cannot_carry_are_refused(seconds: float) -> None:
    with pytest.raises(ValidationError):
        Budget(seconds=seconds)


# Problems and their statements

PIECES = st.sampled_from(
    [
        "Find it.", "Is it so?", "Let $x = 1. Y$ hold.", r"Then \(a. B\) is.", r"\[ c. D \]", "$$e. F$$", "e.g. Euler",
        r"It costs \$5. Now", "It costs $5. Then $10.", "He said \"Go.\" Then", "\n\n", "3.14", "No. 7", "?", ". A",
        "$", r"\(", r"\]", r"\begin{cases} g. H \end{cases}", "(So.) It",
    ]
)  # fmt: skip
PROSE = st.lists(PIECES | TEXT, max_size=12).map(" ".join)
FORMULAS = ["$x = 1. Y$", r"\(a. B\)", r"\[ c. D \]", "$$e. F$$", r"\begin{cases} g. H \end{cases}"]


@given(PROSE)
def test_cutting_loses_nothing_but_white_space(text: str) -> None:
    assert " ".join(" ".join(split_sentences(text)).split()) == " ".join(text.split())


@given(st.lists(st.sampled_from(FORMULAS) | st.sampled_from(["Find it.", "Is it so?", "No. 7 (So.)"]), max_size=8))
def test_formulas_are_never_cut(pieces: list[str]) -> None:
    statements = split_sentences(" ".join(pieces))
    for formula in FORMULAS:
        assert sum(statement.count(formula) for statement in statements) == pieces.count(formula)


def test_sentences_are_cut_where_a_reader_would() -> None:
    text = "A pen costs $5. How much are 3, i.e. three, pens?\n\nGive $x. Y$ and \\$7. Dr. No asks."
    assert split_sentences(text) == [
        "A pen costs $5.",
        "How much are 3, i.e. three, pens?",
        "Give $x. Y$ and \\$7.",
        "Dr. No asks.",
    ]


@pytest.mark.parametrize(
    "text",
    [r"\[" * 10_000, r"\(" * 10_000, "$a$. A" * 3_000, r"\begin{a}" * 2_000, "i.e. A" * 3_000],
    ids=["brackets", "parentheses", "dollars", "environments", "abbreviations"],
)
def test_hostile_text_is_cut_as_well(text: str) -> None:
    assert "".join(split_sentences(text)).replace(" ", "") == text.replace(" ", "")


@given(SAID)
def test_statements_are_named_in_reading_order(text: str) -> None:
    names = [statement.id for statement in Problem(text=text).statements]
    assert names == [f"s{n}" for n in range(1, len(names) + 1)]
    assert names


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_blank_problem_is_refused_wherever_it_comes_in(text: str) -> None:
    for make in (lambda: Problem(text=text), lambda: CreateSession(problem=text)):
        with pytest.raises(ValidationError):
            make()


# Budgets

SPENT = st.integers(-(10**6), 10**6)


@given(BUDGETS, SPENT, SPENT, st.floats(-1e6, 1e6, allow_nan=False))
def test_a_budget_only_shrinks(budget: Budget, rounds: int, tokens: int, seconds: float) -> None:
    left = budget.minus(rounds=rounds, tokens=tokens, seconds=seconds)
    assert 0 <= left.rounds <= budget.rounds
    assert 0 <= left.tokens <= budget.tokens
    assert 0 <= left.seconds <= budget.seconds
    assert left.samples == budget.samples


@given(BUDGETS)
def test_what_ran_out_is_named(budget: Budget) -> None:
    assert budget.minus(rounds=budget.rounds).exhausted == "rounds"
    if budget.exhausted is None:
        assert budget.minus(tokens=budget.tokens).exhausted == "tokens"
        assert budget.minus(seconds=budget.seconds).exhausted == "seconds"


def test_more_effort_is_more_of_everything() -> None:
    low, medium, high = (effort.budget for effort in (Effort.LOW, Effort.MEDIUM, Effort.HIGH))
    for name in ("rounds", "tokens", "seconds", "samples"):
        assert getattr(low, name) < getattr(medium, name) < getattr(high, name)


@given(USAGE, USAGE)
def test_usage_adds_up_by_role(one: Usage, other: Usage) -> None:
    both = one + other
    assert both.navigator == one.navigator + other.navigator
    assert both.all.total == one.all.total + other.all.total
    assert one + Usage() == one


# Trajectories


@given(trajectories())
def test_used_results_are_dependencies(trajectory: Trajectory) -> None:
    for step in trajectory.steps:
        assert step.depends_on == tuple(sorted({int(name[1:]) for name in step.uses if name[0] == "r"}))
        assert Step.model_validate_json(step.model_dump_json()) == step


def test_given_dependencies_are_kept_beside_the_derived() -> None:
    assert Step(id=5, goal="g", uses=("r3", "s1", "r1"), depends_on=(2, 3)).depends_on == (1, 2, 3)


@pytest.mark.parametrize(
    "fields",
    [{"uses": None}, {"uses": 5}, {"depends_on": None}, {"depends_on": ["a", 1]}, {"depends_on": [[1]]}, {"uses": [1]}],
)
def test_a_step_of_wrong_types_is_a_validation_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Step.model_validate({"id": 1, "goal": "g", **fields})


@given(trajectories(), st.data())
def test_forward_dependencies_are_refused(trajectory: Trajectory, data: st.DataObject) -> None:
    count = len(trajectory.steps)
    number = data.draw(st.integers(1, count + 1))
    target = data.draw(st.integers(number, count + 3))
    crooked = Step(id=number, goal="g", uses=(f"r{target}",))
    steps = [step for step in trajectory.steps if step.id != number]
    with pytest.raises(ValidationError, match="do not come before"):
        Trajectory(abstraction="", steps=(*steps, crooked))


def test_a_step_number_stands_once() -> None:
    with pytest.raises(ValidationError, match="twice"):
        Trajectory(abstraction="", steps=(Step(id=1, goal="a"), Step(id=1, goal="b")))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_remainder_belongs_to_revise_alone(verdict: Verdict) -> None:
    remainder = Trajectory(abstraction="")
    fitting, unfitting = (remainder, None) if verdict is Verdict.REVISE else (None, remainder)
    assert Review(verdict=verdict, remainder=fitting).remainder == fitting
    with pytest.raises(ValidationError):
        Review(verdict=verdict, remainder=unfitting)


# Calculations and events of an instantiation


def test_a_calculation_has_a_value_or_an_error() -> None:
    error = Failure(kind=FailureKind.CALCULATION_ERROR, message="division by zero")
    for fields in ({}, {"value": "1", "error": error}):
        with pytest.raises(ValidationError, match="never both"):
            Calculation(statement="1/0", **fields)


def test_an_instantiate_event_says_one_thing() -> None:
    assert InstantiateEvent(delta="").delta == ""
    for fields in ({}, {"delta": "a", "restarted": True}):
        with pytest.raises(ValidationError, match="exactly one"):
            InstantiateEvent(**fields)


def test_queries_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="empty query"):
        Query(name=" ", text="\n")


def test_an_entry_keeps_its_instant() -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
    entry = Entry(seq=1, at=at, event=StepRestarted(epoch=2))
    assert re.search(r'"at":"2026-02-03T04:05:06\.789012Z"', entry.model_dump_json())
