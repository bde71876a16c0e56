"""How well a template fits a query: pure functions from texts and similarities to a score.

Parts, each in 0…1 and each meaning the same for every query:

- dense  the cosine of the query's embedding to the template's nearest document (name, tags, scope, steps)
- bm25   the BM25 score as a share of the best that any text could score, so words unknown to the library count against
- name   how alike the asked name and the template's are, letter by letter
- tags   how well each of the query's tags is met by some tag of the template
- field  how much of the query's field path the template's path shares

`relevance` is one convex combination of the parts that the query speaks of; name, tags and field are soft boosts,
because those that a model writes are noisy. `score` is the probability that the template is the right one: a logistic
curve of its relevance and of its lead over the best other template, so several that fit alike share the doubt. The
weights and the curve are fitted by `python -m template_store.retrieval.calibration` and kept in ranking.json.
"""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from reasonflux.contracts import Contract, Query, ThoughtTemplate
from template_store.retrieval.bm25 import WORD
from template_store.retrieval.bm25 import words as words


class Curve(Contract):
    """log-odds = intercept + height·ln(relevance) + ahead·lead. The lead is the share of its relevance by which a
    template is ahead of the best other one (behind it: below zero), capped: a clear first is as sure as a runaway."""

    intercept: float
    height: float
    ahead: float
    cap: float


class Fitted(Contract):
    """What calibration.py fits."""

    weights: dict[str, float]
    curve: Curve


FITTED = Fitted.model_validate_json(files("template_store.retrieval").joinpath("ranking.json").read_text("utf-8"))
WEIGHTS: Mapping[str, float] = FITTED.weights
"""They add up to 1. A part that the query is silent on leaves the sum."""


def fold(name: str) -> str:
    """A name as it is compared: case, spacing and punctuation do not count."""
    return " ".join(WORD.findall(name.lower()))


def full_text(template: ThoughtTemplate) -> str:
    """What BM25 reads of a template."""
    instructions = (step.instruction for step in template.steps)
    return " ".join([template.name, *template.tags, template.description, *template.scope, *instructions])


def query_text(query: Query) -> str:
    """What of a query is embedded and read by BM25: its name and text; its tags only when there is nothing else."""
    said = [part.strip() for part in (query.name, query.text) if part.strip()]
    return ". ".join(said) if said else ", ".join(query.tags)


def name_similarity(asked: str, held: str) -> float:
    """The overlap (Dice) of the names' runs of three letters, so that a misspelt or shuffled name is still near."""
    return _dice(_letters(asked), _letters(held))


def _letters(name: str) -> set[str]:
    line = f" {fold(name)} "
    return {line[i : i + 3] for i in range(len(line) - 2)} if line.strip() else set()


def tag_similarity(asked: Sequence[str], held: Sequence[str]) -> float:
    """The mean over the asked tags of the best word overlap (Dice) with a held tag."""
    held_words = [set(words(tag)) for tag in held]
    best = [max((_dice(set(words(tag)), other) for other in held_words), default=0.0) for tag in asked]
    return sum(best) / len(best) if best else 0.0


def _dice(one: set[str], other: set[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 0.0


def field_similarity(asked: str, held: str) -> float:
    """The share of the asked path that the held path starts with."""
    asked_steps, held_steps = asked.split("/"), held.split("/")
    shared = 0
    while shared < min(len(asked_steps), len(held_steps)) and asked_steps[shared] == held_steps[shared]:
        shared += 1
    return shared / len(asked_steps)


def parts(query: Query, template: ThoughtTemplate, dense: float, bm25: float) -> dict[str, float]:
    """The ingredients of the score. To name a template exactly is to ask for it: then dense and bm25 are 1."""
    named = bool(query.name.strip())
    if named and fold(query.name) == fold(template.name):
        dense = bm25 = 1.0
    found = {"dense": min(1.0, max(0.0, dense)), "bm25": min(1.0, max(0.0, bm25))}
    if named:
        found["name"] = name_similarity(query.name, template.name)
    if query.tags:
        found["tags"] = tag_similarity(query.tags, template.tags)
    if query.field:
        found["field"] = field_similarity(query.field, template.field)
    return found


def relevance(found: Mapping[str, float], weights: Mapping[str, float] = WEIGHTS) -> float:
    """The convex combination, in 0…1."""
    return sum(weights[name] * value for name, value in found.items()) / sum(weights[name] for name in found)


def rivals(relevances: Sequence[float]) -> list[float]:
    """For each, the best of the others; 0 for one that is alone."""
    first, second = (*sorted(relevances, reverse=True), 0.0, 0.0)[:2]
    return [second if value == first else first for value in relevances]


LEAST = 0.02
"""Relevance below which nothing is told apart."""


def lead(relevance: float, rival: float, cap: float) -> float:
    """How far ahead of its rival, as a share of its own relevance, within ±cap."""
    return max(-cap, min(cap, 1 - rival / max(LEAST, relevance)))


def score(relevance: float, rival: float, curve: Curve = FITTED.curve) -> float:
    """The probability, in 0…1, that the template is the right one; it grows with its relevance and falls with the best
    other template's."""
    height = math.log(max(LEAST, relevance))
    odds = curve.intercept + curve.height * height + curve.ahead * lead(relevance, rival, curve.cap)
    return 1 / (1 + math.exp(-odds))


CLOSE = 0.05
"""A document this near to the best one has matched too."""
ALIKE = 0.5
"""From here on, a boost counts as a match."""


def matched(found: Mapping[str, float], near: Mapping[str, float]) -> tuple[str, ...]:
    """Which fields of the template the query met: the documents nearest to it, and the boosts that spoke for it."""
    best = max(near.values(), default=0.0)
    fields = {kind for kind, similarity in near.items() if similarity >= max(0.3, best - CLOSE)}
    fields |= {kind for kind in ("name", "tags", "field") if found.get(kind, 0.0) >= ALIKE}
    return tuple(kind for kind in ("name", "tags", "scope", "steps", "field") if kind in fields)


def to_json(fitted: Fitted) -> str:
    payload: dict[str, Any] = fitted.model_dump(mode="json")
    return json.dumps(payload, indent=2) + "\n"
