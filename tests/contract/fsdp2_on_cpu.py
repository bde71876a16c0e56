"""`training.stages.sft` under FSDP2 on CPUs over gloo: launched by a test, not collected as one.

accelerate shards only where it finds GPUs: on the CPU it falls back to copies (DDP) without a word. Here its detection
is told that these processes are such a group. What it then runs (sharding, gathering, checkpoints) is its own.
"""

import os
from functools import partial

from accelerate.state import DistributedType, PartialState

from training.stages import sft


def _a_group_that_shards(*_: object, **__: object) -> tuple[str, DistributedType]:
    return "gloo", DistributedType.MULTI_GPU


if __name__ == "__main__":
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = _a_group_that_shards
    arguments = sft.trl_arguments
    sft.trl_arguments = partial(arguments, on_cpu=False)
    sft.main()
