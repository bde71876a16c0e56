"""What the loop does next, case by case."""

import pytest
from journals import instantiated, planned, retrieved, reviewed, session_of, started, step

from navigator.policy import MAX_TRIES, OUTAGE_TRIES, Finish, Instantiate, Plan, Retrieve, ReviewStep, decide
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Budget,
    Failure,
    FailureKind,
    Options,
    Outcome,
    Phase,
    Session,
    Trajectory,
    Verdict,
)

CHAIN = (step(1, "s1"), step(2, "s2", "r1"))
BRANCHES = (step(1, "s1"), step(2, "s1"), step(3, "s2", "r1", "r2"))


def end(session: Session) -> Finish:
    (action,) = decide(session)
    assert isinstance(action, Finish)
    return action


def test_a_new_session_is_planned() -> None:
    assert decide(session_of(started())) == (Plan(),)


def test_all_planned_steps_look_for_templates_at_once() -> None:
    assert decide(session_of(started(), planned(*CHAIN))) == (Retrieve(1), Retrieve(2))


def test_steps_whose_dependencies_are_done_run_in_parallel() -> None:
    session = session_of(started(), planned(*BRANCHES), retrieved(1), retrieved(2), retrieved(3))
    assert decide(session) == (Instantiate(1, 1), Instantiate(2, 1))


def test_an_instantiation_is_reviewed_while_other_steps_run() -> None:
    session = session_of(started(), planned(*BRANCHES), retrieved(1), retrieved(2), retrieved(3), instantiated(2))
    assert decide(session) == (Instantiate(1, 1), ReviewStep(2, 1))


def test_a_step_that_needs_no_template_is_instantiated_straight_away() -> None:
    assert decide(session_of(started(), planned(step(1, "s1", query=False)))) == (Instantiate(1, 1),)


def test_without_retrieval_no_template_is_looked_for() -> None:
    session = session_of(started(Options(retrieve=False)), planned(*CHAIN))
    assert decide(session) == (Instantiate(1, 1),)


def test_a_retried_step_is_instantiated_again() -> None:
    events = (started(), planned(CHAIN[0]), retrieved(1), instantiated(1, None), reviewed(1, Verdict.RETRY))
    assert decide(session_of(*events)) == (Instantiate(1, 2),)


def test_a_revision_replaces_what_is_not_done_and_keeps_what_is() -> None:
    remainder = Trajectory(abstraction="", steps=(step(3, "s2", "r1"),))
    session = session_of(
        started(),
        planned(*CHAIN),
        retrieved(1),
        retrieved(2),
        instantiated(1),
        reviewed(1, Verdict.REVISE, remainder=remainder),
    )
    assert [state.phase for state in session.steps] == [Phase.DONE, Phase.DROPPED, Phase.PLANNED]
    assert decide(session) == (Retrieve(3),)


def test_an_outcome_of_a_step_that_was_dropped_meanwhile_changes_nothing_but_the_bill() -> None:
    remainder = Trajectory(abstraction="", steps=(step(4, "s2"),))
    before = (
        started(),
        planned(*BRANCHES),
        retrieved(1),
        retrieved(2),
        instantiated(1, None),
        reviewed(1, Verdict.REVISE, remainder=remainder),
    )
    session = session_of(*before, instantiated(2))
    assert session.step(2).phase is Phase.DROPPED
    assert session.usage.executor.prompt == 20
    assert decide(session) == (Retrieve(4),)


def test_a_finish_verdict_gives_the_answer() -> None:
    session = session_of(
        started(), planned(CHAIN[0]), retrieved(1), instantiated(1), reviewed(1, Verdict.FINISH, answer="7")
    )
    assert end(session).event.outcome is Outcome.SOLVED
    assert end(session).event.answer == "7"


def test_giving_up_is_said_and_no_answer_made_up() -> None:
    session = session_of(started(), planned(CHAIN[0]), retrieved(1), instantiated(1), reviewed(1, Verdict.FINISH))
    assert end(session).event.outcome is Outcome.UNSOLVED
    assert end(session).event.explanation == "because"


def test_an_empty_trajectory_ends_unsolved() -> None:
    assert end(session_of(started(), planned())).event.outcome is Outcome.UNSOLVED


def test_the_last_result_is_the_answer_when_all_steps_are_done() -> None:
    session = session_of(
        started(), planned(CHAIN[0]), retrieved(1), instantiated(1, "5/2"), reviewed(1, Verdict.CONTINUE)
    )
    assert end(session).event.answer == "5/2"


