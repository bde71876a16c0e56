"""Fits ranking.py's weights and probability: `python -m template_store.retrieval.calibration [FOLDER] [--write]`.

The queries are those of trials.py. Half of the templates, chosen by their ids, fit; the other half is only measured.

- Weights: the convex combination under which the right template wins most clearly (a softmax over what each query was
  offered, so what counts is the order within a query).
- Curve: a logistic one over relevance and lead. Right: the template that the query was taken from. Wrong: whatever else
  comes first, what comes first when the right template is taken out of the library, and what comes first for questions
  that have nothing to do with mathematics. So half of the queries have no
  answer here, and often several templates would do: the threshold for going without one lies well below ½.

`--write` keeps what was fitted in ranking.json beside this file.
"""

import argparse
import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reasonflux.contracts import TemplateStatus, ThoughtTemplate
from template_store import library
from template_store.retrieval import trials
from template_store.retrieval.embedding import SentenceEmbedder
from template_store.retrieval.embedding_cache import EmbeddingCache
from template_store.retrieval.ranking import LEAST as LEAST_RELEVANCE
from template_store.retrieval.ranking import WEIGHTS, Curve, Fitted, lead, relevance, rivals, score, to_json
from template_store.retrieval.retriever import Retriever
from template_store.retrieval.trials import Trial
from template_store.settings import Settings

Floats = npt.NDArray[np.float64]
NAMES = tuple(WEIGHTS)
LEAST = 0.02
"""No part is fitted away: what a library's queries do not need, another's may."""
CAP = 0.35
FOREIGN_SHARE = 0.2
"""Few foreign questions stand for all that people may ask: together they weigh this much of all the rest."""
RANKS = 3
"""How many of the first candidates the curve is fitted to."""


def trains(template_id: str) -> bool:
    """Half of all ids, the same half for ever."""
    return hashlib.sha256(template_id.encode()).digest()[0] % 2 == 0


def fit_weights(found: Sequence[Trial], rounds: int = 400, pull: float = 1e-3) -> dict[str, float]:
    """Projected gradient descent with momentum on the softmax loss; every kind of query counts the same."""
    sizes = {kind: sum(trial.kind == kind for trial in found) for kind in {trial.kind for trial in found}}
    tables = []
    for trial in found:
        ids = [offered.template.id for offered in trial.offered]
        if trial.right in ids:
            table = np.array([[offered.parts.get(name, 0.0) for name in NAMES] for offered in trial.offered])
            tables.append((table, ids.index(trial.right), 1 / (len(sizes) * sizes[trial.kind])))
    weights, speed, rate = np.full(len(NAMES), 5.0), np.zeros(len(NAMES)), 20.0
    for _ in range(rounds):
        gradient = pull * weights
        for table, right, share in tables:
            chances = np.exp(table @ weights - (table @ weights).max())
            gradient += share * (chances / chances.sum() @ table - table[right])
        speed = 0.9 * speed - rate * gradient
        weights = np.maximum(weights + speed, LEAST * weights.sum())
    fitted = {name: float(weight / weights.sum()) for name, weight in zip(NAMES, weights, strict=True)}
    return _balanced(fitted, found)


def _balanced(weights: dict[str, float], found: Sequence[Trial]) -> dict[str, float]:
    """Shares out dense and BM25 anew by what is wanted in the end, the mean reciprocal rank of all kinds of query: the
    softmax leans to the part that is never badly wrong, not to the one that is most often right. BM25 never leads by
    much: these queries are the library's own words, and people have others."""
    both = weights["dense"] + weights["bm25"]
    kinds = {trial.kind for trial in found}

    def quality(candidate: dict[str, float]) -> float:
        ranks = {
            kind: [t.rank(lambda o: relevance(o.parts, candidate)) for t in found if t.kind == kind] for kind in kinds
        }
        return sum(float(np.mean([1 / (1 + rank) for rank in ranks[kind]])) for kind in kinds)

    shares = (0.45, 0.5, 0.55, 0.6)
    candidates = [{**weights, "dense": share * both, "bm25": (1 - share) * both} for share in shares]
    return {name: round(weight, 3) for name, weight in max(candidates, key=quality).items()}


@dataclass(frozen=True)
class Example:
    """A candidate that a search would show: is it the right one?"""

    height: float
    rival: float
    right: bool
    first: bool
    foreign: bool = False


def examples(found: Sequence[Trial], weights: dict[str, float]) -> list[Example]:
    shown: list[Example] = []
    for trial in found:
        offered = {o.template.id: relevance(o.parts, weights) for o in trial.offered}
        shown += _shown(offered, trial.right, foreign=trial.right is None)
        if trial.right is not None:
            shown += _shown({key: value for key, value in offered.items() if key != trial.right}, None)
    return shown


def _shown(offered: dict[str, float], right: str | None, *, foreign: bool = False) -> list[Example]:
    others = dict(zip(offered, rivals(list(offered.values())), strict=True))
    ordered = sorted(offered, key=lambda key: -offered[key])[:RANKS]
    return [Example(offered[key], others[key], key == right, place == 0, foreign) for place, key in enumerate(ordered)]


