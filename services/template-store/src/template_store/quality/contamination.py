"""Whether a library's example problems are problems of a benchmark, by their words or by their meaning.

A template whose example is a benchmark problem would make that benchmark easier than it is. Two signs are looked for:
a run of words (numbers included) that both texts share, which is how training corpora are decontaminated (Brown et al.,
2020, use 13 words; example problems are short, so 8 here), and embeddings that nearly coincide.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from reasonflux.contracts import Contract, ThoughtTemplate
from reasonflux.errors import InvalidRequest
from template_store.ports import Vectors

RUN = 8
"""Words of a shared run. A text that is shorter is compared whole."""
SAME_PROBLEM = 0.93
"""Cosine above which two problems are taken for one that was reworded."""
_WORD = re.compile(r"\d+(?:\.\d+)?|[a-z]+")


class BenchmarkProblem(Contract):
    """A line of a benchmark file: JSON with `problem` (or `question`), perhaps `id`, `subject` and `level`."""

    source: str
    id: str
    problem: str
    subject: str = ""


class Overlap(Contract):
    """A template's example that looks like a benchmark's problem."""

    template_id: str
    source: str
    problem_id: str
    kind: Literal["words", "meaning"]
    evidence: str
    """The shared words, or the cosine and the problem's text."""


def read_benchmark(path: Path) -> list[BenchmarkProblem]:
    """The problems of a JSON-lines file. Raises InvalidRequest with the line that cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error}", hint="give JSON-lines files with a `problem` each"
        ) from error
    problems = [_problem(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not problems:
        raise InvalidRequest(f"{path} holds no problem", hint="nothing compared is not the same as no overlap")
    return problems


def _problem(path: Path, number: int, line: str) -> BenchmarkProblem:
    try:
        data = json.loads(line)
        text = data.get("problem") or data["question"]
        subject = str(data.get("subject") or "")
        return BenchmarkProblem(source=path.stem, id=str(data.get("id", number)), problem=str(text), subject=subject)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidRequest(
            f"{path}, line {number}: no problem in it", hint='a line is {"problem": "…", …}'
        ) from error


def words(text: str) -> list[str]:
    """The text's words and numbers, lower case, without LaTeX's commands and marks."""
    return _WORD.findall(re.sub(r"\\[a-zA-Z]+", " ", text).lower())


def runs(text: str) -> list[tuple[str, ...]]:
    """Every run of RUN words, in order; a shorter text is one run."""
    found = words(text)
    return [tuple(found[i : i + RUN]) for i in range(max(1, len(found) - RUN + 1))] if found else []


def by_words(templates: Sequence[ThoughtTemplate], problems: Sequence[BenchmarkProblem]) -> Iterator[Overlap]:
    """Examples that share a run of words with a problem, at most one overlap for each pair."""
    holders: dict[tuple[str, ...], list[BenchmarkProblem]] = defaultdict(list)
    for problem in problems:
        for run in dict.fromkeys(runs(problem.problem)):
            holders[run].append(problem)
    for template in templates:
        seen: set[tuple[str, str]] = set()
        for run in runs(template.example.problem):
            for problem in holders.get(run, ()):
                if (problem.source, problem.id) not in seen:
                    seen.add((problem.source, problem.id))
                    yield _overlap(template, problem, "words", " ".join(run))


def by_meaning(
    templates: Sequence[ThoughtTemplate],
    problems: Sequence[BenchmarkProblem],
    examples: Vectors,
    benchmark: Vectors,
    *,
    least: float = SAME_PROBLEM,
) -> Iterator[Overlap]:
    """Examples whose embedding is as near as `least` to a problem's. One unit row per template and per problem."""
    if not templates or not problems:
        return
    similarities = examples @ benchmark.T
    for template, row in zip(templates, similarities, strict=True):
        for index in (row >= least).nonzero()[0].tolist():
            evidence = f"cosine {row[index]:.3f}: {problems[index].problem}"
            yield _overlap(template, problems[index], "meaning", evidence)


def _overlap(
    template: ThoughtTemplate, problem: BenchmarkProblem, kind: Literal["words", "meaning"], evidence: str
) -> Overlap:
    return Overlap(template_id=template.id, source=problem.source, problem_id=problem.id, kind=kind, evidence=evidence)
