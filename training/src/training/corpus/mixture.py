"""What both roles' corpora are made of: conversations, the shares of injected cases, the stream of problems."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from evaluation.ladder import ALL, LadderProblem, Split, generate
from reasonflux.contracts import ThoughtTemplate
from reasonflux.errors import InvalidRequest

Library = Mapping[str, ThoughtTemplate]

TAGS_PER_QUERY = 2
UNFIT = "the template does not fit the statements"
RETRY = "the calculation failed"


@dataclass(frozen=True)
class Turn:
    role: str
    content: str
    learn: bool = False


Conversation = tuple[Turn, ...]


@dataclass(frozen=True)
class Mixture:
    """The depths of the problems, and the shares of injected cases."""

    depths: tuple[int, ...] = (1, 1, 2, 2, 2, 3)
    distractors: float = 0.25
    outside: float = 0.10
    plan_only: float = 0.6
    """Plain sessions that end with the plan: reviews are learned long before plans are."""
    failed_calculation: float = 0.06
    unfit_template: float = 0.14
    hopeless: float = 0.25
    """Of the sessions with an unfit template: those where the second choice is unfit too."""
    horizon: float = 0.08
    """Of the problems that the view holds whole: those that are planned a horizon at a time nevertheless."""
    whole: float = 0.0
    """Of the longer problems: those that are planned whole nevertheless."""
    two_at_a_time: float = 0.1
    shift: int = 12
    """How far the numbers of statements are moved up in views, so that deep problems look like shallow ones; the
    numbers of steps by half of it."""
    follow_up: float = 0.08
    no_template: float = 0.08
    mismatch: float = 0.15
    second_try: float = 0.04


DEFAULT = Mixture()


def training_problems(library: Library, split: Split, seed: int, mixture: Mixture) -> Iterator[LadderProblem]:
    """The ladder with families of many variables drawn more often: they are what is learned last. Raises InvalidRequest
    for a library without the ladder's templates."""
    missing = sorted({family.template_id for family in ALL.values()} - library.keys())
    if missing:
        raise InvalidRequest(
            f"the library lacks {len(missing)} of the ladder's templates, {missing[0]} among them",
            hint="leave the source `ladder` out for a library of your own, and name others in corpus.sources",
        )
    families = [name for name, family in ALL.items() for _ in range(_share(library[family.template_id]))]
    return generate(split, mixture.depths, seed=seed, families=families, distractors=mixture.distractors)


def _share(template: ThoughtTemplate) -> int:
    return 1 + (len(template.variables) >= 3) + (len(template.variables) >= 5)


def misread(goal: str, wrong: ThoughtTemplate, rng: Random) -> str:
    """A navigator that takes the wrong template has often misread the goal, too."""
    goals = [family.goal for family in ALL.values() if family.template_id == wrong.id]
    if not goals or rng.random() < 0.5:
        return goal
    return f"Find {goals[0]}"
