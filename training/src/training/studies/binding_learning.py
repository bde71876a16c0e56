"""How a binding probe learns: the loop of `training.stages.scratch` with a curve for each kind of held-out task.

While it trains, replies are judged under teacher forcing: a reply whose every token is the first choice is what greedy
generation writes. A run that is stopped goes on at its last measured point.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from reasonflux.contracts import Contract
from training.corpus import Conversation
from training.stages import scratch
from training.stages.scratch import Batch, ModelShape, Recipe
from training.studies.binding_corpus import BindMixture
from training.studies.invented import SYLLABLES_SHARE

CHECKPOINT = "checkpoint.pt"
_JUDGED_TOGETHER = Recipe(batch_tokens=4096)
_SAMPLE = 150


class ProbeConfig(Contract):
    """What a probe is made with."""

    shape: ModelShape = ModelShape(hidden=96, layers=3, heads=4, feed_forward=256)
    recipe: Recipe = Recipe(tokens=4_000_000, batch_tokens=1024)
    vocabulary: int = Field(default=2048, ge=300)
    phrases: int = Field(default=4, ge=2, description="recall: phrases in the text")
    syllables: float = Field(
        default=SYLLABLES_SHARE, ge=0, le=1, description="learned words that are made up; tried words stay"
    )
    mixture: BindMixture = BindMixture()
    measure_every: int = Field(default=500_000, ge=1, description="tokens")
    trials: int = Field(default=300, ge=1, description="bind: generated replies of each kind at the end")


class Judged(Contract):
    """Replies under teacher forcing, an entry each."""

    whole: tuple[bool, ...]
    """Whether every token is the first choice."""
    numbers: tuple[int, ...]
    """How many numbers it has."""
    right: tuple[int, ...]
    """Of how many of these every digit is the first choice."""

    @property
    def shares(self) -> list[float]:
        """Of each reply, the share of its numbers that are right."""
        return [right / numbers for right, numbers in zip(self.right, self.numbers, strict=True) if numbers]


class Point(Contract):
    """One place on the curve."""

    tokens: int
    steps: int
    loss: float
    cpu_minutes: float
    judged: dict[str, Judged]


@dataclass
class _Learning:
    """A run as it goes: everything that its checkpoint holds."""

    model: LlamaForCausalLM
    chosen: list[torch.optim.Optimizer]
    path: Path
    seen: int = 0
    steps: int = 0
    cpu: float = 0.0
    points: list[Point] = field(default_factory=list)

    def keep(self) -> None:
        """Written beside and moved into place, so that a kill leaves the last whole one."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.chosen],
            "counts": [self.seen, self.steps, self.cpu],
            "points": [point.model_dump_json() for point in self.points],
        }
        beside = self.path.with_suffix(".tmp")
        torch.save(state, beside)
        beside.replace(self.path)

    def go_on(self) -> None:
        if not self.path.exists():
            return
        state: dict[str, Any] = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.chosen, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.seen, self.steps, self.cpu = state["counts"]
        self.points = [Point.model_validate_json(point) for point in state["points"]]


def learn(
    conversations: Iterator[Conversation],
    heldout: Mapping[str, Iterator[Conversation]],
    tokenizer: PreTrainedTokenizerFast,
    config: ProbeConfig,
    folder: Path,
) -> tuple[LlamaForCausalLM, tuple[Point, ...]]:
    """Train until `recipe.tokens` are seen, with a curve for each kind of held-out task; picks up at the checkpoint."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = config.recipe
    model = scratch.build(config.shape, tokenizer, recipe.seed)
    run = _Learning(model, scratch.optimizers(model, recipe), folder / CHECKPOINT)
    run.go_on()
    samples = {
        kind: list(scratch.batches(islice(some, _SAMPLE), tokenizer, _JUDGED_TOGETHER))
        for kind, some in heldout.items()
    }
    stream = scratch.batches(conversations, tokenizer, recipe)
    for _ in range(run.steps):  # the same seed gives the same stream: skip what was learned before the break
        next(stream)
    began, losses = time.process_time() - run.cpu, list[float]()
    while run.seen < recipe.tokens:
        batch = next(stream)
        losses.append(_step(model, run.chosen, batch, recipe, run.seen / recipe.tokens))
        run.seen, run.steps = run.seen + int(batch[2].sum()), run.steps + 1
        if run.seen >= config.measure_every * (len(run.points) + 1) or run.seen >= recipe.tokens:
            run.cpu = time.process_time() - began
            run.points.append(_point(run, losses, samples, tokenizer))
            run.keep()
            losses.clear()
    return model, tuple(run.points)


def _point(
    run: _Learning, losses: Sequence[float], samples: Mapping[str, Sequence[Batch]], tokenizer: PreTrainedTokenizerFast
) -> Point:
    point = Point(
        tokens=run.seen,
        steps=run.steps,
        loss=round(sum(losses) / len(losses), 4),
        cpu_minutes=round(run.cpu / 60, 2),
        judged={kind: judged(run.model, sample, tokenizer) for kind, sample in samples.items()},
    )
    told = (
        f"{kind} {sum(j.whole) / max(1, len(j.whole)):.2f}/{sum(j.right) / max(1, sum(j.numbers)):.2f}"
        for kind, j in point.judged.items()
    )
    print(f"{run.seen / 1e6:.2f}M tokens  loss {point.loss:.3f}  steps/numbers right: {'  '.join(told)}", flush=True)
    return point


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
    """Which replies, and how many numbers in each, are the model's first choice token by token."""
    digits = torch.tensor([tokenizer.convert_tokens_to_ids(str(digit)) for digit in range(10)])
    whole: list[bool] = []
    found: list[list[bool]] = []
    for ids, labels, _ in sample:
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        targets = labels[:, 1:]
        right = (model.lm_head(hidden).argmax(-1) == targets) | (targets == -100)
        whole += [bool(row.all()) for row in right]
        found += [_runs(row, is_digit) for row, is_digit in zip(right, torch.isin(targets, digits), strict=True)]
    return Judged(whole=tuple(whole), numbers=tuple(map(len, found)), right=tuple(map(sum, found)))


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
