"""A corpus as noisy as an extracted one: a teacher with blind spots, told as data.

An LLM that extracts trajectories does not err evenly: some kinds of problems it gets wrong more often than right, with
the same plausible mistake each time, others hardly ever. So a third of the templates are blind spots here; where one of
them is due, the teacher mostly takes its look-alike or does the step twice. SFT imitates what is most frequent, and a
greedy navigator then errs on every problem of such a kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from reasonflux.contracts import Query, Step, ThoughtTemplate
from training.corpus.mixture import TAGS_PER_QUERY, Library


@dataclass(frozen=True)
class Noise:
    """How the teacher errs. The defaults make a third of the trajectories of depths 1 and 2 faulty."""

    blind: float = 0.3
    """The share of templates that are blind spots."""
    blind_faults: float = 0.72
    """How often a step on a blind spot is faulty."""
    other_faults: float = 0.04
    wasteful: float = 0.15
    """Of the faults: those that do a step twice instead of taking another template."""
    seed: int = 17


class Teacher:
    """Makes steps faulty as one particular teacher would: the same `Noise` always has the same blind spots."""

    def __init__(self, library: Library, noise: Noise) -> None:
        self._library, self._noise = library, noise
        rng, names = Random(noise.seed), sorted(library)
        self.blind_spots = frozenset(rng.sample(names, round(noise.blind * len(names))))
        self._look_alikes = {library[name].name: look_alike(library[name], library) for name in names}
        self._ids = {library[name].name: name for name in names}

    def retell(self, steps: Sequence[Step], rng: Random) -> tuple[Step, ...]:
        """The steps as the teacher tells them; ids and references stay whole."""
        told: list[Step] = []
        renamed: dict[str, str] = {}
        for step in steps:
            step = _renumbered(step, len(told) + 1, renamed)
            fault = rng.random() < self._rate(step)
            if fault and rng.random() >= self._noise.wasteful:
                step = step.model_copy(update={"query": _query(self._look_alikes[_name(step)])})
                fault = False
            told.append(step)
            if fault:
                told.append(step.model_copy(update={"id": step.id + 1}))
            renamed[f"r{steps[len(renamed)].id}"] = f"r{told[-1].id}"
        return tuple(told)

    def _rate(self, step: Step) -> float:
        blind = self._ids[_name(step)] in self.blind_spots
        return self._noise.blind_faults if blind else self._noise.other_faults


def look_alike(template: ThoughtTemplate, library: Library) -> ThoughtTemplate:
    """The template most easily taken for this one: of the same field, with like tags and as many variables."""

    def likeness(other: ThoughtTemplate) -> tuple[float, str]:
        common = len(set(template.tags) & set(other.tags)) / len(set(template.tags) | set(other.tags))
        same_size = len(template.variables) == len(other.variables)
        near = 2 * (template.field == other.field) + (template.field.split("/")[0] == other.field.split("/")[0])
        return common + near + same_size, other.id

    return max((other for other in library.values() if other.id != template.id), key=likeness)


def _renumbered(step: Step, step_id: int, renamed: dict[str, str]) -> Step:
    uses = tuple(renamed.get(use, use) for use in step.uses)
    return Step(id=step_id, goal=step.goal, query=step.query, uses=uses)


def _name(step: Step) -> str:
    assert step.query is not None  # gold steps ask for their template by name
    return step.query.name


def _query(template: ThoughtTemplate) -> Query:
    return Query(name=template.name, tags=template.tags[:TAGS_PER_QUERY])
