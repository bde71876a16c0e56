"""What a run file tells stage sft. Apart from the stage, so that reading it needs no torch."""

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
