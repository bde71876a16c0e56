"""What a training stage does with its output folder: whose run it is, where it stopped, its finished weights.

A stage may be several processes, each with a copy of the model or a part of it: they all call these functions.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase, TrainerCallback
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from reasonflux.contracts import Contract
from reasonflux.errors import Conflict
from training.running.fingerprints import contents, fingerprint
from training.running.run_folder import partial, take_away
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
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    mine.write_text(mark)
    mine.replace(path)  # in one move: other processes of the run read it


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
        PartialState().wait_for_everyone()  # whole is what every process has written its part of
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()


def save_best(stage: Any, tokenizer: PreTrainedTokenizerBase, out: Path, start: Path) -> None:
    """`out`/weights in bf16: the best ones, which the trainer has loaded at its end, or the starting ones when no step
    beat them."""
    told, best = stage.state, stage.state.best_global_step
    if best and told.best_model_checkpoint is None:
        raise Conflict(f"the best checkpoint in {out} is gone", hint="delete the folder and train anew")
    first = stage.is_world_process_zero()
    if first and best:
        print(f"{out.name}  best {told.best_metric:.3f} at step {best}", flush=True)
    if best:
        save_final(stage, tokenizer, out, start)
    elif first:
        print(f"{out.name}  no step beat the starting weights ({told.best_metric:.3f}): they come out", flush=True)
        _write_whole(_read(start, torch.bfloat16), None, tokenizer, out / "weights", torch.bfloat16)
    stage.accelerator.wait_for_everyone()


def save_final(
    stage: Any,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    start: str | Path,
    dtype: torch.dtype = torch.bfloat16,
    *,
    merge: bool = True,
) -> None:
    """`out`/weights: the trained model as one that engines load, whatever process holds which part of it.

    With LoRA `out`/adapter too, and `merge` says whether weights are made of it and the `start`. All processes gather,
    the first one writes, the others wait for it.
    """
    state = stage.accelerator.get_state_dict(stage.model_wrapped)
    if stage.is_world_process_zero():
        model = stage.accelerator.unwrap_model(stage.model_wrapped)
        if isinstance(model, PeftModel):
            with _placed(out / "adapter") as fresh:
                model.save_pretrained(fresh, state_dict=state)
                tokenizer.save_pretrained(fresh)
            del state  # it holds the base, which is now read once more
            if merge:
                whole = _merged(start, out / "adapter", dtype, model.generation_config)
                _write_whole(whole, None, tokenizer, out / "weights", dtype)
        else:
            _write_whole(model, state, tokenizer, out / "weights", dtype)
    stage.accelerator.wait_for_everyone()


def _merged(start: str | Path, adapter: Path, dtype: torch.dtype, generation: GenerationConfig) -> Any:
    base = _read(start, dtype)
    base.generation_config = generation
    return PeftModel.from_pretrained(base, adapter).merge_and_unload()


def _read(start: str | Path, dtype: torch.dtype) -> Any:
    unset_hf_deepspeed_config()  # under ZeRO-3 reading would be sharded, and this process is alone with it
    return AutoModelForCausalLM.from_pretrained(start, dtype=dtype)


def _write_whole(
    model: Any,
    state: Mapping[str, torch.Tensor] | None,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    dtype: torch.dtype,
) -> None:
    """As Hugging Face lays a model out. `state` is what was gathered of it; None: the model holds it all."""
    held = model.state_dict() if state is None else state
    saved = {name: tensor for name, tensor in held.items() if name not in model.all_tied_weights_keys}
    with _placed(folder) as fresh:
        model.save_pretrained(fresh, state_dict={name: _converted(tensor, dtype) for name, tensor in saved.items()})
        model.config.dtype, model.config.use_cache = dtype, True  # they said how it was trained
        model.config.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)


def _converted(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to("cpu", dtype) if tensor.is_floating_point() else tensor.cpu()


@contextmanager
def _placed(folder: Path) -> Iterator[Path]:
    """Where to write a folder that gets its name when it is whole."""
    fresh = partial(folder)
    take_away(fresh)
    yield fresh
    take_away(folder)
    fresh.rename(folder)
    print(f"wrote {folder}", flush=True)
