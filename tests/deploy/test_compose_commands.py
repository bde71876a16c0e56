"""What `docker compose` and make-env.sh do with docker-compose.yml and .env.example."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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
