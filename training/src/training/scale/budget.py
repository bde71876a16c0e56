"""Memory and time on paper for the stages of a run file: what fits on how many GPUs, and how long it takes.

in    a run file's sections `sft`, `budget` and, where it has them, `dpo`
out   a table: bytes on the fullest GPU by what they hold, tokens a second, hours
run   python -m training.scale.budget --config training/configs/qwen2.5-7b.yaml

Where the formulas come from (bytes a parameter, then a token; P parameters, N GPUs):
- Trained weights, ZeRO paper (arXiv 1910.02054, section 3.1): with AdamW 16 bytes: fp32 weight 4, gradient 4, two
  moments 8 (FSDP2 under bf16 mixed precision), or bf16 weight 2, gradient 2, fp32 weight 4, moments 8 (DeepSpeed).
  Both shard all of it by N. On one GPU without sharding autocast keeps bf16 copies of the weights: 2 more.
- LoRA (arXiv 2106.09685): the frozen base in bf16, 2; the adapters, r·(in+out) a matrix, 16.
- Gathered at one time: FSDP2 two decoder layers in bf16 (the one in use and the next one) and the embedding and output
  matrices, with full training their gradients too; ZeRO-3 holds up to `stage3_max_live_parameters`, 1e9 by default.
- Activations (arXiv 2205.05198, section 4, for a Llama-like layer with flash attention): a layer's own set is 16h for
  the two norms that compute in fp32 and the residual, 4d(a+k) for queries, keys, values and attention's output, 8f for
  the gated MLP (h hidden, d head size, a heads, k key-value heads, f feed-forward). With gradient checkpointing: 2h a
  layer, and one layer's set twice (values and their gradients). Without: every layer's set.
- The loss: TRL's fused output layer computes logits in tiles of 4,096 tokens × 32,768 words in fp32, two at a time.
- Operations a token (PaLM, arXiv 2204.02311, appendix B; causal attention halves its term): 6M + 6·L·a·d·s for full
  training, M the parameters that are multiplied; LoRA saves the frozen weights' gradients, 4M; a forward pass 2M.
  Recomputing for gradient checkpointing is not counted: it is in the assumed utilisation, as MFU is defined there.
- A batch takes as long as the slower of computing and of moving weights: 3 (full) or 2 (LoRA) times 2P bytes.
- DPO (TRL): chosen and rejected go through together, so twice the tokens; a reference in bf16 beside the policy and its
  forward pass, unless its log-probabilities are computed beforehand; with LoRA it is the base itself.
- vLLM: bf16 weights and the CUDA graphs, the rest of its share for keys and values: 4·L·k·d a token. Decoding is bound
  by memory: each step reads the weights and every sequence's keys and values once.

All of this is paper: no GPU has run it here. Fragmentation and the CUDA context are the reserve; expect ±15%.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table

from reasonflux.contracts import Contract
from training.running.entry import entry
from training.running.sections import section
from training.scale.architecture import Architecture
from training.stages.tuning import LoraSettings, SftConfig

GB = 1e9
LIVE_PARAMETERS = 1e9
LOSS_TILES = 2 * 4_096 * 32_768 * 4
VLLM_OVERHEAD = 3 * GB
VLLM_SHARE = 0.9

Sharding = Literal["none", "fsdp2", "zero3"]


class Hardware(Contract):
    """A GPU and what joins it to the others. The defaults: H100 SXM, dense bf16, NVLink."""

    name: str = "H100 80 GB"
    memory_gb: float = Field(default=80, gt=0)
    peak_tflops: float = Field(default=989, gt=0)
    memory_tb_s: float = Field(default=3.35, gt=0)
    link_gb_s: float = Field(default=300, gt=0, description="what all-gathers reach, not the printed peak")
    utilisation: float = Field(default=0.40, gt=0, le=1, description="assumed MFU; 0.35–0.50 is usual at these sizes")
    reserve_gb: float = Field(default=4, ge=0, description="CUDA context, NCCL buffers, fragmentation")


class BudgetConfig(Contract):
    architecture: Architecture
    hardware: Hardware = Hardware()
    gpus: tuple[int, ...] = Field(default=(1, 4, 8), min_length=1)
    sft_tokens: int = Field(default=50_000_000, ge=1, description="of one epoch, padding included")
    pairs: int = Field(default=20_000, ge=1, description="preference pairs of one round")
    pair_tokens: int = Field(default=2_048, ge=2, description="of one side of a pair, prompt included")
    dpo_batch: int = Field(default=1, ge=1, description="pairs on one device at a time")
    dpo_epochs: float = Field(default=1, gt=0)
    rollouts: int = Field(default=160_000, ge=1, description="sampled trajectories of one round")
    rollout_tokens: int = Field(default=2_048, ge=1, description="prompt and reply of one")
    reply_tokens: int = Field(default=512, ge=1, description="of these, sampled")


class Estimate(Contract):
    """One row: a stage, by a method, on so many GPUs. Bytes are those of the fullest GPU."""

    stage: str
    method: str
    sharding: Sharding
    gpus: int
    states: float
    """Weights, gradients and optimizer of what is trained; frozen weights; the reference."""
    gathered: float
    activations: float
    """With the loss's tiles."""
    reserve: float
    capacity: float
    tokens_a_second: float
    hours: float

    @property
    def total(self) -> float:
        return self.states + self.gathered + self.activations + self.reserve

    @property
    def fits(self) -> bool:
        return self.total <= self.capacity


