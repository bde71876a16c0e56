"""The shipped studies, their pages, and libraries of other sizes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from templates import template

from evaluation.attempt import Attempt, Task, Verdict
from evaluation.ladder import ALL
from evaluation.questions import LadderQuestions
from evaluation.report import report
from evaluation.runs import Run
from evaluation.studies import libraries, pages
from evaluation.studies import study as studies
from reasonflux.contracts import Outcome, Tokens, Usage
from reasonflux.errors import InvalidRequest

STUDIES = Path(__file__).parents[2] / "evaluation" / "studies"
REPORTS = STUDIES.with_name("reports")
PAGES = STUDIES.parents[1] / "docs" / "results"
TEMPLATES = [template(f"t-{number}", name=f"Way number {number} to the result") for number in range(30)]


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_study_can_be_read_and_is_called_like_its_file(file: Path) -> None:
    study = studies.read(file)
    assert study.name == file.stem
    assert study.plots
    for run in study.runs:
        if run.benchmark == "ladder":
            assert len(run.spec().questions.tasks()) * run.samples == run.attempts


def test_a_scaled_study_asks_fewer_problems_and_never_none() -> None:
    study = studies.read(STUDIES / "ablations.yaml", scale=0.001)
    assert {run.attempts for run in study.runs} == {1}


def test_a_page_tells_what_is_measured_and_what_is_not(tmp_path: Path) -> None:
    study = studies.read(STUDIES / "ablations.yaml")
    run = Run(id="r", started_at=datetime(2026, 1, 1, tzinfo=UTC), version="0", spec=study.runs[0].spec())
    attempts = [
        Attempt(
            task=Task(id=f"{n}", text=".", gold="7", depth=1 + n % 2, families=("gcd",)), outcome=Outcome.SOLVED,
            verdict=Verdict.RIGHT if n % 3 else Verdict.WRONG, rounds=1 + n % 2,
            usage=Usage(executor=Tokens(prompt=100 + n, completion=10, calls=2)),
        )
        for n in range(12)
    ]  # fmt: skip
    kept = studies.Kept(study=study, reports={"full": report(run, attempts).summary})
    page = "\n".join(pages.page(kept))
    assert "| full | 12 | 66.7% " in page
    assert "## Depth 2" in page
    assert "Not measured yet: no-review, no-templates" in page
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    for number, plot in enumerate(study.plots):
        assert pages.draw(kept, plot, tmp_path / f"{number}.png").stat().st_size > 5_000


@pytest.mark.parametrize("file", sorted(REPORTS.glob("*.json")), ids=lambda file: file.stem)
def test_a_page_says_what_its_stored_reports_and_its_study_say(file: Path) -> None:
    kept = studies.Kept.model_validate_json(file.read_text(encoding="utf-8"))
    kept = kept.told_by(studies.read(STUDIES / file.with_suffix(".yaml").name))
    assert set(kept.reports) == {run.name for run in kept.study.runs}
    told = (PAGES / f"{file.stem}.md").read_text(encoding="utf-8")
    assert told == "\n".join(pages.page(kept)) + "\n", "draw it again: make results"
    assert all((PAGES / pages.plot_name(kept, number + 1)).exists() for number in range(len(kept.study.plots)))


@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 99))
def test_a_larger_part_of_a_library_holds_every_smaller_one(one: int, other: int, seed: int) -> None:
    small, large = (libraries.part(TEMPLATES, percent, seed) for percent in sorted((one, other)))
    assert {template.id for template in small} <= {template.id for template in large}
    assert len(libraries.part(TEMPLATES, 100, seed)) == len(TEMPLATES)


def test_distractors_are_sound_and_all_different() -> None:
    made = libraries.distractors(TEMPLATES, 200, seed=1)
    assert len({template.id for template in made}) == len({template.name for template in made}) == 200
    assert all(type(template).model_validate(template.model_dump()) == template for template in made)
    assert {template.formulas for template in made} == {TEMPLATES[0].formulas}


def test_what_is_held_out_of_a_library_is_the_template_of_each_family() -> None:
    templates = [template(ALL[name].template_id) for name in ("gcd", *libraries.HELD_FAMILIES)]
    kept, held = libraries.held_out(templates, libraries.HELD_FAMILIES)
    assert [one.id for one in kept] == [ALL["gcd"].template_id]
    assert {one.id for one in held} == {ALL[name].template_id for name in libraries.HELD_FAMILIES}


@pytest.mark.parametrize(("families", "said"), [(["gdc"], "no family gdc"), (["meeting-time"], "has no template")])
def test_families_that_cannot_be_held_out_are_refused(families: list[str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        libraries.held_out(TEMPLATES, families)


def test_the_study_of_new_templates_asks_for_the_families_that_are_held_out() -> None:
    study = studies.read(STUDIES / "new-templates.yaml")
    asked = {run.questions.families for run in study.runs if isinstance(run.questions, LadderQuestions)}
    assert asked == {libraries.HELD_FAMILIES}
