"""The binding study: runs that stand alone and go on where they stopped, and a verdict that follows the numbers."""

from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path

import pytest
from pydantic import ValidationError

from evaluation.ladder import Split
from reasonflux.errors import InvalidRequest
from training.corpus import Conversation
from training.diagnose import OTHER_VARIABLES
from training.reporting import results_page
from training.reporting.results import Report
from training.running import pipeline
from training.running.pipeline import Due
from training.running.progress import Progress
from training.running.run_folder import State
from training.running.sections import section
from training.stages import scratch
from training.stages.scratch import ModelShape, Recipe
from training.studies import binding_report
from training.studies.binding import BindingStudy, Study
from training.studies.binding_corpus import recall_conversations
from training.studies.binding_learning import CHECKPOINT, Judged, Point, ProbeConfig, learn
from training.studies.binding_measures import HELD, HELD_WITHOUT, INVENTED, KEPT, Measure, held_one
from training.studies.binding_probe import KNOWN, NEW, ProbeReport
from training.weights.tokenizer import train_tokenizer

CONFIG = Path(__file__).resolve().parents[2] / "training" / "configs" / "studies" / "binding.yaml"
DAY = date(2026, 11, 21)
SMALL = ProbeConfig(
    shape=ModelShape(hidden=32, layers=1, heads=1, feed_forward=64),
    recipe=Recipe(tokens=3_000, batch_tokens=512),
    vocabulary=320,
    phrases=2,
    measure_every=1_500,
)


def of_sections(**sections: object) -> BindingStudy:
    return BindingStudy.model_validate(sections)


# --- the config -----------------------------------------------------------------------------------------------------


def test_the_shipped_config_names_runs_of_both_experiments() -> None:
    config = section(CONFIG, "binding", BindingStudy)
    assert {"base", "rope-10000", "made-up-words-4M"} <= set(config.recall)
    assert config.recall["made-up-words-4M"].recipe.tokens > 3 * config.recall["base"].recipe.tokens
    assert config.bind
    assert all(len(run.mixture.held_families) >= 6 for run in config.bind.values())


def test_a_run_changes_single_fields_of_the_defaults() -> None:
    defaults = {"shape": {"hidden": 64, "heads": 4}, "phrases": 4}
    config = of_sections(recall={"defaults": defaults, "base": None, "two-heads": {"shape": {"heads": 2}}})
    assert list(config.recall) == ["base", "two-heads"]
    assert config.recall["two-heads"].shape == ModelShape(hidden=64, heads=2)
    assert config.recall["two-heads"].phrases == 4


def test_a_field_that_no_run_has_is_refused() -> None:
    with pytest.raises(ValidationError, match="phrase_count"):
        of_sections(recall={"base": {"phrase_count": 3}})


# --- the stages -----------------------------------------------------------------------------------------------------


def test_every_run_stands_alone_so_a_change_of_one_runs_only_that_one(tmp_path: Path) -> None:
    told = {"base": {}, "other": {"phrases": 3}}
    before = Study(of_sections(recall=told, bind={"invented": {}}), tmp_path, {})
    after = Study(of_sections(recall={**told, "other": {"phrases": 5}}, bind={"invented": {}}), tmp_path, {})
    assert [stage.name for stage in before.stages()] == ["recall.base", "recall.other", "bind.invented"]
    first, second = pipeline.chained(before.stages()), pipeline.chained(after.stages())
    assert [name for name in first if first[name] != second[name]] == ["recall.other"]
    assert set(pipeline.plan(before.stages(), State(), tmp_path).values()) == {Due.NEW}


def test_a_run_that_has_ended_can_be_reported_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    study = Study(BindingStudy(recall={"small": SMALL}), tmp_path, {})
    assert study.ended() == []
    pipeline.run(study.stages(), tmp_path, Progress("binding"))
    (ended,) = study.ended()
    assert (ended.experiment, ended.name, set(ended.last.judged)) == ("recall", "small", {KNOWN, NEW})
    assert ended.last.loss < ended.points[0].loss
    assert not list((tmp_path / "recall.small").glob("checkpoint*"))
    assert Study(BindingStudy(recall={"small": SMALL.model_copy(update={"phrases": 3})}), tmp_path, {}).ended() == []


class Stopped(Exception):
    """The process ends here."""


def test_learning_that_is_stopped_goes_on_at_its_last_point(tmp_path: Path) -> None:
    longer = SMALL.model_copy(update={"recipe": Recipe(tokens=60_000, batch_tokens=2_048), "measure_every": 15_000})
    tokenizer = train_tokenizer(recall_conversations(9, (2,)), 320, 500)

    def told(stops: bool) -> Iterator[Conversation]:
        yield from islice(recall_conversations(1, (2,)), scratch.BUFFER)
        if stops:
            raise Stopped
        yield from islice(recall_conversations(2, (2,)), scratch.BUFFER)

    def learned(folder: str, *, stops: bool = False) -> tuple[Point, ...]:
        heldout = {NEW: recall_conversations(3, (2,), Split.HELDOUT)}
        return learn(told(stops), heldout, tokenizer, longer, tmp_path / folder)[1]

    with pytest.raises(Stopped):
        learned("stopped", stops=True)
    assert (tmp_path / "stopped" / CHECKPOINT).exists()
    on, whole = (
        [point.model_dump(exclude={"cpu_minutes"}) for point in learned(folder)] for folder in ("stopped", "whole")
    )
    assert on == whole


# --- the report -----------------------------------------------------------------------------------------------------


