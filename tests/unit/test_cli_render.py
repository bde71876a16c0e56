"""The trace as the command line shows it: a pure function of the journal."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from reasonflux.cli.following import Ticker
from reasonflux.cli.render import View, cached_share, render, replay
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Calculation,
    Candidate,
    Delta,
    Entry,
    Event,
    Failure,
    FailureKind,
    Instantiation,
    Options,
    Outcome,
    PlanMade,
    Problem,
    Query,
    Retrieval,
    Review,
    SessionFinished,
    SessionStarted,
    Step,
    StepInstantiated,
    StepRestarted,
    StepRetrieved,
    StepReviewed,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    Tokens,
    Trajectory,
    Usage,
    Verdict,
    WorkedExample,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE = ThoughtTemplate(
    id="arithmetic-series-sum",
    name="Arithmetic series sum",
    type=TemplateType.FORMULA_RULE,
    field="algebra/sequences",
    tags=("sequence",),
    description="The sum of the first n terms.",
    scope=("a constant difference",),
    variables={"n": "number of terms"},
    steps=(TemplateStep(instruction="add them up", formula="total = n * (n + 1) / 2"),),
    example=WorkedExample(problem="1 + 2 + 3", bindings={"n": "3"}, answer="6", check="answer == 1 + 2 + 3"),
)
BROKEN = Failure(kind=FailureKind.CALCULATION_ERROR, message="division by zero", hint="look at the denominator")


def journal(*events: Event) -> list[Entry]:
    return [Entry(seq=n, at=BEGAN + timedelta(seconds=n - 1), event=event) for n, event in enumerate(events, 1)]


def text_of(*events: Event) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(*replay(journal(*events))[1], sep="\n")
    return captured.get()


def view_of(*events: Event) -> View:
    return replay(journal(*events))[0]


def step(number: int, goal: str, *uses: str) -> Step:
    return Step(id=number, goal=goal, query=Query(text=goal), uses=uses)


STARTED = SessionStarted(problem=Problem(text=r"Find [bold]$\frac{a}{b}$[/] of 1 + 2 + 3."))
PLANNED = PlanMade(
    trajectory=Trajectory(abstraction="a sum, then a remainder", steps=(step(1, "add"), step(2, "divide", "r1"))),
    usage=Tokens(prompt=100, cached=40, completion=20, calls=1),
)
RETRIEVED = StepRetrieved(
    step_id=1,
    retrieval=Retrieval(
        query=Query(text="sum"),
        candidates=(
            Candidate(template_id=TEMPLATE.id, name=TEMPLATE.name, score=0.913),
            Candidate(template_id="other", name="Another one", score=0.4),
        ),
        template=TEMPLATE,
    ),
)
DONE = StepInstantiated(
    step_id=1,
    attempt=1,
    instantiation=Instantiation(
        reasoning="n is 3",
        bindings={"n": "3"},
        calculations=(Calculation(statement="total = n * (n + 1) / 2", name="total", value="6"),),
        result="6",
        usage=Tokens(prompt=50, completion=10, calls=1),
    ),
)
FAILED = StepInstantiated(
    step_id=1,
    attempt=2,
    instantiation=Instantiation(calculations=(Calculation(statement="1 / 0", error=BROKEN),), failure=BROKEN),
)
GOOD = StepReviewed(
    step_id=1,
    attempt=1,
    review=Review(verdict=Verdict.CONTINUE, reason="fits"),
    usage=Tokens(prompt=10, completion=1, calls=1),
)


def revised(*steps: Step) -> StepReviewed:
    remainder = Trajectory(abstraction="another way", steps=steps)
    review = Review(verdict=Verdict.REVISE, reason="division is impossible", remainder=remainder)
    return StepReviewed(step_id=1, attempt=1, review=review)


def test_everything_that_a_session_tells_is_shown() -> None:
    told = text_of(
        STARTED,
        PLANNED,
        RETRIEVED,
        DONE,
        GOOD,
        SessionFinished(outcome=Outcome.SOLVED, answer="6", explanation="1+2+3"),
    )
    for expected in (
        r"$\frac{a}{b}$",
        "a sum, then a remainder",
        "2. divide",
        "← r1",
        "Arithmetic series sum",
        "score 0.91",
        "Another one 0.40",
        "total = n * (n + 1) / 2",
        "→ 6",
        "r1 = 6",
        "fits",
        "Answer",
        "1+2+3",
        "1 round · 0 changes of plan · 191 tokens · 5.0 s",
    ):
        assert expected in told


def test_text_of_a_problem_is_never_read_as_markup() -> None:
    assert "[bold]" in text_of(STARTED)


def test_a_model_cannot_steer_the_terminal() -> None:
    told = text_of(SessionStarted(problem=Problem(text="1\x1b[2J\x9b2J+1")))
    assert "\x1b" not in told
    assert "\x9b" not in told


def test_tokens_are_summed_by_role() -> None:
    burnt = ActionFailed(
        action=ActionKind.PLAN,
        failure=BROKEN,
        usage=Usage(navigator=Tokens(prompt=7, calls=1), executor=Tokens(calls=2)),
    )
    view = view_of(STARTED, burnt, PLANNED, DONE, GOOD)
    assert view.usage.navigator == Tokens(prompt=117, cached=40, completion=21, calls=3)
    assert view.usage.executor == Tokens(prompt=50, completion=10, calls=3)


def test_a_change_of_plan_strikes_out_what_is_open_and_keeps_a_good_result() -> None:
    told = text_of(STARTED, PLANNED, DONE, revised(step(3, "count")))
    assert "− 2. divide" in told
    assert "− 1. add" not in told
    assert "+ 3. count" in told
    assert "division is impossible" in told
    assert view_of(STARTED, PLANNED, DONE, revised(step(3, "count"))).open == (3,)


def test_a_change_of_plan_strikes_out_the_step_that_failed() -> None:
    told = text_of(STARTED, PLANNED, FAILED, revised())
    assert "− 1. add" in told
    assert "nothing comes instead" in told


def test_a_failed_instantiation_shows_the_calculation_the_reason_and_the_hint() -> None:
    told = text_of(STARTED, PLANNED, FAILED)
    assert "attempt 2" in told
    assert "1 / 0" in told
    assert "no result: division by zero" in told
    assert "look at the denominator" in told


def test_without_review_a_result_closes_its_step() -> None:
    unreviewed = SessionStarted(problem=Problem(text="1+1"), options=Options(review=False))
    assert view_of(unreviewed, PLANNED, DONE).open == (2,)
    assert view_of(STARTED, PLANNED, DONE).open == (1, 2)


@pytest.mark.parametrize(
    ("outcome", "title"),
    [
        (Outcome.UNSOLVED, "Could not solve"),
        (Outcome.CANCELLED, "Cancelled"),
        (Outcome.FAILED, "Failed"),
    ],
)
def test_an_end_without_an_answer_is_named(outcome: Outcome, title: str) -> None:
    told = text_of(STARTED, SessionFinished(outcome=outcome, failure=BROKEN))
    assert title in told
    assert "division by zero" in told
    assert view_of(STARTED, SessionFinished(outcome=outcome)).answer is None


def test_rendering_an_entry_changes_nothing_but_returns_a_new_view() -> None:
    before = view_of(STARTED)
    entry = Entry(seq=2, at=BEGAN, event=PLANNED)
    assert render(before, entry)[0] == render(before, entry)[0]
    assert before.steps == {}


def test_a_horizon_shows_that_more_will_be_planned() -> None:
    partly = PlanMade(trajectory=Trajectory(abstraction="a", steps=(step(1, "add"),), complete=False))
    further = PlanMade(trajectory=Trajectory(abstraction="a", steps=(step(2, "divide"),)))
    told = text_of(STARTED, partly, DONE, GOOD, further)
    assert "the rest is planned" in told
    assert "Trajectory, continued" in told


def test_the_cached_share_of_no_prompt_is_a_dash() -> None:
    assert cached_share(Tokens()) == "–"
    assert cached_share(Tokens(prompt=8, cached=2)) == "25%"


def test_a_plan_that_is_being_written_is_shown_by_what_it_says() -> None:
    ticker = Ticker()
    for text in ('{"abstraction":"two areas","steps":[{"id":1,"uses":["s1"],"goal":"Find the a', 'rea \\"A\\"","temp'):
        ticker.take(Delta(action=ActionKind.PLAN, text=text))
    told = ticking(ticker)
    assert "two areas; Find the area" in told
    for raw in ("abstraction", "uses", "{", "temp"):
        assert raw not in told


def ticking(ticker: Ticker) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(ticker)
    return captured.get()


def test_live_text_goes_when_its_entry_is_committed() -> None:
    ticker = Ticker()
    ticker.take(Delta(action=ActionKind.PLAN, text="first I"))
    ticker.take(Delta(action=ActionKind.PLAN, text=" add"))
    assert "first I add" in ticking(ticker)
    ticker.take(Entry(seq=2, at=BEGAN, event=PLANNED))
    assert "first I" not in ticking(ticker)


def test_live_text_of_other_steps_stays_until_a_new_worker_voids_it() -> None:
    ticker = Ticker()
    ticker.take(Delta(action=ActionKind.INSTANTIATE, step_id=2, text="halfway"))
    ticker.take(Entry(seq=2, at=BEGAN, event=DONE))
    assert "halfway" in ticking(ticker)
    ticker.take(Entry(seq=3, at=BEGAN, event=StepRestarted(epoch=2)))
    assert "halfway" not in ticking(ticker)