def test_past_the_horizon_the_plan_goes_on() -> None:
    events = (
        started(Options(horizon=1)),
        planned(CHAIN[0], complete=False),
        retrieved(1),
        instantiated(1),
        reviewed(1, Verdict.CONTINUE),
    )
    assert decide(session_of(*events)) == (Plan(),)


def test_without_review_a_failed_step_is_tried_again_and_then_given_up() -> None:
    options = Options(review=False, budget=Budget(samples=2))
    events = [started(options), planned(CHAIN[0]), retrieved(1), instantiated(1, None)]
    assert decide(session_of(*events)) == (Instantiate(1, 2),)
    assert end(session_of(*events, instantiated(1, None, 2))).event.outcome is Outcome.UNSOLVED


def test_a_spent_budget_ends_the_session_and_says_which() -> None:
    options = Options(budget=Budget(rounds=1))
    events = [started(options), planned(*CHAIN), retrieved(1), retrieved(2), instantiated(1)]
    assert decide(session_of(*events)) == (ReviewStep(1, 1),), "what is instantiated may still be reviewed"
    finish = end(session_of(*events, reviewed(1, Verdict.CONTINUE))).event
    assert finish.failure is not None
    assert finish.failure.kind is FailureKind.BUDGET_EXHAUSTED
    assert "rounds" in finish.explanation


def test_an_answer_found_on_the_last_round_counts() -> None:
    options = Options(budget=Budget(rounds=1))
    events = [started(options), planned(CHAIN[0]), retrieved(1), instantiated(1), reviewed(1, Verdict.CONTINUE)]
    assert end(session_of(*events)).event.outcome is Outcome.SOLVED


def test_the_deadline_is_read_from_the_journals_clock() -> None:
    session = session_of(started(Options(budget=Budget(seconds=0.5))), planned(*CHAIN))
    assert end(session).event.outcome is Outcome.UNSOLVED


def failed(kind: FailureKind, *, retryable: bool) -> ActionFailed:
    return ActionFailed(action=ActionKind.PLAN, failure=Failure(kind=kind, message="no", retryable=retryable))


@pytest.mark.parametrize("kind", [FailureKind.ENGINE_UNAVAILABLE, FailureKind.SERVICE_UNAVAILABLE])
def test_what_is_down_is_waited_for_so_long_and_no_longer(kind: FailureKind) -> None:
    down = [failed(kind, retryable=True)] * OUTAGE_TRIES
    assert decide(session_of(started(), *down[1:])) == (Plan(),)
    assert end(session_of(started(), *down)).event.outcome is Outcome.FAILED


def test_a_reply_that_cannot_be_used_is_asked_for_less_often_than_what_is_down() -> None:
    bad = [failed(FailureKind.UNPARSABLE_REPLY, retryable=True)] * MAX_TRIES
    assert decide(session_of(started(), *bad[1:])) == (Plan(),)
    assert end(session_of(started(), *bad)).event.outcome is Outcome.UNSOLVED


def test_no_more_steps_run_at_once_than_rounds_are_left() -> None:
    options = Options(budget=Budget(rounds=2), retrieve=False)
    session = session_of(started(options), planned(*(step(n, "s1") for n in range(1, 13))))
    assert decide(session) == (Instantiate(1, 1), Instantiate(2, 1))


def test_an_answer_in_hand_outlives_the_budget() -> None:
    for spent in (Budget(tokens=20), Budget(seconds=0.5), Budget(rounds=1)):
        events = [started(Options(budget=spent)), planned(CHAIN[0]), retrieved(1), instantiated(1)]
        session = session_of(*events, reviewed(1, Verdict.CONTINUE))
        assert end(session).event.outcome is Outcome.SOLVED


def test_reviews_come_in_the_order_of_the_results() -> None:
    session = session_of(started(), planned(*BRANCHES), *map(retrieved, (1, 2, 3)), instantiated(2), instantiated(1))
    assert decide(session) == (ReviewStep(2, 1),)


def test_a_reply_that_cannot_be_used_ends_unsolved() -> None:
    unusable = failed(FailureKind.UNPARSABLE_REPLY, retryable=False)
    assert end(session_of(started(), unusable)).event.outcome is Outcome.UNSOLVED


def test_a_finished_session_wants_nothing() -> None:
    session = session_of(started(), planned())
    finish = end(session)
    assert decide(session_of(started(), planned(), finish.event)) == ()