def recalled(name: str, known: int, new: int, config: ProbeConfig | None = None) -> ProbeReport:
    """A run with so many right numbers of four in each of forty replies."""

    def judged(right: int) -> Judged:
        rights = tuple(right if n % 2 else min(4, right + 1) for n in range(40))
        return Judged(whole=tuple(one == 4 for one in rights), numbers=(4,) * 40, right=rights)

    points = tuple(
        Point(tokens=tokens, steps=1, loss=1.0, cpu_minutes=0.5, judged={KNOWN: judged(known), NEW: judged(new)})
        for tokens in (100_000, 200_000)
    )
    return ProbeReport(
        experiment="recall", name=name, parameters=210_000, settings=config or ProbeConfig(), points=points
    )


def bound(invented: int, held: int, without: int) -> ProbeReport:
    """A run with so many right steps of a hundred of each kind, where guessing is right a tenth of the time."""

    def measure(kind: str, count: int) -> Measure:
        right = tuple(n < count for n in range(100))
        errors = {OTHER_VARIABLES: 100 - count} if count < 100 else {}
        return Measure(kind=kind, bound=right, solved=right, errors=errors, chance=0.1, in_order=0.5)

    measures = (
        measure(f"{INVENTED}, 2 variables, other order", invented),
        measure(KEPT, 90),
        measure(HELD, held),
        measure(HELD_WITHOUT, without),
    )
    return recalled("invented", 4, 1).model_copy(update={"experiment": "bind", "measures": measures})


def reported(*runs: ProbeReport, config: BindingStudy | None = None) -> Report:
    return binding_report.report(config or BindingStudy(), runs, DAY)


@pytest.mark.parametrize(
    ("new", "said"),
    [(2, "new words: 62% (59–66), beyond the chance of 25.0%"), (0, "new words: 12% (9–16), below the chance")],
)
def test_the_verdict_on_recall_follows_the_interval(new: int, said: str) -> None:
    assert said in reported(recalled("base", 4, new)).verdict


def test_the_verdict_on_recall_names_the_best_variant_of_each_kind_of_words() -> None:
    verdict = reported(recalled("base", 4, 0), recalled("other", 1, 2)).verdict
    known, new = verdict.split("; ")
    assert known.startswith("recall over known words: 100% (")
    assert known.endswith("(base, best of 2)")
    assert new.startswith("recall over new words: 62% (")
    assert new.endswith("(other, best of 2)")


@pytest.mark.parametrize(
    ("invented", "held", "without", "said"),
    [
        (60, 50, 5, ("bound: 60% (", "beyond the chance of 10.0%", "there a template helps (+45.0 points")),
        (12, 0, 0, ("not told from the chance of 10.0%", "template changes nothing that can be told (+0.0 points")),
        (0, 0, 30, ("bound: 0% (0–4), below the chance", "there a template harms (-30.0 points")),
    ],
)
def test_the_verdict_on_binding_follows_the_numbers(
    invented: int, held: int, without: int, said: tuple[str, ...]
) -> None:
    verdict = reported(bound(invented, held, without)).verdict
    assert all(part in verdict for part in said)


def test_the_verdict_says_how_many_replies_name_what_is_no_variable() -> None:
    assert (
        "50 of the 50 wrong ones give names that are not the template's variables" in reported(bound(0, 50, 0)).verdict
    )


def test_the_verdict_counts_the_held_families_that_are_bound_beyond_chance() -> None:
    run, families = bound(0, 50, 0), ProbeConfig().mixture.held_families
    one = [
        Measure(kind=held_one(name), bound=(n < 1,) * 20, solved=(n < 1,) * 20, chance=0.1, in_order=0.5)
        for n, name in enumerate(families)
    ]
    verdict = reported(run.model_copy(update={"measures": (*run.measures, *one)})).verdict
    assert f"beyond chance in 1 of {len(families)} held families" in verdict


def test_tables_stand_beside_chance_and_tell_in_what_a_variant_differs() -> None:
    config = ProbeConfig(phrases=8, recipe=Recipe(tokens=4_000_000, batch_tokens=1_024, muon_lr=0.01))
    told = reported(recalled("base", 4, 1), recalled("8", 1, 0, config), bound(60, 50, 5))
    known, new, steps, solved, worth = told.tables
    assert [row.extra["chance"] for row in known.rows] == ["25.0%", "12.5%"]
    assert [row.extra["differs in"] for row in new.rows] == ["–", "muon_lr 0.01, phrases 8"]
    assert [(row.name, row.successes) for row in steps.rows][:2] == [
        ("invented, all", 60),
        ("invented, 2 variables, other order", 60),
    ]
    assert [(row.name, row.successes) for row in solved.rows] == [(KEPT, 90), (HELD, 50), (HELD_WITHOUT, 5)]
    assert (worth.rows[0].unit, worth.rows[0].extra["gained"]) == ("points", "45")


def test_curves_run_over_tokens_with_a_line_for_each_variant_and_for_chance() -> None:
    curve = reported(recalled("base", 4, 1), recalled("other", 2, 1)).curves[0]
    assert [line.name for line in curve.series] == ["base", "other", "chance, 4 phrases"]
    assert curve.series[1].points == ((0.1, 0.625), (0.2, 0.625))


def test_runs_that_did_not_end_are_named_and_left_out() -> None:
    config = of_sections(recall={"base": {}, "slow": {}}, bind={"invented": {}})
    notes = " ".join(reported(recalled("base", 4, 1), config=config).notes)
    assert "left out: recall slow, bind invented." in notes


def test_nothing_to_report_is_refused_with_the_command_that_runs_it() -> None:
    with pytest.raises(InvalidRequest, match="no run of the study has ended"):
        reported()


def test_the_page_shows_the_study() -> None:
    page = results_page.page((reported(recalled("base", 4, 1), bound(60, 50, 5)),))
    assert "![Recall, new words](training-binding-2.png)" in page
    assert "Bind invented: steps with all bindings right" in page
    assert binding_report.LLM_COMMAND in page
