"""A stage under FSDP2 on CPUs over gloo, `fsdp2_on_cpu.py STAGE …`: launched by a test, not collected as one.

accelerate shards only where it finds GPUs: on the CPU it falls back to copies (DDP) without a word. Here its detection
is told that these processes are such a group. What it then runs (sharding, gathering, checkpoints) is its own.
"""

import os
import runpy
import sys

from accelerate.state import DistributedType, PartialState
from transformers import TrainingArguments


def _a_group_that_shards(*_: object, **__: object) -> tuple[str, DistributedType]:
    return "gloo", DistributedType.MULTI_GPU


def _not_told_to_use_the_cpu(arguments: TrainingArguments) -> None:
    arguments.use_cpu = False
    _as_transformers_does(arguments)


if __name__ == "__main__":
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = _a_group_that_shards
    _as_transformers_does = TrainingArguments.__post_init__
    TrainingArguments.__post_init__ = _not_told_to_use_the_cpu
    runpy.run_module(f"training.stages.{sys.argv.pop(1)}", run_name="__main__")
