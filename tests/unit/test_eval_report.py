"""Estimates and reports: what is counted where, and how sure it is."""

from datetime import UTC, datetime
from io import StringIO
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from evaluation import report, running
from evaluation.attempt import Attempt, Task, Verdict, judge
from evaluation.estimates import Estimate, mean, ratio, share
from evaluation.questions import LadderQuestions
from evaluation.runs import Run, RunSpec
from reasonflux.contracts import Failure, FailureKind, Outcome, Tokens, Usage
from reasonflux.errors import InvalidRequest

RUN = Run(id="r", started_at=datetime(2026, 1, 1, tzinfo=UTC), version="0", spec=RunSpec())


def attempt(verdict: Verdict, *families: str, number: int = 0, gold: str | None = "7", tokens: int = 100) -> Attempt:
    task = Task(id=f"{number}", text=f"Problem {number}.", gold=gold, depth=len(families), families=families)
    outcome = {Verdict.DECLINED: Outcome.UNSOLVED, Verdict.FAILED: Outcome.FAILED}.get(verdict, Outcome.SOLVED)
    usage = Usage(
        navigator=Tokens(prompt=tokens, cached=tokens // 2, completion=10, calls=1), executor=Tokens(prompt=tokens)
    )
    return Attempt(task=task, outcome=outcome, verdict=verdict, answer="7", rounds=len(families), usage=usage)


@settings(deadline=None)
@given(st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=30))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    found = mean(values)
    slack = 1e-6 * (1 + abs(found.mean))
    assert found.low - slack <= found.mean <= found.high + slack
    assert found.n == len(values)


def test_the_same_attempts_give_the_same_interval() -> None:
    assert share([True] * 30 + [False] * 10) == share([True] * 30 + [False] * 10)


def test_more_attempts_give_a_narrower_interval() -> None:
    few, many = share([True, False] * 10), share([True, False] * 200)
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("hit", [True, False])
def test_a_perfect_score_is_not_certain(hit: bool) -> None:
    found = share([hit] * 20)
    assert 0.1 < found.high - found.low < 0.3
    assert found.mean == float(hit)


def test_no_attempts_estimate_nothing() -> None:
    assert share([]).n == 0
    assert report.percent(share([])) == "–"


def test_a_ratio_is_of_the_sums() -> None:
    assert ratio([0, 90], [100, 100]).mean == 0.45
    assert ratio([0, 0], [0, 0]).mean == 0.0


def test_what_is_never_right_costs_without_bound_and_that_can_be_stored() -> None:
    found = ratio([10.0] * 4, [1.0, 0.0, 0.0, 0.0], inf)
    assert (found.mean, found.high) == (40.0, inf)
    assert Estimate.model_validate_json(found.model_dump_json()) == found


def test_a_problem_counts_for_each_family_that_it_contains_once() -> None:
    found = report.report(
        RUN,
        [attempt(Verdict.RIGHT, "gcd", "lcm", number=1), attempt(Verdict.WRONG, "gcd", "gcd", number=2)],
    )
    assert {row.name: row.right.n for row in found.by_family} == {"gcd": 2, "lcm": 1}
    assert {row.name: row.right.mean for row in found.by_last_family} == {"gcd": 0.0, "lcm": 1.0}
    assert [(row.name, row.right.n) for row in found.by_depth] == [("2", 2)]


def test_the_terminal_says_why_an_attempt_failed() -> None:
    why = Failure(
        kind=FailureKind.INVALID_REQUEST,
        message="there is no library 'math-10'",
        hint="there are: math",
        retryable=False,
    )
    failed = attempt(Verdict.FAILED).model_copy(update={"answer": None, "failure": why})
    screen = StringIO()
    running.show(Console(file=screen, width=140), report.report(RUN, [failed]))
    assert "failed: no answer, expected 7\nthere is no library 'math-10' → there are: math" in screen.getvalue()