def estimates(sft: SftConfig, budget: BudgetConfig) -> list[Estimate]:
    """Every way to train it: full and LoRA, each sharding, each number of GPUs; SFT, then DPO both ways."""
    lora = sft.lora or LoraSettings()
    return [
        _estimate(stage, method, sharding, gpus, sft, budget, lora if method == "lora" else None)
        for stage in ("sft", "dpo", "dpo, precomputed")
        for method in ("full", "lora")
        if not (stage.endswith("precomputed") and method == "lora")  # its reference costs nothing anyway
        for gpus in budget.gpus
        for sharding in _shardings(gpus)
    ]


def _shardings(gpus: int) -> tuple[Sharding, ...]:
    return ("none",) if gpus == 1 else ("fsdp2", "zero3")


def _estimate(
    stage: str,
    method: str,
    sharding: Sharding,
    gpus: int,
    sft: SftConfig,
    budget: BudgetConfig,
    lora: LoraSettings | None,
) -> Estimate:
    shape, card = budget.architecture, budget.hardware
    dpo = stage.startswith("dpo")
    reference = stage == "dpo" and lora is None
    length = budget.pair_tokens if dpo else sft.max_length
    batch_tokens = length * (2 * budget.dpo_batch if dpo else sft.batch)
    speed = _tokens_a_second(shape, card, gpus, lora, length, batch_tokens, asks_reference=dpo)
    tokens = 2 * budget.pairs * budget.pair_tokens * budget.dpo_epochs if dpo else budget.sft_tokens * sft.epochs
    return Estimate(
        stage=stage,
        method=method,
        sharding=sharding,
        gpus=gpus,
        states=_states(shape, lora, gpus) + (2 * shape.parameters / gpus if reference else 0),
        gathered=_gathered(shape, sharding, lora),
        activations=_activations(shape, batch_tokens, checkpointing=sft.gradient_checkpointing) + LOSS_TILES,
        reserve=card.reserve_gb * GB,
        capacity=card.memory_gb * GB,
        tokens_a_second=speed,
        hours=tokens / speed / 3600,
    )


def _states(shape: Architecture, lora: LoraSettings | None, gpus: int) -> float:
    whole = (
        16 * shape.parameters
        if lora is None
        else 2 * shape.parameters + 16 * shape.adapters(lora.rank, lora.target_modules)
    )
    return whole / gpus


def _gathered(shape: Architecture, sharding: Sharding, lora: LoraSettings | None) -> float:
    if sharding == "none":
        return 0 if lora else 2 * shape.parameters  # autocast's copies
    ends = (1 if shape.tied else 2) * shape.embedding
    gradients = 0 if lora else 2 * (shape.layer + shape.embedding)
    layers = 2 * shape.layer if sharding == "fsdp2" else min(LIVE_PARAMETERS, shape.layers * shape.layer)
    return 2 * (layers + ends) + gradients


def _activations(shape: Architecture, tokens: int, *, checkpointing: bool) -> float:
    layer = 16 * shape.hidden + 4 * shape.head_size * (shape.heads + shape.kv_heads) + 8 * shape.feed_forward
    kept = 2 * shape.hidden * shape.layers + 2 * layer if checkpointing else layer * (shape.layers + 1)
    return float(tokens * kept)


