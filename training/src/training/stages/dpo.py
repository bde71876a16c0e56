"""Stage dpo: trajectory preference optimisation, paper Eq. 4.

in    the SFT weights (a Hugging Face folder: the policy starts there and the reference stays there), and preference
      pairs (JSONL of `training.records.Pair`)
out   <out>/: weights/ (a whole model in bf16 and its tokenizer, as vLLM loads them, with LoRA too), with LoRA adapter/;
      curve.csv, curve.png; checkpoints/ and pairs/ (as tokens, with the reference's log-probs) for a run that goes on
run   reasonflux train dpo --config training/configs/tiny-cpu.yaml
      accelerate launch --config_file training/configs/accelerate/fsdp2.yaml -m training.stages.dpo --config … (8 GPUs)

How it departs from the paper
- An SFT term on the chosen reply stands beside the DPO loss (`loss_type`), against likelihood displacement: DPO alone
  is content when the chosen reply loses likelihood, as long as the rejected one loses more.
- What comes out are the weights with the most watched problems solved (`problems.watched`; without any, with the
  highest accuracy on held-out pairs), measured every `eval_every` steps and before the first one. When no step beats
  the SFT weights, these come out unchanged: the stage never makes things worse.

A reply is trained as it is served: the prompt is what the chat template renders with a generation prompt, and the end
token follows the reply. A run that was killed goes on at its last whole checkpoint.
"""

import argparse
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    EarlyStoppingCallback,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from reasonflux.errors import InvalidRequest
from training.records import Pair
from training.running.entry import entry
from training.running.sections import section
from training.stages import pair_data
from training.stages.tuning import DpoConfig as DpoConfig
from training.stages.tuning import LoraOptions as LoraOptions
from training.stages.watching import HeldoutReward
from training.weights import checkpoints, curves
from training.weights.checkpoints import Watch
from training.weights.curves import Column


class LikelihoodDisplacement(UserWarning):
    """The margin grows while the chosen replies themselves become less likely than under the reference."""


COLUMNS = (
    Column(name="epoch", key="epoch", panel=""),
    Column(name="loss", key="loss", panel="loss"),
    Column(name="heldout_loss", key="eval_loss", panel="loss"),
    Column(name="chosen_reward", key="rewards/chosen", panel="implicit reward"),
    Column(name="rejected_reward", key="rewards/rejected", panel="implicit reward"),
    Column(name="margin", key="rewards/margins", panel="implicit reward"),
    Column(name="heldout_margin", key="eval_rewards/margins", panel="implicit reward"),
    Column(name="accuracy", key="rewards/accuracies", panel="accuracy"),
    Column(name="heldout_accuracy", key="eval_rewards/accuracies", panel="accuracy"),
    Column(name="chosen_logp", key="logps/chosen", panel="log-prob"),
    Column(name="rejected_logp", key="logps/rejected", panel="log-prob"),
    Column(name="heldout_chosen_logp", key="eval_logps/chosen", panel="log-prob"),
    Column(name="heldout_reward", key="eval_heldout_reward", panel="held-out reward"),
    Column(name="lr", key="learning_rate", panel=""),
)


def run(
    config: DpoConfig, sft_weights: Path, pairs: Path, out: Path, heldout_reward: HeldoutReward | None = None
) -> Path:
    """The folder of the best weights. Without `heldout_reward`, the accuracy on held-out pairs decides.

    Raises InvalidRequest when the pairs or weights cannot be used, Conflict when `out` holds another run.
    """
    weights = out / "weights"
    read = pair_data.read(pairs)
    checkpoints.claim(out, config, sft_weights, pairs.read_text())
    if weights.exists():
        print(f"{out.name}  is done: {weights}", flush=True)
        return weights
    if config.threads:
        torch.set_num_threads(config.threads)
    tokenizer = tokenizer_in(sft_weights)
    fitting = pair_data.fitting(read, tokenizer, config.max_length)
    learned, measured = pair_data.split(fitting, config.heldout, config.heldout_limit)
    stage = trainer(config, sft_weights, tokenizer, learned, measured, out, heldout_reward)
    if stage.is_world_process_zero():
        at_once = config.batch_size * config.accumulate * stage.args.world_size
        told = f"{len(learned)} pairs to learn from, {len(measured)} held out"
        print(f"{out.name}  {told}; {stage.args.world_size} processes, {at_once} pairs a step", flush=True)
    stage.train(resume_from_checkpoint=checkpoints.last_whole(out / "checkpoints"))
    if stage.is_world_process_zero():
        curves.plot(COLUMNS, f"DPO: {out.name}", out)
    checkpoints.save_best(stage, tokenizer, out, sft_weights)
    return weights