def test_outside_problems_are_reported_apart_and_declining_them_is_right() -> None:
    found = report.report(
        RUN,
        [
            attempt(Verdict.RIGHT, "gcd", number=1),
            attempt(Verdict.DECLINED, gold=None, number=2),
            attempt(Verdict.WRONG, gold=None, number=3),
        ],
    )
    assert found.overall.right.n == 1
    assert found.outside is not None
    assert found.outside.right.mean == 0.5
    assert [failure.task.id for failure in found.failures] == ["3"]


def test_tokens_are_added_by_role_and_the_cached_share_is_of_all_prompts() -> None:
    found = report.report(RUN, [attempt(Verdict.RIGHT, "gcd", number=n) for n in range(4)])
    assert found.usage.navigator == Tokens(prompt=400, cached=200, completion=40, calls=4)
    assert found.usage.executor.prompt == 400
    assert found.cached.mean == 0.25
    assert found.overall.tokens.mean == 210


def test_markdown_lists_every_failure_to_read() -> None:
    attempts = [attempt(Verdict.WRONG, "gcd", number=n) for n in range(12)]
    text = report.markdown(report.report(RUN, attempts))
    assert all(f"> Problem {n}." in text for n in range(12))
    assert "| gcd | 12 | 0.0% (0.0–26.5) |" in text


def test_a_report_survives_json() -> None:
    found = report.report(RUN, [attempt(Verdict.FAILED, "gcd"), attempt(Verdict.DECLINED, gold=None, number=1)])
    assert report.Report.model_validate_json(found.model_dump_json()) == found


def test_an_empty_run_can_be_reported() -> None:
    assert "# ladder" in report.markdown(report.report(RUN, []))


@pytest.mark.parametrize(
    ("outcome", "answer", "failure", "verdict"),
    [
        (Outcome.SOLVED, "14/2", None, Verdict.RIGHT),
        (Outcome.SOLVED, "8", None, Verdict.WRONG),
        (Outcome.UNSOLVED, None, None, Verdict.DECLINED),
        (Outcome.UNSOLVED, None, FailureKind.BUDGET_EXHAUSTED, Verdict.FAILED),
        (Outcome.FAILED, None, FailureKind.ENGINE_UNAVAILABLE, Verdict.FAILED),
        (Outcome.CANCELLED, None, None, Verdict.FAILED),
    ],
)
def test_an_outcome_has_one_verdict(
    outcome: Outcome, answer: str | None, failure: FailureKind | None, verdict: Verdict
) -> None:
    task = Task(id="1", text="3 + 4?", gold="7")
    why = Failure(kind=failure, message="no") if failure else None
    assert judge(task, outcome, answer, why) is verdict


def test_tasks_are_balanced_over_the_depths_and_always_the_same() -> None:
    spec = LadderQuestions(depths=(1, 2), limit=10, outside=3, seed=5)
    tasks = spec.tasks()
    assert [task.depth for task in tasks] == [1, 2] * 5 + [0] * 3
    assert [task.gold is None for task in tasks] == [False] * 10 + [True] * 3
    assert spec.tasks() == tasks
    assert len({task.id for task in tasks}) == 13


@pytest.mark.parametrize("wrong", [{"families": ("gdc",)}, {"depths": ()}, {"depths": (7,)}])
def test_a_run_that_cannot_be_is_refused(wrong: dict[str, tuple[object, ...]]) -> None:
    with pytest.raises(InvalidRequest):
        LadderQuestions.model_validate(wrong).tasks()


def test_a_run_in_which_everything_failed_has_measured_nothing() -> None:
    console = Console(file=StringIO())
    failed, declined = attempt(Verdict.FAILED), attempt(Verdict.DECLINED, number=1)
    assert running.exit_code(console, [failed, failed]) == 1
    assert running.exit_code(console, [failed, declined]) == 0
    assert running.exit_code(console, []) == 0
