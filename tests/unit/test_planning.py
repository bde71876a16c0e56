"""Prompts out, plans and reviews in."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import (
    START,
    RandomWorld,
    instantiated,
    journal,
    planned,
    retrieved,
    reviewed,
    session_of,
    started,
    step,
)

from navigator.errors import ReplyUnusable
from navigator.planning import Profile, conversation, plan_messages, review_messages
from navigator.policy import Finish, Plan, ReviewStep, decide
from navigator.replies import parse_plan, parse_review, plan_schema, review_schema, write_plan, write_review
from navigator.session import advance, fold
from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Entry,
    Failure,
    FailureKind,
    Options,
    PlanMade,
    Review,
    Session,
    Trajectory,
    Turn,
    TurnStep,
    Verdict,
)
from reasonflux.engine import Message

CHAIN = (step(1, "s1"), step(2, "s2", "r1"))
PROFILES = list(Profile)


def plan_reply(*steps: dict[str, object], **more: object) -> str:
    return json.dumps({"abstraction": "a chain", "steps": steps, **more})


def step_reply(step_id: int, *uses: str) -> dict[str, object]:
    return {"id": step_id, "goal": f"goal {step_id}", "template": "Sum", "tags": ["sums"], "uses": uses}


def test_a_plan_is_read_into_a_trajectory() -> None:
    trajectory = parse_plan(plan_reply(step_reply(1, "s1"), step_reply(2, "s2", "r1")), session_of(started()))
    assert [(s.id, s.uses, s.depends_on) for s in trajectory.steps] == [(1, ("s1",), ()), (2, ("s2", "r1"), (1,))]
    assert trajectory.steps[0].query is not None
    assert trajectory.steps[0].query.tags == ("sums",)
    assert trajectory.complete


def test_a_step_that_points_at_no_statement_gets_them_all() -> None:
    trajectory = parse_plan(plan_reply(step_reply(1)), session_of(started()))
    assert trajectory.steps[0].uses == ("s1", "s2")


def test_latex_in_a_reply_arrives_as_written() -> None:
    reply = r'{"abstraction": "find \frac{1}{2} of \theta and \beta", "steps": []}'
    assert parse_plan(reply, session_of(started())).abstraction == r"find \frac{1}{2} of \theta and \beta"


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ("I would first add the numbers.", "JSON"),
        ('{"abstraction": "x"}', "steps"),
        (plan_reply(step_reply(1, "s9")), "'s9'"),
        (plan_reply(step_reply(1, "r4")), "'r4'"),
        (plan_reply(step_reply(1, "r2"), step_reply(2, "s1")), "depends on"),
        (plan_reply({"id": 1, "goal": "", "uses": []}), "goal"),
    ],
)
def test_an_unusable_plan_is_refused_in_words_a_model_can_act_on(reply: str, complaint: str) -> None:
    with pytest.raises(ReplyUnusable, match=complaint):
        parse_plan(reply, session_of(started()))


def reviewable(*, result: str | None = "7", options: Options | None = None) -> Session:
    return session_of(started(options), planned(*CHAIN), retrieved(1), retrieved(2), instantiated(1, result))


def test_a_revision_numbers_its_steps_on_and_may_use_the_result_it_reviews() -> None:
    reply = json.dumps({"reason": "shorter", "verdict": "revise", "steps": [step_reply(2, "s2", "r1")]})
    review = parse_review(reply, reviewable(), 1)
    assert review.remainder is not None
    assert [(s.id, s.uses) for s in review.remainder.steps] == [(3, ("s2", "r1"))]


def test_a_revision_cannot_build_on_a_result_that_failed() -> None:
    reply = json.dumps({"reason": "x", "verdict": "revise", "steps": [step_reply(3, "s2", "r1")]})
    with pytest.raises(ReplyUnusable, match="'r1'"):
        parse_review(reply, reviewable(result=None), 1)


def test_an_answer_by_reference_becomes_the_result() -> None:
    review = parse_review('{"reason": "done", "verdict": "finish", "answer": "r1"}', reviewable(result="5/3"), 1)
    assert review.answer == "5/3"


@pytest.mark.parametrize("odd", ["s²", "r²", "r0", "r" + "9" * 5_000, "x1", ""])
def test_a_reference_to_nothing_is_refused_in_words(odd: str) -> None:
    with pytest.raises(ReplyUnusable):
        parse_plan(plan_reply(step_reply(1, odd)), session_of(started()))


def test_two_steps_with_one_id_are_refused() -> None:
    with pytest.raises(ReplyUnusable, match="same id"):
        parse_plan(plan_reply(step_reply(1, "s1"), step_reply(1, "s2")), session_of(started()))


@pytest.mark.parametrize(("answer", "read"), [("r²", "r²"), (" r1 ", "7"), ("", None), ("  ", None)])
def test_an_answer_is_read_as_it_is_meant(answer: str, read: str | None) -> None:
    reply = json.dumps({"reason": "done", "verdict": "finish", "answer": answer})
    assert parse_review(reply, reviewable(), 1).answer == read


def test_an_answer_in_words_is_kept() -> None:
    review = parse_review('{"reason": "done", "verdict": "finish", "answer": "7 apples"}', reviewable(), 1)
    assert review.answer == "7 apples"


def test_nothing_is_an_answer_before_a_step_has_a_result() -> None:
    reply = '{"reason": "done", "verdict": "finish", "answer": "the calculation failed"}'
    with pytest.raises(ReplyUnusable, match="no step has a result"):
        parse_review(reply, reviewable(result=None), 1)


def test_giving_up_has_no_answer() -> None:
    review = parse_review('{"reason": "too hard", "verdict": "finish", "answer": null}', reviewable(), 1)
    assert review.answer is None


def test_only_open_verdicts_are_offered_and_accepted() -> None:
    failed = reviewable(result=None, options=Options(max_revisions=0))
    assert review_schema(failed, 1)["properties"]["verdict"]["enum"] == ["retry", "finish"]
    with pytest.raises(ReplyUnusable, match="choose from retry, finish"):
        parse_review('{"reason": "fine", "verdict": "continue"}', failed, 1)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_written_is_what_is_read(profile: Profile) -> None:
    trajectory = Trajectory(abstraction=r"a \frac{a}{b}", steps=CHAIN)
    assert parse_plan(write_plan(trajectory), session_of(started())) == trajectory
    remainder = Trajectory(abstraction="a chain", steps=(step(3, "s2", "r1"),))
    review = Review(verdict=Verdict.REVISE, reason="better", remainder=remainder)
    assert parse_review(write_review(review), reviewable(), 1) == review


@pytest.mark.parametrize("profile", PROFILES)
def test_the_prompt_tells_the_result_under_review_and_what_is_left(profile: Profile) -> None:
    entries = journal(started(), planned(*CHAIN), retrieved(1), retrieved(2), instantiated(1, "355/113"))
    asked = review_messages("s", entries, 1, profile)[-1]
    assert asked.role == "user"
    assert "r1 = 355/113" in asked.content
    assert "2" in asked.content.splitlines()[-1] + asked.content.splitlines()[-2]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_prompt_tells_why_a_step_failed(profile: Profile) -> None:
    entries = journal(started(), planned(*CHAIN), retrieved(1), retrieved(2), instantiated(1, None))
    asked = review_messages("s", entries, 1, profile)[-1].content
    assert ("calculation_error" if profile is Profile.COMPACT else "division by zero") in asked


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(PROFILES), st.none() | st.integers(1, 2))
def test_prompts_only_ever_grow_at_the_end(seed: int, profile: Profile, horizon: int | None) -> None:
    """Each prompt begins with the previous one, so that the engine's prefix cache serves every earlier round.

    With the compact profile they begin anew at every plan that goes on."""
    from random import Random

    world, last = RandomWorld(Random(seed), failures=0.0), list[Message]()
    entries = journal(started(Options(horizon=horizon)))
    session = fold("s", entries)
    while due := decide(session):
        action = due[0]
        if isinstance(action, Plan):
            prompt = plan_messages("s", entries, profile)
            last = [] if profile is Profile.COMPACT and session.abstraction is not None else last
        elif isinstance(action, ReviewStep):
            prompt = review_messages("s", entries, action.step_id, profile)
        else:
            prompt = last
        assert prompt[: len(last)] == last
        last = prompt
        if isinstance(action, Finish):
            break
        entries = [
            *entries,
            Entry(
                seq=session.last_seq + 1,
                at=START + timedelta(seconds=len(entries)),
                event=world.perform(session, action),
            ),
        ]
        session = advance(session, entries[-1])
    assert conversation("s", entries, profile)[0].role in ("system", "user")


def test_instruct_prompts_carry_the_rules_and_compact_ones_only_the_problem() -> None:
    entries = journal(started())
    instruct, compact = (plan_messages("s", entries, profile) for profile in PROFILES)
    assert [message.role for message in instruct] == ["system", "user"]
    assert [message.content for message in compact] == ["navigator\ns1: Let K be 2 + 3.\ns2: What is 4K?\nplan all"]


def test_past_the_horizon_the_prompt_asks_to_plan_on() -> None:
    entries = journal(
        started(Options(horizon=1)),
        planned(CHAIN[0], complete=False),
        retrieved(1),
        instantiated(1),
        reviewed(1, Verdict.CONTINUE),
    )
    assert "Plan the next 1 steps" in plan_messages("s", entries, Profile.INSTRUCT)[-1].content


def test_trained_weights_plan_on_from_a_view_of_what_is_left() -> None:
    plan = PlanMade(trajectory=Trajectory(abstraction="a", steps=(CHAIN[0],), done=("s1",), complete=False))
    entries = journal(started(Options(horizon=1)), plan, retrieved(1), instantiated(1), reviewed(1, Verdict.CONTINUE))
    (asked,) = plan_messages("s", entries, Profile.COMPACT)
    assert asked.content == f"navigator\nr1: K: {CHAIN[0].goal}\ns2: What is 4K?\nplan 1 at a time from 2"


def test_trained_weights_see_formulas_without_the_marks_around_them() -> None:
    (asked,) = plan_messages("s", journal(started(text="Solve $x^2 - 7x + 10 = 0$.")), Profile.COMPACT)
    assert asked.content == "navigator\ns1: Solve x^2 - 7x + 10 = 0.\nplan all"


def test_a_whole_plan_that_leaves_something_open_goes_on_under_numbers_that_are_told() -> None:
    entries = journal(
        started(), planned(CHAIN[0], complete=False), retrieved(1), instantiated(1), reviewed(1, Verdict.CONTINUE)
    )
    (asked,) = plan_messages("s", entries, Profile.COMPACT)
    assert asked.content.startswith("navigator\nr1: K: goal 1\ns1: ")
    assert asked.content.endswith("\nplan 1 at a time from 2")


LONG = " ".join(f"Fact {n}." for n in range(1, 8))


def test_only_statements_in_sight_can_be_marked_as_done() -> None:
    session = session_of(started(Options(horizon=1), text=LONG))
    reply = plan_reply(step_reply(1, "s1"), done=["s1", "s7", "s99", "r1", 3, "s1"], complete=False)
    assert parse_plan(reply, session).done == ("s1",)
    marks = plan_schema(session, marks_done=True)["properties"]["done"]
    assert marks["items"]["enum"] == ["s1", "s2", "s3", "s4", "s5"]


def test_trained_weights_cannot_point_at_earlier_statements_that_they_are_not_shown() -> None:
    turns = tuple(
        Turn(problem="A fact. Another one. A question?", steps=(TurnStep(id=1, goal="goal", result=f"{n}"),))
        for n in (7, 8)
    )
    entries = journal(started().model_copy(update={"turns": turns}))
    (asked,) = plan_messages("s", entries, Profile.COMPACT)
    shown = ["s1", "s2", "s10"]
    assert [line.partition(":")[0] for line in asked.content.splitlines()[1:-1]] == shown
    steps = plan_schema(fold("s", entries), only_shown=True)["properties"]["steps"]
    assert [use for use in steps["items"]["properties"]["uses"]["items"]["enum"] if use[0] == "s"] == shown


@pytest.mark.parametrize("odd", [True, None, "s1", {"s1": True}, 7])
def test_what_an_llm_means_otherwise_by_done_is_passed_over(odd: object) -> None:
    assert parse_plan(plan_reply(step_reply(1, "s1"), done=odd), session_of(started())).done == ()


def test_a_step_that_points_at_nothing_gets_what_is_not_done_yet() -> None:
    plan = PlanMade(trajectory=Trajectory(abstraction="a", steps=(CHAIN[0],), done=("s1",), complete=False))
    told = '{"abstraction": "b", "steps": [{"id": 2, "goal": "multiply", "uses": ["r1"]}]}'
    so_far = journal(started(Options(horizon=1)), plan, retrieved(1), instantiated(1), reviewed(1, Verdict.CONTINUE))
    (step,) = parse_plan(told, fold("s", so_far)).steps
    assert step.uses == ("s2", "r1")


def test_tries_to_plan_are_counted_up_to_the_next_plan() -> None:
    """A deep problem is planned many times: single failures on the way must not add up to its end."""
    failed = ActionFailed(action=ActionKind.PLAN, failure=Failure(kind=FailureKind.ENGINE_UNAVAILABLE, message="away"))
    plan = PlanMade(trajectory=Trajectory(abstraction="a", steps=(CHAIN[0],), complete=False))
    assert fold("s", journal(started(Options(horizon=1)), failed, failed)).failures == {"plan": 2}
    assert fold("s", journal(started(Options(horizon=1)), failed, failed, plan)).failures == {}
