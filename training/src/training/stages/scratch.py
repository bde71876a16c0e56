"""Stage sft, one model from scratch: a tiny Llama-architecture model trained from nothing, on one CPU core.

in    a stream of conversations that is longer than the recipe, held-out conversations, the tokenizer, a shape and a
      recipe (`roles` of a run's config)
out   <folder>/checkpoint.pt (resumable) and <folder>/curve.csv; the model is returned, and `training.stages.tiny`
      writes weights/ and curve.png beside them
run   reasonflux train sft --config training/configs/tiny-cpu.yaml   (`training.stages.tiny` trains every role with it)

Muon for the matrices and AdamW for the rest; a short warm-up, a flat part, a linear decay; batches of conversations of
like length, about `batch_tokens` each. Conversations are made as they are used, of new problems; only structure data
comes again.

Not as in the paper, which tunes a pretrained navigator of 32B parameters and takes its executor as it is: here both
roles are learned from random weights, and speak their protocol only.
"""

import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.corpus import Conversation
from training.weights.tokenizer import END, PAD, encode

BUFFER = 512  # conversations sorted by length at a time
HELDOUT_BATCHES = 16


@dataclass(frozen=True)
class ModelShape:
    hidden: int = 128
    layers: int = 5
    heads: int = 4
    feed_forward: int = 384
    positions: int = 2048
    rope_theta: float = 100.0
    """Of rotary positions. Transformers' 10,000 is for long texts. Looking a number up by its phrase among four is
    right 68% of the time with 100 and 55% with 10,000 over words that were learned, but 29% and 50% over new ones
    (1.2M tokens, `reasonflux train study binding`)."""


@dataclass(frozen=True)
class Recipe:
    tokens: int = 6_000_000
    batch_tokens: int = 2_048
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    warm_up: float = 0.02
    flat: float = 0.5
    weight_decay: float = 0.01
    report_every: int = 300
    seed: int = 0


Batch = tuple[Tensor, Tensor, Tensor]


def build(shape: ModelShape, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A randomly initialised model that vLLM can serve: head size hidden/heads, tied embeddings.

    Llama with biases is Qwen2's arithmetic; but whoever loads a tokenizer beside a Qwen2 config gets Qwen2's own way to
    split words, whatever its file says (transformers 5), and a model then reads other tokens than it learned.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        attention_bias=True,
        max_position_embeddings=shape.positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    # On a CPU the backward pass of fused attention in bfloat16 takes half of a step; written out it is 1.5x faster.
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config)


def batches(
    conversations: Iterator[Conversation], tokenizer: PreTrainedTokenizerFast, recipe: Recipe
) -> Iterator[Batch]:
    """(ids, labels, mask) of shape (conversations, longest), right-padded, for as long as there are conversations."""
    rng = Random(recipe.seed)
    pad = tokenizer.convert_tokens_to_ids(PAD)
    while True:
        encoded = sorted((encode(c, tokenizer) for c in islice(conversations, BUFFER)), key=lambda e: len(e[0]))
        if not encoded:
            return
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for item in encoded:
            if groups[-1] and (len(groups[-1]) + 1) * len(item[0]) > recipe.batch_tokens:
                groups.append([])
            groups[-1].append(item)
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            ids = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in group])
            labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in group])
            mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in group])
            yield ids, labels, mask


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def schedule(progress: float, recipe: Recipe) -> float:
    """The share of the peak learning rate at `progress` in 0…1."""
    if progress < recipe.warm_up:
        return progress / recipe.warm_up
    if progress < recipe.flat:
        return 1.0
    return max(0.0, (1.0 - progress) / (1.0 - recipe.flat))


def loss_of(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Mean cross-entropy over learned tokens. Right padding under a causal mask needs no attention mask."""
    ids, labels, _ = batch
    targets = labels[:, 1:]
    learned = targets != -100
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[learned])
    return nn.functional.cross_entropy(logits.float(), targets[learned])


@torch.no_grad()
def exact_match(model: LlamaForCausalLM, sample: list[Batch]) -> float:
    """The share of conversations whose every learned token is the model's first choice."""
    right = total = 0
    for ids, labels, _ in sample:
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        first = model.lm_head(hidden).argmax(-1)
        targets = labels[:, 1:]
        right += int(((first == targets) | (targets == -100)).all(dim=1).sum())
        total += len(ids)
    return right / max(1, total)


def train(
    conversations: Iterator[Conversation],
    heldout: Iterator[Conversation],
    tokenizer: PreTrainedTokenizerFast,
    shape: ModelShape,
    recipe: Recipe,
    folder: Path,
) -> LlamaForCausalLM:
    """Train until `recipe.tokens` are seen; picks up at the last checkpoint in `folder`."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    model = build(shape, tokenizer, recipe.seed)
    chosen = optimizers(model, recipe)
    seen, step, started = _resume(folder, model, chosen)
    stream = batches(conversations, tokenizer, recipe)
    for _ in range(step):  # the same seed gives the same stream: skip what was learned before the break
        next(stream)
    sample = list(islice(batches(heldout, tokenizer, recipe), HELDOUT_BATCHES))
    size = sum(p.numel() for p in model.parameters())
    print(f"{size / 1e6:.2f}M parameters, {len(tokenizer)} tokens of vocabulary, {recipe.tokens / 1e6:.1f}M to see")
    losses: list[float] = []
    began = time.process_time()
    while seen < recipe.tokens:
        batch = next(stream)
        share = schedule(seen / recipe.tokens, recipe)
        for optimizer, peak in zip(chosen, (recipe.muon_lr, recipe.adam_lr), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share
        loss = loss_of(model, batch)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seen += int(batch[2].sum())
        step += 1
        if step % recipe.report_every == 0:
            cpu = started + time.process_time() - began
            row = (step, seen, sum(losses) / len(losses), exact_match(model, sample), cpu / 60)
            print(
                f"{folder.name}  step {step}  {seen / recipe.tokens:.0%}  loss {row[2]:.4f}  "
                f"held-out exact {row[3]:.3f}  cpu-min {row[4]:.1f}",
                flush=True,
            )
            losses.clear()
            _record(folder, row)
            _checkpoint(folder, model, chosen, seen, step, cpu)
    _checkpoint(folder, model, chosen, seen, step, started + time.process_time() - began)
    return model


def _record(folder: Path, row: tuple[float, ...]) -> None:
    path = folder / "curve.csv"
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(("step", "tokens", "loss", "heldout_exact", "cpu_minutes"))
        writer.writerow(row)


def _checkpoint(
    folder: Path, model: nn.Module, chosen: list[torch.optim.Optimizer], seen: int, step: int, cpu: float
) -> None:
    """Written beside and moved into place, so that a kill leaves the last whole one."""
    state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in chosen]}
    torch.save({**state, "seen": seen, "step": step, "cpu": cpu}, folder / "checkpoint.tmp")
    (folder / "checkpoint.tmp").replace(folder / "checkpoint.pt")


def _resume(folder: Path, model: nn.Module, chosen: list[torch.optim.Optimizer]) -> tuple[int, int, float]:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0, 0, 0.0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(chosen, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["seen"], state["step"], state["cpu"]
