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
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from reasonflux.engine_port import Message
from training.records import Pair, TrainingProblem
from training.running import launching
from training.scale.architecture import Architecture
from training.scale.dry_run import stand_in
from training.settings import RunConfig
from training.stages import dpo, pair_data, sft
from training.weights import curves, serving

ACCELERATE = Path("training/configs/accelerate")
ON_CPU = Path(__file__).with_name("fsdp2_on_cpu.py")
BF16 = 2**-7
"""Two steps of bf16: what is nearly the same may be rounded apart."""
SMALL = Architecture(name="small", layers=2, hidden=32, feed_forward=64, heads=2, kv_heads=1, vocabulary=512, tied=True)


LORA = {"rank": 4, "alpha": 8}
ENDS = [2, 0]
"""The token that ends a turn, and another one: engines have to be told both."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a corpus, pairs, and run files for two processes."""
    folder = tmp_path_factory.mktemp("launch")
    stand_in(SMALL, folder / "model")
    (folder / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": ENDS}))
    lines = [
        {"messages": [{"role": "user", "content": f"{n} plus 1?"}, {"role": "assistant", "content": str(n + 1)}]}
        for n in range(16)
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    written = [pair(n) for n in range(20)]
    _, heldout = pair_data.split(written, preferences().heldout, limit=20)
    contrary = [turned(one) if one in heldout else one for one in written]
    for name, pairs in (("pairs", written), ("contrary", contrary)):
        (folder / f"{name}.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in pairs))
    for name, lora in (("run", None), ("lora", LORA)):
        sections = {"sft": settings(folder, lora=lora), "dpo": preferences(lora=lora)}
        told = {stage: section.model_dump(mode="json") for stage, section in sections.items()}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"seed": 3, **told}))
    return folder


def pair(n: int) -> Pair:
    asked = f"{n} plus 1?"
    return Pair(
        problem=TrainingProblem(id=f"p{n}", text=asked, answer="0"),
        prompt=(Message(role="user", content=asked),),
        chosen="Plan: add." * 8,
        rejected="Plan: multiply." * 8,
        chosen_reward=1.0,
        rejected_reward=0.0,
        trials=4,
    )


def turned(told: Pair) -> Pair:
    """What the learned pairs teach is wrong here."""
    return told.model_copy(update={"chosen": told.rejected, "rejected": told.chosen})


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


def preferences(**changed: object) -> dpo.DpoConfig:
    told = {
        "lr": 2e-2 if changed.get("lora") else 3e-3,
        "warm_up": 0,
        "max_steps": 2,
        "max_length": 256,
        "batch_size": 1,
        "accumulate": 2,
        "heldout": 0.2,
        "eval_every": 2,
        "report_every": 1,
        "bf16": False,
        "seed": 3,
    }
    return dpo.DpoConfig.model_validate(told | changed)


def launched(accelerate: Path, *words: str | Path) -> str:
    """What two processes say that end well."""
    told = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(accelerate), *map(str, words)]
    done = subprocess.run(told, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 processes, 4 examples a step" in done.stdout or "2 processes, 4 pairs a step" in done.stdout
    return done.stdout


def tuned(place: Path, run: str = "run") -> tuple[str | Path, ...]:
    return "--config", place / f"{run}.yaml", "--data", place / "corpus.jsonl"


def preferring(place: Path, run: str = "run", pairs: str = "pairs") -> tuple[str | Path, ...]:
    return "--config", place / f"{run}.yaml", "--weights", place / "model", "--pairs", place / f"{pairs}.jsonl"


def sharding(place: Path, precision: str = "no") -> Path:
    """Our settings of FSDP2 for two processes on the CPU."""
    told = yaml.safe_load((ACCELERATE / "cpu-2.yaml").read_text()) | {"mixed_precision": precision}
    real = yaml.safe_load((ACCELERATE / "fsdp2.yaml").read_text())["fsdp_config"]
    config = place / f"fsdp2-{precision}.yaml"
    config.write_text(yaml.safe_dump({**told, "distributed_type": "FSDP", "fsdp_config": real}))
    return config


@pytest.fixture(scope="module")
def alone(place: Path) -> Path:
    """One process, with twice the accumulation: the same examples a step."""
    return sft.run(settings(place, accumulation=4), place / "corpus.jsonl", place / "alone")


@pytest.fixture(scope="module")
def preferred(place: Path) -> Path:
    """As `alone`, for preferences."""
    return dpo.run(preferences(accumulate=4), place / "model", place / "pairs.jsonl", place / "dpo-alone")


def test_a_run_starts_the_stage_in_a_process_of_its_own(place: Path) -> None:
    config = RunConfig(sft=settings(place))
    launching.sft(config, place / "corpus.jsonl", place / "by-the-run")
    assert (place / "by-the-run" / "weights" / "model.safetensors").exists()


def test_a_stage_that_fails_says_how_it_was_started(place: Path) -> None:
    with pytest.raises(launching.StageFailed, match=r"-m training\.stages\.sft"):
        launching.sft(RunConfig(sft=settings(place)), place / "no-corpus.jsonl", place / "failed")


def assert_same(one: Path, other: Path, rtol: float = 1e-3) -> None:
    mine, its = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).state_dict() for path in (one, other))
    assert mine.keys() == its.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, its[name], atol=2e-4, rtol=rtol, msg=name)


