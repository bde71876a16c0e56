"""Queries whose answer is known, for fitting and for measuring: each is taken from a field of a template, and the
template is indexed without that field, so that no query finds its own words.

The kinds: `scenario` (a scope line), `problem` (the example problem, which is never indexed), `tags`, `noisy name` (see
`noisy`; the name stays indexed), and mixtures such as a navigator writes.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reasonflux.contracts import Query, ThoughtTemplate
from template_store.ports import Embedder
from template_store.retrieval.ranking import query_text
from template_store.retrieval.retriever import Retriever, Scored

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
    "My dog barks at the neighbours all day",
    "Which paint dries fastest on wood?",
    "How do I rotate the tyres of a van?",
    "Explain the plot twist of the second season",
    "The causes of the industrial revolution in England",
    "Is it rude to leave a dinner early?",
    "What to pack for a week of camping with children",
    "Teach my parrot to say a word",
    "Difference between a lawyer and a notary",
    "How does a vaccine train the immune system?",
    "Best order in which to watch the films",
    "Set up a printer shared between two computers",
    "Why did the ship sink on its first voyage?",
    "Ideas for a birthday present under twenty pounds",
    "How long does milk keep after the date on it?",
    "Name a book about trees for young readers",
)
"""Questions that no template of mathematics answers."""


def noisy(text: str, seed: int = 0) -> str:
    """A name as somebody might half remember it, the same for the same seed: of three words or more, each is lost with
    chance 1/4; the order is shuffled with chance 1/2; each word of four letters or more is misspelt with chance 0.3 (a
    letter lost, two swapped, or one replaced)."""
    chance = random.Random(f"{seed}:{text}")
    words = text.split()
    if len(words) > 2:
        words = [word for word in words if chance.random() > 0.25] or words[:1]
    if chance.random() < 0.5:
        chance.shuffle(words)
    return " ".join(_misspelt(word, chance) if len(word) > 3 and chance.random() < 0.3 else word for word in words)


def _misspelt(word: str, chance: random.Random) -> str:
    i = chance.randrange(len(word) - 1)
    return {
        0: word[:i] + word[i + 1 :],
        1: word[:i] + word[i + 1] + word[i] + word[i + 2 :],
        2: word[:i] + chance.choice("aeiourstln") + word[i + 1 :],
    }[chance.randrange(3)]


def _without_scope(template: ThoughtTemplate) -> ThoughtTemplate:
    return template.model_copy(update={"scope": ()})


def _without_tags(template: ThoughtTemplate) -> ThoughtTemplate:
    return template.model_copy(update={"tags": ()})


def _whole(template: ThoughtTemplate) -> ThoughtTemplate:
    return template


def _noisy_tags(template: ThoughtTemplate) -> tuple[str, ...]:
    """The first two tags, misspelt: what a model writes is seldom the library's spelling."""
    return tuple(noisy(tag) for tag in template.tags[:2])


@dataclass(frozen=True)
class Kind:
    """How a template is asked for, and what of it is indexed meanwhile."""

    name: str
    query: Callable[[ThoughtTemplate], Query]
    indexed: Callable[[ThoughtTemplate], ThoughtTemplate] = _whole


SCENARIO = Kind("scenario", lambda t: Query(text=" ".join(t.scope)), _without_scope)
PROBLEM = Kind("problem", lambda t: Query(text=t.example.problem))
TAGS = Kind("tags", lambda t: Query(tags=t.tags), _without_tags)
NOISY_NAME = Kind("noisy name", lambda t: Query(name=noisy(t.name)))
MEASURED = (SCENARIO, PROBLEM, TAGS, NOISY_NAME)

SCENARIO_AND_TAGS = Kind(
    "scenario + noisy tags", lambda t: Query(text=" ".join(t.scope), tags=_noisy_tags(t)), _without_scope
)
SCENARIO_AND_FIELD = Kind(
    "scenario + field", lambda t: Query(text=" ".join(t.scope), field=t.field.split("/")[0]), _without_scope
)
LINE = Kind("one scope line", lambda t: Query(text=t.scope[-1]), lambda t: t.model_copy(update={"scope": t.scope[:-1]}))
NAME_AND_TAGS = Kind("name + two tags", lambda t: Query(name=t.name, tags=t.tags[:2]))
DESCRIPTION = Kind(
    "description", lambda t: Query(text=t.description), lambda t: t.model_copy(update={"description": ""})
)
MIXED = (DESCRIPTION, SCENARIO_AND_TAGS, SCENARIO_AND_FIELD, LINE, NAME_AND_TAGS)


@dataclass(frozen=True)
class Trial:
    """One query, the template it was taken from, and what the library has to offer (everything shortlisted)."""

    kind: str
    query: Query
    right: str | None
    offered: list[Scored]

    def rank(self, value: Callable[[Scored], float] = lambda found: found.relevance) -> int:
        """0: the right one came first. Ties count against it."""
        mine = next((value(found) for found in self.offered if found.template.id == self.right), float("-inf"))
        return sum(value(found) >= mine for found in self.offered if found.template.id != self.right)


async def run(
    kind: Kind, templates: Sequence[ThoughtTemplate], embedder: Embedder, build: Callable[[], Retriever]
) -> list[Trial]:
    """Every template asked for once, in a library in which all are indexed as the kind says."""
    retriever = build()
    await retriever.upsert([kind.indexed(template) for template in templates])
    queries = [kind.query(template) for template in templates]
    vectors = await embedder.embed_queries([query_text(query) for query in queries])
    offered = retriever.shortlist(queries, vectors, limit=100)
    rights = [template.id for template in templates]
    return [Trial(kind.name, q, right, found) for q, right, found in zip(queries, rights, offered, strict=True)]


async def run_foreign(
    templates: Sequence[ThoughtTemplate], embedder: Embedder, build: Callable[[], Retriever]
) -> list[Trial]:
    retriever = build()
    await retriever.upsert(templates)
    queries = [Query(text=text) for text in FOREIGN]
    offered = retriever.shortlist(queries, await embedder.embed_queries(list(FOREIGN)), limit=100)
    return [Trial("foreign", query, None, found) for query, found in zip(queries, offered, strict=True)]
