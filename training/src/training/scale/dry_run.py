"""Dry run: the real trainers of a run file on a tiny stand-in of its architecture, then memory and time on paper.

in    a run file with `sft` and `budget`, and `dpo` where it has one; no weights, no corpus
out   two steps of each stage in a folder that is removed again; what was seen, and the budget tables
run   reasonflux train dry-run --config training/configs/qwen2.5-32b.yaml

What is the same as in the real run: the run file's own settings, its trainers, LoRA on the same matrices, the chat
template's shape, biases, tied or separate output matrix, rope, and how many query heads share a key head. What is not:
layers, widths and vocabulary are tiny, lengths and batches are cut, and weights are random.
"""

import json
import tempfile
from pathlib import Path
from random import Random

import torch
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from reasonflux.engine_port import Message
from reasonflux.errors import ReasonFluxError
from training.records import Pair, TrainingProblem
from training.running.sections import has_section, section
from training.scale import budget
from training.scale.architecture import Architecture
from training.stages import dpo, sft

STEPS = 2
LENGTH = 256
EXAMPLES = 24
CHAT_TEMPLATE = (
    "{%- if messages[0].role != 'system' -%}"
    "{{ '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
"""As Qwen2.5's, without its tools."""


class ArchitectureDiffers(ReasonFluxError):
    """The numbers in a run file do not make the model that they name."""


def run(config: Path, console: Console | None = None) -> None:
    """Build and step the trainers, then print the budget."""
    console = console or Console(width=130, highlight=False)
    shape = section(config, "budget", budget.BudgetConfig).architecture
    console.print(f"{shape.name}: {parameters_on_meta(shape):,} parameters, on paper and as transformers builds it")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        weights = try_sft(section(config, "sft", sft.SftConfig), shape, place)
        console.print(f"sft: {STEPS} steps of the real trainer, weights in one Hugging Face folder")
        if has_section(config, "dpo"):
            try_dpo(section(config, "dpo", dpo.DpoConfig), weights, place)
            console.print(f"dpo: {STEPS} steps of the real trainer on those weights")
    budget.show(config, console)


def parameters_on_meta(shape: Architecture) -> int:
    """The real architecture without memory for its weights. Raises ArchitectureDiffers when the paper is wrong."""
    with torch.device("meta"):
        model = Qwen2ForCausalLM(qwen_config(shape))
    built: int = sum(parameter.numel() for parameter in model.parameters())
    if built != shape.parameters:
        raise ArchitectureDiffers(
            f"{shape.name} has {built:,} parameters as transformers builds it, {shape.parameters:,} on paper",
            hint="compare budget.architecture with the model's config.json",
        )
    return built


def qwen_config(shape: Architecture) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
    )


def stand_in(shape: Architecture, folder: Path) -> Path:
    """Random weights of the same architecture, two layers of 16-wide heads, with a tokenizer made for it."""
    tokenizer = _tokenizer()
    sharing = shape.heads // shape.kv_heads
    small = shape.model_copy(
        update={
            "layers": 2,
            "kv_heads": 2,
            "heads": 2 * sharing,
            "hidden": 32 * sharing,
            "feed_forward": 64 * sharing,
            "vocabulary": len(tokenizer),
        }
    )
    config = qwen_config(small)
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((text for turns in _conversations() for _, text, _ in turns), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _conversations() -> list[list[tuple[str, str, bool]]]:
    """(role, content, learned): a plan that is shown and not learned, its correction, a result and a review."""
    rng = Random(0)
    return [
        [
            ("user", f"Solve: what is {a} times {b}, plus {a}?", False),
            ("assistant", f"Plan: add {a} and {b}.", False),
            ("user", "The template does not fit the statements.", False),
            ("assistant", f"Plan: multiply {a} by {b}, then add {a}.", True),
            ("user", f"Result: {a * b + a}.", False),
            ("assistant", "Finish.", True),
        ]
        for a, b in ((rng.randint(2, 99), rng.randint(2, 99)) for _ in range(EXAMPLES))
    ]


def try_sft(config: sft.SftConfig, shape: Architecture, place: Path) -> Path:
    """Two steps of the run file's sft on the stand-in, on the device that there is."""
    corpus = place / "corpus.jsonl"
    with corpus.open("w") as file:
        for turns in _conversations():
            messages = [{"role": role, "content": text, "learn": learn} for role, text, learn in turns]
            file.write(json.dumps({"messages": messages}) + "\n")
    changed = config.model_copy(
        update={
            "model": str(stand_in(shape, place / "stand-in")),
            "max_steps": STEPS,
            "max_length": min(config.max_length, LENGTH),
            "batch": min(config.batch, 2),
            "accumulation": min(config.accumulation, 2),
            "save_steps": STEPS,
            "log_steps": 1,
            "report_to": "none",
            **_without_accelerator(),
        }
    )
    return sft.run(changed, corpus, place / "sft", held_out=corpus)


def _without_accelerator() -> dict[str, object]:
    """Flash attention runs on GPUs only; packing goes with it."""
    return {} if torch.accelerator.is_available() else {"attention": "sdpa", "packing": False}


def try_dpo(config: dpo.DpoConfig, weights: Path, place: Path) -> Path:
    """Two steps of the run file's dpo on the weights that sft left."""
    pairs = place / "pairs.jsonl"
    with pairs.open("w") as file:
        file.writelines(pair.model_dump_json() + "\n" for pair in _pairs())
    changed = config.model_copy(
        update={
            "max_steps": STEPS,
            "max_length": min(config.max_length, LENGTH),
            "batch_size": min(config.batch_size, 2),
            "accumulate": min(config.accumulate, 2),
            "eval_every": 1,
            "report_every": 1,
        }
    )
    return dpo.run(changed, weights, pairs, place / "dpo")


def _pairs() -> list[Pair]:
    return [
        Pair(
            problem=TrainingProblem(id=f"problem-{number}", text=turns[0][1], answer="0"),
            prompt=(Message(role="user", content=turns[0][1]),),
            chosen=turns[3][1],
            rejected=turns[1][1],
            chosen_reward=1.0,
            rejected_reward=0.0,
            trials=4,
        )
        for number, turns in enumerate(_conversations())
    ]
