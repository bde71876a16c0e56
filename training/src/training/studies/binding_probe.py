"""Stage binding probe: can a tiny executor bind the variables of a template that it has never seen?

in    a template library, a config (`ProbeConfig`)
out   FOLDER/probe.json: settings, the curve over tokens, the measures at the end; FOLDER/weights
run   python -m training.studies.binding_probe recall --folder runs/recall      (seconds to minutes)
      python -m training.studies.binding_probe bind --folder runs/bind

Two experiments, the second only worth running where the first leaves chance:
  recall  k phrases with numbers in the text, asked for in another order; guessing a number of the text is right 1/k
  bind    invented templates (`training.studies.invented`), easy ones first, with the ladder's steps beside them.
          Measured on invented templates over held-out words, and on ladder families that were kept out of training
          altogether (no text, no template): with their template given, and without.

While it trains, replies are judged under teacher forcing: a reply whose every token is the first choice is what greedy
generation writes. At the end replies are generated, and a step is right when all its bindings are.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import typer
from pydantic import Field
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from evaluation.ladder import Split
from reasonflux.contracts import Contract
from training import publish, scratch
from training.corpus import Conversation, Library, request_of
from training.scratch import Batch, ModelShape, Recipe
from training.studies.binding_corpus import (
    EASY,
    BindMixture,
    bind_conversations,
    ladder_conversations,
    ladder_steps,
    recall_conversations,
)
from training.studies.binding_measures import HELDOUT_SEED, Measure, invented_measures, ladder_measures
from training.studies.invented import invented_conversations, learned_step
from training.tiny import read_library
from training.weights import greedy
from training.weights.tokenizer import train_tokenizer

_JUDGED_TOGETHER = Recipe(batch_tokens=4096)
_SAMPLE = 150


class ProbeConfig(Contract):
    """What a probe is made with."""

    shape: ModelShape = ModelShape(hidden=96, layers=3, heads=4, feed_forward=256)
    recipe: Recipe = Recipe(tokens=4_000_000, batch_tokens=1024)
    vocabulary: int = Field(default=2048, ge=300)
    phrases: int = Field(default=4, ge=2, description="recall: phrases in the text")
    mixture: BindMixture = BindMixture()
    measure_every: int = Field(default=500_000, ge=1, description="tokens")
    trials: int = Field(default=300, ge=1, description="bind: generated replies of each kind at the end")


class Judged(Contract):
    """Replies under teacher forcing."""

    steps: float
    """The share of replies of which every token is the first choice."""
    values: float
    """The share of numbers of which every digit is."""


class Point(Contract):
    """One place on the curve."""

    tokens: int
    steps: int
    loss: float
    cpu_minutes: float
    judged: dict[str, Judged]


class ProbeReport(Contract):
    experiment: str
    parameters: int
    settings: ProbeConfig
    points: tuple[Point, ...]
    measures: tuple[Measure, ...] = ()


# --- training with measurements -------------------------------------------------------------------------------------


def learn(
    conversations: Iterator[Conversation],
    heldout: Mapping[str, Iterator[Conversation]],
    tokenizer: PreTrainedTokenizerFast,
    config: ProbeConfig,
) -> tuple[LlamaForCausalLM, tuple[Point, ...]]:
    """The loop of `scratch.train`, short enough to need no checkpoints, with a curve for each kind of held-out task."""
    torch.set_num_threads(1)
    recipe, started = config.recipe, time.process_time()
    model = scratch.build(config.shape, tokenizer, recipe.seed)
    chosen = scratch.optimizers(model, recipe)
    samples = {
        kind: list(scratch.batches(islice(some, _SAMPLE), tokenizer, _JUDGED_TOGETHER))
        for kind, some in heldout.items()
    }
    stream = scratch.batches(conversations, tokenizer, recipe)
    points: list[Point] = []
    losses: list[float] = []
    seen = steps = 0
    while seen < recipe.tokens:
        batch = next(stream)
        losses.append(_step(model, chosen, batch, recipe, seen / recipe.tokens))
        seen, steps = seen + int(batch[2].sum()), steps + 1
        if seen >= config.measure_every * (len(points) + 1) or seen >= recipe.tokens:
            point = Point(
                tokens=seen,
                steps=steps,
                loss=round(sum(losses) / len(losses), 4),
                cpu_minutes=round((time.process_time() - started) / 60, 2),
                judged={kind: judged(model, sample, tokenizer) for kind, sample in samples.items()},
            )
            points.append(point)
            losses.clear()
            rights = "  ".join(f"{kind} {j.steps:.2f}/{j.values:.2f}" for kind, j in point.judged.items())
            print(f"{seen / 1e6:.2f}M tokens  loss {point.loss:.3f}  steps/values right: {rights}", flush=True)
    return model, tuple(points)


def _step(
    model: LlamaForCausalLM,
    chosen: Sequence[torch.optim.Optimizer],
    batch: Batch,
    recipe: Recipe,
    progress: float,
) -> float:
    share = scratch.schedule(progress, recipe)
    for optimizer, peak in zip(chosen, (recipe.muon_lr, recipe.adam_lr), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = peak * share
    loss = scratch.loss_of(model, batch)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in chosen:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


@torch.no_grad()
def judged(model: LlamaForCausalLM, sample: Sequence[Batch], tokenizer: PreTrainedTokenizerFast) -> Judged:
    """Which replies, and which numbers in them, are the model's first choice token by token."""
    digits = torch.tensor([tokenizer.convert_tokens_to_ids(str(digit)) for digit in range(10)])
    steps: list[bool] = []
    values: list[bool] = []
    for ids, labels, _ in sample:
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        targets = labels[:, 1:]
        right = (model.lm_head(hidden).argmax(-1) == targets) | (targets == -100)
        steps += [bool(row.all()) for row in right]
        for row, is_digit in zip(right, torch.isin(targets, digits), strict=True):
            values += _runs(row, is_digit)
    return Judged(steps=_share(steps), values=_share(values))


