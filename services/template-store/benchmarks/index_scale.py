"""The dense index on generated libraries of 10k, 100k and 1M templates: `make bench-index`.

One vector per template. A vector is a random mixture of two documents' embeddings of our own library and a little
noise, so that the cloud has the shape of real embeddings; a query is a stored vector with more noise. Writes
docs/results/index-scale.md: recall@5 against exact search, latency of one query at a time (alone, and while templates
are added and removed), memory, and the time until the index serves. IVF-SQ8 is what retrieval/index.py uses past
`COARSE_FROM` documents; below that it is exact, and the others are shown for comparison.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from template_store.ports import Entry, Vectors
from template_store.retrieval.embedding import SentenceEmbedder
from template_store.retrieval.embedding_cache import EmbeddingCache
from template_store.retrieval.index import COARSE_FROM, FaissIndex, documents, ivf_sq8
from template_store.settings import SHIPPED_LIBRARY

ROOT = Path(__file__).resolve().parents[3]
RESULT = ROOT / "docs/results/index-scale.md"
NEVER = 10**9
QUERIES = 200


def hnsw(vectors: Vectors) -> Any:
    index = faiss.IndexHNSWSQ(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, 24, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 60, 128
    index.train(vectors[:50_000])
    for start in range(0, len(vectors), 20_000):
        index.add(vectors[start : start + 20_000])
    return index


async def real_vectors(cache: Path) -> Vectors:
    from template_store import library

    embedder = await SentenceEmbedder.open(cache_dir=cache)
    texts = [text for template in library.read(SHIPPED_LIBRARY) for text in documents(template).values()]
    vectors = await EmbeddingCache(cache).embed(embedder, list(dict.fromkeys(texts)))
    embedder.close()
    return vectors


def generated(real: Vectors, count: int, chance: np.random.Generator) -> Vectors:
    made = np.empty((count, real.shape[1]), dtype=np.float32)
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        share = chance.uniform(0.3, 0.7, (size, 1)).astype(np.float32)
        one, other = real[chance.integers(len(real), size=size)], real[chance.integers(len(real), size=size)]
        noise = chance.normal(0, 0.015, (size, real.shape[1])).astype(np.float32)
        made[start : start + size] = share * one + (1 - share) * other + noise
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def asked(vectors: Vectors, chance: np.random.Generator) -> Vectors:
    found = vectors[chance.integers(len(vectors), size=QUERIES)]
    found = found + chance.normal(0, 0.025, found.shape).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def timed(index: FaissIndex, queries: Vectors, between: Callable[[int], None] = lambda _: None) -> str:
    times = []
    for number, query in enumerate(queries):
        between(number)
        started = time.perf_counter()
        index.search(query[None], 50)
        times.append(1e3 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times, [50, 99])
    return f"{p50:.2f} / {p99:.2f}"


def measure(name: str, vectors: Vectors, queries: Vectors, exact: Any, build: Callable[[Vectors], Any] | None) -> str:
    before, started = megabytes(), time.perf_counter()
    index = FaissIndex(vectors.shape[1], coarse_from=1 if build else NEVER, coarse=build or ivf_sq8)
    # Room for all at once, so that the coarse index is built once, over everything.
    index.upsert([Entry(str(number), ("text",), vectors[number : number + 1]) for number in range(len(vectors))])
    exact_after = time.perf_counter() - started
    index.settle()
    whole_after, size = time.perf_counter() - started, megabytes() - before
    found = [[int(hit.template_id) for hit in hits[:5]] for hits in index.search(queries, 50)]
    recall = np.mean([len(set(mine) & set(best)) / 5 for mine, best in zip(found, exact, strict=True)])
    alone = timed(index, queries)

    def change(number: int) -> None:
        index.upsert([Entry(f"new {number}", ("text",), queries[number : number + 1])])
        index.delete([str(number)])

    while_changing = timed(index, queries, change)
    started = time.perf_counter()
    for number in range(QUERIES):
        change(number)
    changed = 1e3 * (time.perf_counter() - started) / (2 * QUERIES)
    line = (
        f"| {len(vectors):,} | {name} | {100 * recall:.1f} | {alone} | {while_changing} | {changed:.3f} | {size:,.0f} |"
    )
    line += f" {exact_after:.1f} | {whole_after:.1f} |"
    print(line, flush=True)
    return line


def main(sizes: list[int], cache: Path, result: Path) -> None:
    faiss.omp_set_num_threads(1)
    real, chance = asyncio.run(real_vectors(cache)), np.random.default_rng(0)
    lines = ["# The index at scale", "", f"`make bench-index` wrote this on {os.cpu_count()} CPU cores.", ""]
    lines += [__doc__ or "", "", f"COARSE_FROM is {COARSE_FROM:,} documents. A search returns 50 templates.", ""]
    lines += [
        "| templates | index | recall@5 % | p50 / p99 ms | while changing | ms per change | MiB | serves after s |"
    ]
    lines[-1] += " coarse after s |"
    lines += ["| --: | --- | --: | --: | --: | --: | --: | --: | --: |"]
    print("\n".join(lines[-2:]))
    for size in sizes:
        vectors = generated(real, size, chance)
        queries = asked(vectors, chance)
        exact = faiss.knn(queries, vectors, 5, metric=faiss.METRIC_INNER_PRODUCT)[1].tolist()
        ways: list[tuple[str, Callable[[Vectors], Any] | None]] = [("exact", None), ("IVF-SQ8", ivf_sq8)]
        ways += [("HNSW-SQ8", hnsw)] if size <= 100_000 else []
        for name, build in ways:
            lines.append(measure(name, vectors, queries, exact, build))
    result.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "reasonflux-bench")
    parser.add_argument("--result", type=Path, default=RESULT)
    chosen = parser.parse_args()
    main(chosen.sizes, chosen.cache, chosen.result)
