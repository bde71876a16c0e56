"""The studies' own parts: a direct baseline that can be perfect, and reports of runs that have ended."""

import json
from collections.abc import Sequence
from datetime import date
from itertools import islice
from pathlib import Path

import pytest

from evaluation.ladder import LadderProblem, Split, generate
from reasonflux.contracts import ThoughtTemplate
from reasonflux.engine import Message
from training import evaluate, tiny
from training.corpus import Mixture
from training.evaluate import Evaluation, Outcome
from training.studies import direct, preference

LIBRARY = Path(__file__).resolve().parents[2] / "services" / "template-store" / "library"
DAY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def library() -> dict[str, ThoughtTemplate]:
    return dict(tiny.read_library(LIBRARY))


@pytest.fixture(scope="module")
def problems() -> list[LadderProblem]:
    return list(islice(generate(Split.HELDOUT, (1, 2, 3, 4, 5, 6), seed=3), 90))


@pytest.mark.parametrize("windowed", [False, True])
def test_the_direct_baselines_gold_replies_are_right_at_every_depth(
    library: dict[str, ThoughtTemplate], problems: list[LadderProblem], windowed: bool
) -> None:
    known: dict[str, str] = {}
    for problem in problems:
        known |= {ask.content: reply.content for ask, reply in direct.told(problem, library, windowed=windowed)}

    def say(prompts: Sequence[list[Message]]) -> list[str]:
        return [known.get(prompt[-1].content, "{}") for prompt in prompts]

    answers = direct.answers(say, [problem.text for problem in problems], windowed=windowed)
    assert answers == [problem.answer for problem in problems]


@pytest.mark.parametrize("reply", ["", "[]", '{"expressions": []}', '{"expressions": ["1/0"]}', '{"expressions": [7]}'])
def test_a_direct_reply_that_calculates_nothing_is_no_answer(reply: str) -> None:
    assert direct.answers(lambda prompts: [reply] * len(prompts), ["What is 2 + 2?"], windowed=True) == [None]


def test_a_direct_model_that_never_ends_is_stopped() -> None:
    reply = json.dumps({"name": "K", "expressions": ["1 + 1"], "done": ["s1"]})
    assert direct.answers(lambda prompts: [reply] * len(prompts), ["What is 2 + 2?"], windowed=True) == [None]


def test_training_views_of_the_direct_baseline_are_drawn_far_down_too(library: dict[str, ThoughtTemplate]) -> None:
    stream = direct.conversations(library, 1, Mixture(depths=(3,)), windowed=True)
    starts = {int(ask.content.rpartition(" ")[2]) for ask, _ in islice(stream, 60)}
    assert max(starts) > 6


def ended(run: Path, name: str, right: Sequence[bool]) -> None:
    outcomes = tuple(
        Outcome(problem=str(n), depth=1 + n % 2, families=(), right=one, rounds=1, tokens=9, sampled=0.5, reward=0.5)
        for n, one in enumerate(right)
    )
    evaluate.save(Evaluation(name=name, outcomes=outcomes), run / f"evaluate.{name}" / "evaluation.json")


def test_the_preference_report_compares_the_same_problems(tmp_path: Path) -> None:
    ended(tmp_path / "noisy", "sft", [True] * 40 + [False] * 60)
    ended(tmp_path / "noisy", "dpo.1", [True] * 80 + [False] * 20)
    ended(tmp_path / "own-problem", "dpo.1", [True] * 70 + [False] * 30)
    ended(tmp_path / "clean", "sft", [True] * 90 + [False] * 10)
    report = preference.preference_report(tmp_path, DAY)
    assert "+40.0 points" in report.verdict
    assert "80% of the way" in report.verdict
    (similar_over_own,) = report.tables[-1].rows
    assert similar_over_own.mean == pytest.approx(0.1)


def test_the_structure_report_tells_a_loss_as_a_loss(tmp_path: Path) -> None:
    ended(tmp_path / "clean", "sft", [True] * 90 + [False] * 10)
    ended(tmp_path / "structure", "sft", [True] * 85 + [False] * 15)
    assert "-5.0 points" in preference.structure_report(tmp_path, DAY).verdict
