"""What `docker compose` and make-env.sh do with docker-compose.yml and .env.example."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from compose_file import COMPOSE, EXPECTED, ROOT, SECRETS


def compose(*arguments: str, tmp: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker with the compose plugin is not installed")
    env = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME"}} | environment
    (tmp / "empty.env").touch()
    command = [docker, "compose", "--env-file", str(tmp / "empty.env"), "-f", str(COMPOSE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)


@pytest.mark.parametrize("profile", EXPECTED)
def test_compose_starts_exactly_the_services_of_a_profile(profile: str, tmp_path: Path) -> None:
    # A profile on the command line wins over the default that .env sets.
    done = compose("--profile", profile, "config", "--services", tmp=tmp_path, COMPOSE_PROFILES="cpu", **SECRETS)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == EXPECTED[profile]


def engine(name: str, profile: str, tmp: Path, **settings: str) -> dict[str, Any]:
    """An engine's service as compose understands it, with these settings in .env."""
    done = compose("--profile", profile, "config", "--format", "json", tmp=tmp, **SECRETS, **settings)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"][name])


def gpus(service: dict[str, Any]) -> dict[str, Any]:
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    return {key: device[key] for key in ("count", "device_ids") if key in device}


def test_a_model_is_spread_over_as_many_gpus_as_are_asked_for(tmp_path: Path) -> None:
    service = engine("engine-gpu", "gpu", tmp_path, GPU_COUNT="2", GPU_MODEL="/models/mine", ENGINE_MEMORY="96g")
    assert gpus(service) == {"count": 2}
    assert service["command"][0] == "/models/mine"
    assert "--tensor-parallel-size=2" in service["command"]
    assert int(service["deploy"]["resources"]["limits"]["memory"]) == 96 * 1024**3


def test_each_role_gets_its_model_on_its_gpu(tmp_path: Path) -> None:
    settings = {"NAVIGATOR_MODEL": "/models/mine", "EXECUTOR_GPU": "3", "GPU_MEMORY_SHARE": "0.45"}
    navigator = engine("navigator-engine-gpu", "gpu-pair", tmp_path, **settings)
    executor = engine("executor-engine-gpu", "gpu-pair", tmp_path, **settings)
    assert (gpus(navigator), gpus(executor)) == ({"device_ids": ["0"]}, {"device_ids": ["3"]})
    assert (navigator["command"][0], executor["command"][0]) == ("/models/mine", "Qwen/Qwen2.5-7B-Instruct")
    assert "--gpu-memory-utilization=0.45" in navigator["command"]


def test_a_folder_of_models_is_there_for_every_gpu_engine_and_cannot_be_written(tmp_path: Path) -> None:
    for name, profile in {"engine-gpu": "gpu", "navigator-engine-gpu": "gpu-pair"}.items():
        volumes = engine(name, profile, tmp_path, MODELS_DIR="/srv/models")["volumes"]
        (models,) = [each for each in volumes if each["target"] == "/models"]
        assert (models["source"], models["read_only"]) == ("/srv/models", True)


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_refuses_to_start_without_a_secret(missing: str, tmp_path: Path) -> None:
    rest = {key: value for key, value in SECRETS.items() if key != missing}
    done = compose("--profile", "cpu", "config", tmp=tmp_path, **rest)
    assert done.returncode != 0
    assert missing in done.stderr
    assert "make-env.sh" in done.stderr


def make_env(folder: Path) -> str:
    """What .env holds after `make-env.sh` was run in `folder`."""
    (folder / "deploy").mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy/make-env.sh", folder / "deploy")
    shutil.copy(ROOT / ".env.example", folder)
    subprocess.run(["sh", "deploy/make-env.sh"], cwd=folder, check=True, capture_output=True)
    assert not (folder / ".env.new").exists()
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    return (folder / ".env").read_text()


def test_make_env_writes_secrets_once_and_makes_cpu_the_default(tmp_path: Path) -> None:
    written = make_env(tmp_path)
    for name in SECRETS:
        assert len(re.findall(rf"^{name}=[0-9a-f]{{48}}$", written, re.M)) == 1
    assert "COMPOSE_PROFILES=cpu\n" in written
    assert make_env(tmp_path) == written


def test_make_env_adds_what_an_older_env_lacks_and_changes_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=gpu\nREDIS_PASSWORD=abc\nENGINE_KEY=mine")  # no end of line
    first, second, third, *added = make_env(tmp_path).splitlines()
    assert (first, second, third) == ("COMPOSE_PROFILES=gpu", "REDIS_PASSWORD=abc", "ENGINE_KEY=mine")
    assert any(re.fullmatch(r"GRAFANA_PASSWORD=[0-9a-f]{48}", line) for line in added)


def test_compose_file_passes_the_compose_schema() -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