def fit_curve(shown: Sequence[Example]) -> Curve:
    """By Newton's method on the likelihood."""
    inputs = np.array([[1.0, np.log(max(LEAST_RELEVANCE, e.height)), lead(e.height, e.rival, CAP)] for e in shown])
    right = np.array([float(e.right) for e in shown])
    foreign = np.array([e.foreign for e in shown])
    counts = np.where(foreign, FOREIGN_SHARE * (~foreign).sum() / max(1, foreign.sum()), 1.0)
    weights = np.zeros(3)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (counts * (right - chance)) - 0.01 * weights
        curvature = (inputs * (counts * chance * (1 - chance))[:, None]).T @ inputs + 0.01 * np.eye(3)
        weights += np.linalg.solve(curvature, gradient)
    intercept, height, ahead = (round(float(weight), 3) for weight in weights)
    # A score must grow with what speaks for the template.
    return Curve(intercept=intercept, height=max(0.0, height), ahead=max(0.0, ahead), cap=CAP)


def reliability(shown: Sequence[Example], curve: Curve) -> tuple[list[str], float]:
    """Of the first candidates: how often they were right where the score said so, by tenths, and the ECE."""
    scores = np.array([score(e.height, e.rival, curve) for e in shown if e.first])
    right = np.array([float(e.right) for e in shown if e.first])
    lines, error = [], 0.0
    for low in np.arange(0, 1, 0.1):
        inside = (scores >= low) & (scores < low + 0.1)
        if inside.any():
            said, was = scores[inside].mean(), right[inside].mean()
            error += abs(said - was) * inside.mean()
            lines.append(f"| {low:.1f}–{low + 0.1:.1f} | {inside.sum()} | {said:.2f} | {was:.2f} |")
    return lines, float(error)


def choices(shown: Sequence[Example], curve: Curve, threshold: float) -> tuple[float, float, float]:
    """At this threshold: right among the chosen, chosen where the first is right, left where the first is wrong."""
    scores = np.array([score(e.height, e.rival, curve) for e in shown if e.first])
    right = np.array([e.right for e in shown if e.first])
    chosen = scores >= threshold
    return float(right[chosen].mean()), float(chosen[right].mean()), float((~chosen)[~right].mean())


def report(found: Sequence[Trial], fitted: Fitted) -> list[str]:
    lines = ["| query | n | recall@1 | @5 |", "| --- | --: | --: | --: |"]
    for kind in dict.fromkeys(trial.kind for trial in found if trial.right is not None):
        ranks = [
            trial.rank(lambda offered: relevance(offered.parts, fitted.weights))
            for trial in found
            if trial.kind == kind
        ]
        first, five = np.mean([rank < 1 for rank in ranks]), np.mean([rank < 5 for rank in ranks])
        lines.append(f"| {kind} | {len(ranks)} | {100 * first:.1f} | {100 * five:.1f} |")
    shown = examples(found, fitted.weights)
    table, error = reliability(shown, fitted.curve)
    lines += ["", "| score | n | said | was right |", "| --- | --: | --: | --: |", *table, "", f"ECE {error:.3f}", ""]
    lines += [
        "| threshold | chosen are right | right and first are chosen | others are left |",
        "| --- | --: | --: | --: |",
    ]
    for threshold in (0.2, 0.3, 0.4, 0.5):
        shares = choices(shown, fitted.curve, threshold)
        lines.append(f"| {threshold} | " + " | ".join(f"{100 * share:.0f} %" for share in shares) + " |")
    return lines


def fit(found: Sequence[Trial]) -> Fitted:
    weights = fit_weights([trial for trial in found if trial.right is not None])
    return Fitted(weights=weights, curve=fit_curve(examples(found, weights)))


async def all_trials(
    templates: Sequence[ThoughtTemplate], embedder: SentenceEmbedder, build: Callable[[], Retriever]
) -> list[Trial]:
    found = await trials.run_foreign(templates, embedder, build)
    for kind in (*trials.MEASURED, *trials.MIXED):
        found += await trials.run(kind, templates, embedder, build)
    return found


def retrievers(embedder: SentenceEmbedder, cache: Path) -> Callable[[], Retriever]:
    """Empty retrievers that share one cache of embeddings: of two libraries, most documents are the same."""
    from template_store.retrieval.index import FaissIndex

    kept = EmbeddingCache(cache)
    return lambda: Retriever(embedder, FaissIndex(embedder.dimension), kept, threshold=0.5)


async def main(folder: Path, model: str, *, write: bool) -> None:
    templates = [t for t in library.read(folder) if t.status is TemplateStatus.ACTIVE]
    embedder = await SentenceEmbedder.open(model)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            found = await all_trials(templates, embedder, retrievers(embedder, Path(scratch)))
    finally:
        embedder.close()
    fitted = fit([t for t in found if t.right is None or trains(t.right)])
    held_out = [t for t in found if t.right is None or not trains(t.right)]
    print(f"{len(templates)} templates, {embedder.version}\n\nThe half that was not fitted:\n")
    print("\n".join(report(held_out, fitted)), f"\n\n{to_json(fitted)}")
    if write:
        (Path(__file__).parent / "ranking.json").write_text(to_json(fitted), encoding="utf-8")


if __name__ == "__main__":
    settings = Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=settings.library_dir, help="the library to fit on")
    parser.add_argument("--write", action="store_true", help="keep what was fitted in ranking.json")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.folder, settings.embedding_model, write=chosen.write))
