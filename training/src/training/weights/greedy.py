"""Greedy replies of trained weights on the CPU, many prompts at a time, without a server."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from reasonflux.engine import Message
from reasonflux.errors import InvalidRequest
from training.settings import Role, load
from training.stages import scratch
from training.weights.tokenizer import END, PAD

Say = Callable[[Sequence[list[Message]]], list[str]]
"""Prompts to replies, in order."""

_MAX_TOKENS: dict[Role, int] = {"navigator": 640, "executor": 256}


def speaker(role: Role, folder: Path, config: Path, batch: int = 32) -> Say:
    """Greedy replies of the weights in `folder`: a Hugging Face folder, or a role's folder in a run that still trains
    (`checkpoint.pt`; `config` tells its shape). Raises InvalidRequest when there are no weights."""
    torch.set_num_threads(1)
    return speaking(*_weights(role, folder, config), _MAX_TOKENS[role], batch)


def speaking(model: Any, tokenizer: PreTrainedTokenizerFast, max_tokens: int, batch: int = 32) -> Say:
    """Greedy replies of a model that is in memory."""
    model.eval()

    def say(prompts: Sequence[list[Message]]) -> list[str]:
        texts = [
            str(tokenizer.apply_chat_template([m.model_dump() for m in p], tokenize=False, add_generation_prompt=True))
            for p in prompts
        ]
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        replies = [""] * len(texts)
        for group in _groups(order, batch):
            for n, reply in zip(
                group, _generated(model, tokenizer, [texts[n] for n in group], max_tokens), strict=True
            ):
                replies[n] = reply
        return replies

    return say


def _groups(order: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.no_grad()
def _generated(model: Any, tokenizer: PreTrainedTokenizerFast, texts: list[str], longest: int) -> list[str]:
    encoded = tokenizer(
        texts,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=False,
        return_token_type_ids=False,
    )
    end, pad = (tokenizer.convert_tokens_to_ids(token) for token in (END, PAD))
    made = model.generate(
        **encoded, do_sample=False, max_new_tokens=longest, eos_token_id=end, pad_token_id=pad, use_cache=True
    )
    replies: list[str] = tokenizer.batch_decode(made[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    return replies


def _weights(role: Role, folder: Path, config: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    if (folder / "config.json").exists():
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return model, PreTrainedTokenizerFast.from_pretrained(folder)
    checkpoint = folder / "checkpoint.pt"
    if not checkpoint.exists():
        raise InvalidRequest(f"there are no weights in {folder}", hint="train them first: make train-tiny")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder.parent / "tokenizer")
    chosen = load(config).roles[role]
    state = torch.load(checkpoint, weights_only=True)
    print(f"{role}: a checkpoint after {state['seen'] / 1e6:.2f}M tokens", flush=True)
    model = scratch.build(chosen.shape, tokenizer, chosen.recipe.seed)
    model.load_state_dict(state["model"])
    return model, tokenizer
