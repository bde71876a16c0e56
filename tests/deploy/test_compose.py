"""docker-compose.yml keeps its promises; each promise is shown to fail when it is broken."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from compose_file import EXPECTED, ROOT, SECRETS, Stack, load

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
Faults = Iterator[str]


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
