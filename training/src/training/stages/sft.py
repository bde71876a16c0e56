"""Stage sft: a pretrained model learns the corpus, fully or by LoRA. The portable path: one CPU core to eight GPUs.

in    a run file's section `sft`; a JSONL of conversations, {"messages": [{"role", "content", "learn"}, …]}
out   OUT/weights/ (a Hugging Face folder that vLLM serves), with LoRA OUT/adapter/ too; curve.csv, curve.png;
      checkpoint-N/ while it runs
run   python -m training.stages.sft --config training/configs/qwen2.5-1.5b.yaml --data corpus.jsonl --out runs/sft
      accelerate launch --config_file training/configs/accelerate/fsdp2.yaml -m training.stages.sft --config … (8 GPUs)

TRL's SFTTrainer on ids and labels of our own (`chat_tokens`): only turns marked `learn` count, whatever the template.
A run that was stopped, by kill -9 too, goes on at its last whole checkpoint; a finished one returns at once. With more
processes, OUT is a folder that all of them see.

Deviation from the paper: the paper trains Qwen2.5-32B-Instruct on the structure data alone; the corpus here also holds
plans, reviews and revisions, because the same weights have to speak the navigator's whole protocol.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset, Features, List, Value, load_from_disk
from peft import LoraConfig
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig as TrlConfig
from trl import SFTTrainer

from reasonflux.errors import Conflict, InvalidRequest
from training.running.entry import entry
from training.running.sections import section
from training.stages.tuning import LoraSettings as LoraSettings
from training.stages.tuning import SftConfig as SftConfig
from training.weights import curves
from training.weights.chat_tokens import IGNORED, TokenCount, examples, read_chats
from training.weights.checkpoints import Watch, last_whole, save_final
from training.weights.curves import Column

COLUMNS = (
    Column(name="epoch", key="epoch", panel=""),
    Column(name="loss", key="loss", panel="loss of learned tokens"),
    Column(name="heldout_loss", key="eval_loss", panel="loss of learned tokens"),
    Column(name="accuracy", key="mean_token_accuracy", panel="first choice right"),
    Column(name="heldout_accuracy", key="eval_mean_token_accuracy", panel="first choice right"),
    Column(name="gradient", key="grad_norm", panel=""),
    Column(name="lr", key="learning_rate", panel=""),
)


def run(config: SftConfig, data: Path, out: Path, held_out: Path | None = None) -> Path:
    """Train to the end, from the last whole checkpoint if there is one. Returns the folder with the final weights."""
    result = out / ("weights" if config.lora is None or config.lora.merge else "adapter")
    arguments = trl_arguments(config, out, evaluates=held_out is not None)  # first: it joins the other processes
    _same_run(config, [data] if held_out is None else [data, held_out], out)
    if result.exists():
        _say(f"{result} is finished already")
        return result
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    train = tokenised(config, data, out / "tokens", tokenizer)
    evaluation = tokenised(config, held_out, out / "tokens-held-out", tokenizer) if held_out else None
    trainer = build(config, arguments, train, evaluation, tokenizer, out)
    last = last_whole(out)
    _say(
        f"{arguments.world_size} processes, {config.batch * config.accumulation * arguments.world_size} examples a step"
    )
    if last is not None:
        _say(f"goes on at {Path(last).name}")
    trainer.train(resume_from_checkpoint=last)
    if trainer.is_world_process_zero() and (out / "curve.csv").exists():
        curves.plot(COLUMNS, f"SFT: {out.name}", out)
    dtype = torch.bfloat16 if config.bf16 else torch.float32
    save_final(trainer, tokenizer, out, config.model, dtype, merge=config.lora is None or config.lora.merge)
    return result


def build(
    config: SftConfig,
    arguments: TrlConfig,
    train: Dataset,
    held_out: Dataset | None,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
) -> SFTTrainer:
    """The trainer; it reads the model itself, so that FSDP and ZeRO-3 shard the weights on the way in."""
    trainer = SFTTrainer(
        model=config.model,
        args=arguments,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=None if config.lora is None else _adapter(config.lora),
        callbacks=[Watch(COLUMNS, out)],
    )
    trainer.remove_callback(PrinterCallback)
    _stops_where_turns_end(trainer, train)
    return trainer


def trl_arguments(config: SftConfig, out: Path, *, evaluates: bool) -> TrlConfig:
    """Our config in TRL's words."""
    gpus = torch.accelerator.is_available()
    return TrlConfig(
        output_dir=str(out),
        model_init_kwargs={
            "dtype": "bfloat16" if config.lora and config.bf16 else "float32",
            "attn_implementation": config.attention,
            "device_map": None,
        },
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warm_up,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_gradient,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        max_length=config.max_length,
        per_device_train_batch_size=config.batch,
        per_device_eval_batch_size=config.batch,
        gradient_accumulation_steps=config.accumulation,
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=config.bf16,
        packing=config.packing,
        dataset_kwargs=None if config.packing else {"skip_prepare_dataset": True},
        eval_strategy="steps" if evaluates else "no",
        eval_steps=config.save_steps,
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=config.keep_checkpoints,
        logging_steps=config.log_steps,
        report_to=config.report_to,
        seed=config.seed,
        data_seed=config.seed,
        ddp_timeout=2 * 60 * 60,  # the others wait while one process merges and writes a large model
        use_cpu=not gpus,
        dataloader_pin_memory=gpus,
    )


