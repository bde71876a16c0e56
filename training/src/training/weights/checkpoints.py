"""What a training stage does with its output folder: whose run it is, where it stopped, its finished weights."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast, TrainerCallback

from reasonflux.contracts import Contract
from reasonflux.errors import Conflict
from training.running.fingerprints import contents, fingerprint
from training.stages import publish
from training.weights import curves
from training.weights.curves import Column

_WHOLE = "whole"


def last_whole(folder: Path) -> str | None:
    """The last checkpoint that was written to its end; what a kill left half written is removed."""
    whole: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        if (path / _WHOLE).exists():
            whole.append((int(path.name.rpartition("-")[2]), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return str(max(whole)[1]) if whole else None


def claim(out: Path, config: Contract, weights: Path, data: str) -> None:
    """Mark `out` as the place of this run. Raises Conflict when it holds a run with other settings or inputs."""
    mark, path = fingerprint(config, data, contents(*weights.glob("*.safetensors"))), out / "run.fingerprint"
    if path.exists() and path.read_text() != mark:
        raise Conflict(
            f"{out} holds a run with other settings, pairs or starting weights",
            hint="give another output folder, or delete this one to start anew",
        )
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(mark)


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Keeps the curve, tells the progress, marks whole checkpoints, and remembers how good the start was."""

    def __init__(self, columns: Sequence[Column], out: Path) -> None:
        self._columns, self._out = columns, out

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        known = [(column.name, logs[column.key]) for column in self._columns if column.key in logs]
        if not state.is_world_process_zero or not known or "train_runtime" in logs:
            return
        self._out.mkdir(parents=True, exist_ok=True)
        curves.write(state.log_history, self._columns, self._out)
        told = "  ".join(f"{name} {value:.4g}" for name, value in known)
        print(f"{self._out.name}  step {state.global_step}/{state.max_steps}  {told}", flush=True)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        if state.global_step == 0:  # what training has to beat: transformers itself only compares later steps
            state.best_metric, state.best_global_step = metrics[args.metric_for_best_model], 0

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()


def save_best(stage: Any, start: Callable[[], Any], tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The best weights, which the trainer has loaded at its end; those of the `start` when no step beat them."""
    if stage.state.best_global_step and stage.state.best_model_checkpoint is None:
        raise Conflict(f"the best checkpoint in {folder.parent} is gone", hint="delete the folder and train anew")
    if stage.state.best_global_step:
        print(f"{folder.parent.name}  best {stage.state.best_metric:.3f} at step {stage.state.best_global_step}")
    else:
        print(f"{folder.parent.name}  no step beat the starting weights ({stage.state.best_metric:.3f}): they come out")
        stage.model = stage.model_wrapped = start()
    save_whole(stage, tokenizer, folder)


def save_whole(stage: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The weights, written beside and moved into place. A sharded LoRA run gives its adapter, others a whole model."""
    unfinished = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    if stage.is_fsdp_enabled or stage.is_deepspeed_enabled:
        stage.save_model(str(unfinished))
    elif stage.is_world_process_zero():
        model = stage.accelerator.unwrap_model(stage.model)
        merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
        publish.save_weights(merged, tokenizer, unfinished)
    if stage.is_world_process_zero():
        unfinished.replace(folder)
    stage.accelerator.wait_for_everyone()
