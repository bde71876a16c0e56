"""The rendered pods keep their promises; each promise is shown to fail when it is broken."""

import importlib
import inspect
import re
from collections.abc import Callable

import pytest
import yaml
from k8s_manifests import (
    K8S,
    OVERLAYS,
    RENDERED,
    ROOT,
    Break,
    Faults,
    Manifest,
    Manifests,
    Promise,
    arguments,
    assert_noticed,
    containers,
    engines,
    environment,
    in_container,
    in_pod,
    in_spec,
    kustomize,
    less,
    name_of,
    of_kind,
    one,
    pods,
    put,
    render,
    templates,
    with_variable,
    without,
)
from pydantic_settings import BaseSettings

from navigator.app import DRAIN_SECONDS

SLACK_SECONDS = 10
PROD, GROUP, LORA = "overlays/gpu-prod", "overlays/multi-node", "gpu-prod + lora"


def restricted(manifests: Manifests) -> Faults:
    """Pod Security "restricted", and what it does not ask for: no token, nothing writable but volumes."""
    for name, pod in pods(manifests):
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False or pod.get("serviceAccountName") != "reasonflux":
            yield f"{name} gets a token"
        if any(pod.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name} shares the host"
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "projected", "downwardAPI"}
        if any(not set(volume) - {"name"} <= allowed for volume in pod.get("volumes", [])):
            yield f"{name} mounts the host"
    for name, container in containers(manifests):
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} keeps privileges"
        if not context.get("readOnlyRootFilesystem"):
            yield f"{name} has a writable root file system"
    namespace = one(manifests, "Namespace", "reasonflux")["metadata"]["labels"]
    if namespace.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the API server would let other pods in"


def probed(manifests: Manifests) -> Faults:
    """Whatever stays is probed: enough time to start, ready when it serves, alive unless it is silent for long."""
    for kind, name, template in templates(manifests):
        if kind == "Job" or "reasonflux/no-probes" in template["metadata"].get("annotations", {}):
            continue
        for container in template["spec"]["containers"]:
            yield from _probed(name, container)