def _adapter(lora: LoraSettings) -> LoraConfig:
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )


def _stops_where_turns_end(trainer: SFTTrainer, train: Dataset) -> None:
    """A base model's generation config names another end than the chat template's: the engine has to know both."""
    end = next(label for label in reversed(train[0]["labels"]) if label != IGNORED)
    generation = trainer.model.generation_config
    told = generation.eos_token_id
    known = [] if told is None else [told] if isinstance(told, int) else list(told)
    if end not in known:
        generation.eos_token_id = [end, *known]


def tokenised(config: SftConfig, data: Path, folder: Path, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The corpus as ids and labels. One process writes it; all map it into memory."""
    with PartialState().main_process_first():
        if not folder.exists():
            count = TokenCount()
            rows = (vars(e) for e in examples(read_chats(data), tokenizer, config.max_length, count))
            numbers = List(Value("int32"))
            dataset = Dataset.from_list(list(rows), features=Features(input_ids=numbers, labels=numbers))
            print(f"{data}: {count.told()}")
            if not count.examples:
                raise InvalidRequest(
                    f"{data} has nothing to learn within {config.max_length} tokens",
                    hint="raise sft.max_length, or mark the turns to be learned",
                )
            partial = folder.with_suffix(".partial")
            dataset.save_to_disk(partial)
            partial.rename(folder)
    return load_from_disk(folder)


def _same_run(config: SftConfig, corpora: Sequence[Path], out: Path) -> None:
    """One folder holds one run: checkpoints of another config or corpus must not be gone on from."""
    for path in corpora:
        if not path.exists():
            raise InvalidRequest(f"there is no corpus {path}", hint="the corpus stage writes it")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in corpora]
    told = "\n".join([config.model_dump_json(indent=1), *digests, ""])
    record = out / "run.txt"
    with PartialState().main_process_first():
        if record.exists() and record.read_text() != told:
            raise Conflict(
                f"{out} holds a run of another config or corpus",
                hint="give another --out, or remove the folder to begin anew",
            )
        out.mkdir(parents=True, exist_ok=True)
        record.write_text(told)


def _say(text: str) -> None:
    if PartialState().is_main_process:
        print(text, flush=True)


def main() -> None:
    """The entry of `accelerate launch -m training.stages.sft`: every process runs it."""
    parser = argparse.ArgumentParser(description="Fine-tune a model on a corpus of conversations.")
    parser.add_argument("--config", type=Path, required=True, help="a run file; its section sft is read")
    parser.add_argument("--data", type=Path, required=True, help="JSONL of conversations")
    parser.add_argument("--held-out", type=Path, help="JSONL of conversations: their loss is told at every checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, curve and weights go")
    told = parser.parse_args()
    with entry():
        run(section(told.config, "sft", SftConfig), told.data, told.out, told.held_out)
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()
