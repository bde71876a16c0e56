"""Structure data, paper Eq. 2: what a thought template is about, learned from the library itself.

in    a template library
out   conversations (name, tags) → (description, scope), and turned round (description, scope) → (name, tags)

The paper has the first direction only. The second is ours: a navigator reads a situation and has to *name* a template,
and a model that has learned "A is B" does not know from this that B is A.
"""

import json
from collections.abc import Iterator, Mapping
from random import Random

from reasonflux.contracts import TemplateStatus, ThoughtTemplate
from training.corpus.mixture import Conversation, Library, Turn
from training.corpus.sample import Sample

SOURCE = "library"


def structure_pass(library: Library, reverse: bool = True) -> Iterator[Sample]:
    """Every active template once in each direction, ordered by id."""
    for template in _active(library):
        yield Sample(None, described(template), SOURCE, "structure")
        if reverse:
            yield Sample(None, named(template), SOURCE, "structure-reverse")


def structure_conversations(library: Library, seed: int, reverse: float = 0.5) -> Iterator[Conversation]:
    """Passes over the library without end, each in a new order; a share of `reverse` is turned round."""
    rng, templates = Random(seed), _active(library)
    while templates:
        rng.shuffle(templates)
        for template in templates:
            yield named(template) if rng.random() < reverse else described(template)


def described(template: ThoughtTemplate) -> Conversation:
    """(name, tags) → (description, scope)."""
    asked = f"template\nname: {_line(template.name)}\ntags: {', '.join(map(_line, template.tags))}"
    told = {"description": _line(template.description), "scope": [_line(scope) for scope in template.scope]}
    return Turn("user", asked), Turn("assistant", _json(told), learn=True)


def named(template: ThoughtTemplate) -> Conversation:
    """(description, scope) → (name, tags), with the keys that a plan uses for them."""
    scope = "\n".join(f"scope: {_line(scope)}" for scope in template.scope)
    asked = f"template\ndescription: {_line(template.description)}\n{scope}"
    told = {"template": _line(template.name), "tags": [_line(tag) for tag in template.tags]}
    return Turn("user", asked), Turn("assistant", _json(told), learn=True)


def _active(library: Library) -> list[ThoughtTemplate]:
    return [library[name] for name in sorted(library) if library[name].status is TemplateStatus.ACTIVE]


def _line(text: str) -> str:
    return " ".join(text.split())


def _json(told: Mapping[str, object]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
