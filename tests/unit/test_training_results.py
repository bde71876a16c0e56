"""Reports are small and of no machine; the page made of them is always the same, and knows when it is out of date."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reasonflux.errors import InvalidRequest
from training.reporting import results, results_page
from training.reporting.results import Curve, Report, Row, Series, Table
from training.reporting.scores import Scores

SFT = Scores(name="SFT", outcomes={f"p{n}": float(n < 60) for n in range(100)})
DPO = Scores(name="DPO", outcomes={f"p{n}": float(n < 80) for n in range(100)})
REWARD = Scores(name="reward", outcomes={"p1": 0.25, "p2": 0.75})


def report(name: str = "dpo-raises", **changes: object) -> Report:
    told: dict[str, object] = {
        "id": name,
        "title": f"Preference on a noisy start ({name})",
        "question": "Does DPO raise held-out success?",
        "date": date(2026, 11, 21),
        "setup": {"command": "reasonflux train run --config training/configs/tiny-noisy.yaml", "seeds": "1, 2, 3"},
        "tables": (
            Table(title="Greedy", rows=(results.row("SFT", SFT), results.row("DPO", DPO, {"tokens": "41"}))),
            Table(title="Gain", rows=(results.paired(SFT, DPO),)),
        ),
        "curves": (
            Curve(title="Held-out", x="pairs", y="reward", series=(Series(name="DPO", points=((0, 1), (1, 2))),)),
        ),
        "notes": ("The interval is over problems, not seeds.",),
        "did_not_work": ("lr 1e-4 on 159 pairs: 65% → 29%.",),
        "verdict": "Yes, by 20 points.",
    }
    return Report.model_validate({**told, **changes})


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where two reports are, and where the page goes."""
    results.save(report(), tmp_path / "reports")
    results.save(report("depth-beyond", curves=(), did_not_work=()), tmp_path / "reports")
    return tmp_path / "reports", tmp_path / "docs"


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_tells_every_report_and_what_did_not_work(folders: tuple[Path, Path]) -> None:
    results_page.generate(*folders)
    page = (folders[1] / "training.md").read_text()
    for said in (
        "(#preference-on-a-noisy-start-dpo-raises) | Yes, by 20 points. | 2026-11-21 |",
        "|  | right | trials | mean (95%) | tokens |\n| --- | ---: | ---: | ---: | ---: |\n| SFT | 60 | 100 | 60.0% (",
        "| DPO over SFT | 100 | +20.0 points (+1",
        "![Held-out](training-dpo-raises-1.png)",
        "- seeds: 1, 2, 3",
        "## What did not work\n\n- [Preference on a noisy start (dpo-raises)](#",
    ):
        assert said in page
    assert (folders[1] / "training-dpo-raises-1.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_reports_give_the_same_bytes_and_write_nothing_twice(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    results_page.generate(*folders)
    results_page.generate(folders[0], tmp_path / "elsewhere")
    for name in ("training.md", "training-dpo-raises-1.png"):
        assert (tmp_path / "elsewhere" / name).read_bytes() == (folders[1] / name).read_bytes()
    assert results_page.generate(*folders) == ()


def test_no_report_makes_a_page_too(tmp_path: Path) -> None:
    results_page.generate(tmp_path / "none", tmp_path)
    assert "No report is there yet." in (tmp_path / "training.md").read_text()


def test_a_page_that_is_out_of_date_says_where(folders: tuple[Path, Path]) -> None:
    reports, target = folders
    assert results_page.stale(reports, target) == (
        "training.md is not what the reports say",
        "training-dpo-raises-1.png is not there, or not drawn from its report",
    )
    results_page.generate(reports, target)
    assert results_page.stale(reports, target) == ()
    other = Curve(title="Held-out", x="pairs", y="reward", series=(Series(name="DPO", points=((0, 1), (1, 3))),))
    results.save(report(curves=(other,)), reports)
    assert results_page.stale(reports, target) == (
        "training-dpo-raises-1.png is not there, or not drawn from its report",
    )
    (reports / "dpo-raises.json").unlink()
    assert "training-dpo-raises-1.png belongs to no report" in results_page.stale(reports, target)


def test_plots_of_reports_that_are_gone_go_too_and_others_stay(folders: tuple[Path, Path]) -> None:
    reports, target = folders
    results_page.generate(reports, target)
    (target / "training-photo.png").write_bytes(b"somebody else's")
    (reports / "dpo-raises.json").unlink()
    results_page.generate(reports, target)
    assert [path.name for path in target.glob("*.png")] == ["training-photo.png"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Row(name="a", trials=500, mean=0.712, low=0.66, high=0.761), "71.2% (66.0–76.1)"),
        (Row(name="a", trials=500, mean=-0.02, low=-0.05, high=0.01, unit="points"), "-2.0 points (-5.0 to +1.0)"),
        (Row(name="a", trials=5, mean=3.41, low=3.2, high=3.6, unit="number"), "3.41 (3.20–3.60)"),
        (Row(name="a", trials=5, mean=1234.5, low=1200, high=1300, unit="number"), "1,234 (1,200–1,300)"),
        (Row(name="a", trials=0, mean=0, low=0, high=0), "–"),
    ],
)
def test_figures_are_told_in_their_units(row: Row, told: str) -> None:
    assert results_page.value(row) == told


