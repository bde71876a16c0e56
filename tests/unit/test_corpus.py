"""What the shipped weights learn from: every learned word is one that the services would accept."""

import json
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from journals import journal, session_of, started

from calculator import evaluate_in_process
from evaluation.ladder import ALL, LadderProblem, Split
from evaluation.ladder.problem import split_of
from executor import prompting
from navigator.planning import Profile, plan_messages
from navigator.replies import parse_plan
from navigator.session import fold
from reasonflux.contracts import (
    Instantiation,
    Options,
    PlanMade,
    Review,
    StepInstantiated,
    StepReviewed,
    ThoughtTemplate,
    Verdict,
)
from template_store import library
from training.corpus import (
    Conversation,
    Mixture,
    abstraction_of,
    executor_conversations,
    navigator_conversations,
    request_of,
    step_of,
    training_problems,
)
from training.corpus.noise import Noise, Teacher
from training.corpus.shifting import shifted

LIBRARY_FOLDER = Path(__file__).resolve().parents[2] / "services" / "template-store" / "library"
PLAIN = Mixture(
    outside=0, failed_calculation=0, unfit_template=0, horizon=0, whole=1, shift=0, follow_up=0, no_template=0,
    mismatch=0, second_try=0, plan_only=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def templates() -> dict[str, ThoughtTemplate]:
    return {template.id: template for template in library.read(LIBRARY_FOLDER)}


def learned(conversation: Conversation) -> list[str]:
    return [turn.content for turn in conversation if turn.learn]


def test_the_same_seed_gives_the_same_corpus(templates: dict[str, ThoughtTemplate]) -> None:
    for make in (navigator_conversations, executor_conversations):
        assert list(islice(make(templates, 3), 50)) == list(islice(make(templates, 3), 50))
        assert list(islice(make(templates, 3), 50)) != list(islice(make(templates, 4), 50))


def test_only_training_problems_are_learned_from(templates: dict[str, ThoughtTemplate]) -> None:
    for conversation in islice(navigator_conversations(templates, 5, PLAIN), 300):
        lines = conversation[0].content.splitlines()[1:-1]
        text = " ".join(line.partition(": ")[2] for line in lines)
        assert split_of(text) is Split.TRAIN


def test_navigator_conversations_begin_with_the_problem_and_alternate(templates: dict[str, ThoughtTemplate]) -> None:
    for conversation in islice(navigator_conversations(templates, 6), 300):
        assert [turn.role for turn in conversation] == ["user", "assistant"] * (len(conversation) // 2)
        assert conversation[0].content.startswith("navigator\n")
        assert not any(turn.learn for turn in conversation if turn.role == "user")
        assert learned(conversation)


def test_injected_errors_teach_every_verdict_and_declining(templates: dict[str, ThoughtTemplate]) -> None:
    told = "\n".join(text for c in islice(navigator_conversations(templates, 7), 600) for text in learned(c))
    for verdict in ("continue", "retry", "revise", "finish"):
        assert f'"verdict":"{verdict}"' in told
    assert '"steps":[]' in told
    assert '"answer":null' in told
    assert '"complete":false' in told


def test_a_spoiled_plan_is_shown_but_not_learned(templates: dict[str, ThoughtTemplate]) -> None:
    always = replace(PLAIN, unfit_template=1, hopeless=0)
    for conversation in islice(navigator_conversations(templates, 8, always), 100):
        assert not conversation[1].learn
        assert any('"verdict":"revise"' in text for text in learned(conversation))


def test_the_executors_learned_bindings_give_the_gold_results(templates: dict[str, ThoughtTemplate]) -> None:
    checked = 0
    problems = training_problems(templates, Split.TRAIN, 9, PLAIN)
    conversations = executor_conversations(templates, 9, PLAIN)
    for problem in islice(problems, 150):
        results = {f"r{stage.id}": stage.result for stage in problem.stages}
        for stage in problem.stages:
            conversation = next(conversations)
            reply = prompting.read(conversation[-1].content)
            formulas = templates[stage.template_id].formulas
            calculations = evaluate_in_process(formulas, {**results, **reply.bindings})
            assert calculations[-1].value == stage.result
            checked += 1
    assert checked > 200


def test_the_executors_prompt_is_the_one_that_the_service_sends(templates: dict[str, ThoughtTemplate]) -> None:
    problems = training_problems(templates, Split.TRAIN, 10, PLAIN)
    conversations = executor_conversations(templates, 10, PLAIN)
    for problem in islice(problems, 40):
        for stage in problem.stages:
            request = request_of(problem, stage, templates[stage.template_id])
            prompt = prompting.render(request, prompting.Profile.COMPACT)
            assert [turn.content for turn in next(conversations)[:-1]] == [message.content for message in prompt]


def test_learned_expressions_without_a_template_give_the_gold_result(templates: dict[str, ThoughtTemplate]) -> None:
    alone = replace(PLAIN, no_template=1)
    problems = training_problems(templates, Split.TRAIN, 11, alone)
    conversations = executor_conversations(templates, 11, alone)
    for problem in islice(problems, 60):
        results = {f"r{stage.id}": stage.result for stage in problem.stages}
        for stage in problem.stages:
            reply = prompting.read(next(conversations)[-1].content)
            assert evaluate_in_process(reply.expressions, results)[-1].value == stage.result


def gold(problem: LadderProblem, templates: dict[str, ThoughtTemplate]) -> list[tuple[str, tuple[str, ...]]]:
    return [(templates[stage.template_id].name, stage.uses) for stage in problem.stages]


def test_learned_plans_are_the_gold_trajectories(templates: dict[str, ThoughtTemplate]) -> None:
    problems = training_problems(templates, Split.TRAIN, 12, PLAIN)
    conversations = navigator_conversations(templates, 12, PLAIN)
    for problem in islice(problems, 100):
        trajectory = parse_plan(learned(next(conversations))[0], session_of(started(text=problem.text)))
        told = [(step.query.name if step.query else "", step.uses) for step in trajectory.steps]
        assert told == gold(problem, templates)
        assert trajectory.abstraction == abstraction_of(problem.stages)
        assert trajectory.steps == tuple(step_of(s, templates[s.template_id], s.id) for s in problem.stages)


def test_a_long_problem_is_learned_a_view_at_a_time(templates: dict[str, ThoughtTemplate]) -> None:
    """Every prompt is the one that the service renders in that round, and every plan is one that it accepts."""
    stepwise = replace(PLAIN, whole=0, horizon=1, two_at_a_time=0, depths=(3,))
    problems = training_problems(templates, Split.TRAIN, 13, stepwise)
    conversations = navigator_conversations(templates, 13, stepwise)
    for problem in islice(problems, 60):
        entries = journal(started(Options(horizon=1), text=problem.text))
        for stage in problem.stages:
            view, plan, *_ = next(conversations)
            assert [m.content for m in plan_messages("s", entries, Profile.COMPACT)] == [view.content]
            session = fold("s", entries)
            trajectory = parse_plan(plan.content, session)
            (step,) = trajectory.steps
            assert step == step_of(stage, templates[stage.template_id], stage.id)
            assert trajectory.complete is (stage is problem.stages[-1])
            events = (
                PlanMade(trajectory=trajectory),
                StepInstantiated(step_id=step.id, attempt=1, instantiation=Instantiation(result=stage.result)),
                StepReviewed(step_id=step.id, attempt=1, review=Review(verdict=Verdict.CONTINUE)),
            )
            entries = journal(*(entry.event for entry in entries), *events)


def test_views_far_down_a_problem_look_like_early_ones(templates: dict[str, ThoughtTemplate]) -> None:
    stepwise = replace(PLAIN, whole=0, horizon=1, plan_only=1)
    for conversation in islice(navigator_conversations(templates, 14, stepwise), 60):
        moved = shifted(conversation, 20, 3)
        text, reply = moved[0].content, json.loads(moved[1].content)
        told = {line.partition(":")[0] for line in text.splitlines() if line.startswith(("s", "r"))}
        first = int(text.rpartition(" ")[2])
        assert first > 3
        for number, step in enumerate(reply["steps"]):
            assert step["id"] == first + number
            assert {use for use in step["uses"] if int(use[1:]) < first or use[0] == "s"} <= told
        assert shifted(conversation, 0, 0) == conversation


def test_a_third_of_a_noisy_corpus_is_faulty_and_all_of_it_is_usable(templates: dict[str, ThoughtTemplate]) -> None:
    ladder = {family.template_id: templates[family.template_id] for family in ALL.values()}
    noisy = replace(PLAIN, depths=(1, 2))
    teacher = Teacher(ladder, Noise())
    faulty = 0
    problems = training_problems(ladder, Split.TRAIN, 15, noisy)
    told = navigator_conversations(ladder, 15, noisy, teacher=teacher)
    for problem in islice(problems, 600):
        trajectory = parse_plan(next(told)[1].content, session_of(started(text=problem.text)))
        faulty += [(step.query.name if step.query else "", step.uses) for step in trajectory.steps] != gold(
            problem, ladder
        )
    assert 0.30 < faulty / 600 < 0.40


def test_a_follow_up_uses_the_answer_before_it(templates: dict[str, ThoughtTemplate]) -> None:
    only = replace(PLAIN, follow_up=1)
    for navigator, executor in islice(
        zip(navigator_conversations(templates, 16, only), executor_conversations(templates, 16, only), strict=False),
        60,
    ):
        told = next(line for line in navigator[0].content.splitlines() if ": Earlier result: " in line)
        (step,) = json.loads(navigator[1].content)["steps"]
        assert step["uses"][-1] == told.partition(":")[0]
        known = next(line for line in executor[0].content.splitlines() if line.startswith("known: "))
        name = known.split(": ")[1]
        asked = executor[0].content.partition(known)[2]
        assert re.search(rf"\b{name}\b", asked)
        assert name in json.loads(executor[1].content)["bindings"].values()


def test_two_steps_at_a_time_are_planned_only_as_far_as_the_view_shows(templates: dict[str, ThoughtTemplate]) -> None:
    two = replace(PLAIN, whole=0, horizon=1, two_at_a_time=1, depths=(3,), plan_only=1)
    for conversation in islice(navigator_conversations(templates, 17, two), 120):
        told = {line.partition(":")[0] for line in conversation[0].content.splitlines()}
        plan = json.loads(conversation[1].content)
        assert {use for step in plan["steps"] for use in step["uses"] if use[0] == "s"} <= told
        assert set(plan.get("done", ())) <= told