def _probed(name: str, container: Manifest) -> Faults:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe not in container:
            yield f"{name} has no {probe}"
            return
    start, alive = container["startupProbe"], container["livenessProbe"]
    if container["name"] == "vllm" and "httpGet" in start and start["periodSeconds"] * start["failureThreshold"] < 1800:
        yield f"{name} is given up on while it loads"
    if alive["periodSeconds"] * alive["failureThreshold"] < 60 or alive["timeoutSeconds"] < 5:
        yield f"{name} is restarted for being slow"
    if container["name"] in {"navigator", "executor", "template-store"}:
        paths = [container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")]
        if paths != ["/readyz", "/healthz"]:
            yield f"{name} is restarted for its neighbours, or ready without them"


def ending(manifests: Manifests) -> Faults:
    for name, job in of_kind(manifests, "Job"):
        if not {"activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"} <= set(job):
            yield f"{name} may run for ever"


def pinned(manifests: Manifests) -> Faults:
    for name, container in containers(manifests):
        version = re.fullmatch(r".+:v?(\d+)\.(\d+)\.(\d+)", container["image"])
        if not version:
            yield f"{name} is not pinned"
        elif "vllm" in container["image"] and (int(version[1]), int(version[2])) < (0, 33):
            yield f"{name} is older than vLLM 0.33"
    for name, engine in engines(manifests):
        known = environment(manifests, engine["containers"][0])
        if not known["MODEL"].startswith("/") and not re.fullmatch(r"[0-9a-f]{40}", known.get("REVISION", "")):
            yield f"{name} serves whatever the hub has today"


def drained(manifests: Manifests) -> Faults:
    """Each pod has the time it needs to finish: preStop, drain, the server's own shutdown, slack."""
    for name, pod in pods(manifests):
        container = pod["containers"][0]
        grace = pod.get("terminationGracePeriodSeconds", 30)
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if container["name"] in {"navigator", "executor", "template-store"}:
            drain = float(environment(manifests, container).get("REASONFLUX_DRAIN_SECONDS", 0))
            # The navigator ends its upkeep, then its worker, each for at most DRAIN_SECONDS.
            needed = pause + drain + _graceful_shutdown(container["name"]) + 2 * DRAIN_SECONDS + SLACK_SECONDS
            if not pause or not drain or grace < needed:
                yield f"{name} is killed before it has drained"
        elif container["name"] == "vllm":
            given = " ".join(arguments(manifests, container))
            window = re.search(r"--shutdown-timeout=(\d+)", given)
            if not pause or grace < pause + int(window[1] if window else 0) + SLACK_SECONDS:
                yield f"{name} is killed before it has drained"
            if not window and "--headless" not in given and "ray start" not in str(container.get("command")):
                yield f"{name} cuts its calls off"


def _graceful_shutdown(service: str) -> float:
    """What the image's command gives uvicorn."""
    stage = (ROOT / "deploy/Dockerfile").read_text().split(f" AS {service}\n")[1].split("\nFROM ")[0]
    found = re.search(r'"--timeout-graceful-shutdown", "(\d+)"', stage)
    assert found
    return float(found[1])


def unhurried(manifests: Manifests) -> Faults:
    """Nodes can be drained one pod at a time, and updates need no spare GPU."""
    budgets = [budget for _, budget in of_kind(manifests, "PodDisruptionBudget")]
    for kind, name, template in templates(manifests):
        labels = template["metadata"]["labels"].items()
        mine = [budget for budget in budgets if budget["selector"]["matchLabels"].items() <= labels]
        worker = "no-probes" in str(template) or name.endswith("-worker")
        if kind != "Job" and not worker and [b.get("maxUnavailable") for b in mine] != [1]:
            yield f"{name} has no disruption budget that lets a node drain"
    for name, spec in of_kind(manifests, "Deployment"):
        rolling = spec.get("strategy", {}).get("rollingUpdate", {})
        if name.startswith("vllm") and rolling.get("maxSurge") != 0:
            yield f"{name}'s update asks for a spare GPU"
        if not name.startswith("vllm") and rolling.get("maxUnavailable") != 0:
            yield f"{name}'s update takes a pod away first"
    for name, spec in of_kind(manifests, "LeaderWorkerSet"):
        if spec["rolloutStrategy"]["rollingUpdateConfiguration"].get("maxSurge") != 0:
            yield f"{name}'s update asks for a spare GPU"
        if spec["leaderWorkerTemplate"]["restartPolicy"] != "RecreateGroupOnPodRestart":
            yield f"{name} goes on with half an engine"


def spread(manifests: Manifests) -> Faults:
    for name, spec in of_kind(manifests, "Deployment"):
        pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
        for constraint in pod.get("topologySpreadConstraints", [{}]):
            selector = constraint.get("labelSelector", {}).get("matchLabels", {})
            if not selector or not selector.items() <= labels.items():
                yield f"{name} may be all in one zone"
        if name != "engine-router" and "podAntiAffinity" not in pod.get("affinity", {}):
            yield f"{name} may be all on one node"


def durable(manifests: Manifests) -> Faults:
    """Redis, where it is ours: every write synced, nothing evicted, a user of our own, a volume of its own."""
    config = next((m["data"] for m in manifests if m["kind"] == "ConfigMap" and "redis.conf" in m["data"]), None)
    if config is None:
        if any(name == "redis" for name, _ in pods(manifests)):
            yield "Redis has no configuration"
        for name, container in containers(manifests):
            if name in {"navigator", "template-store"} and "redis-url" not in str(container["env"]):
                yield f"{name} is told of no Redis"
        return
    for line in ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction"):
        if line not in config["redis.conf"].splitlines():
            yield f"Redis does not keep: {line}"
    if "user default off" not in config["start.sh"]:
        yield "Redis lets anyone in"
    redis = one(manifests, "StatefulSet", "redis")["spec"]
    if [claim["metadata"]["name"] for claim in redis.get("volumeClaimTemplates", [])] != ["data"]:
        yield "Redis forgets when its pod goes"


PROMISES = (
    restricted, probed, ending, pinned, drained, unhurried, spread, durable,
)  # fmt: skip
KEPT = [(promise, name) for promise in PROMISES for name in RENDERED]


def redis_files(manifests: Manifests) -> Manifest:
    files: Manifest = next(m for m in manifests if "redis.conf" in m.get("data", {}))["data"]
    return files


def of_group(change: Callable[[Manifest], None]) -> Break:
    return in_spec("LeaderWorkerSet", "vllm-navigator", change)


BREAKS: list[tuple[Promise, str, Break, str]] = [
    (restricted, PROD, in_pod("redis", less("securityContext", "runAsNonRoot")), "as root"),
    (restricted, PROD, in_pod("redis", less("securityContext", "seccompProfile")), "seccomp"),
    (restricted, PROD, in_pod("executor", less("automountServiceAccountToken")), "token"),
    (restricted, PROD, in_pod("executor", lambda p: p.update(hostNetwork=True)), "shares the host"),
    (restricted, PROD, in_pod("redis", lambda p: p["volumes"].append({"name": "x", "hostPath": {}})), "the host"),
    (restricted, PROD, in_container("engine-router", less("securityContext")), "privileges"),
    (restricted, GROUP, in_container("vllm-navigator-worker", less("securityContext", "capabilities")), "privileges"),
    (restricted, PROD, in_container("navigator", less("securityContext", "readOnlyRootFilesystem")), "writable"),
    (restricted, PROD, lambda m: one(m, "Namespace", "reasonflux")["metadata"].update(labels={}), "let other pods in"),
    (probed, PROD, in_container("navigator", less("livenessProbe")), "livenessProbe"),
    (probed, LORA, in_pod("vllm-navigator", lambda p: p["containers"][1].pop("readinessProbe")), "readinessProbe"),
    (probed, PROD, in_container("vllm-navigator", put("startupProbe", failureThreshold=3)), "given up"),
    (probed, PROD, in_container("vllm-executor", put("livenessProbe", failureThreshold=1)), "being slow"),
    (probed, PROD, in_container("executor", put("livenessProbe", "httpGet", path="/readyz")), "neighbours"),
    (ending, PROD, in_spec("Job", "fetch-navigator-model", less("activeDeadlineSeconds")), "for ever"),
    (pinned, PROD, in_container("redis", lambda c: c.update(image="redis:latest")), "not pinned"),
    (pinned, PROD, in_container("vllm-executor", lambda c: c.update(image="vllm/vllm-openai:v0.32.0")), "older"),
    (pinned, PROD, in_container("vllm-executor", with_variable("REVISION", "main")), "today"),
    (drained, PROD, in_container("navigator", less("lifecycle")), "killed before"),
    (drained, PROD, in_pod("executor", lambda p: p.update(terminationGracePeriodSeconds=109)), "killed before"),
    (drained, PROD, in_container("executor", lambda c: c["env"].pop()), "killed before"),
    (drained, PROD, in_pod("vllm-executor", lambda p: p.update(terminationGracePeriodSeconds=120)), "killed before"),
    (drained, PROD, in_container("vllm-executor", lambda c: c["args"].remove("--shutdown-timeout=120")), "cuts"),
    (unhurried, PROD, without("PodDisruptionBudget", "navigator"), "disruption budget"),
    (unhurried, PROD, in_spec("PodDisruptionBudget", "redis", put(maxUnavailable=0)), "disruption budget"),
    (unhurried, PROD, in_spec("Deployment", "vllm-navigator", less("strategy")), "spare GPU"),
    (unhurried, GROUP, of_group(put("rolloutStrategy", "rollingUpdateConfiguration", maxSurge=1)), "spare GPU"),
    (unhurried, GROUP, of_group(put("leaderWorkerTemplate", restartPolicy="None")), "half an engine"),
    (unhurried, PROD, in_spec("Deployment", "navigator", less("strategy")), "away first"),
    (spread, PROD, in_pod("navigator", less("topologySpreadConstraints")), "one zone"),
    (spread, PROD, in_pod("vllm-executor", lambda p: p["topologySpreadConstraints"][0].clear()), "one zone"),
    (spread, PROD, in_pod("executor", less("affinity")), "one node"),
    (durable, PROD, lambda m: redis_files(m).update({"redis.conf": ""}), "does not keep"),
    (durable, PROD, lambda m: redis_files(m).update({"start.sh": ""}), "anyone in"),
    (durable, PROD, in_spec("StatefulSet", "redis", less("volumeClaimTemplates")), "forgets"),
    (durable, PROD, lambda m: redis_files(m).clear(), "no configuration"),
    (durable, "gpu-prod + external-redis", in_container("navigator", lambda c: c["env"].clear()), "told of no Redis"),
]  # fmt: skip


@pytest.mark.parametrize(("promise", "name"), KEPT, ids=name_of)
def test_manifests_keep_their_promise(promise: Promise, name: str) -> None:
    assert list(promise(render(name))) == []


@pytest.mark.parametrize(("promise", "name", "change", "complaint"), BREAKS, ids=name_of)
def test_a_broken_manifest_promise_is_noticed(promise: Promise, name: str, change: Break, complaint: str) -> None:
    assert_noticed(promise, name, change, complaint)


def test_every_manifest_promise_has_been_broken_once() -> None:
    assert {promise for promise, *_ in BREAKS} == set(PROMISES)


def test_every_component_is_rendered_by_a_test() -> None:
    named = "\n".join((K8S / overlay / "kustomization.yaml").read_text() for overlay in OVERLAYS)
    for component in (K8S / "components").iterdir():
        assert component.name in named or any(component.name in name for name in RENDERED), component.name


def test_the_pod_that_weights_are_copied_through_is_as_restricted_as_the_others() -> None:
    loader = yaml.safe_load((K8S / "components/model-cache/loader.yaml").read_text())
    namespace = one(render(PROD), "Namespace", "reasonflux")
    assert list(restricted([loader, namespace])) == []
    loader["spec"]["securityContext"].clear()
    assert list(restricted([loader, namespace])) != []


@pytest.mark.parametrize("name", RENDERED)
def test_no_secret_is_in_the_manifests(name: str) -> None:
    assert all(manifest["kind"] != "Secret" for manifest in render(name))


def known_settings() -> set[str]:
    known = set()
    for module in ("navigator", "executor", "template_store"):
        settings = importlib.import_module(f"{module}.settings")
        for _, cls in inspect.getmembers(settings, inspect.isclass):
            if issubclass(cls, BaseSettings) and cls is not BaseSettings:
                known |= {f"REASONFLUX_{field}".upper() for field in cls.model_fields}
    return known


def test_deployments_set_only_variables_that_our_settings_read() -> None:
    sources = [kustomize(name) for name in RENDERED]
    sources += [(ROOT / name).read_text() for name in ("docker-compose.yml", "deploy/Dockerfile")]
    used = set(re.findall(r"\bREASONFLUX_[A-Z_]+", "\n".join(sources)))
    assert {"REASONFLUX_REDIS_URL", "REASONFLUX_EXECUTOR_PROFILE", "REASONFLUX_LIBRARY_DIR"} <= used
    assert used - known_settings() == set()
