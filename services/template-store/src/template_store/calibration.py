"""Fits the logistic curve of ranking.py on a library: `python -m template_store.calibration [FOLDER]`.

Positives: queries whose answer is known, and the parts of that template. They come from each template's name, its name
and tags, its tags, its example problem (which is not indexed) and each scope line; a scope line is first taken out of
its template, so that the query does not find its own words. Negatives: the same queries and the best template of any
other field, which is what a library without the answer would offer, and questions that have nothing to do with
mathematics. Two constants are fitted, so a few hundred queries are plenty.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reasonflux.contracts import Candidate, Query, SearchRequest, ThoughtTemplate
from template_store import library
from template_store.app import opened
from template_store.ranking import relevance
from template_store.settings import Settings
from template_store.store import TemplateStore

FOREIGN = (
    "How do I descale a coffee machine?",
    "Write a haiku about autumn leaves",
    "Who painted the ceiling of the Sistine Chapel?",
    "Best hiking boots for wet weather",
    "Translate good morning into Japanese",
    "Symptoms of vitamin D deficiency",
    "Plot summary of Moby Dick",
    "Why is my laptop fan so loud?",
    "How to prune roses in spring",
    "History of the Ottoman Empire",
    "Recipe for lentil soup with cumin",
    "What is the capital of Australia?",
)


def queries(template: ThoughtTemplate) -> Iterator[tuple[Query, ThoughtTemplate]]:
    """Queries that the template answers, each with the template as it should be indexed for a fair trial."""
    yield Query(name=template.name), template
    yield Query(name=template.name, tags=template.tags[:2]), template
    yield Query(tags=template.tags), template
    yield Query(text=template.example.problem), template
    for line in template.scope:
        rest = tuple(other for other in template.scope if other != line) or (template.name,)
        yield Query(text=line), template.model_copy(update={"scope": rest})


async def candidates(store: TemplateStore, query: Query, fields: tuple[str, ...] = ()) -> tuple[Candidate, ...]:
    answer = await store.search(SearchRequest(queries=(query,), top_k=100, fields=fields, library=store.library))
    return answer.retrievals[0].candidates


async def trials(store: TemplateStore, templates: tuple[ThoughtTemplate, ...]) -> list[tuple[float, bool, str]]:
    """Relevance, whether it belongs to the right template, and the kind of query."""
    found: list[tuple[float, bool, str]] = []
    roots = {template.field.split("/")[0] for template in templates}
    for template in templates:
        others = tuple(sorted(roots - {template.field.split("/")[0]}))
        for query, indexed in queries(template):
            await store.upsert([indexed])
            ranked = await candidates(store, query)
            right = next(c for c in ranked if c.template_id == template.id)
            kind = "name" if query.name else "tags" if query.tags else "text"
            found.append((relevance(right.parts), True, f"{kind}, {'first' if ranked[0] is right else 'not first'}"))
            best = (await candidates(store, query, others))[0]
            found.append((relevance(best.parts), False, "other field"))
        await store.upsert([template])
    for text in FOREIGN:
        best = (await candidates(store, Query(text=text)))[0]
        found.append((relevance(best.parts), False, "foreign"))
    return found


def fit(values: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Slope and midpoint of the logistic curve, by Newton's method on the likelihood, classes weighted evenly."""
    inputs = np.stack([values, np.ones_like(values)], axis=1)
    balance = np.where(right == 1, 0.5 / right.sum(), 0.5 / (1 - right).sum()) * len(right)
    weights = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (balance * (right - chance)) - 0.01 * weights
        curvature = (inputs * (balance * chance * (1 - chance))[:, None]).T @ inputs + 0.01 * np.eye(2)
        weights += np.linalg.solve(curvature, gradient)
    return float(weights[0]), float(-weights[1] / weights[0])


async def main(settings: Settings) -> None:
    templates = library.read(settings.library_dir)
    with tempfile.TemporaryDirectory() as scratch:
        async with opened(settings.model_copy(update={"cache_dir": Path(scratch)})) as store:
            found = await trials(store, templates)
    values = np.array([value for value, _, _ in found])
    right = np.array([float(positive) for _, positive, _ in found])
    slope, midpoint = fit(values, right)
    for kind in sorted({kind for _, _, kind in found}):
        shown = np.array([value for value, _, k in found if k == kind])
        quantiles = np.quantile(shown, [0.05, 0.5, 0.95]).round(2).tolist()
        accepted = (shown >= midpoint).mean()
        print(f"{kind:15} n={len(shown):4}  relevance at 5, 50, 95 %: {quantiles}  score above 0.5: {accepted:.0%}")
    print(f"SLOPE = {slope:.1f}\nMIDPOINT = {midpoint:.2f}")


if __name__ == "__main__":
    asyncio.run(main(Settings(library_dir=Path(sys.argv[1])) if sys.argv[1:] else Settings()))
