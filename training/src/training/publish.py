"""Stage publish: a trained model becomes a folder that vLLM serves."""

import shutil
from pathlib import Path

import matplotlib as mpl
import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

MAX_BYTES = 12_000_000

_KEPT = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_OPTIONAL = ("chat_template.jinja",)


def save_weights(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """bf16 safetensors and the tokenizer with its chat template, as Hugging Face lays them out."""
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def publish(role: str, trained: Path, target: Path) -> None:
    """Copy a role's weights to where the engine loads them, and draw its curve."""
    size = (trained / "weights" / "model.safetensors").stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{role}: {size} bytes of weights are more than the {MAX_BYTES} that may be shipped")
    target.mkdir(parents=True, exist_ok=True)
    for name in (*_KEPT, *_OPTIONAL):
        if (trained / "weights" / name).exists() or name in _KEPT:
            shutil.copyfile(trained / "weights" / name, target / name)
    plot(role, trained / "curve.csv", target / "curve.png")
    print(f"{role}: {size / 1e6:.1f} MB in {target}")


def plot(role: str, curve: Path, target: Path) -> None:
    """Training loss and held-out exact match against tokens seen."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = [line.split(",") for line in curve.read_text().splitlines()[1:]]
    tokens = [float(row[1]) / 1e6 for row in rows]
    figure, loss = plt.subplots(figsize=(7, 4))
    loss.plot(tokens, [float(row[2]) for row in rows], color="tab:blue", label="training loss")
    loss.set(xlabel="million tokens", ylabel="training loss (log)", yscale="log", title=f"reasonflux-tiny {role}")
    exact = loss.twinx()
    exact.plot(tokens, [100 * float(row[3]) for row in rows], color="tab:orange", label="held-out exact")
    exact.set(ylabel="held-out conversations exact, %", ylim=(0, 100))
    figure.legend(loc="center right")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)
