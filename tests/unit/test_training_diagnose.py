"""Evaluating weights without a server: gold replies are all right, and each kind of error gets its name."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.ladder import LadderProblem, Split, generate
from executor.prompting import Profile as ExecutorProfile
from executor.prompting import render
from navigator.replies import write_plan
from reasonflux.contracts import Problem, Trajectory
from reasonflux.engine import Message

pytest.importorskip("torch")
from training import diagnose
from training.corpus import OUTSIDE, Library, abstraction_of, request_of, step_of
from training.stages import tiny

DEPTHS, LIMIT, SEED = (1, 2, 3), 12, 4


@pytest.fixture(scope="module")
def library() -> Library:
    return tiny.read_library(Path(__file__).resolve().parents[2] / "services" / "template-store" / "library")


def problems() -> list[LadderProblem]:
    stream = generate(Split.HELDOUT, DEPTHS, seed=SEED)
    return [next(stream) for _ in range(LIMIT)]


class Gold:
    """Both roles' perfect replies."""

    def __init__(self, library: Library) -> None:
        self.plans = {}
        self.bindings = {}
        for problem in problems():
            steps = tuple(step_of(stage, library[stage.template_id], stage.id) for stage in problem.stages)
            plan = Trajectory(abstraction=abstraction_of(problem.stages), steps=steps)
            statements = Problem(text=problem.text).statements
            self.plans["\n".join(f"{s.id}: {s.text}" for s in statements)] = write_plan(plan)
            for stage in problem.stages:
                (asked,) = render(request_of(problem, stage, library[stage.template_id]), ExecutorProfile.COMPACT)
                self.bindings[asked.content] = {"fits": True, "reasoning": "", "bindings": stage.bindings}

    def navigator(self, prompts: Sequence[list[Message]]) -> list[str]:
        decline = write_plan(Trajectory(abstraction=OUTSIDE))
        asked = [prompt[-1].content for prompt in prompts]
        return [next((plan for text, plan in self.plans.items() if text in prompt), decline) for prompt in asked]

    def executor(self, prompts: Sequence[list[Message]]) -> list[str]:
        asked = [prompt[-1].content for prompt in prompts]
        return [json.dumps(self.bindings[prompt]) for prompt in asked]


def test_gold_replies_are_all_right(library: Library) -> None:
    gold = Gold(library)
    found = diagnose.run(gold.navigator, gold.executor, library, DEPTHS, LIMIT, SEED)
    assert {case.verdict for cases in found.cases.values() for case in cases} == {diagnose.RIGHT}
    assert [len(cases) for cases in found.cases.values()] == [24, 12, 12, 3]


def test_errors_are_told_apart(library: Library) -> None:
    gold = Gold(library)
    found = diagnose.run(
        lambda prompts: ["{}" for _ in prompts],
        lambda prompts: ['{"fits":false,"reasoning":"no"}' for _ in prompts],
        library, DEPTHS, LIMIT, SEED,
    )  # fmt: skip
    verdicts = {name: {case.verdict for case in cases} for name, cases in found.cases.items()}
    assert verdicts == {
        "executor, gold steps": {"says that the template does not fit"},
        "navigator, plans": {"unreadable reply"},
        "together": {"no plan"},
        "declining": {"unreadable reply"},
    }
    found = diagnose.run(gold.navigator, lambda prompts: ["no JSON" for _ in prompts], library, DEPTHS, LIMIT, SEED)
    assert {case.verdict for case in found.cases["together"]} == {"step failed: unparsable_reply"}
