"""How often the right template is found, and how fast: `make bench-retrieval`.

Queries are taken from a field of each template that is left out of the index meanwhile (see retrieval/trials.py),
on the public ReasonFlux v1 library and on ours, against greedy matching: the nearest chapter, in it the nearest
section, in that the nearest name, as the paper's code does it, with the same embedding model. Writes
docs/results/retrieval.md.

The reference library is read from --reference or REASONFLUX_REFERENCE_LIBRARY (default: ../shared/reference/…). The
weights are fitted on our library alone, so that the reference is unseen.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reasonflux.contracts import TemplateStatus, ThoughtTemplate
from template_store import library
from template_store.exchange import v1 as importing
from template_store.retrieval import trials
from template_store.retrieval.calibration import examples, reliability, retrievers
from template_store.retrieval.embedding import Runtime, SentenceEmbedder
from template_store.retrieval.ranking import FITTED, query_text
from template_store.retrieval.retriever import Retriever
from template_store.retrieval.trials import MEASURED, SCENARIO, SCENARIO_AND_FIELD, SCENARIO_AND_TAGS, Kind, Trial
from template_store.retrieval.weights import MINILM
from template_store.settings import SHIPPED_LIBRARY

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT.parent / "shared/reference/reasonflux_v1_template_library.json"
RESULT = ROOT / "docs/results/retrieval.md"
KINDS = (*MEASURED, SCENARIO_AND_TAGS, SCENARIO_AND_FIELD)
ASKS = re.compile("problem|question|title|statement", re.IGNORECASE)
REFERENCE_TITLE = "Reference (unseen by weights, curve and tuning)"
Ranks = npt.NDArray[np.int64]


HEADING = re.compile(
    r"^[\s*#【\[(]*(?:(?:typical|textbook|corresponding|classic) )?(?:example|problem|question|exercise)s?\b"
    r"[^:\n】]{0,60}?(?:[】:：]|\)\s|(?=\s(?:Given|Find|Let|If|Prove|Calculate|In|The|Solve|Determine|A|Simplify|When|"
    r"Suppose|For|Compare|Evaluate|What|Known|As|Using|It)\b))[\s*\])】:：]*",
    re.IGNORECASE,
)
SOLUTION = re.compile(
    r"(?:^|\n|\s{2,}|(?<=[.?:;。)$]))\s*[*#【\[(]*\s*(?:\d+\.\s*)?(?:(?:detailed|problem|specific|brief)[- ])?"
    r"(?:solution|solving|analysis|answer|steps?\b|proof\b|process|explanation|template|derivation|verification)",
    re.IGNORECASE,
)
FIRST_STEP = re.compile(r"\n\s*(?:1[.)]|①|[-•*])\s")


def problem_text(source: Any) -> str:
    """The problem of an example of the reference, without headings ("Example 3 (multiple choice)") and solution."""
    while not isinstance(source, str):
        items = source if isinstance(source, list) else [v for k, v in source.items() if ASKS.search(k)]
        source = items[0] if items else next(iter(source.values()))
    text = source.replace("\\n", "\n").strip()
    for _ in range(2):
        text = HEADING.sub("", text, count=1).strip() or text
    for pattern, least in ((SOLUTION, 15), (FIRST_STEP, 25)):
        found = pattern.search(text, least)
        text = text[: found.start()] if found else text
    return text.strip(" \n:*")


def read_reference(path: Path) -> list[ThoughtTemplate]:
    """The library as it is imported, with the problem texts read more patiently than an import needs to."""
    data = json.loads(path.read_text(encoding="utf-8"))
    entries = [entry for sections in data.values() for found in sections.values() for entry in found]
    templates = []
    for entry, arrival in zip(entries, importing.read_v1(data), strict=True):
        if arrival.template is not None:
            problem = problem_text(entry["example_application"])
            example = arrival.template.example.model_copy(update={"problem": problem})
            templates.append(arrival.template.model_copy(update={"example": example}))
    return templates


def interval(hits: npt.NDArray[np.float64], samples: int = 2000) -> str:
    """The mean in per cent, and its 95 % bootstrap interval over the queries."""
    means = np.random.default_rng(0).choice(hits, (samples, len(hits))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{100 * hits.mean():.1f} ({100 * low:.0f}–{100 * high:.0f})"


def row(label: str, ranks: Ranks) -> str:
    cells = [interval((ranks < 1).astype(float)), interval((ranks < 5).astype(float)), interval(1 / (1.0 + ranks))]
    return f"| {label} | " + " | ".join(cells) + " |"


async def greedy(kind: Kind, templates: Sequence[ThoughtTemplate], embedder: SentenceEmbedder) -> Ranks:
    """Rank 0 where all three levels were right; else last, as greedy matching offers nothing but its one path."""
    paths = [template.field.replace("-", " ").split("/") for template in templates]
    levels = [paths_at[0] for paths_at in paths], [" ".join(p[1:]) for p in paths], [t.name for t in templates]
    vectors = [await embedder.embed(level) for level in levels]
    queries = await embedder.embed_queries([query_text(kind.query(template)) for template in templates])
    ranks = []
    for wanted, query in enumerate(queries):
        left = np.arange(len(templates))
        for level in vectors[:2]:
            near = level[left] @ query
            left = left[near >= near.max() - 1e-6]
        order = left[np.argsort(-(vectors[2][left] @ query), kind="stable")]
        place = np.flatnonzero(order == wanted)
        ranks.append(int(place[0]) if len(place) else len(templates))
    return np.array(ranks)


def ranks_of(found: Sequence[Trial]) -> Ranks:
    return np.array([trial.rank() for trial in found])


def dense_only(found: Sequence[Trial]) -> Ranks:
    return np.array([trial.rank(lambda offered: offered.parts["dense"]) for trial in found])


def minmax(found: Sequence[Trial]) -> Ranks:
    """0.6 dense + 0.4 BM25, each scaled to its range within the query."""

    def rank(trial: Trial) -> int:
        table = np.array([[o.parts["dense"], o.parts["bm25"]] for o in trial.offered])
        scaled = (table - table.min(0)) / (np.ptp(table, axis=0) + 1e-9) @ np.array([0.6, 0.4])
        values = {id(o): float(value) for o, value in zip(trial.offered, scaled, strict=True)}
        return trial.rank(lambda offered: values[id(offered)])

    return np.array([rank(trial) for trial in found])


async def quality(
    title: str, templates: Sequence[ThoughtTemplate], embedder: SentenceEmbedder, cache: Path
) -> tuple[list[str], list[Trial]]:
    build = retrievers(embedder, cache)
    lines = [f"### {title}: {len(templates)} templates, {embedder.version}", ""]
    lines += ["| query, method | recall@1 % | recall@5 % | MRR % |", "| --- | --- | --- | --- |"]
    everything = []
    for kind in KINDS:
        found = await trials.run(kind, templates, embedder, build)
        everything += found
        if kind in MEASURED:
            lines.append(row(f"{kind.name}, greedy", await greedy(kind, templates, embedder)))
            lines.append(row(f"{kind.name}, dense", dense_only(found)))
            lines.append(row(f"{kind.name}, 0.6 dense + 0.4 BM25 by range", minmax(found)))
        lines.append(row(f"**{kind.name}**", ranks_of(found)))
        print("\n".join(lines[-4:] if kind in MEASURED else lines[-1:]), flush=True)
    return lines, everything


def calibration(found: Sequence[Trial]) -> list[str]:
    table, error = reliability(examples(found, FITTED.weights), FITTED.curve)
    head = ["| score | n | said | was right |", "| --- | --: | --: | --: |"]
    return [*head, *table, "", f"Expected calibration error: {error:.3f}"]


def timed(milliseconds: Sequence[float]) -> str:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return f"{p50:.2f} | {p99:.2f}"


async def latency(templates: Sequence[ThoughtTemplate], embedder: SentenceEmbedder, build: Retriever) -> list[str]:
    """One query at a time, none of them asked before."""
    await build.upsert(templates)
    embedding, searching = [], []
    for template in templates[:300]:
        query = SCENARIO.query(template)
        started = time.perf_counter()
        vectors = await embedder.embed_queries([query_text(query)])
        between = time.perf_counter()
        build._retrieval(query, build.shortlist([query], vectors, 50)[0], 5)
        embedding.append(1e3 * (between - started))
        searching.append(1e3 * (time.perf_counter() - between))
    lines = ["| one query | p50 ms | p99 ms |", "| --- | --: | --: |"]
    return [*lines, f"| embedding | {timed(embedding)} |", f"| search and ranking | {timed(searching)} |"]


async def encoders(texts: Sequence[str], cache: Path) -> list[str]:
    """Each way to run the same weights on one thread, one text at a time."""
    lines = ["| encoder | p50 ms | p99 ms | cosine to torch fp32: mean | least |", "| --- | --: | --: | --: | --: |"]
    exact = None
    for runtime in (Runtime.TORCH, Runtime.FP32, Runtime.INT8):
        embedder = await SentenceEmbedder.open(cache_dir=cache, runtime=runtime)
        encode, times, rows = embedder._encoder.encode, [], []
        encode(texts[:5])
        for text in texts:
            started = time.perf_counter()
            rows.append(encode([text])[0])
            times.append(1e3 * (time.perf_counter() - started))
        vectors = np.stack(rows)
        exact = vectors if exact is None else exact
        cosines = (vectors * exact).sum(1)
        lines.append(f"| {embedder.version} | {timed(times)} | {cosines.mean():.4f} | {cosines.min():.4f} |")
        embedder.close()
    return lines


def read_ours() -> list[ThoughtTemplate]:
    return [t for t in library.read(SHIPPED_LIBRARY) if t.status is TemplateStatus.ACTIVE]


def read_libraries(reference: Path) -> dict[str, list[ThoughtTemplate]]:
    ours = {"Ours (half of it fitted the weights)": read_ours()}
    if not reference.is_file():
        print(f"no reference library at {reference}: give its path with --reference; only ours is measured")
        return ours
    return {REFERENCE_TITLE: read_reference(reference), **ours}


def machine() -> str:
    return f"{os.cpu_count()} CPU cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


async def main(reference: Path, models: Sequence[str], cache: Path) -> None:
    libraries = read_libraries(reference)
    lines = ["# Retrieval", "", f"`make bench-retrieval` wrote this on {machine()}.", "", __doc__ or "", ""]
    lines += ["Per cent, with 95 % bootstrap intervals over the queries. `noisy name`: " + (trials.noisy.__doc__ or "")]
    weights = ", ".join(f"{name} {weight}" for name, weight in FITTED.weights.items())
    lines += ["", f"Weights: {weights}.", ""]
    for model in models:
        embedder = await SentenceEmbedder.open(model, cache_dir=cache)
        for title, templates in libraries.items():
            if model != MINILM and templates is not libraries.get(REFERENCE_TITLE):
                continue  # a tuned model has seen ours
            measured, found = await quality(title, templates, embedder, cache)
            lines += [*measured, "", "How far its probabilities can be trusted:", "", *calibration(found), ""]
        embedder.close()
    first = next(iter(libraries.values()))
    embedder = await SentenceEmbedder.open(models[0], cache_dir=cache)  # a new one remembers no query
    lines += ["### Latency", "", *await latency(first, embedder, retrievers(embedder, cache)()), ""]
    embedder.close()
    lines += await encoders([SCENARIO.query(t).text for t in first][:200], cache)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("REASONFLUX_REFERENCE_LIBRARY", REFERENCE))
    parser.add_argument("--reference", type=Path, default=default)
    parser.add_argument("--model", action="append", help="may be given several times; the first is also timed")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "reasonflux-bench")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.reference, chosen.model or ["minilm"], chosen.cache))
