"""What a run file tells the stages that TRL carries out. Apart from them: reading it needs no torch and no TRL."""

from typing import Literal

from pydantic import Field, model_validator

from reasonflux.contracts import Contract


class LoraSettings(Contract):
    rank: int = Field(default=32, ge=1, le=1024)
    alpha: float = Field(default=64, gt=0, description="the adapter's output is scaled by alpha/rank")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
        description="the matrices that get an adapter",
    )
    merge: bool = Field(default=True, description="also write the base model with the adapter merged in")


class SftConfig(Contract):
    model: str = Field(min_length=1, description="a hub id, or a folder with weights, tokenizer and chat template")
    lora: LoraSettings | None = Field(default=None, description="left out: all weights are trained")
    learning_rate: float = Field(default=1e-5, gt=0, le=1)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warm_up: float = Field(default=0.03, ge=0, lt=1, description="share of the steps")
    weight_decay: float = Field(default=0.0, ge=0)
    max_gradient: float = Field(default=1.0, gt=0, description="gradients are clipped to this norm")
    epochs: float = Field(default=2.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1, description="stops here, whatever the epochs")
    max_length: int = Field(default=4096, ge=16, description="tokens of one example")
    batch: int = Field(default=1, ge=1, description="examples on one device at a time")
    accumulation: int = Field(default=8, ge=1, description="batches that make one step")
    gradient_checkpointing: bool = True
    bf16: bool = Field(default=True, description="compute in bf16; trained weights and AdamW stay in fp32")
    packing: bool = Field(default=False, description="fill each example up to max_length; needs flash attention")
    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "sdpa"
    save_steps: int = Field(default=100, ge=1)
    keep_checkpoints: int = Field(default=2, ge=2, description="two, so that one is whole while another is written")
    log_steps: int = Field(default=10, ge=1)
    seed: int = 0
    report_to: Literal["none", "tensorboard", "wandb", "mlflow"] = "none"

    @model_validator(mode="after")
    def _packs_only_where_examples_stay_apart(self) -> "SftConfig":
        if self.packing and not self.attention.startswith("flash"):
            raise ValueError("packing needs attention flash_attention_2 or _3: others would mix packed examples")
        return self


Loss = Literal["sigmoid", "sft", "ipo", "hinge", "robust", "apo_zero", "apo_down", "sigmoid_norm"]


class LoraOptions(Contract):
    rank: int = Field(default=32, ge=1)
    alpha: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"


class DpoConfig(Contract):
    beta: float = Field(default=0.1, gt=0, description="how strongly the policy is held to the reference")
    loss_type: tuple[Loss, ...] = Field(default=("sigmoid", "sft"), min_length=1)
    loss_weights: tuple[float, ...] = (1.0, 1.0)
    lr: float = Field(default=2e-5, gt=0, description="peak; 1e-4 was seen to damage a small navigator")
    epochs: float = Field(default=2.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1, description="optimiser steps, in place of epochs")
    batch_size: int = Field(default=8, ge=1, description="pairs per process and forward pass")
    accumulate: int = Field(default=1, ge=1, description="forward passes per optimiser step")
    warm_up: float = Field(default=0.1, ge=0, lt=1, description="share of the steps")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_length: int = Field(default=1024, ge=16, description="tokens of prompt and reply; longer pairs are left out")
    precompute_ref_log_probs: bool = Field(default=True, description="one pass before; no reference kept in memory")
    heldout: float = Field(default=0.1, gt=0, lt=1, description="share of the problems whose pairs are only measured")
    heldout_limit: int = Field(default=200, ge=1, description="held-out pairs measured at most")
    eval_every: int = Field(default=50, ge=1, description="steps; also a checkpoint")
    report_every: int = Field(default=10, ge=1, description="steps between rows of curve.csv")
    early_stop: int = Field(default=4, ge=1, description="evaluations without a better reward until it stops")
    displacement: float = Field(default=1.0, gt=0, description="nats of chosen log-prob whose loss is warned of")
    lora: LoraOptions | None = Field(default=None, description="None trains all weights")
    gradient_checkpointing: bool = False
    bf16: bool = Field(default=True, description="mixed precision; a base under LoRA is loaded in it")
    threads: int | None = Field(default=1, ge=1, description="CPU threads; None leaves them as they are")
    seed: int = 0

    @model_validator(mode="after")
    def _as_many_weights_as_losses(self) -> "DpoConfig":
        if len(self.loss_weights) != len(self.loss_type):
            raise ValueError(f"loss_weights needs {len(self.loss_type)} numbers, one for each loss_type")
        return self


class GrpoConfig(Contract):
    lr: float = Field(default=1e-6, gt=0)
    max_steps: int = Field(default=200, ge=1)
    group: int = Field(default=8, ge=2, description="replies sampled for a problem")
    batch_size: int = Field(default=32, ge=2, description="replies per process and forward pass")
    accumulate: int = Field(default=1, ge=1)
    beta: float = Field(default=0.0, ge=0, description="weight of the KL term; above 0 a reference is kept in memory")
    temperature: float = Field(default=1.0, gt=0)
    max_completion: int = Field(default=640, ge=1, description="tokens of a reply")
    warm_up: float = Field(default=0.05, ge=0, lt=1, description="share of the steps")
    heldout: float = Field(default=0.1, gt=0, lt=1, description="share of the problems that are only measured")
    heldout_limit: int = Field(default=64, ge=1, description="held-out problems measured at most")
    eval_every: int = Field(default=50, ge=1, description="steps; also a checkpoint")
    report_every: int = Field(default=1, ge=1, description="steps between rows of curve.csv")
    vllm_url: str | None = Field(default=None, description="the vLLM server that samples; None: the trainer itself")
    lora: LoraOptions | None = None
    gradient_checkpointing: bool = False
    bf16: bool = True
    threads: int | None = Field(default=1, ge=1, description="CPU threads; None leaves them as they are")
    seed: int = 0

    @model_validator(mode="after")
    def _batches_hold_whole_groups(self) -> "GrpoConfig":
        if self.batch_size % self.group:
            raise ValueError(f"batch_size must be a multiple of group ({self.group})")
        return self
