"""The rendered Kubernetes manifests keep their promises; each promise is shown to fail when it is broken."""

import copy
import functools
import importlib
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy/k8s"
RENDERED = ["base", "overlays/dev-cpu", "overlays/gpu-single"]
Manifests = list[dict[str, Any]]
Faults = Iterator[str]


@functools.cache
def kustomize(folder: str) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", str(K8S / folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(folder: str) -> Manifests:
    return list(yaml.safe_load_all(kustomize(folder)))


def one(manifests: Manifests, kind: str, name: str) -> dict[str, Any]:
    return next(m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)


def pods(manifests: Manifests) -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers(manifests: Manifests) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods(manifests):
        yield from ((name, container) for container in pod["containers"] + pod.get("initContainers", []))


def restricted(manifests: Manifests) -> Faults:
    for name, pod in pods(manifests):
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False or pod.get("serviceAccountName") != "reasonflux":
            yield f"{name} gets a token"
    for name, container in containers(manifests):
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} keeps privileges"
        if not context.get("readOnlyRootFilesystem"):
            yield f"{name} has a writable root file system"


def probed(manifests: Manifests) -> Faults:
    for name, container in containers(manifests):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"{name} has no {probe}"
        start = container.get("startupProbe", {})
        if container["name"] == "vllm" and start and start["periodSeconds"] * start["failureThreshold"] < 1800:
            yield f"{name} is given up on while it loads"


def bounded(manifests: Manifests) -> Faults:
    for name, container in containers(manifests):
        for side in ("requests", "limits"):
            if not {"cpu", "memory"} <= set(container.get("resources", {}).get(side, {})):
                yield f"{name} has no {side}"


def pinned(manifests: Manifests) -> Faults:
    for name, container in containers(manifests):
        if not re.fullmatch(r".+:v?\d+\.\d+\.\d+", container["image"]):
            yield f"{name} is not pinned"


def fenced(manifests: Manifests) -> Faults:
    policies = [m for m in manifests if m["kind"] == "NetworkPolicy"]
    shut = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(policy["spec"] == shut for policy in policies):
        yield "pods may talk unless told otherwise"
    for policy in policies:
        for rule in policy["spec"].get("egress", []):
            if not rule.get("to"):
                yield f"{policy['metadata']['name']} lets traffic out to anywhere"
        name = policy["metadata"]["name"]
        if name != "navigator" and any(not rule.get("from") for rule in policy["spec"].get("ingress", [])):
            yield f"{name} lets anyone in"
    for policy in policies:
        if policy["metadata"]["name"] == "executor" and len(policy["spec"]["egress"]) != 1:
            yield "the calculator's host reaches more than its engine"


def shared_memory(manifests: Manifests) -> Faults:
    for name, pod in pods(manifests):
        if pod["containers"][0]["name"] == "vllm":
            at = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            if volumes.get(at.get("/dev/shm", ""), {}).get("emptyDir", {}).get("medium") != "Memory":
                yield f"{name} has no /dev/shm of its own"


def served(manifests: Manifests) -> Faults:
    """Every URL names a Service and its port, that Service selects a pod, and that pod serves the model asked for."""
    config = next(m["data"] for m in manifests if m["kind"] == "ConfigMap" and "REASONFLUX_EXECUTOR_URL" in m["data"])
    workloads = [m for m in manifests if m["kind"] in {"Deployment", "StatefulSet"}]
    services = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "Service"}
    for variable, value in config.items():
        if not variable.endswith("_URL"):
            continue
        found = re.fullmatch(r"http://([a-z-]+):(\d+)(/v1)?", value)
        service = services.get(found[1]) if found else None
        if not found or not service or service["ports"][0]["port"] != int(found[2]):
            yield f"{variable} leads nowhere"
            continue
        chosen = service["selector"].items()
        behind = [w for w in workloads if chosen <= w["spec"]["template"]["metadata"]["labels"].items()]
        if not behind:
            yield f"nothing stands behind {found[1]}"
        model = config.get(variable.replace("_URL", "_MODEL"))
        for workload in behind if model else []:
            args = workload["spec"]["template"]["spec"]["containers"][0]["args"]
            if model not in {arg.rpartition("=")[2] for arg in args}:
                yield f"{found[1]} does not serve {model}"


def drainable(manifests: Manifests) -> Faults:
    budgets = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "PodDisruptionBudget"}
    if budgets.get("navigator", {}).get("maxUnavailable") != 1:
        yield "the navigator has no disruption budget that lets a node drain"
    for manifest in manifests:
        surge = manifest.get("spec", {}).get("strategy", {}).get("rollingUpdate", {}).get("maxSurge")
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"].startswith("vllm") and surge != 0:
            yield "an engine's update asks for a spare GPU"


PROMISES = [restricted, probed, bounded, pinned, fenced, shared_memory, served, drainable]


