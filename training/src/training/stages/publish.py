"""Stage publish: trained weights become what an engine loads, if they are better than those before.

in    a trained model or LoRA adapter; its outcomes and the published weights' on the same held-out problems; a card
out   a version in the role's registry (`training.weights.registry`), and the plain folder that copies it, if any
run   reasonflux train publish …

A version is switched to only after its folder was loaded and its chat template rendered. `Registry.rollback` undoes it.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from pydantic import Field
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from reasonflux.errors import InvalidRequest, ReasonFluxError
from training.reporting.model_card import Card, render
from training.reporting.scores import Decision, GateConfig, Scores
from training.reporting.scores import gate as gate
from training.running.fingerprints import contents
from training.weights.registry import Registry, Version

MAX_BYTES = 12_000_000

_KEPT = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
"""What an engine reads. Optimizer states, checkpoints and pickles stay behind."""


class WeightsUnusable(ReasonFluxError):
    """A folder of weights that an engine could not serve."""


class PublishConfig(GateConfig):
    """The publish section of a run's config: the gate, and how large the weights may be."""

    max_bytes: int | None = Field(default=MAX_BYTES, ge=1, description="of all weights together; null is no limit")
    base: str | None = Field(default=None, description="an adapter's base model, where its own config names another")


def save_weights(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """bf16 safetensors and the tokenizer with its chat template, as Hugging Face lays them out."""
    model.config.use_cache = True  # trainers turn it off, and who generates wants it on
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def publish_if_better(
    config: PublishConfig,
    role: str,
    trained: Path,
    registry: Registry,
    new: Scores,
    previous: Scores | None,
    card: Card,
) -> Decision:
    """The gate, then `publish`. The current version's own scores on the same problems are what new weights must beat;
    `previous` stands in where it has none: weights that came from elsewhere, or were published on other problems.

    Raises InvalidRequest when there are published weights and nothing says how good they are.
    """
    current = registry.adopted(role)
    if current is not None and contents(*_safetensors(_source(trained))) == contents(
        *_safetensors(registry.at(current.number))
    ):
        return Decision(publish=True, reason=f"version {current.number} holds these weights already")
    known = current.scores if current is not None else None
    if known is not None and (previous is None or known.outcomes.keys() == new.outcomes.keys()):
        previous = known
    if previous is None and current is not None:
        raise InvalidRequest(
            f"nothing says how good the published {role} is (version {current.number}, {current.reason})",
            hint="evaluate it on the same held-out problems and give its scores as the previous ones",
        )
    decision = gate(previous, new, config.minimal_gain, config.confidence, proven=config.proven)
    print(f"{role}: {'published' if decision.publish else 'not published'}: {decision.reason}", flush=True)
    if decision.publish:
        told = card.model_copy(update={"decision": decision.reason})
        publish(
            role,
            trained,
            registry,
            card=told,
            scores=new,
            reason=decision.reason,
            max_bytes=config.max_bytes,
            base=config.base,
        )
    return decision


def publish(
    role: str,
    trained: Path,
    target: Path | Registry,
    *,
    card: Card | None = None,
    scores: Scores | None = None,
    reason: str = "asked for",
    max_bytes: int | None = MAX_BYTES,
    base: str | None = None,
) -> Version:
    """Publish without a gate, and draw the training curve beside the weights where there is one.

    `trained` holds the weights, or a folder `weights` with them. A target that is a path is a plain folder; its
    versions are kept in `published/<role>` beside `trained`.
    """
    registry = target if isinstance(target, Registry) else Registry(trained.parent / "published" / role, copy=target)
    source = _source(trained)
    size = sum(path.stat().st_size for path in _safetensors(source))
    if max_bytes is not None and size > max_bytes:
        raise InvalidRequest(
            f"{role}: {size} bytes of weights are more than the {max_bytes} that may be published",
            hint="train a smaller shape, or raise publish.max_bytes in the config",
        )

    def build(folder: Path) -> None:
        for path in sorted({path for pattern in _KEPT for path in source.glob(pattern)}):
            shutil.copyfile(path, folder / path.name)
        if _is_tokens_seen(trained / "curve.csv"):
            plot(role, trained / "curve.csv", folder / "curve.png")
        elif (trained / "curve.png").exists():
            shutil.copyfile(trained / "curve.png", folder / "curve.png")
        if card is not None:
            (folder / "README.md").write_text(render(card))
        verify(folder, base)

    version = registry.add(role, build, reason, scores)
    print(f"{role}: version {version.number}, {size / 1e6:.1f} MB in {registry.copy or registry.link}", flush=True)
    return version


def _source(trained: Path) -> Path:
    source = trained / "weights" if (trained / "weights").is_dir() else trained
    if not _safetensors(source):
        raise WeightsUnusable(
            f"there are no safetensors in {source}", hint="run the stage that trains it first, or name its folder"
        )
    return source


def _safetensors(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


# --- the check before the switch ------------------------------------------------------------------------------------


@torch.no_grad()
def verify(folder: Path, base: str | None = None) -> None:
    """Load the folder as an engine does and let it read one rendered message. Raises WeightsUnusable."""
    try:
        model = _adapted(folder, base) if (folder / "adapter_config.json").exists() else _whole(folder)
        tokenizer = AutoTokenizer.from_pretrained(_tokenizer_folder(folder, base))
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": "1 + 1"}], add_generation_prompt=True, return_dict=False
        )
        logits = model(input_ids=torch.tensor([ids])).logits
        ends = model.generation_config.eos_token_id
    except WeightsUnusable:
        raise
    except Exception as error:  # loading reads foreign files, and fails in as many ways
        raise _unusable(folder, " ".join(str(error).split())[:300] or type(error).__name__) from error
    if not ids or not bool(torch.isfinite(logits).all()):
        raise _unusable(folder, "the first message gives no finite logits")
    if ends is None:
        raise _unusable(folder, "no token ends a reply (eos_token_id in generation_config.json)")


def _whole(folder: Path) -> Any:
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", local_files_only=True, output_loading_info=True
    )
    odd = sorted(
        {*map(str, info["missing_keys"]), *map(str, info["unexpected_keys"]), *map(str, info["mismatched_keys"])}
    )
    if odd:  # transformers only warns, and fills what is missing with random numbers
        raise _unusable(folder, f"its weights do not fit its config: {', '.join(odd[:5])}")
    return model.eval()


