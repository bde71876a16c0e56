"""Benchmarks: found, read, sampled, refused with what to do; and what k attempts at a problem say."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import benchmarks, estimates
from evaluation.benchmarks import BenchmarkMissing, BenchmarkUnreadable, load, locate
from evaluation.questions import BenchmarkQuestions
from evaluation.runs import RunSpec

ROWS = [{"problem": f"What is {n} + 1?", "answer": str(n + 1), "level": n % 3 + 1} for n in range(12)]


def written(folder: Path, *rows: object, name: str = "sums") -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows or ROWS))
    return path


def test_a_benchmark_is_found_by_its_name_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    assert locate("sums", tmp_path) == str(path)
    monkeypatch.setenv(benchmarks.DATA_VARIABLE, str(tmp_path))
    assert locate("sums") == str(path)
    assert locate(str(path)) == str(path)
    assert locate("hub:owner/set@test") == "hub:owner/set@test"


@pytest.mark.parametrize("name", ["nothing", "no/such.jsonl", "nothing.jsonl"])
def test_a_benchmark_that_is_not_there_is_said_with_what_to_do(name: str, tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(BenchmarkMissing) as missing:
        locate(name, tmp_path)
    assert missing.value.failure.hint
    with pytest.raises(BenchmarkMissing, match="--data"):
        locate("sums", tmp_path / "elsewhere")


def test_rows_become_tasks_with_all_that_is_known(tmp_path: Path) -> None:
    row = {
        "id": "x-1", "problem": "How fast?", "answer": "4.2", "subject": "Physics", "level": 3, "unit": "m/s",
        "tolerance": "1e-1", "answer_type": "Numerical", "source": "somewhere",
    }  # fmt: skip
    tasks, without = load(str(written(tmp_path, row)), "sums")
    task = tasks[0]
    assert (task.id, task.text, task.gold, task.subject, task.level) == ("x-1", "How fast?", "4.2", "Physics", "3")
    assert (task.unit, task.tolerance, without) == ("m/s", 0.1, 0)


def test_the_names_that_others_use_are_understood(tmp_path: Path) -> None:
    rows = [
        {"question": "2 + 2?", "answer": "Two and two.\n#### 4"},
        {"problem": "Both?", "final_answer": ["1", "2"]},
        {"problem": "Number?", "answer": 7},
    ]
    tasks, _ = load(str(written(tmp_path, *rows)), "sums")
    assert [task.gold for task in tasks] == ["4", "1, 2", "7"]
    assert [task.id for task in tasks] == ["sums-0", "sums-1", "sums-2"]


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, *ROWS, {"problem": "Why?", "answer": " "})
    found = BenchmarkQuestions.find(str(path))
    assert (found.size, found.without_answer) == (12, 1)
    assert len(found.tasks()) == 12


@pytest.mark.parametrize(
    "bad",
    ["not json", "[1, 2]", {"answer": "1"}, {"problem": "p"}, {"problem": "", "answer": "1"},
     {"problem": 3, "answer": 1}, {"problem": "p", "answer": "1", "tolerance": "some"},
     {"problem": "p", "answer": {"a": 1}}],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named_by_its_line(bad: object, tmp_path: Path) -> None:
    path = written(tmp_path, ROWS[0], bad)
    with pytest.raises(BenchmarkUnreadable, match=r"sums\.jsonl:2"):
        load(str(path), "sums")


@pytest.mark.parametrize("rows", [[""], [{"problem": "p", "answer": ""}]])
def test_a_file_without_any_problem_is_refused(rows: list[object], tmp_path: Path) -> None:
    with pytest.raises(BenchmarkUnreadable, match="no problem"):
        load(str(written(tmp_path, *rows)), "sums")


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkUnreadable, match="twice"):
        load(str(written(tmp_path, {"id": "a", **ROWS[0]}, {"id": "a", **ROWS[1]})), "sums")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchmarkUnreadable, match="UTF-8"):
        load(str(path), "sums")


def test_a_part_of_a_benchmark_is_drawn_by_seed_and_keeps_its_order(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    part, other = (BenchmarkQuestions.find(path, limit=5, seed=seed).tasks() for seed in (1, 2))
    places = [int(task.id.rpartition("-")[2]) for task in part]
    assert places == sorted(places)
    assert len(part) == 5
    assert part == BenchmarkQuestions.find(path, limit=5, seed=1).tasks() != other


def test_a_run_does_not_go_on_with_a_benchmark_that_has_changed(tmp_path: Path) -> None:
    path = written(tmp_path)
    spec = RunSpec(questions=BenchmarkQuestions.find(str(path)))
    assert RunSpec.model_validate_json(spec.model_dump_json()).questions.tasks() == spec.questions.tasks()
    written(tmp_path, *ROWS[1:], ROWS[0])
    with pytest.raises(BenchmarkUnreadable, match="changed"):
        spec.questions.tasks()


def test_a_set_of_the_hub_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="sets of the hub need the package datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "set"
    folder.mkdir()
    written(folder, name="test")
    tasks, _ = load(f"hub:{folder}@test", "set")
    assert [task.gold for task in tasks] == [row["answer"] for row in ROWS]
    with pytest.raises(BenchmarkMissing, match="cannot be loaded"):
        load(f"hub:{folder}@no_such_split", "set")


# --- estimators -----------------------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_attempt(right: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(right)))
    draws = [any(draw) for draw in combinations(right, k)]
    assert estimates.pass_at(k, len(right), sum(right)) == pytest.approx(sum(draws) / len(draws))


@pytest.mark.parametrize("k", [0, 4])
def test_pass_at_k_needs_k_attempts(k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        estimates.pass_at(k, 3, 1)


def test_a_majority_that_ties_counts_by_the_share_of_right_ones() -> None:
    assert estimates.majority_right([[0, 2], [1]], [True, False, True]) == 1.0
    assert estimates.majority_right([[0], [1]], [True, False]) == 0.5
    assert estimates.majority_right([], [False]) == 0.0
