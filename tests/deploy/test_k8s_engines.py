"""The rendered engines keep their promises: GPUs, memory, weights and names; each shown to fail when it is broken."""

import re

import pytest
from k8s_manifests import (
    DOCUMENTED,
    RENDERED,
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

SINGLE, PROD, GROUP, RAY = (
    "overlays/gpu-single",
    "overlays/gpu-prod",
    "overlays/multi-node",
    "multi-node + multi-node-ray",
)
ON_GPUS = (SINGLE, PROD, GROUP, RAY, "gpu-prod + lora", DOCUMENTED)
CACHED = (PROD, GROUP, RAY, "gpu-prod + lora", DOCUMENTED)


def shared_memory(manifests: Manifests) -> Faults:
    for name, pod in engines(manifests):
        at = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        if volumes.get(at.get("/dev/shm", ""), {}).get("emptyDir", {}).get("medium") != "Memory":
            yield f"{name} has no /dev/shm of its own"


def on_gpus(manifests: Manifests) -> Faults:
    """An engine gets as many GPUs as it shards over, on nodes that have them, where nothing else runs."""
    for name, pod in engines(manifests):
        container = pod["containers"][0]
        gpus = container["resources"]["limits"].get("nvidia.com/gpu")
        if gpus != int(environment(manifests, container)["TENSOR_PARALLEL_SIZE"]):
            yield f"{name} shards over other GPUs than it has"
        if pod.get("nodeSelector") != {"nvidia.com/gpu.present": "true"}:
            yield f"{name} may land on a node without a GPU"
        if not any(t["key"] == "nvidia.com/gpu" for t in pod.get("tolerations", [])):
            yield f"{name} is kept off GPU nodes by their taint"
        if pod.get("runtimeClassName") != "nvidia":
            yield f"{name} does not see its GPU"
    for name, container in containers(manifests):
        if container["name"] != "vllm" and "nvidia.com/gpu" in container["resources"]["limits"]:
            yield f"{name} takes a GPU for nothing"


def weights_shared(manifests: Manifests) -> Faults:
    """With the model cache: engines read it only, offline and without the hub's token, and wait until it is filled."""
    for name, pod in engines(manifests):
        volumes = {volume["name"]: volume.get("persistentVolumeClaim", {}) for volume in pod["volumes"]}
        if volumes["models"] != {"claimName": "model-cache", "readOnly": True}:
            yield f"{name} may write into the weights of others"
        container = pod["containers"][0]
        known = environment(manifests, container)
        if known.get("HF_HUB_OFFLINE") != "1" or "HF_TOKEN" in known:
            yield f"{name} goes to the hub"
        folder = f"/models/{known['MODEL']}/{known['REVISION']}"
        if arguments(manifests, container)[:1] != ([folder] if "args" in container else []):
            yield f"{name} does not serve {folder}"
        waits = [environment(manifests, init) for init in pod.get("initContainers", []) if init["name"] == "weights"]
        if [(w["MODEL"], w["REVISION"]) for w in waits] != [(known["MODEL"], known["REVISION"])]:
            yield f"{name} does not wait for its weights"
    if set(one(manifests, "PersistentVolumeClaim", "model-cache")["spec"]["accessModes"]) != {
        "ReadWriteMany",
        "ReadOnlyMany",
    }:
        yield "the weights cannot be read on many nodes"


def served(manifests: Manifests) -> Faults:
    """Every URL names a Service and a port of it, pods stand behind it, and they serve the model that is asked for."""
    config = next(m["data"] for m in manifests if m["kind"] == "ConfigMap" and "REASONFLUX_EXECUTOR_URL" in m["data"])
    services = dict(of_kind(manifests, "Service"))
    for variable, value in config.items():
        if not variable.endswith("_URL"):
            continue
        found = re.fullmatch(r"http://([a-z-]+):(\d+)(/v1)?", value)
        service = services.get(found[1]) if found else None
        if not found or not service or int(found[2]) not in {port["port"] for port in service["ports"]}:
            yield f"{variable} leads nowhere"
            continue
        behind = list(_behind(manifests, service))
        if not behind:
            yield f"nothing stands behind {found[1]}"
        model = config.get(variable.replace("_URL", "_MODEL"))
        if found[1] == "engine-router":
            role = variable.split("_")[1].lower()
            behind = list(_behind(manifests, services[f"vllm-{role}-pods"]))
        for pod in behind if model else []:
            given = arguments(manifests, pod["containers"][0])
            if model not in given[given.index("--served-model-name") :]:
                yield f"{found[1]} does not serve {model}"


def _behind(manifests: Manifests, service: Manifest) -> list[Manifest]:
    chosen = service["selector"].items()
    return [t["spec"] for _, _, t in templates(manifests) if chosen <= t["metadata"]["labels"].items()]


KEPT: list[tuple[Promise, str]] = [
    *((promise, name) for promise in (shared_memory, served) for name in RENDERED),
    *((on_gpus, name) for name in ON_GPUS),
    *((weights_shared, name) for name in CACHED),
]


def one_gpu(container: Manifest) -> None:
    container["resources"]["limits"]["nvidia.com/gpu"] = 1


def writable_weights(pod: Manifest) -> None:
    next(volume for volume in pod["volumes"] if volume["name"] == "models")["persistentVolumeClaim"].pop("readOnly")


BREAKS: list[tuple[Promise, str, Break, str]] = [
    (shared_memory, PROD, in_pod("vllm-navigator", lambda p: p["volumes"].clear()), "/dev/shm"),
    (on_gpus, PROD, in_container("vllm-navigator", less("resources", "limits", "nvidia.com/gpu")), "other GPUs"),
    (on_gpus, GROUP, in_container("vllm-navigator-worker", one_gpu), "other GPUs"),
    (on_gpus, PROD, in_pod("vllm-navigator", less("nodeSelector")), "without a GPU"),
    (on_gpus, SINGLE, in_pod("vllm-navigator", less("tolerations")), "taint"),
    (on_gpus, PROD, in_pod("vllm-navigator", less("runtimeClassName")), "see its GPU"),
    (on_gpus, PROD, in_container("executor", one_gpu), "for nothing"),
    (weights_shared, PROD, in_pod("vllm-navigator", writable_weights), "may write"),
    (weights_shared, GROUP, in_container("vllm-navigator-leader", with_variable("HF_TOKEN", "t")), "the hub"),
    (weights_shared, PROD, in_container("vllm-navigator", lambda c: c["args"].insert(0, "$(MODEL)")), "does not serve"),
    (weights_shared, PROD, in_pod("vllm-navigator", less("initContainers")), "wait for its weights"),
    (weights_shared, PROD, in_spec("PersistentVolumeClaim", "model-cache", put(accessModes=[])), "many nodes"),
    (served, PROD, without("Service", "executor"), "leads nowhere"),
    (served, SINGLE, without("Deployment", "vllm-navigator"), "nothing stands behind"),
    (served, PROD, without("Deployment", "engine-router"), "nothing stands behind"),
    (served, SINGLE, in_container("vllm-navigator", lambda c: c["args"].remove("reasonflux-executor")), "not serve"),
    (served, PROD, in_container("vllm-executor", with_variable("SERVED_NAME", "x")), "not serve"),
]  # fmt: skip


@pytest.mark.parametrize(("promise", "name"), KEPT, ids=name_of)
def test_engines_keep_their_promise(promise: Promise, name: str) -> None:
    assert list(promise(render(name))) == []


@pytest.mark.parametrize(("promise", "name", "change", "complaint"), BREAKS, ids=name_of)
def test_a_broken_engine_promise_is_noticed(promise: Promise, name: str, change: Break, complaint: str) -> None:
    assert_noticed(promise, name, change, complaint)


def test_every_engine_promise_has_been_broken_once() -> None:
    assert {promise for promise, *_ in BREAKS} == {promise for promise, _ in KEPT}


def test_gpu_single_takes_one_gpu_and_dev_cpu_none() -> None:
    assert [name for name, _ in engines(render(SINGLE))] == ["vllm-navigator"]
    assert "nvidia.com" not in kustomize("overlays/dev-cpu")
    assert "persistentVolumeClaim" not in kustomize("overlays/dev-cpu")


def test_a_revision_is_one_line_and_rolls_exactly_the_pods_of_its_engine() -> None:
    """What is served is in the ConfigMap, and its name is in the pod template: another revision is another template."""
    for name, _ in of_kind(render(PROD), "ScaledObject"):
        pod = dict(pods(render(PROD)))[name]
        assert re.fullmatch(rf"{name}-[0-9a-z]{{10}}", pod["containers"][0]["envFrom"][0]["configMapRef"]["name"])
