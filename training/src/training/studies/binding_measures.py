"""What the binding probe measures at the end: generated replies on templates that were never seen, beside chance."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from math import perm

from pydantic import Field

from evaluation.ladder import ALL, Split
from reasonflux.contracts import Contract, InstantiateRequest, Instantiation, ThoughtTemplate
from training.corpus import Library, request_of
from training.diagnose import binding_error, carried_out
from training.studies.binding_corpus import BindMixture, kept_families, ladder_steps, lettered
from training.studies.invented import SYLLABLES_SHARE, Difficulty, invented_tasks
from training.weights.greedy import Say

HELDOUT_SEED = 1_000_003
INVENTED = "invented"
KEPT = "ladder, kept families"
HELD = "ladder, held families with their templates"
HELD_WITHOUT = "ladder, held families without template"
_NUMBER = re.compile(r"\d+")


class Measure(Contract):
    """Generated replies to one kind of task."""

    kind: str
    bound: tuple[bool, ...]
    """Of each step, whether its bindings are all right."""
    solved: tuple[bool, ...]
    """Of each step, whether its result is."""
    chance: float
    """The share of steps that a random assignment of the text's numbers to the variables binds right."""
    errors: dict[str, int] = Field(default_factory=dict)
    """How often what was wrong with the bindings of a step."""
    in_order: float
    """The share of steps that tell their numbers in the order of the template's variables."""


class Task(Contract):
    """A request with the bindings that are right, in reading order, and the result if one is known."""

    request: InstantiateRequest
    template: ThoughtTemplate
    bindings: dict[str, str]
    result: str | None = None


def invented_measures(say: Say, mixture: BindMixture, trials: int) -> list[Measure]:
    """By number of variables, the numbers in the template's order and not, over words that were never learned."""
    measures = []
    for variables in (2, 3, 4, 5):
        for shuffled in (False, True):
            level = mixture.drawn(Difficulty(variables=(variables,), shuffled=float(shuffled)), SYLLABLES_SHARE)
            drawn = (t for t in invented_tasks(HELDOUT_SEED, Split.HELDOUT, level) if t.shuffled is shuffled)
            tasks = [
                Task(request=t.request, template=t.template, bindings=t.bindings)
                for t in islice(drawn, max(1, trials // 8))
            ]
            order = "other order" if shuffled else "same order"
            measures.append(measure(say, f"{INVENTED}, {variables} variables, {order}", tasks))
    return measures


def ladder_measures(say: Say, library: Library, mixture: BindMixture, trials: int) -> list[Measure]:
    """Steps of kept families, and of held ones with their template, without it, and one by one."""
    kept = ladder_tasks(library, kept_families(mixture), mixture, trials)
    held = ladder_tasks(library, mixture.held_families, mixture, trials)
    bare = [task.model_copy(update={"request": task.request.model_copy(update={"template": None})}) for task in held]
    measures = [
        measure(say, KEPT, kept),
        measure(say, HELD, held),
        measure(say, HELD_WITHOUT, bare),
    ]
    for name in mixture.held_families:
        own = [task for task in held if task.template.id == ALL[name].template_id]
        measures.append(measure(say, held_one(name), own))
    return measures


def held_one(family: str) -> str:
    return f"ladder, {family} with its template"


def ladder_tasks(library: Library, families: Sequence[str], mixture: BindMixture, count: int) -> list[Task]:
    tasks = []
    for problem, stage in islice(ladder_steps(families, Split.HELDOUT, HELDOUT_SEED), count):
        request, template, bindings = lettered(request_of(problem, stage, library[stage.template_id]), stage, mixture)
        tasks.append(Task(request=request, template=template, bindings=bindings, result=stage.result))
    return tasks


def measure(say: Say, kind: str, tasks: Sequence[Task]) -> Measure:
    outcomes = carried_out(say, [task.request for task in tasks])
    bound = [outcome.bindings == task.bindings for task, outcome in zip(tasks, outcomes, strict=True)]
    solved = [_solved(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True)]
    found = Measure(
        kind=kind,
        bound=tuple(bound),
        solved=tuple(solved),
        errors=dict(Counter(_error(t, o) for t, o in zip(tasks, outcomes, strict=True) if o.bindings != t.bindings)),
        chance=round(sum(_chance(task) for task in tasks) / max(1, len(tasks)), 4),
        in_order=_share([list(task.bindings) == list(task.template.variables) for task in tasks]),
    )
    print(f"{kind}: bound {bound.count(True)} of {len(tasks)}, chance {found.chance:.3f}", flush=True)
    return found


def _solved(task: Task, outcome: Instantiation) -> bool:
    """An invented task's result is right when its bindings are: its earlier result has no value to calculate with."""
    return outcome.bindings == task.bindings if task.result is None else outcome.result == task.result


def _error(task: Task, outcome: Instantiation) -> str:
    text = " ".join(statement.text for statement in task.request.statements)
    return binding_error(task.bindings, outcome.bindings, text) if outcome.bindings else "no bindings"


def _chance(task: Task) -> float:
    """One over the ways to give the numbers of the statements, each once, to the variables."""
    text = " ".join(statement.text for statement in task.request.statements)
    numbers = max(len(_NUMBER.findall(text)) + len(task.request.known), len(task.bindings))
    return 1 / perm(numbers, len(task.bindings))


def _share(found: Sequence[bool]) -> float:
    return round(sum(found) / max(1, len(found)), 4)