def _runs(right: Tensor, inside: Tensor) -> list[bool]:
    """For every unbroken run of places that are `inside`: whether all of it is right."""
    runs: list[bool] = []
    before = False
    for good, here in zip(right.tolist(), inside.tolist(), strict=True):
        if here and before:
            runs[-1] = runs[-1] and good
        elif here:
            runs.append(good)
        before = here
    return runs


def _share(found: Sequence[bool]) -> float:
    return round(sum(found) / max(1, len(found)), 4)


# --- running --------------------------------------------------------------------------------------------------------


def recall(config: ProbeConfig) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, ProbeReport]:
    """Pure recall, over words that were learned with and words that were not."""
    seed = config.recipe.seed
    tokenizer = train_tokenizer(recall_conversations(seed + 9, (config.phrases,)), config.vocabulary, 2_000)
    heldout = {
        "known words": recall_conversations(HELDOUT_SEED, (config.phrases,)),
        "new words": recall_conversations(HELDOUT_SEED, (config.phrases,), Split.HELDOUT),
    }
    model, points = learn(recall_conversations(seed, (config.phrases,)), heldout, tokenizer, config)
    return model, tokenizer, _report("recall", model, config, points)


def bind(config: ProbeConfig, library: Library) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, ProbeReport]:
    """Invented templates and the ladder's; the measures by generation are the caller's to add."""
    seed = config.recipe.seed
    mixed = (
        conversation
        for pair in zip(
            invented_conversations(seed + 9), ladder_conversations(library, config.mixture, seed), strict=False
        )
        for conversation in pair
    )
    tokenizer = train_tokenizer(mixed, config.vocabulary, 6_000)
    held = ladder_steps(config.mixture.held_families, Split.HELDOUT, seed)
    heldout = {
        "easy, new words": invented_conversations(HELDOUT_SEED, Split.HELDOUT, EASY),
        "known words": invented_conversations(HELDOUT_SEED),
        "new words": invented_conversations(HELDOUT_SEED, Split.HELDOUT),
        "kept families": ladder_conversations(library, config.mixture, seed, Split.HELDOUT),
        "held families": (
            learned_step(
                request_of(problem, stage, library[stage.template_id]), library[stage.template_id], stage.bindings
            )
            for problem, stage in held
        ),
    }
    model, points = learn(
        bind_conversations(library, config.mixture, seed, config.recipe.tokens), heldout, tokenizer, config
    )
    return model, tokenizer, _report("bind", model, config, points)


def _report(experiment: str, model: nn.Module, config: ProbeConfig, points: tuple[Point, ...]) -> ProbeReport:
    size = sum(parameter.numel() for parameter in model.parameters())
    return ProbeReport(experiment=experiment, parameters=size, settings=config, points=points)


app = typer.Typer(help=__doc__, no_args_is_help=True)
Config = Annotated[Path | None, typer.Option(help="JSON of a ProbeConfig; the defaults without")]
Folder = Annotated[Path, typer.Option(help="where the report and the weights go")]


@app.command("recall")
def recall_command(folder: Folder, config: Config = None) -> None:
    """Gate: does it learn to look a number up by its phrase?"""
    _written(folder, *recall(_read(config)))


@app.command("bind")
def bind_command(
    folder: Folder,
    config: Config = None,
    library: Annotated[Path, typer.Option(help="template library")] = Path("services/template-store/library"),
) -> None:
    """Does it bind the variables of templates that it has never seen?"""
    settings, templates = _read(config), read_library(library)
    model, tokenizer, report = bind(settings, templates)
    _written(folder, model, tokenizer, report)
    say = greedy.speaker("executor", folder / "weights", Path())
    measures = (
        *invented_measures(say, settings.trials),
        *ladder_measures(say, templates, settings.mixture, settings.trials),
    )
    _written(folder, model, tokenizer, report.model_copy(update={"measures": measures}))


def _read(config: Path | None) -> ProbeConfig:
    return ProbeConfig() if config is None else ProbeConfig.model_validate_json(config.read_text())


def _written(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, report: ProbeReport) -> None:
    publish.save_weights(model, tokenizer, folder / "weights")
    (folder / "probe.json").write_text(report.model_dump_json(indent=1))


if __name__ == "__main__":
    app()