class UnmaskedCollator(DataCollatorForPreference):  # type: ignore[misc]  # TRL is untyped
    """Padding on the right is never looked at under a causal mask. Without a mask for it attention is much faster."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        return batch | {"attention_mask": torch.ones_like(batch["attention_mask"])}


class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]  # TRL is untyped
    """TRL's trainer, whose evaluation also tells the held-out trajectory reward."""

    heldout_reward: HeldoutReward | None = None

    def create_accelerator_and_postprocess(self) -> None:
        """FSDP2 in bf16 would round what the model returns: the log-prob of a whole reply, to half a nat and more."""
        super().create_accelerator_and_postprocess()
        plugin = self.accelerator.state.fsdp_plugin if self.is_fsdp_enabled else None
        if plugin is not None and plugin.fsdp_version == 2 and plugin.mixed_precision_policy is not None:
            plugin.mixed_precision_policy = replace(plugin.mixed_precision_policy, output_dtype=None)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        output = super().evaluation_loop(*args, **kwargs)
        if self.heldout_reward is not None:
            model = self.accelerator.unwrap_model(self.model)
            with torch.no_grad():
                told = float(self.heldout_reward(model, self.processing_class))
            model.eval()
            everyone = self.accelerator.gather(torch.tensor([told], device=self.accelerator.device))
            output.metrics["eval_heldout_reward"] = everyone[0].item()  # else processes would stop at different steps
        return output

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None for a checkpoint: publishing writes the card, with the scores."""


def trainer(
    config: DpoConfig,
    weights: Path,
    tokenizer: PreTrainedTokenizerFast,
    learned: Sequence[Pair],
    measured: Sequence[Pair],
    out: Path,
    heldout_reward: HeldoutReward | None = None,
) -> PreferenceTrainer:
    """The trainer as `run` uses it; it reads the policy itself, so that FSDP and ZeRO-3 shard it on the way in.

    The reference's log-probs are those of the `weights`, taken before the first step where the config says so.
    """
    ordered = pair_data.in_batches(learned, config.batch_size, config.seed)
    ref = _reference(config, weights)
    arguments = _arguments(config, len(learned), out, heldout_reward is not None)
    built = PreferenceTrainer(
        model=str(weights),
        ref_model=ref,
        args=arguments,
        data_collator=UnmaskedCollator(tokenizer.pad_token_id, max_length=config.max_length),
        train_dataset=pair_data.dataset(ordered, tokenizer, out / "pairs" / "learned"),
        eval_dataset=pair_data.dataset(measured, tokenizer, out / "pairs" / "heldout"),
        processing_class=tokenizer,
        peft_config=lora_of(config.lora),
        callbacks=[EarlyStoppingCallback(config.early_stop), WatchOfDisplacement(config), Watch(COLUMNS, out)],
    )
    built.remove_callback(PrinterCallback)
    built.heldout_reward = heldout_reward
    if arguments.precompute_ref_log_probs:
        built.ref_model = None  # it has said all that it is asked
    return built


def _reference(config: DpoConfig, weights: Path) -> Any | None:
    """What TRL cannot read by itself: the reference of a run that trains all weights under FSDP.

    Call it before the processes join. Once they have, transformers gives weights to the first one alone and leaves the
    others' zero, and TRL shards a reference as each process holds it.
    """
    if config.lora or not _shards_with_fsdp():
        return None
    return load(weights, torch.bfloat16 if config.bf16 else torch.float32)[0]


def _shards_with_fsdp() -> bool:
    """`accelerate launch` tells the processes that it starts."""
    return bool(parse_flag_from_env("ACCELERATE_USE_FSDP"))


def _arguments(config: DpoConfig, pairs: int, out: Path, rewarded: bool) -> DPOConfig:
    per_epoch = math.ceil(pairs / (config.batch_size * config.accumulate))
    steps = config.max_steps or max(1, math.ceil(per_epoch * config.epochs))
    every = min(config.eval_every, steps)
    return DPOConfig(
        output_dir=str(out / "checkpoints"),
        model_init_kwargs={
            "dtype": "bfloat16" if config.lora and config.bf16 else "float32",  # what is trained stays in fp32
            "device_map": None,
        },
        beta=config.beta,
        loss_type=list(config.loss_type),
        loss_weights=list(config.loss_weights),
        learning_rate=config.lr,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        warmup_steps=config.warm_up,
        lr_scheduler_type=config.schedule,
        weight_decay=config.weight_decay,
        max_length=config.max_length,
        # with LoRA the reference is the policy without its adapter, and FSDP shards that only when training starts
        precompute_ref_log_probs=config.precompute_ref_log_probs and not (config.lora and _shards_with_fsdp()),
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=config.bf16,
        seed=config.seed,
        train_sampling_strategy="sequential",  # the order is made by pair_data.in_batches
        logging_steps=config.report_every,
        eval_strategy="steps",
        eval_steps=every,
        eval_on_start=checkpoints.last_whole(out / "checkpoints") is None,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,  # the patience that is left
        metric_for_best_model="eval_heldout_reward" if rewarded else "eval_rewards/accuracies",
        greater_is_better=True,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_timeout=2 * 60 * 60,  # the others wait while one process merges and writes a large model
    )


def lora_of(options: LoraOptions | None) -> LoraConfig | None:
    if options is None:
        return None
    targets = options.targets if isinstance(options.targets, str) else list(options.targets)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=targets,
    )


class WatchOfDisplacement(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Warns when the chosen replies lose likelihood while the margin grows; again when they have lost twice as much."""

    def __init__(self, config: DpoConfig) -> None:
        self._beta, self._warned = config.beta, config.displacement / 2

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        prefix = "eval_" if "eval_loss" in logs else ""
        lost = -logs.get(f"{prefix}rewards/chosen", 0.0) / self._beta
        margin = logs.get(f"{prefix}rewards/margins", 0.0)
        if state.is_world_process_zero and margin > 0 and lost >= 2 * self._warned:
            self._warned = lost
            warnings.warn(
                f"likelihood displacement at step {state.global_step}: {'held-out' if prefix else 'trained'} chosen "
                f"replies lost {lost:.1f} nats against the SFT weights while the margin rose to {margin:.3g}. Lower "
                "`lr`, raise the weight of the `sft` loss, or bring more pairs.",
                LikelihoodDisplacement,
                stacklevel=2,
            )


