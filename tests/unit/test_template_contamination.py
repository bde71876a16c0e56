"""Benchmark problems among the examples are found by words and by meaning, and honest neighbours are left alone."""

from pathlib import Path

import numpy as np
import pytest

from reasonflux.contracts import ThoughtTemplate
from reasonflux.errors import InvalidRequest
from template_store import library
from template_store.quality.contamination import BenchmarkProblem, by_meaning, by_words, read_benchmark, words
from template_store.settings import SHIPPED_LIBRARY

TEMPLATE = library.read_template(SHIPPED_LIBRARY / "word-problems" / "work" / "work-together.yaml")


def with_example(problem: str) -> ThoughtTemplate:
    return TEMPLATE.model_copy(update={"example": TEMPLATE.example.model_copy(update={"problem": problem})})


def benchmark(problem: str) -> BenchmarkProblem:
    return BenchmarkProblem(source="bench", id="7", problem=problem)


TRAIN = "A train travels 120 kilometers in 3 hours at a constant speed. How fast is it?"


@pytest.mark.parametrize(
    "copied",
    [TRAIN, TRAIN.upper(), "Puzzle: a train travels $120$ kilometers in $3$ hours, going west. Where is it?"],
)
def test_a_shared_run_of_words_is_an_overlap(copied: str) -> None:
    (overlap,) = by_words([with_example(copied)], [benchmark(TRAIN)])
    assert (overlap.template_id, overlap.source, overlap.problem_id) == ("work-together", "bench", "7")
    assert "a train travels 120 kilometers in 3 hours" in overlap.evidence


def test_other_numbers_are_another_problem() -> None:
    other = "A train travels 140 kilometers in 2 hours at a varying speed. How fast is it?"
    assert list(by_words([with_example(other)], [benchmark(TRAIN)])) == []


def test_a_short_text_is_compared_whole() -> None:
    assert len(list(by_words([with_example("Find 17 mod 5.")], [benchmark("Find $17 \\bmod 5$.")]))) == 0
    assert len(list(by_words([with_example("Find 17 mod 5.")], [benchmark("find 17 mod 5")]))) == 1


def test_latex_commands_are_no_words() -> None:
    assert words(r"Compute $\frac{3}{4} + \sqrt{x}$") == ["compute", "3", "4", "x"]


def test_nearly_equal_embeddings_are_an_overlap() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    problems = [benchmark("one"), benchmark("two")]
    (overlap,) = by_meaning([TEMPLATE], problems, np.array([[0.1, 0.995]], dtype=np.float32), rows)
    assert overlap.evidence == "cosine 0.995: two"


def test_a_line_without_a_problem_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text('{"problem": "1+1?", "subject": "Algebra"}\n\n{"answer": 2}\n')
    with pytest.raises(InvalidRequest, match=r"bench.jsonl, line 3"):
        read_benchmark(path)
    path.write_text('{"question": "1+1?"}\n')
    assert read_benchmark(path)[0].id == "1"


def test_an_empty_file_is_no_all_clear(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(InvalidRequest, match="holds no problem"):
        read_benchmark(path)
