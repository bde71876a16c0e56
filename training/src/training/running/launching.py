"""Starting a stage on several GPUs: the same stage as its own process, behind `accelerate launch`."""

import subprocess
import sys
from pathlib import Path

import yaml

from reasonflux.errors import ReasonFluxError
from training.settings import RunConfig


class StageFailed(ReasonFluxError):
    """A launched stage ended badly."""


def sft(config: RunConfig, data: Path, out: Path) -> str:
    """Tune the pretrained model of the config on `data`; in this process where nothing is to be launched."""
    assert config.sft is not None
    if not config.launch:
        from training import sft as stage

        stage.run(config.sft, data, out)
        return f"tuned {config.sft.model}"
    out.mkdir(parents=True, exist_ok=True)
    told = out / "sft.yaml"
    told.write_text(yaml.safe_dump({"seed": config.seed, "sft": config.sft.model_dump(mode="json")}))
    words = ["-m", "training.sft", "--config", str(told), "--data", str(data), "--out", str(out)]
    ended = subprocess.run([*config.launch, *words], check=False)
    if ended.returncode:
        raise StageFailed(
            f"{' '.join((*config.launch, *words[:2]))} ended with {ended.returncode}",
            hint=f"its output above says why; {Path(sys.executable).name} -m training.sft alone runs it on one device",
        )
    return f"tuned {config.sft.model}"
