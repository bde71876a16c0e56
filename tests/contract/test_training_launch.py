"""The launch lines for more than one GPU, run by two CPU processes over gloo."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from training.running import launching
from training.scale.architecture import Architecture
from training.scale.dry_run import stand_in
from training.settings import RunConfig
from training.stages import sft

ACCELERATE = Path("training/configs/accelerate")
SMALL = Architecture(name="small", layers=2, hidden=32, feed_forward=64, heads=2, kv_heads=1, vocabulary=512, tied=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a corpus and a run file for two processes."""
    folder = tmp_path_factory.mktemp("launch")
    stand_in(SMALL, folder / "model")
    lines = [
        {"messages": [{"role": "user", "content": f"{n} plus 1?"}, {"role": "assistant", "content": str(n + 1)}]}
        for n in range(16)
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.yaml").write_text(yaml.safe_dump({"seed": 3, "sft": settings(folder).model_dump(mode="json")}))
    return folder


def settings(folder: Path, **changed: object) -> sft.SftConfig:
    told = {
        "model": str(folder / "model"),
        "learning_rate": 1e-2,
        "warm_up": 0,
        "max_steps": 2,
        "max_length": 128,
        "batch": 1,
        "accumulation": 2,
        "save_steps": 2,
        "log_steps": 1,
        "bf16": False,
        "seed": 3,
    }
    return sft.SftConfig.model_validate(told | changed)


def launched(accelerate: Path, module: tuple[str, ...], place: Path, out: str) -> Path:
    told = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(accelerate), *module]
    told += ["--config", str(place / "run.yaml"), "--data", str(place / "corpus.jsonl"), "--out", str(place / out)]
    done = subprocess.run(told, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 processes, 4 examples a step" in done.stdout
    return place / out


@pytest.fixture(scope="module")
def alone(place: Path) -> Path:
    """One process, with twice the accumulation: the same examples a step."""
    return sft.run(settings(place, accumulation=4), place / "corpus.jsonl", place / "alone")


def test_a_run_starts_the_stage_in_a_process_of_its_own(place: Path) -> None:
    config = RunConfig(sft=settings(place))
    launching.sft(config, place / "corpus.jsonl", place / "by-the-run")
    assert (place / "by-the-run" / "weights" / "model.safetensors").exists()


def test_a_stage_that_fails_says_how_it_was_started(place: Path) -> None:
    with pytest.raises(launching.StageFailed, match=r"-m training\.stages\.sft"):
        launching.sft(RunConfig(sft=settings(place)), place / "no-corpus.jsonl", place / "failed")


def assert_same(one: Path, other: Path) -> None:
    mine, its = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (one, other))
    assert mine.keys() == its.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, its[name], atol=2e-4, rtol=1e-3, msg=name)


def test_two_processes_take_part_and_one_set_of_weights_comes_out(place: Path, alone: Path) -> None:
    out = launched(ACCELERATE / "cpu-2.yaml", ("-m", "training.stages.sft"), place, "copies")
    assert {path.name for path in (out / "checkpoint-2").glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}
    assert_same(out / "weights", alone)


def test_two_processes_that_shard_with_fsdp2_learn_the_same(place: Path, alone: Path) -> None:
    told = yaml.safe_load((ACCELERATE / "cpu-2.yaml").read_text())
    real = yaml.safe_load((ACCELERATE / "fsdp2.yaml").read_text())["fsdp_config"]
    config = place / "fsdp2-cpu.yaml"
    config.write_text(yaml.safe_dump({**told, "distributed_type": "FSDP", "fsdp_config": real}))
    out = launched(config, (str(Path(__file__).with_name("fsdp2_on_cpu.py")),), place, "sharded")
    assert (out / "checkpoint-2" / "pytorch_model_fsdp.bin").exists(), "it ran without FSDP"
    assert_same(out / "weights", alone)


def test_a_run_that_was_killed_goes_on(place: Path) -> None:
    run_file, out = place / "long.yaml", place / "killed"
    run_file.write_text(yaml.safe_dump({"sft": settings(place, max_steps=40, save_steps=4).model_dump(mode="json")}))
    told = [
        sys.executable,
        "-m",
        "training.stages.sft",
        "--config",
        str(run_file),
        "--data",
        str(place / "corpus.jsonl"),
    ]
    told += ["--out", str(out)]
    with (place / "first.log").open("w") as log:
        first = subprocess.Popen(told, stdout=log, stderr=subprocess.STDOUT)
    while first.poll() is None and not list(out.glob("checkpoint-*/whole")):
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, (place / "first.log").read_text()[-3000:]
    assert not (out / "weights").exists()
    second = subprocess.run(told, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr[-3000:]
    assert "goes on at checkpoint-" in second.stdout
    assert (out / "weights" / "model.safetensors").exists()
