"""Stage grpo: the same trajectory reward, learned online instead of from pairs (group relative policy optimisation).

in    weights (a Hugging Face folder: those of sft, or the run's `start`), problems, how a problem is put to the
      navigator, and the reward of its replies (`training.stages.online` gives both)
out   <out>/: weights/ (a whole model in bf16 and its tokenizer, as vLLM loads them), with LoRA adapter/ too; curve.csv,
      curve.png, checkpoints/
run   reasonflux train grpo --config …   of a config with a section `grpo`; those that are shipped have none

TRL's GRPOTrainer: `group` replies are sampled for a problem, each is rewarded, and what beat its group's mean becomes
more likely. On a GPU a vLLM server samples (`vllm serve …` with weight transfer, `vllm_url`); without one the trainer
samples by itself, which is the way on a CPU.

As in stage dpo the weights with the best held-out reward come out, the starting ones if no step beats them, and a run
that was killed goes on at its last whole checkpoint.

Not as in the paper, which trains by DPO alone: this is a variant beside the rounds of DPO, evaluated but not published.
A reply plans the whole trajectory: problems that the compact profile plans a horizon at a time are left out.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from reasonflux.engine_port import Message
from reasonflux.errors import InvalidRequest
from training.records import TrainingProblem
from training.stages.dpo import load, lora_of
from training.stages.tuning import GrpoConfig as GrpoConfig
from training.weights import checkpoints, curves
from training.weights.checkpoints import Watch
from training.weights.curves import Column

PromptOf = Callable[[TrainingProblem], Sequence[Message]]
"""A problem as the navigator service puts it to the model."""
Reward = Callable[[Sequence[TrainingProblem], Sequence[str]], list[float]]
"""The trajectory reward of each reply to its problem; the two sequences are equally long."""


COLUMNS = (
    Column(name="reward", key="reward", panel="trajectory reward"),
    Column(name="heldout_reward", key="eval_reward", panel="trajectory reward"),
    Column(name="reward_std", key="reward_std", panel="spread"),
    Column(name="same_reward_groups", key="frac_reward_zero_std", panel="spread"),
    Column(name="entropy", key="entropy", panel="entropy"),
    Column(name="length", key="completions/mean_length", panel="reply tokens"),
    Column(name="cut_short", key="completions/clipped_ratio", panel=""),
    Column(name="loss", key="loss", panel=""),
    Column(name="kl", key="kl", panel=""),
    Column(name="lr", key="learning_rate", panel=""),
)


def run(
    config: GrpoConfig,
    weights: Path,
    problems: Sequence[TrainingProblem],
    prompt_of: PromptOf,
    reward: Reward,
    out: Path,
) -> Path:
    """The folder of the weights with the best held-out reward.

    Raises InvalidRequest when the problems or weights cannot be used, Conflict when `out` holds another run.
    """
    trained = out / "weights"
    learned, measured = split(problems, config)
    checkpoints.claim(out, config, weights, "\n".join(problem.model_dump_json() for problem in problems))
    if trained.exists():
        print(f"{out.name}  is done: {trained}", flush=True)
        return trained
    if config.threads:
        torch.set_num_threads(config.threads)
    dtype = torch.bfloat16 if config.lora and config.bf16 else torch.float32
    model, tokenizer = load(weights, dtype)
    print(f"{out.name}  {len(learned)} problems to learn from, {len(measured)} held out", flush=True)
    stage = trainer(config, model, tokenizer, learned, measured, prompt_of, reward, out)
    stage.train(resume_from_checkpoint=checkpoints.last_whole(out / "checkpoints"))
    if stage.is_world_process_zero():
        curves.plot(COLUMNS, f"GRPO: {out.name}", out)
    checkpoints.save_best(stage, tokenizer, out, weights)
    return trained


class GroupTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is untyped
    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None for a checkpoint: publishing writes the card, with the scores."""


def trainer(
    config: GrpoConfig,
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    learned: Sequence[TrainingProblem],
    measured: Sequence[TrainingProblem],
    prompt_of: PromptOf,
    reward: Reward,
    out: Path,
) -> GroupTrainer:
    """The trainer as `run` uses it; any model of the architecture will do, so that a dry run can build it."""
    built = GroupTrainer(
        model=model,
        reward_funcs=_rewarded(reward),
        args=_arguments(config, out, fresh=checkpoints.last_whole(out / "checkpoints") is None),
        train_dataset=dataset(learned, prompt_of),
        eval_dataset=dataset(measured, prompt_of),
        processing_class=tokenizer,
        peft_config=lora_of(config.lora),
        callbacks=[Watch(COLUMNS, out)],
    )
    built.remove_callback(PrinterCallback)
    return built


def _rewarded(reward: Reward) -> Callable[..., list[float]]:
    """The reward as TRL calls it: once for a batch, with the dataset's columns repeated for each reply."""

    def trajectory_reward(completions: list[list[dict[str, str]]], problem: list[str], **_: Any) -> list[float]:
        asked = [TrainingProblem.model_validate_json(told) for told in problem]
        return reward(asked, [messages[0]["content"] for messages in completions])

    return trajectory_reward


def _arguments(config: GrpoConfig, out: Path, fresh: bool) -> GRPOConfig:
    every = min(config.eval_every, config.max_steps)
    server = {"vllm_mode": "server", "vllm_server_base_url": config.vllm_url} if config.vllm_url else {}
    return GRPOConfig(
        output_dir=str(out / "checkpoints"),
        learning_rate=config.lr,
        max_steps=config.max_steps,
        num_generations=config.group,
        num_generations_eval=config.group,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        beta=config.beta,
        temperature=config.temperature,
        max_completion_length=config.max_completion,
        warmup_steps=config.warm_up,
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=config.bf16,
        seed=config.seed,
        use_vllm=config.vllm_url is not None,
        logging_steps=config.report_every,
        eval_strategy="steps",
        eval_steps=every,
        eval_on_start=fresh,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_reward",
        greater_is_better=True,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        **server,
    )


def split(
    problems: Sequence[TrainingProblem], config: GrpoConfig
) -> tuple[list[TrainingProblem], list[TrainingProblem]]:
    """Problems to learn from, and held-out ones; the same ones whatever the order."""
    unlike = {problem.id: problem for problem in problems}
    if len(unlike) < 2:
        raise InvalidRequest(
            f"{len(unlike)} problem is too few: at least two are needed, to learn from and to measure",
            hint="give more problems",
        )
    ordered = [unlike[name] for name in sorted(unlike, key=lambda name: sha256(name.encode()).hexdigest())]
    apart = max(1, round(len(ordered) * config.heldout))
    return ordered[apart:], ordered[:apart][: config.heldout_limit]


def dataset(problems: Sequence[TrainingProblem], prompt_of: PromptOf) -> Dataset:
    """Messages: TRL renders them through the chat template with a generation prompt, as an engine does."""
    rows = [
        {"prompt": [message.model_dump() for message in prompt_of(problem)], "problem": problem.model_dump_json()}
        for problem in problems
    ]
    return Dataset.from_list(rows)