def assert_whole(weights: Path, start: Path, dtype: str) -> None:
    """An engine loads them: a model, not an adapter; all files of one precision; the start's ends of a turn."""
    assert serving.digest(weights)
    assert not (weights / "adapter_config.json").exists()
    assert json.loads((weights / "config.json").read_text())["dtype"] == dtype
    held = load_file(weights / "model.safetensors")
    assert held.keys() == load_file(start / "model.safetensors").keys(), "tied weights are written once"
    assert {str(tensor.dtype) for tensor in held.values()} == {f"torch.{dtype}"}
    assert json.loads((weights / "generation_config.json").read_text())["eos_token_id"] == ENDS
    with pytest.raises(AssertionError):
        assert_same(weights, start)


def test_two_processes_take_part_and_one_set_of_weights_comes_out(place: Path, alone: Path) -> None:
    out = place / "copies"
    launched(ACCELERATE / "cpu-2.yaml", "-m", "training.stages.sft", *tuned(place), "--out", out)
    assert {path.name for path in (out / "checkpoint-2").glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}
    assert_same(out / "weights", alone)


def test_two_processes_that_shard_with_fsdp2_learn_the_same(place: Path, alone: Path) -> None:
    out = place / "sharded"
    launched(sharding(place), ON_CPU, "sft", *tuned(place), "--out", out)
    assert (out / "checkpoint-2" / "pytorch_model_fsdp.bin").exists(), "it ran without FSDP"
    assert_whole(out / "weights", place / "model", "float32")
    assert_same(out / "weights", alone)


def test_an_adapter_trained_in_shards_comes_out_alone_and_merged(place: Path) -> None:
    out = place / "sharded-lora"
    launched(sharding(place), ON_CPU, "sft", *tuned(place, "lora"), "--out", out)
    one = sft.run(settings(place, accumulation=4, lora=LORA), place / "corpus.jsonl", place / "alone-lora")
    assert (out / "checkpoint-2" / "pytorch_model_fsdp.bin").exists(), "it ran without FSDP"
    adapters = [load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (out, one.parent)]
    assert adapters[0].keys() == adapters[1].keys()
    assert_whole(out / "weights", place / "model", "float32")
    assert_same(out / "weights", one)


def test_preferences_learned_in_copies_are_those_of_one_process(place: Path, preferred: Path) -> None:
    out = place / "dpo-copies"
    launched(ACCELERATE / "cpu-2.yaml", "-m", "training.stages.dpo", *preferring(place), "--out", out)
    assert_same(out / "weights", preferred, BF16)


def test_preferences_learned_in_shards_are_those_of_one_process(place: Path, preferred: Path) -> None:
    out = place / "dpo-sharded"
    launched(sharding(place), ON_CPU, "dpo", *preferring(place), "--out", out)
    assert (out / "checkpoints" / "checkpoint-2" / "pytorch_model_fsdp.bin").exists(), "it ran without FSDP"
    assert_whole(out / "weights", place / "model", "bfloat16")
    assert_same(out / "weights", preferred, BF16)


def test_preferences_learned_by_an_adapter_in_shards_come_out_as_a_whole_model(place: Path) -> None:
    out = place / "dpo-sharded-lora"
    launched(sharding(place), ON_CPU, "dpo", *preferring(place, "lora"), "--out", out)
    config = preferences(accumulate=4, lora=LORA)
    one = dpo.run(config, place / "model", place / "pairs.jsonl", place / "dpo-alone-lora")
    assert (out / "checkpoints" / "checkpoint-2" / "pytorch_model_fsdp.bin").exists(), "it ran without FSDP"
    assert_whole(out / "weights", place / "model", "bfloat16")
    assert_same(out / "weights", one, BF16)


def test_shards_that_no_step_made_better_give_the_starting_weights_and_measure_finer_than_bf16(
    place: Path, preferred: Path
) -> None:
    out = place / "dpo-contrary"
    words = preferring(place, "lora", "contrary")
    assert "no step beat" in launched(sharding(place, "bf16"), ON_CPU, "dpo", *words, "--out", out)
    assert_same(out / "weights", place / "model", BF16)
    with pytest.raises(AssertionError):
        assert_same(out / "weights", preferred, BF16)
    first, exact = (curves.read(folder)[1]["chosen_logp"] for folder in (out, preferred.parent))
    assert first == pytest.approx(exact, abs=0.05), "a step of bf16 is half a nat there"


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