def load(weights: Path, dtype: torch.dtype) -> tuple[Any, PreTrainedTokenizerFast]:
    """The model and its tokenizer. Raises InvalidRequest when they are not there."""
    tokenizer = tokenizer_in(weights)
    return AutoModelForCausalLM.from_pretrained(weights, dtype=dtype), tokenizer


def tokenizer_in(weights: Path) -> PreTrainedTokenizerFast:
    """Raises InvalidRequest when there are no weights."""
    if not (weights / "config.json").exists():
        raise InvalidRequest(f"there are no weights in {weights}", hint="train them first: reasonflux train sft")
    return PreTrainedTokenizerFast.from_pretrained(weights)


def main() -> None:
    """The entry of `accelerate launch -m training.stages.dpo`: every process runs it."""
    parser = argparse.ArgumentParser(description="Preference optimisation on pairs of trajectories.")
    parser.add_argument("--config", type=Path, required=True, help="a run file; its section dpo is read")
    parser.add_argument("--weights", type=Path, required=True, help="the SFT weights")
    parser.add_argument("--pairs", type=Path, required=True, help="JSONL of pairs")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, curve and weights go")
    told = parser.parse_args()
    with entry():
        run(section(told.config, "dpo", DpoConfig), told.weights, told.pairs, told.out)
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()