# --- reports --------------------------------------------------------------------------------------------------------


def test_outcomes_become_rows_with_intervals() -> None:
    assert results.row("DPO", DPO).successes == 80
    graded = results.row("reward", REWARD)
    assert (graded.successes, graded.trials, graded.mean) == (None, 2, 0.5)
    gain = results.paired(SFT, DPO)
    assert gain.mean == pytest.approx(0.2)
    assert gain.extra == {"gained": "20", "lost": "0"}
    assert 0.1 < gain.low < 0.2 < gain.high < 0.3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_any_outcomes_make_a_row_that_holds_together(outcomes: list[float]) -> None:
    told = Scores(name="any", outcomes={str(n): outcome for n, outcome in enumerate(outcomes)})
    row = results.row("any", told)
    assert row.low <= row.mean <= row.high


@given(st.integers(1, 1000), st.integers(2, 200))
def test_thinned_curves_keep_their_ends(n: int, most: int) -> None:
    points = [(float(k), float(k * k)) for k in range(n)]
    thin = results.thinned(points, most)
    assert (thin[0], thin[-1]) == (points[0], points[-1])
    assert len(thin) == len(set(thin)) == min(n, most)


def test_what_was_written_into_a_report_by_hand_outlives_the_next_run(tmp_path: Path) -> None:
    results.save(report(notes=("why it stopped",), did_not_work=("twice the rate: 9%",)), tmp_path)
    saved = results.save(report(verdict="other", notes=(), did_not_work=("three times the rate: 2%",)), tmp_path)
    again = results.Report.model_validate_json(saved.read_text())
    assert (again.verdict, again.notes) == ("other", ("why it stopped",))
    assert again.did_not_work == ("three times the rate: 2%",)


def test_a_saved_report_comes_back(tmp_path: Path) -> None:
    results.save(report(), tmp_path)
    assert results.read(tmp_path) == (report(),)


@pytest.mark.parametrize(
    "changes",
    [
        {"setup": {"weights": "/home/somebody/runs/tiny/dpo.1"}},
        {"notes": ("see `~/runs/log`",)},
        {"verdict": r"in C:\runs"},
        {"id": "../escape"},
        {"tables": ({"title": "t", "rows": ({"name": "r", "trials": 2, "mean": 0.5, "low": 0.6, "high": 0.7},)},)},
        {
            "tables": (
                {"title": "t", "rows": ({"name": "r", "trials": 1, "successes": 2, "mean": 1, "low": 1, "high": 1},)},
            )
        },
    ],
)
def test_reports_that_are_unsound_or_of_one_machine_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Report.model_validate({**report().model_dump(), **changes})


def test_addresses_and_relative_paths_are_no_folders_of_a_machine() -> None:
    report(notes=("POST https://host/data/v1, `training/runs/tmp/x`, `/v1/chat/completions`, and/or",))


def test_a_report_that_is_too_large_or_misnamed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="thin its curves"):
        results.save(report(notes=("x" * 200_000,)), tmp_path)
    results.save(report(), tmp_path).rename(tmp_path / "other.json")
    with pytest.raises(InvalidRequest, match=r"name it dpo-raises\.json"):
        results.read(tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InvalidRequest, match="write it anew"):
        results.read(tmp_path)
