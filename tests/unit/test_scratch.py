"""The from-scratch path at the smallest size that still learns."""

from itertools import cycle, islice
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from reasonflux.errors import InvalidRequest
from training.corpus import Conversation, Turn
from training.stages import publish, scratch
from training.stages.scratch import ModelShape, Recipe
from training.weights.tokenizer import END, encode, train_tokenizer

SHAPE = ModelShape(hidden=32, layers=1, heads=1, feed_forward=64, positions=256)


def sums() -> list[Conversation]:
    return [
        (Turn("user", f"say {n}"), Turn("assistant", f'{{"n":"{n}"}}', learn=True), Turn("user", "thanks"))
        for n in range(10, 60)
    ]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(sums(), size=300, sample=50)


@pytest.mark.parametrize("text", ["12345", r"\frac{1}{2} \theta", '{"a":["s1","r2"]}', "π ≈ 22/7\n\nünïcode 🙂"])
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_digits_stay_single(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer.encode("1234567", add_special_tokens=False)) == 7


def test_what_is_encoded_is_what_the_chat_template_renders(tokenizer: PreTrainedTokenizerFast) -> None:
    conversation = sums()[0]
    messages = [{"role": turn.role, "content": turn.content} for turn in conversation]
    ids, labels = encode(conversation, tokenizer)
    assert ids == tokenizer.apply_chat_template(messages, return_dict=False)
    learned = tokenizer.decode([label for label in labels if label != -100])
    assert learned == conversation[1].content + END


def test_batches_hold_every_conversation_padded_to_the_longest(tokenizer: PreTrainedTokenizerFast) -> None:
    recipe = Recipe(batch_tokens=64)
    seen = 0
    for ids, labels, mask in islice(scratch.batches(cycle(sums()), tokenizer, recipe), 5):
        assert ids.shape == labels.shape == mask.shape
        assert ids.numel() <= 64
        assert bool((labels[mask == 0] == -100).all())
        seen += len(ids)
    assert seen > 5


def test_the_schedule_warms_up_stays_flat_and_decays_to_nothing() -> None:
    recipe = Recipe(warm_up=0.1, flat=0.5)
    shares = [scratch.schedule(progress, recipe) for progress in (0.0, 0.05, 0.1, 0.4, 0.75, 1.0)]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.5, 0.0])


def train(folder: Path, tokenizer: PreTrainedTokenizerFast, tokens: int) -> LlamaForCausalLM:
    recipe = Recipe(tokens=tokens, batch_tokens=256, muon_lr=0.02, adam_lr=1e-2, report_every=5, flat=2.0)
    return scratch.train(cycle(sums()), iter(sums()), tokenizer, SHAPE, recipe, folder)


def test_a_model_learns_and_its_curve_is_kept(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    train(tmp_path, tokenizer, 20_000)
    rows = [line.split(",") for line in (tmp_path / "curve.csv").read_text().splitlines()]
    assert rows[0] == ["step", "tokens", "loss", "heldout_exact", "cpu_minutes"]
    losses = [float(row[2]) for row in rows[1:]]
    assert losses[-1] < 0.5 * losses[0]


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    whole = train(tmp_path / "whole", tokenizer, 8_000)
    train(tmp_path / "stopped", tokenizer, 4_000)
    resumed = train(tmp_path / "stopped", tokenizer, 8_000)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_published_weights_load_again_and_are_the_same(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    model = train(tmp_path / "run", tokenizer, 3_000)
    publish.save_weights(model, tokenizer, tmp_path / "run" / "weights")
    publish.publish("navigator", tmp_path / "run", tmp_path / "shipped")
    loaded = LlamaForCausalLM.from_pretrained(tmp_path / "shipped", dtype=torch.bfloat16)
    saved = model.to(torch.bfloat16).state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path / "shipped")
    messages = [{"role": "user", "content": "say 12"}]
    assert again.apply_chat_template(messages, add_generation_prompt=True, tokenize=False).endswith("<|assistant|>")
    assert (tmp_path / "shipped" / "curve.png").stat().st_size > 1_000


def test_weights_that_are_too_large_to_ship_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    with (weights / "model.safetensors").open("wb") as file:
        file.truncate(publish.MAX_BYTES + 1)
    with pytest.raises(InvalidRequest, match="may be published"):
        publish.publish("navigator", tmp_path, tmp_path / "published")
