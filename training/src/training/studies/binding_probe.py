"""Binding probe: can a tiny executor bind the variables of a template that it has never seen? One run of it.

in    a `ProbeConfig`; a template library for `bind`
out   a `ProbeReport`: settings, the curve over tokens, the measures at the end; FOLDER/weights for `bind`
run   reasonflux train study binding       (many runs side by side: `training.studies.binding`)

Two experiments, the second only worth running where the first leaves chance:
  recall  k phrases with numbers in the text, asked for in another order; guessing a number of the text is right 1/k
  bind    invented templates (`training.studies.invented`), easy ones first, with the ladder's steps beside them.
          Measured on invented templates over held-out words, and on ladder families that were kept out of training
          altogether (no text, no template): with their template given, and without. Replies are generated at the end,
          and a step is right when all its bindings are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field
from torch import nn

from evaluation.ladder import Split
from reasonflux.contracts import Contract
from training.corpus import Conversation, Library, request_of
from training.stages import publish
from training.studies.binding_corpus import (
    EASY,
    bind_conversations,
    ladder_conversations,
    ladder_steps,
    lettered,
    recall_conversations,
)
from training.studies.binding_learning import Point, ProbeConfig, learn
from training.studies.binding_measures import HELDOUT_SEED, Measure, invented_measures, ladder_measures
from training.studies.invented import SYLLABLES_SHARE, Difficulty, invented_conversations, learned_step
from training.weights import greedy
from training.weights.tokenizer import train_tokenizer

Experiment = Literal["recall", "bind"]
KNOWN, NEW = "known words", "new words"


class ProbeReport(Contract):
    experiment: Experiment
    name: str
    parameters: int
    settings: ProbeConfig
    points: tuple[Point, ...] = Field(min_length=1)
    measures: tuple[Measure, ...] = ()

    @property
    def last(self) -> Point:
        return self.points[-1]


def recall(name: str, config: ProbeConfig, folder: Path) -> ProbeReport:
    """Pure recall, over words that were learned with and words that were not."""
    seed, counts = config.recipe.seed, (config.phrases,)
    tokenizer = train_tokenizer(
        recall_conversations(seed + 9, counts, syllables=config.syllables), config.vocabulary, 2_000
    )
    heldout = {
        KNOWN: recall_conversations(HELDOUT_SEED, counts),
        NEW: recall_conversations(HELDOUT_SEED, counts, Split.HELDOUT),
    }
    learned = recall_conversations(seed, counts, syllables=config.syllables)
    model, points = learn(learned, heldout, tokenizer, config, folder)
    return _report("recall", name, model, config, points)


def bind(name: str, config: ProbeConfig, library: Library, folder: Path) -> ProbeReport:
    """Invented templates and the ladder's; at the end generated replies to templates that were never seen."""
    seed = config.recipe.seed
    mixed = (
        conversation
        for pair in zip(
            _invented(config, seed + 9, Split.TRAIN, Difficulty()),
            ladder_conversations(library, config.mixture, seed),
            strict=False,
        )
        for conversation in pair
    )
    tokenizer = train_tokenizer(mixed, config.vocabulary, 6_000)
    learned = bind_conversations(library, config.mixture, seed, config.recipe.tokens, config.syllables)
    model, points = learn(learned, _kinds(config, library), tokenizer, config, folder)
    publish.save_weights(model, tokenizer, folder / "weights")
    say = greedy.speaker("executor", folder / "weights", Path())
    measures = (
        *invented_measures(say, config.mixture, config.trials),
        *ladder_measures(say, library, config.mixture, config.trials),
    )
    return _report("bind", name, model, config, points).model_copy(update={"measures": measures})


def _kinds(config: ProbeConfig, library: Library) -> dict[str, Iterator[Conversation]]:
    """The held-out tasks that a binding run is judged on while it learns."""
    seed, mixture = config.recipe.seed, config.mixture
    held = ladder_steps(mixture.held_families, Split.HELDOUT, seed)
    return {
        "invented, easy, new words": _invented(config, HELDOUT_SEED, Split.HELDOUT, EASY),
        "invented, known words": _invented(config, HELDOUT_SEED, Split.TRAIN, Difficulty()),
        "invented, new words": _invented(config, HELDOUT_SEED, Split.HELDOUT, Difficulty()),
        "ladder, kept families": ladder_conversations(library, mixture, seed, Split.HELDOUT),
        "ladder, held families": (
            learned_step(
                *lettered(request_of(problem, stage, library[stage.template_id]), stage, mixture), mixture.told
            )
            for problem, stage in held
        ),
    }


def _invented(config: ProbeConfig, seed: int, split: Split, level: Difficulty) -> Iterator[Conversation]:
    """Invented tasks as this run tells them, their words as every run's: what is made up more often is only learned."""
    return invented_conversations(seed, split, config.mixture.drawn(level, SYLLABLES_SHARE), config.mixture.told)


def _report(
    experiment: Experiment, name: str, model: nn.Module, config: ProbeConfig, points: tuple[Point, ...]
) -> ProbeReport:
    size = sum(parameter.numel() for parameter in model.parameters())
    return ProbeReport(experiment=experiment, name=name, parameters=size, settings=config, points=points)