def _adapted(folder: Path, base: str | None) -> Any:
    from peft import PeftModel, load_peft_weights
    from peft.utils import set_peft_model_state_dict

    model = AutoModelForCausalLM.from_pretrained(base or _base_of(folder), dtype="auto")
    adapted = PeftModel.from_pretrained(model, folder)
    found = set_peft_model_state_dict(adapted, load_peft_weights(str(folder), device="cpu"))
    odd = [*found.unexpected_keys, *(key for key in found.missing_keys if "lora_" in key)]
    if odd:
        raise _unusable(folder, f"the adapter does not fit its base: {', '.join(odd[:5])}")
    return adapted.eval()


def _tokenizer_folder(folder: Path, base: str | None) -> str:
    """An adapter may leave the tokenizer to its base."""
    alone = not (folder / "tokenizer_config.json").exists() and (folder / "adapter_config.json").exists()
    return (base or _base_of(folder)) if alone else str(folder)


def _base_of(folder: Path) -> str:
    return str(json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"])


def _unusable(folder: Path, why: str) -> WeightsUnusable:
    return WeightsUnusable(
        f"the weights in {folder.parent.name}/{folder.name} cannot be served: {why}",
        hint="nothing was switched; train or save them again",
    )


# --- the curve ------------------------------------------------------------------------------------------------------


def _is_tokens_seen(curve: Path) -> bool:
    """Whether this is the curve of training from scratch; the other stages draw their own."""
    return curve.exists() and curve.read_text().startswith("step,tokens,")


def plot(role: str, curve: Path, target: Path) -> None:
    """Training loss and held-out exact match against tokens seen; nothing where a short run has recorded none."""
    if not curve.exists():
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = [line.split(",") for line in curve.read_text().splitlines()[1:]]
    tokens = [float(row[1]) / 1e6 for row in rows]
    figure, loss = plt.subplots(figsize=(7, 4))
    loss.plot(tokens, [float(row[2]) for row in rows], color="tab:blue", label="training loss")
    loss.set(xlabel="million tokens", ylabel="training loss (log)", yscale="log", title=f"{role}, from scratch")
    exact = loss.twinx()
    exact.plot(tokens, [100 * float(row[3]) for row in rows], color="tab:orange", label="held-out exact")
    exact.set(ylabel="held-out conversations exact, %", ylim=(0, 100))
    figure.legend(loc="center right")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)
