"""What the binding probe learns from: recall, invented templates from easy to hard, and most of the ladder."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from random import Random

from pydantic import Field

from evaluation.ladder import ALL, LadderProblem, Split, Stage, generate
from evaluation.studies.libraries import HELD_FAMILIES
from reasonflux.contracts import Contract, InstantiateRequest, ThoughtTemplate
from training.corpus import Conversation, Library, Turn, request_of
from training.studies.invented import (
    SYLLABLES_SHARE,
    Difficulty,
    Told,
    exchange,
    in_letters,
    invented_conversations,
    learned_step,
    phrases,
)

EASY = Difficulty(
    variables=(2, 2, 3), other_words=0, distractors=(0,), look_alikes=0.2, earlier_result=0.1, syllables=0.3
)
MIDDLE = Difficulty(variables=(2, 3, 3, 4), other_words=0.4, distractors=(0, 0, 1), look_alikes=0.3)
CHARACTERS_PER_TOKEN = 3.3


class BindMixture(Contract):
    """What is learned when, and which families of the ladder never are."""

    ladder: float = Field(default=0.3, ge=0, lt=1, description="the share of conversations from the ladder")
    starts: tuple[float, float, float] = Field(
        default=(0.15, 0.45, 0.6), description="when easy, middling and all tasks begin, as parts of the run"
    )
    held_families: tuple[str, ...] = Field(default=HELD_FAMILIES, description="families never trained on")
    without_template: float = Field(default=0.1, ge=0, le=1, description="the share of ladder steps without one")
    letters: bool = Field(default=False, description="every variable is called by one letter, the ladder's too")
    told: Told = Field(default=Told.READING, description="what a reply says before the bindings, and in which order")

    def drawn(self, level: Difficulty, syllables: float) -> Difficulty:
        """A level of difficulty as this mixture draws from it."""
        return replace(level, syllables=syllables, letters=1.0 if self.letters else level.letters)


def recall_conversations(
    seed: int, counts: Sequence[int], split: Split = Split.TRAIN, syllables: float = SYLLABLES_SHARE
) -> Iterator[Conversation]:
    """Phrases with numbers; the reply tells them again in the order in which they are asked for.

    No phrase stands first in a line: a word after a space is another token than the same word without one.
    """
    rng = Random(f"{seed} {split}")
    drawn = phrases(seed, split, syllables)
    while True:
        told = {phrase: str(rng.randrange(1, 10 ** rng.randint(1, 3))) for phrase in islice(drawn, rng.choice(counts))}
        asked = rng.sample(list(told), len(told))
        text = "; ".join(f"{phrase}: {value}" for phrase, value in told.items())
        reply = "; ".join(f"{phrase}: {told[phrase]}" for phrase in asked)
        yield (
            Turn("user", f"told: {text}\nasked: {'; '.join(asked)}"),
            Turn("assistant", f"told: {reply}", learn=True),
        )


def bind_conversations(
    library: Library, mixture: BindMixture, seed: int, tokens: int, syllables: float = SYLLABLES_SHARE
) -> Iterator[Conversation]:
    """Recall, then easy invented tasks, middling ones, then all kinds; from the second on with the ladder beside."""
    rng, ladder = Random(seed), ladder_conversations(library, mixture, seed)
    levels = [recall_conversations(seed, (3, 4, 5, 6), syllables=syllables)]
    levels += [
        invented_conversations(seed + n, difficulty=mixture.drawn(level, syllables), told=mixture.told)
        for n, level in enumerate((EASY, MIDDLE, Difficulty()))
    ]
    told = 0.0  # characters
    while True:
        progress = told / CHARACTERS_PER_TOKEN / tokens
        level = sum(progress >= start for start in mixture.starts)
        if rng.random() < mixture.ladder and level > 1:
            conversation = next(ladder)
        else:
            conversation = next(levels[level if rng.random() < 0.85 else max(0, level - 1)])
        told += sum(len(turn.content) for turn in conversation)
        yield conversation


def ladder_conversations(
    library: Library, mixture: BindMixture, seed: int, split: Split = Split.TRAIN
) -> Iterator[Conversation]:
    """Gold steps of the kept families, some without their template."""
    rng = Random(seed)
    for problem, stage in ladder_steps(kept_families(mixture), split, seed, depths=(1, 1, 2)):
        template = library[stage.template_id]
        if rng.random() < mixture.without_template:
            written = [f"{name} = {value}" for name, value in stage.bindings.items()]
            reply = {"fits": True, "reasoning": "", "expressions": [*written, *template.formulas]}
            yield exchange(request_of(problem, stage, None), reply)
        else:
            yield learned_step(*lettered(request_of(problem, stage, template), stage, mixture), mixture.told)


def lettered(
    request: InstantiateRequest, stage: Stage, mixture: BindMixture
) -> tuple[InstantiateRequest, ThoughtTemplate, dict[str, str]]:
    """A gold step's request, template and bindings, under letters where the mixture says so."""
    assert request.template is not None
    if not mixture.letters:
        return request, request.template, stage.bindings
    template, called = in_letters(request.template)
    bindings = {called[name]: value for name, value in stage.bindings.items()}
    return request.model_copy(update={"template": template}), template, bindings


def ladder_steps(
    families: Sequence[str], split: Split, seed: int, depths: Sequence[int] = (1,)
) -> Iterator[tuple[LadderProblem, Stage]]:
    for problem in generate(split, depths, seed=seed, families=families, distractors=0.2):
        for stage in problem.stages:
            yield problem, stage


def kept_families(mixture: BindMixture) -> tuple[str, ...]:
    """The families that share neither name nor template with a held one."""
    held = {ALL[name].template_id for name in mixture.held_families}
    return tuple(name for name, family in ALL.items() if family.template_id not in held)