def break_pod(manifests: Manifests, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    change(dict(pods(manifests))[name])


BREAKS: list[tuple[Callable[[Manifests], Faults], Callable[[Manifests], Any], str]] = [
    (restricted, lambda m: break_pod(m, "redis", lambda p: p["securityContext"].pop("runAsNonRoot")), "as root"),
    (restricted, lambda m: break_pod(m, "redis", lambda p: p["securityContext"].pop("seccompProfile")), "seccomp"),
    (restricted, lambda m: break_pod(m, "executor", lambda p: p.pop("automountServiceAccountToken")), "token"),
    (restricted, lambda m: break_pod(m, "executor", lambda p: p["containers"][0].pop("securityContext")), "privileges"),
    (
        restricted,
        lambda m: break_pod(
            m, "navigator", lambda p: p["containers"][0]["securityContext"].pop("readOnlyRootFilesystem")
        ),
        "writable",
    ),
    (probed, lambda m: break_pod(m, "navigator", lambda p: p["containers"][0].pop("livenessProbe")), "livenessProbe"),
    (
        probed,
        lambda m: break_pod(
            m, "vllm-navigator", lambda p: p["containers"][0]["startupProbe"].update(failureThreshold=3)
        ),
        "given up",
    ),
    (bounded, lambda m: break_pod(m, "redis", lambda p: p["containers"][0]["resources"].pop("limits")), "limits"),
    (pinned, lambda m: break_pod(m, "redis", lambda p: p["containers"][0].update(image="redis:latest")), "not pinned"),
    (fenced, lambda m: m.remove(one(m, "NetworkPolicy", "deny-all")), "unless told otherwise"),
    (fenced, lambda m: one(m, "NetworkPolicy", "redis")["spec"]["ingress"][0].pop("from"), "anyone in"),
    (fenced, lambda m: one(m, "NetworkPolicy", "names")["spec"]["egress"][0].pop("to"), "out to anywhere"),
    (fenced, lambda m: one(m, "NetworkPolicy", "executor")["spec"]["egress"].append({"to": [{}]}), "more than"),
    (shared_memory, lambda m: break_pod(m, "vllm-navigator", lambda p: p["volumes"].clear()), "/dev/shm"),
    (served, lambda m: m.remove(one(m, "Service", "executor")), "leads nowhere"),
    (served, lambda m: m.remove(one(m, "Deployment", "vllm-navigator")), "nothing stands behind"),
    (
        served,
        lambda m: break_pod(m, "vllm-navigator", lambda p: p["containers"][0].update(args=["/models"])),
        "not serve",
    ),
    (drainable, lambda m: m.remove(one(m, "PodDisruptionBudget", "navigator")), "disruption budget"),
    (drainable, lambda m: one(m, "Deployment", "vllm-navigator")["spec"].pop("strategy"), "spare GPU"),
]


@pytest.mark.parametrize("folder", RENDERED)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_manifests_keep_their_promise(promise: Callable[[Manifests], Faults], folder: str) -> None:
    assert list(promise(render(folder))) == []


@pytest.mark.parametrize(("promise", "change", "complaint"), BREAKS, ids=[f"{b[0].__name__}-{b[2]}" for b in BREAKS])
def test_a_broken_manifest_promise_is_noticed(
    promise: Callable[[Manifests], Faults], change: Callable[[Manifests], Any], complaint: str
) -> None:
    manifests = copy.deepcopy(render("overlays/gpu-single"))
    assert list(promise(manifests)) == []
    change(manifests)
    assert any(complaint in fault for fault in promise(manifests))


def test_every_manifest_promise_has_been_broken_once() -> None:
    assert {promise for promise, _, _ in BREAKS} == set(PROMISES)


def test_gpu_single_takes_one_gpu_and_dev_cpu_none() -> None:
    engines = {n: p for n, p in pods(render("overlays/gpu-single")) if n.startswith("vllm")}
    assert set(engines) == {"vllm-navigator"}
    engine = engines["vllm-navigator"]
    assert engine["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert engine["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert engine["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert "persistentVolumeClaim" in engine["volumes"][0]
    assert "nvidia.com" not in kustomize("overlays/dev-cpu")
    assert "persistentVolumeClaim" not in kustomize("overlays/dev-cpu")


@pytest.mark.parametrize("folder", RENDERED)
def test_no_secret_is_in_the_manifests(folder: str) -> None:
    assert all(manifest["kind"] != "Secret" for manifest in render(folder))


def known_settings() -> set[str]:
    known = set()
    for module in ("navigator", "executor", "template_store"):
        settings = importlib.import_module(f"{module}.settings")
        for _, cls in inspect.getmembers(settings, inspect.isclass):
            if issubclass(cls, BaseSettings) and cls is not BaseSettings:
                known |= {f"REASONFLUX_{field}".upper() for field in cls.model_fields}
    return known


def test_deployments_set_only_variables_that_our_settings_read() -> None:
    sources = [kustomize(folder) for folder in RENDERED]
    sources += [(ROOT / name).read_text() for name in ("docker-compose.yml", "deploy/Dockerfile")]
    used = set(re.findall(r"\bREASONFLUX_[A-Z_]+", "\n".join(sources)))
    assert {"REASONFLUX_REDIS_URL", "REASONFLUX_EXECUTOR_PROFILE", "REASONFLUX_LIBRARY_DIR"} <= used
    assert used - known_settings() == set()


@pytest.mark.parametrize("folder", RENDERED)
def test_manifests_fit_the_schemas_of_kubernetes(folder: str, tmp_path: Path) -> None:
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    (tmp_path / "all.yaml").write_text(kustomize(folder))
    command = [str(Path(sys.executable).with_name("kubernetes-validate")), "--strict", str(tmp_path / "all.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