def _tokens_a_second(
    shape: Architecture,
    card: Hardware,
    gpus: int,
    lora: LoraSettings | None,
    length: int,
    batch_tokens: int,
    *,
    asks_reference: bool,
) -> float:
    attention = 2 * shape.layers * shape.hidden * length  # of a forward pass, causal
    passes = 3 if lora is None else 2  # forward, gradients of activations, gradients of weights
    operations = passes * 2 * shape.multiplied + 3 * attention
    if asks_reference:
        operations += 2 * shape.multiplied + attention
    computing = batch_tokens * operations / (card.peak_tflops * 1e12 * card.utilisation)
    moving = 0.0 if gpus == 1 else passes * 2 * shape.parameters * (gpus - 1) / gpus / (card.link_gb_s * GB)
    return gpus * batch_tokens / max(computing, moving)


class RolloutEstimate(Contract):
    """vLLM with the weights split over `gpus`."""

    gpus: int
    weights: float
    """Bytes on one GPU."""
    cache: float
    """Bytes for keys and values on one GPU; below zero: the weights do not fit."""
    sequences: int
    """That fit at a time, at full length."""
    tokens_a_second: float
    """Sampled ones."""
    hours: float


def rollout_estimates(budget: BudgetConfig) -> Iterator[RolloutEstimate]:
    shape, card = budget.architecture, budget.hardware
    a_token = 4 * shape.layers * shape.kv_heads * shape.head_size
    for gpus in budget.gpus:
        weights = 2 * shape.parameters / gpus
        cache = VLLM_SHARE * card.memory_gb * GB - weights - VLLM_OVERHEAD
        sequences = max(0, int(cache * gpus / (a_token * budget.rollout_tokens)))
        together = min(sequences, 256 * gpus)  # vLLM's max_num_seqs, and compute, end the growth
        read = (weights * gpus + together * a_token * budget.rollout_tokens) / (gpus * card.memory_tb_s * 1e12 * 0.6)
        compute = together * 2 * shape.multiplied / (gpus * card.peak_tflops * 1e12 * card.utilisation)
        speed = together / max(read, compute) if together else 0.0
        hours = budget.rollouts * budget.reply_tokens / speed / 3600 if speed else float(0)
        yield RolloutEstimate(
            gpus=gpus, weights=weights, cache=cache, sequences=sequences, tokens_a_second=speed, hours=hours
        )


def training_table(sft: SftConfig, budget: BudgetConfig) -> Table:
    shape, card = budget.architecture, budget.hardware
    table = Table(
        title=f"{shape.name}: {shape.parameters / 1e9:.2f}B parameters, {card.name}, MFU {card.utilisation:.0%}, "
        f"{sft.batch} × {sft.max_length} tokens, gradient checkpointing {'on' if sft.gradient_checkpointing else 'off'}"
    )
    for column in ("stage", "method", "sharding"):
        table.add_column(column)
    for column in ("GPUs", "states", "gathered", "activations", "reserve", "GB a GPU", "fits", "tokens/s", "hours"):
        table.add_column(column, justify="right")
    for row in estimates(sft, budget):
        table.add_row(
            *(row.stage, row.method, row.sharding, str(row.gpus)),
            *(f"{value / GB:.1f}" for value in (row.states, row.gathered, row.activations, row.reserve, row.total)),
            "yes" if row.fits else "no",
            *((f"{row.tokens_a_second:,.0f}", f"{row.hours:.1f}") if row.fits else ("–", "–")),
        )
    return table


def rollout_table(budget: BudgetConfig) -> Table:
    table = Table(
        title=f"Rollouts with vLLM: {budget.rollouts:,} trajectories of {budget.rollout_tokens} tokens, "
        f"{budget.reply_tokens} of them sampled"
    )
    for column in ("GPUs", "weights GB a GPU", "cache GB a GPU", "sequences at a time", "tokens/s", "hours"):
        table.add_column(column, justify="right")
    for row in rollout_estimates(budget):
        fits = row.sequences > 0
        table.add_row(
            *(str(row.gpus), f"{row.weights / GB:.1f}", f"{row.cache / GB:.1f}" if fits else "does not fit"),
            *((f"{row.sequences:,}", f"{row.tokens_a_second:,.0f}", f"{row.hours:.1f}") if fits else ("–", "–", "–")),
        )
    return table


def show(config: Path, console: Console) -> None:
    """Both tables for a run file."""
    sft, budget = section(config, "sft", SftConfig), section(config, "budget", BudgetConfig)
    console.print(training_table(sft, budget))
    console.print(rollout_table(budget))


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and time of a run file on paper.")
    parser.add_argument("--config", type=Path, required=True)
    config = parser.parse_args().config
    with entry():
        show(config, Console(width=130, highlight=False))


if __name__ == "__main__":
    main()
