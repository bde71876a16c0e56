"""The portable SFT path: what is learned under any chat template, resuming, LoRA; memory and time on paper."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from rich.console import Console
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from reasonflux.errors import Conflict, InvalidRequest
from training.corpus import Turn
from training.running.sections import section
from training.scale import budget, dry_run
from training.scale.dry_run import parameters_on_meta, stand_in
from training.stages import sft
from training.weights.chat_tokens import IGNORED, ChatTurn, TokenExample, encode_chat
from training.weights.tokenizer import encode, train_tokenizer

CONFIGS = Path("training/configs")
BIG = ("qwen2.5-1.5b", "qwen2.5-7b", "qwen2.5-32b")
TALK = (
    ChatTurn(role="user", content="2 and 3?", learn=False),
    ChatTurn(role="assistant", content="a bad plan", learn=False),
    ChatTurn(role="user", content="it does not fit", learn=False),
    ChatTurn(role="assistant", content="a good plan", learn=True),
    ChatTurn(role="user", content="5", learn=False),
    ChatTurn(role="assistant", content="finish", learn=True),
)
REWRITING = (  # as Qwen3's drops the thoughts of earlier turns
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' and not loop.last -%}short{%- else -%}{{ message.content }}{%- endif -%}"
    "{{ '<|im_end|>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = section(CONFIGS / "qwen2.5-1.5b.yaml", "budget", budget.BudgetConfig).architecture
    return stand_in(shape.model_copy(update={"heads": 2, "kv_heads": 1}), tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(model)


def learned(example: TokenExample, tokenizer: PreTrainedTokenizerFast) -> str:
    return str(tokenizer.decode([label for label in example.labels if label != IGNORED]))


def test_only_turns_marked_as_learned_have_labels(tokenizer: PreTrainedTokenizerFast) -> None:
    (example,) = encode_chat(TALK, tokenizer)
    assert learned(example, tokenizer) == "a good plan<|im_end|>finish<|im_end|>"
    assert "a bad plan" in tokenizer.decode(example.input_ids)
    assert all(label in (IGNORED, token) for token, label in zip(example.input_ids, example.labels, strict=True))


def test_a_learned_turn_follows_the_very_tokens_that_an_engine_is_asked_with(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    (example,) = encode_chat(TALK, tokenizer)
    messages = [turn.model_dump(include={"role", "content"}) for turn in TALK[:5]]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer.encode(asked, add_special_tokens=False)
    assert example.input_ids[: len(ids)] == ids
    assert tokenizer.decode(example.input_ids[len(ids) :]) == "finish<|im_end|>"


def test_without_marks_the_assistant_is_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    turns = [ChatTurn(role=turn.role, content=turn.content) for turn in TALK[:2]]
    assert learned(encode_chat(turns, tokenizer)[0], tokenizer) == "a bad plan<|im_end|>"


def test_ids_and_labels_are_those_of_the_path_from_scratch() -> None:
    told = tuple(Turn(turn.role, turn.content, bool(turn.learn)) for turn in TALK)
    tiny = train_tokenizer([told] * 4, size=300, sample=4)
    (example,) = encode_chat(TALK, tiny)
    ids, labels = encode(told, tiny)
    assert (example.input_ids, example.labels) == (ids, labels)


def test_a_template_that_rewrites_earlier_turns_gives_each_learned_turn_its_own_example(model: Path) -> None:
    rewriting = PreTrainedTokenizerFast.from_pretrained(model)
    rewriting.chat_template = REWRITING
    found = encode_chat(TALK, rewriting)
    assert [learned(example, rewriting) for example in found] == ["a good plan<|im_end|>", "finish<|im_end|>"]
    assert "a good plan" not in rewriting.decode(found[1].input_ids)


def test_a_reply_that_would_be_cut_is_left_out_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    (whole,) = encode_chat(TALK, tokenizer)
    (cut,) = encode_chat(TALK, tokenizer, max_length=len(whole.input_ids) - 1)
    assert learned(cut, tokenizer) == "a good plan<|im_end|>"


def test_a_template_without_an_end_of_turn_is_refused(model: Path) -> None:
    endless = PreTrainedTokenizerFast.from_pretrained(model)
    endless.chat_template = "{%- for m in messages -%}{{ m.role + ': ' + m.content + '\n' }}{%- endfor -%}"
    with pytest.raises(InvalidRequest, match="learn to stop"):
        encode_chat(TALK[:4], endless)


def test_a_user_cannot_be_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InvalidRequest, match="role 'user'"):
        encode_chat([ChatTurn(role="user", content="x", learn=True)], tokenizer)


def corpus(folder: Path, size: int = 12) -> Path:
    path = folder / "corpus.jsonl"
    talks = [[turn.model_dump() for turn in TALK[:3]] for _ in range(size)]
    for number, talk in enumerate(talks):
        talk.append({"role": "assistant", "content": f"plan {number}", "learn": True})
    path.write_text("".join(json.dumps({"messages": talk, "source": "test"}) + "\n" for talk in talks))
    return path


def config(model: Path, **changed: object) -> sft.SftConfig:
    told = {
        "model": str(model),
        "learning_rate": 1e-2,
        "max_steps": 4,
        "max_length": 256,
        "batch": 2,
        "accumulation": 1,
        "save_steps": 2,
        "log_steps": 1,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    return sft.SftConfig.model_validate(told | changed)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict())


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], msg=name)


def test_a_stopped_run_goes_on_at_its_last_whole_checkpoint_to_the_same_weights(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = corpus(tmp_path), tmp_path / "run"
    straight = weights(sft.run(config(model), data, out, held_out=data))
    curve = (out / "curve.csv").read_text()
    shutil.rmtree(out / "weights")
    (out / "checkpoint-4" / "whole").unlink()  # as a kill while it is written leaves it
    (out / "checkpoint-4" / "model.safetensors").write_bytes(b"half")
    assert_same(weights(sft.run(config(model), data, out, held_out=data)), straight)
    assert "goes on at checkpoint-2" in capsys.readouterr().out
    assert [row.split(",")[:3] for row in (out / "curve.csv").read_text().splitlines()] == [
        row.split(",")[:3] for row in curve.splitlines()
    ]


def test_a_finished_run_returns_at_once_and_another_corpus_is_refused(model: Path, tmp_path: Path) -> None:
    data, out = corpus(tmp_path), tmp_path / "run"
    first = sft.run(config(model, max_steps=1), data, out)
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert sft.run(config(model, max_steps=1), data, out) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(Conflict, match="another config or corpus"):
        sft.run(config(model, max_steps=1), corpus(tmp_path, size=5), out)


def test_merged_weights_say_what_the_adapter_says(model: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    out = tmp_path / "run"
    merged = sft.run(config(model, lora={"rank": 2, "alpha": 4}), corpus(tmp_path), out)
    base = AutoModelForCausalLM.from_pretrained(model)
    untrained = base(torch.arange(3, 20)[None]).logits
    adapted = PeftModel.from_pretrained(base, out / "adapter")(torch.arange(3, 20)[None]).logits
    told = AutoModelForCausalLM.from_pretrained(merged)(torch.arange(3, 20)[None]).logits
    torch.testing.assert_close(told, adapted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(told, untrained, atol=1e-4)


def test_packing_without_flash_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="mix packed examples"):
        sft.SftConfig(model="m", packing=True, attention="sdpa")


@pytest.mark.parametrize("name", BIG)
def test_parameters_on_paper_are_those_that_transformers_builds(name: str) -> None:
    shape = section(CONFIGS / f"{name}.yaml", "budget", budget.BudgetConfig).architecture
    assert parameters_on_meta(shape) == shape.parameters


def rows(name: str, stage: str, method: str) -> dict[tuple[str, int], budget.Estimate]:
    path = CONFIGS / f"{name}.yaml"
    told = budget.estimates(section(path, "sft", sft.SftConfig), section(path, "budget", budget.BudgetConfig))
    return {(row.sharding, row.gpus): row for row in told if (row.stage, row.method) == (stage, method)}


def test_sharded_states_shrink_with_the_gpus_and_hold_sixteen_bytes_a_parameter() -> None:
    full = rows("qwen2.5-7b", "sft", "full")
    assert full["fsdp2", 8].states == pytest.approx(16 * 7_615_616_512 / 8)
    assert full["fsdp2", 4].states == pytest.approx(2 * full["zero3", 8].states)


def test_each_config_fits_where_its_comment_says() -> None:
    assert rows("qwen2.5-1.5b", "sft", "full")["none", 1].fits
    assert rows("qwen2.5-7b", "sft", "full")["fsdp2", 4].fits
    assert rows("qwen2.5-7b", "sft", "lora")["none", 1].fits
    assert rows("qwen2.5-32b", "sft", "lora")["fsdp2", 8].fits
    assert not rows("qwen2.5-32b", "sft", "full")["fsdp2", 8].fits


def test_reference_log_probs_computed_beforehand_save_the_reference() -> None:
    kept = rows("qwen2.5-7b", "dpo", "full")["fsdp2", 8]
    saved = rows("qwen2.5-7b", "dpo, precomputed", "full")["fsdp2", 8]
    assert kept.total - saved.total == pytest.approx(2 * 7_615_616_512 / 8)


def test_the_dry_run_steps_the_real_trainer_of_the_32b_config_and_shows_the_budget() -> None:
    console = Console(width=130, record=True, quiet=True)
    dry_run.run(CONFIGS / "qwen2.5-32b.yaml", console)


@pytest.mark.parametrize(("name", "keys"), [("fsdp2", "fsdp_config"), ("deepspeed-zero3", "deepspeed_config")])
def test_accelerate_knows_every_key_of_its_config(name: str, keys: str) -> None:
    read = load_config_from_file(str(CONFIGS / "accelerate" / f"{name}.yaml"))
    told: dict[str, object] = getattr(read, keys)
    known = vars(launch_command_parser().parse_args(["script.py"]))
    assert unknown(told, known) == []


def unknown(told: dict[str, object], known: dict[str, object]) -> Sequence[str]:
    return [key for key in told if key not in known]
