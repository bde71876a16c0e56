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
from training import settings
from training.corpus import Mixture
from training.publication import best_round
from training.reporting.cards import card
from training.stages import evaluate, tiny
from training.stages.evaluate import Evaluation, Outcome
from training.studies import depth, depth_report, direct, preference

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


def test_a_problem_counts_once_however_many_seeds_were_tried_on_it(
    tmp_path: Path, library: dict[str, ThoughtTemplate]
) -> None:
    config = depth.DepthStudy(seeds=(1, 2, 3, 4), arms=("horizon", "direct"), depths=(3, 4), problems=10)
    for seed in (1, 2, 3):  # the rest has not ended yet
        outcomes = [
            depth.Answered(problem=f"{of}-{n}", depth=of, right=n < 5 + seed).model_dump()
            for of in config.depths
            for n in range(10)
        ]
        folder = tmp_path / f"evaluate.direct.{seed}"
        folder.mkdir()
        (folder / "outcomes.json").write_text(json.dumps(outcomes))
    report = depth_report.report(depth.Study(config, tmp_path, library), DAY)
    over_seeds, seed_by_seed = (table.rows for table in report.tables)
    assert report.setup["seeds"] == "direct 1, 2, 3"
    assert [(row.trials, round(row.mean, 3)) for row in over_seeds] == [(10, 0.7), (10, 0.7)]
    assert [(row.name, row.trials, row.mean) for row in seed_by_seed] == [
        ("direct, seed 1", 10, 0.6),
        ("direct, seed 2", 10, 0.7),
        ("direct, seed 3", 10, 0.8),
    ]


def evaluated(name: str, *told: tuple[bool, float | None], family: str = "gcd") -> Evaluation:
    outcomes = [
        Outcome(problem=str(n), depth=1, families=(f"{family}{n}",), right=right, rounds=1, tokens=9, reward=reward)
        for n, (right, reward) in enumerate(told)
    ]
    return Evaluation(name=name, outcomes=tuple(outcomes))


def test_the_best_round_is_chosen_by_the_reward_that_the_gate_does_not_judge_by() -> None:
    rounds = [evaluated("sft", (True, 0.2), (True, 0.4)), evaluated("dpo.1", (True, 0.9), (False, 0.5))]
    assert best_round(rounds) == 1
    assert best_round([*rounds, evaluated("dpo.2", (True, 0.9), (True, 0.5))]) == 1


def test_without_rewards_the_best_round_is_the_one_that_solves_most() -> None:
    assert best_round([evaluated("sft", (True, None)), evaluated("dpo.1", (False, None))]) == 0


def test_a_card_names_the_families_that_fail_most_and_the_depth_that_was_trained() -> None:
    config = settings.load(LIBRARY.parents[2] / "training" / "configs" / "tiny-cpu.yaml")
    reached = evaluated("sft", *((n > 2, 1.0) for n in range(8)))
    limits = " ".join(card(config, "navigator", reached, None).limits)
    assert f"chains of up to {max(config.mixture.depths)} steps were trained" in limits
    assert limits.index("gcd0") < limits.index("gcd2") < limits.index("gcd3")
    assert "gcd7" not in limits
