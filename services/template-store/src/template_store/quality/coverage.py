"""What a library covers: its tree of fields, and how many problems of a benchmark find a template, by subject.

A problem counts as covered when retrieval by its text alone chooses a template, that is, above the threshold. Problems
that find none are clustered by their embeddings; a cluster is told by its characteristic words, never by a problem's
text, because the picture is part of the documentation and benchmarks are not.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import faiss
import numpy as np

from reasonflux.contracts import Query, ThoughtTemplate
from template_store.ports import Embedder, Vectors
from template_store.quality.contamination import BenchmarkProblem
from template_store.retrieval.ranking import words
from template_store.retrieval.retriever import Retriever

CLUSTERS = 12
WORDS_PER_CLUSTER = 8
_BATCH = 64


async def chosen(retriever: Retriever, problems: Sequence[BenchmarkProblem]) -> list[str | None]:
    """For each problem the id of the template that its text retrieves; None where retrieval abstains."""
    found: list[str | None] = []
    for start in range(0, len(problems), _BATCH):
        queries = [Query(text=problem.problem) for problem in problems[start : start + _BATCH]]
        retrievals = await retriever.search(queries, top_k=1)
        found.extend(retrieval.template.id if retrieval.template else None for retrieval in retrievals)
    return found


async def picture(
    templates: Sequence[ThoughtTemplate],
    problems: Sequence[BenchmarkProblem],
    retriever: Retriever,
    embedder: Embedder,
    *,
    command: str,
) -> str:
    """The Markdown of docs/library.md."""
    found = await chosen(retriever, problems)
    without = [problem for problem, template in zip(problems, found, strict=True) if template is None]
    vectors = await embedder.embed([problem.problem for problem in without])
    parts = [
        "# The template library",
        f"Written by `{command}`; do not edit.",
        *_tree(templates),
        *_covered(problems, found),
        *_gaps(without, vectors),
    ]
    return "\n\n".join(parts) + "\n"


def _tree(templates: Sequence[ThoughtTemplate]) -> list[str]:
    fields: dict[str, Counter[str]] = defaultdict(Counter)
    for template in templates:
        root, _, topic = template.field.partition("/")
        fields[root][topic] += 1
    types = Counter(template.type.value for template in templates)
    rows = [
        f"| **{root}** | **{topics.total()}** | {', '.join(f'{t} {n}' for t, n in sorted(topics.items()))} |"
        for root, topics in sorted(fields.items())
    ]
    return [
        f"{len(templates)} templates: " + ", ".join(f"{count} {name}" for name, count in types.most_common()) + ".",
        "## Fields",
        "\n".join(["| field | templates | by topic |", "| --- | ---: | --- |", *rows]),
    ]


def _covered(problems: Sequence[BenchmarkProblem], found: Sequence[str | None]) -> list[str]:
    groups: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for problem, template in zip(problems, found, strict=True):
        groups[problem.source, ""].append(template is not None)
        if problem.subject:
            groups[problem.source, problem.subject].append(template is not None)
    rows = [
        f"| {'' if subject else source} | {subject or 'all'} | {len(hits)} | {sum(hits)} | {np.mean(hits):.0%} |"
        for (source, subject), hits in sorted(groups.items())
    ]
    return [
        "## Problems that find a template",
        "Searched by the whole text of the problem, before any planning; a navigator asks for one step at a time. A "
        "template counts when its calibrated score reaches the threshold, which says nothing about whether it suffices "
        "for the whole problem.",
        "\n".join(
            [
                "| benchmark | subject | problems | with a template | share |",
                "| --- | --- | ---: | ---: | ---: |",
                *rows,
            ]
        ),
    ]


def _gaps(without: Sequence[BenchmarkProblem], vectors: Vectors) -> list[str]:
    if not without:
        return ["## Problems without a template", "None."]
    labels = clusters(vectors, min(CLUSTERS, max(1, len(without) // 5)))
    texts = [words(problem.problem) for problem in without]
    everywhere = Counter(word for text in texts for word in set(text))
    rows = []
    for label, size in Counter(labels).most_common():
        inside = [index for index, mine in enumerate(labels) if mine == label]
        sources = Counter(without[index].source for index in inside)
        listed = ", ".join(f"{name} {count}" for name, count in sources.most_common())
        rows.append(f"| {size} | {', '.join(_characteristic([texts[i] for i in inside], everywhere))} | {listed} |")
    return [
        "## Problems without a template",
        f"{len(without)} problems, clustered by embedding; a cluster is told by its characteristic words.",
        "\n".join(["| problems | about | from |", "| ---: | --- | --- |", *rows]),
    ]


def clusters(vectors: Vectors, count: int) -> list[int]:
    """The cluster of each row, by spherical k-means."""
    kmeans = faiss.Kmeans(vectors.shape[1], count, niter=25, seed=0, spherical=True, min_points_per_centroid=1)
    kmeans.train(np.ascontiguousarray(vectors))
    labels: list[int] = kmeans.index.search(np.ascontiguousarray(vectors), 1)[1][:, 0].tolist()
    return labels


def _characteristic(texts: Iterable[list[str]], everywhere: Counter[str]) -> list[str]:
    """The words that the cluster's problems have more often than the others: frequency times log odds."""
    inside = Counter(word for text in texts for word in set(text) if word.isalpha() and len(word) > 2)
    total = everywhere.total()

    def weight(word: str) -> float:
        return inside[word] * math.log(inside[word] * total / (everywhere[word] * inside.total()))

    return sorted(inside, key=lambda word: (-weight(word), word))[:WORDS_PER_CLUSTER]
