"""How well a template fits a query: pure functions from texts and similarities to a score.

Four parts, each in 0…1 and each meaning the same for every query:

- dense  the cosine of the query's embedding to the template's nearest document (name, tags, scope, steps)
- bm25   the BM25 score as a share of the best that any text could score, so words unknown to the library count against
- tags   how well each of the query's tags is met by some tag of the template
- field  how much of the query's field path the template's path shares

`relevance` is one convex combination of the parts that the query speaks of; tags and field are soft boosts, because
those that a model writes are noisy. (Scaling each part to its range within one query, as hybrid search often does,
ranked no better here: it put 38 of 48 example problems first, this puts 39; and such values mean nothing across
queries.) `score` maps relevance through a fixed logistic curve: on the calibration queries, right and wrong templates
weighted evenly, the probability that the template is the right one (see calibration.py).
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from reasonflux.contracts import Query, ThoughtTemplate

WEIGHTS: Mapping[str, float] = {"dense": 0.54, "bm25": 0.36, "tags": 0.06, "field": 0.04}
"""0.6 dense to 0.4 BM25, a tenth of the whole for the boosts. A part that the query is silent on leaves the sum."""

SLOPE = 9.4
MIDPOINT = 0.44
"""The logistic curve, as `python -m template_store.calibration` fits and prints it for the shipped library. Fit it anew
when the library has grown much or another embedding model is the default."""

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and any are as at be but by can do does for from has have how if in into is it its of on or so such that "
        "the their them then there these they this those to was we what when where which who will with you your",
    )
)
WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """The words that carry meaning, lower case, without plural s; numbers are left out: they belong to one problem."""
    found = WORD.findall(text.lower().replace("'s", ""))
    return [_singular(word) for word in found if word not in STOP_WORDS and not word.isdigit()]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def fold(name: str) -> str:
    """A name as it is compared: case, spacing and punctuation do not count."""
    return " ".join(WORD.findall(name.lower()))


class Bm25:
    """Okapi BM25 over one text per template. Immutable; build a new one when the library changes."""

    K1, B = 1.2, 0.75

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._counts = {template_id: Counter(words(text)) for template_id, text in texts.items()}
        self._lengths = {template_id: counts.total() for template_id, counts in self._counts.items()}
        self._mean_length = sum(self._lengths.values()) / max(1, len(self._lengths)) or 1.0
        self._holders = Counter(word for counts in self._counts.values() for word in counts)

    def _rarity(self, word: str) -> float:
        holders = self._holders[word]
        return math.log(1 + (len(self._counts) - holders + 0.5) / (holders + 0.5))

    def scores(self, text: str) -> dict[str, float]:
        """Each template's share, in 0…1, of the score of a text that repeats every word of the query without end."""
        rarities = {word: self._rarity(word) for word in words(text)}
        best = sum(rarities.values()) * (self.K1 + 1)
        if not best:
            return dict.fromkeys(self._counts, 0.0)
        return {template_id: self._score(template_id, rarities) / best for template_id in self._counts}

    def _score(self, template_id: str, rarities: Mapping[str, float]) -> float:
        counts = self._counts[template_id]
        damping = self.K1 * (1 - self.B + self.B * self._lengths[template_id] / self._mean_length)
        return sum(r * counts[w] * (self.K1 + 1) / (counts[w] + damping) for w, r in rarities.items() if w in counts)


def full_text(template: ThoughtTemplate) -> str:
    """What BM25 reads of a template."""
    instructions = (step.instruction for step in template.steps)
    return " ".join([template.name, *template.tags, template.description, *template.scope, *instructions])


def query_text(query: Query) -> str:
    """What of a query is embedded and read by BM25: its name and text; its tags only when there is nothing else."""
    said = [part.strip() for part in (query.name, query.text) if part.strip()]
    return ". ".join(said) if said else ", ".join(query.tags)


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
    if query.name and fold(query.name) == fold(template.name):
        dense = bm25 = 1.0
    found = {"dense": min(1.0, max(0.0, dense)), "bm25": min(1.0, max(0.0, bm25))}
    if query.tags:
        found["tags"] = tag_similarity(query.tags, template.tags)
    if query.field:
        found["field"] = field_similarity(query.field, template.field)
    return found


def relevance(found: Mapping[str, float]) -> float:
    """The convex combination, in 0…1."""
    return sum(WEIGHTS[name] * value for name, value in found.items()) / sum(WEIGHTS[name] for name in found)


def score(found: Mapping[str, float]) -> float:
    """The score in 0…1 that the threshold for abstaining applies to; it grows with relevance."""
    return 1 / (1 + math.exp(-SLOPE * (relevance(found) - MIDPOINT)))
