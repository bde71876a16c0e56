"""Starting a stage as its own process: alone, or behind `accelerate launch` on several GPUs.

A process of its own gives the GPU's memory back when it ends: the next stage serves a model there.
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from reasonflux.contracts import Contract
from reasonflux.errors import ReasonFluxError
from training.settings import RunConfig

_PR_SET_PDEATHSIG = 1
_STAGES = "training.stages"


class StageFailed(ReasonFluxError):
    """A launched stage ended badly."""


def sft(config: RunConfig, data: Path, out: Path) -> str:
    """Tune the pretrained model of the config on `data`."""
    assert config.sft is not None
    heldout = data.with_name("heldout.jsonl")
    watched = ["--held-out", str(heldout)] if heldout.exists() and heldout.stat().st_size else []
    _launch(config, "sft", config.sft, ["--data", str(data), *watched], out)
    return f"tuned {config.sft.model}"


def dpo(config: RunConfig, weights: Path, pairs: Path, out: Path) -> None:
    """Preference optimisation from `weights`; accuracy on held-out pairs says when to stop."""
    _launch(config, "dpo", config.dpo, ["--weights", str(weights), "--pairs", str(pairs)], out)


def _launch(config: RunConfig, stage: str, section: Contract, words: list[str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    told = out / f"{stage}.yaml"
    told.write_text(yaml.safe_dump({"seed": config.seed, stage: section.model_dump(mode="json", exclude_unset=True)}))
    prefix = list(config.launch) or [sys.executable]
    command = [*prefix, "-m", f"{_STAGES}.{stage}", "--config", str(told), *words, "--out", str(out)]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))  # accelerate is beside it
    try:
        ended = subprocess.run(command, check=False, env={**os.environ, "PATH": path}, preexec_fn=die_with_parent)
    except FileNotFoundError as error:
        raise StageFailed(f"there is no {prefix[0]}", hint="mend `launch` in the config") from error
    if ended.returncode:
        raise StageFailed(
            f"stage {stage} ended with {ended.returncode}",
            hint=f"its output above says why; it was started as: {' '.join((*prefix, '-m', f'{_STAGES}.{stage}'))}",
        )


def die_with_parent() -> None:
    """Called in a child: it is killed when its parent dies, so that a run that goes on finds nobody at its checkpoints.

    Linux only; elsewhere an orphan has to be ended by hand.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
