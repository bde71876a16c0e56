"""The rendered Kubernetes manifests, and how tests look things up in them and break them."""

import copy
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
K8S = ROOT / "deploy/k8s"
OVERLAYS = ("overlays/dev-cpu", "overlays/gpu-single", "overlays/gpu-prod", "overlays/multi-node")
COMBINATIONS = {
    "gpu-prod + lora": ("overlays/gpu-prod", "lora"),
    "gpu-prod + external-redis": ("overlays/gpu-prod", "external-redis"),
    "gpu-prod + lora + external-redis": ("overlays/gpu-prod", "lora", "external-redis"),
    "gpu-prod + tracing": ("overlays/gpu-prod", "tracing"),
    "dev-cpu + tracing": ("overlays/dev-cpu", "tracing"),
    "gpu-single + monitoring + expose": ("overlays/gpu-single", "monitoring", "expose"),
    "gpu-single + api-autoscaling + external-redis": ("overlays/gpu-single", "api-autoscaling", "external-redis"),
    "dev-cpu + session-affinity + monitoring": ("overlays/dev-cpu", "session-affinity", "monitoring"),
    "multi-node + multi-node-ray": ("overlays/multi-node", "multi-node-ray"),
    "multi-node + session-affinity": ("overlays/multi-node", "session-affinity", "api-autoscaling", "expose"),
}
"""What the READMEs say may be put together, and does not stand in an overlay already."""
DOCUMENTED = "the manual's own overlay"
RENDERED = (*OVERLAYS, *COMBINATIONS, DOCUMENTED)

Manifest = dict[str, Any]
Manifests = list[Manifest]
Faults = Iterator[str]
Promise = Callable[[Manifests], Faults]
Break = Callable[[Manifests], Any]


@functools.cache
def kustomize(name: str) -> str:
    """The YAML of an overlay, or of a combination: an overlay with components on top, put together for the test."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    with tempfile.TemporaryDirectory() as folder:
        place = K8S / name
        near = functools.partial(os.path.relpath, start=os.path.realpath(folder))
        if name in COMBINATIONS:
            overlay, *components = COMBINATIONS[name]
            added = [near(K8S / "components" / component) for component in components]
            told = {"resources": [near(K8S / overlay)], "components": added}
            place = Path(folder)
            (place / "kustomization.yaml").write_text(yaml.safe_dump({**told, "namespace": "reasonflux"}))
        if name == DOCUMENTED:
            place = Path(folder)
            written = _documented().replace("../reasonflux", near(ROOT))
            (place / "kustomization.yaml").write_text(written)
        done = subprocess.run([kubectl, "kustomize", str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _documented() -> str:
    """The overlay that the manual shows, as a reader would copy it."""
    page = (ROOT / "docs/deploy-kubernetes.md").read_text()
    return page.split("```yaml\n# my-cluster/kustomization.yaml\n")[1].split("```")[0]


@functools.cache
def _parsed(name: str) -> Manifests:
    return list(yaml.load_all(kustomize(name), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def render(name: str) -> Manifests:
    """A copy of its own for each test to break."""
    return copy.deepcopy(_parsed(name))


def one(manifests: Manifests, kind: str, name: str) -> Manifest:
    return next(m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)


def of_kind(manifests: Manifests, *kinds: str) -> Iterator[tuple[str, Manifest]]:
    yield from ((m["metadata"]["name"], m["spec"]) for m in manifests if m["kind"] in kinds)


def templates(manifests: Manifests) -> Iterator[tuple[str, str, Manifest]]:
    """(kind, name, pod template) of everything that makes pods."""
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind == "Pod":
            yield kind, name, manifest
        if kind in {"Deployment", "StatefulSet", "Job"}:
            yield kind, name, manifest["spec"]["template"]
        if kind == "LeaderWorkerSet":
            group = manifest["spec"]["leaderWorkerTemplate"]
            # The controller adds this label to all pods of the set.
            for part in ("leaderTemplate", "workerTemplate"):
                template = group[part]
                template["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/name"] = name
                yield kind, f"{name}-{part.removesuffix('Template')}", template


def pods(manifests: Manifests) -> Iterator[tuple[str, Manifest]]:
    yield from ((name, template["spec"]) for _, name, template in templates(manifests))


def containers(manifests: Manifests) -> Iterator[tuple[str, Manifest]]:
    for name, pod in pods(manifests):
        yield from ((name, container) for container in pod["containers"] + pod.get("initContainers", []))


def engines(manifests: Manifests) -> Iterator[tuple[str, Manifest]]:
    """Pods that load a model: engines and the workers of their groups."""
    yield from ((name, pod) for name, pod in pods(manifests) if pod["containers"][0]["name"] == "vllm")


def environment(manifests: Manifests, container: Manifest) -> dict[str, str]:
    """A container's plain variables and those of the ConfigMaps that it takes whole."""
    maps = {m["metadata"]["name"]: m["data"] for m in manifests if m["kind"] == "ConfigMap"}
    known: dict[str, str] = {}
    for source in container.get("envFrom", []):
        known |= maps[source["configMapRef"]["name"]]
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("configMapKeyRef")
        known[variable["name"]] = maps[reference["name"]][reference["key"]] if reference else variable.get("value", "")
    return known


def arguments(manifests: Manifests, container: Manifest) -> list[str]:
    """A container's arguments as the kubelet passes them: $(NAME) replaced."""
    known = environment(manifests, container).items()
    return [
        functools.reduce(lambda text, pair: text.replace(f"$({pair[0]})", pair[1]), known, argument)
        for argument in container.get("args", [])
    ]


def in_pod(name: str, change: Callable[[Manifest], Any]) -> Break:
    """A break of one pod, by its workload's name."""
    return lambda manifests: change(dict(pods(manifests))[name])


def in_container(name: str, change: Callable[[Manifest], Any]) -> Break:
    """A break of a pod's first container."""
    return in_pod(name, lambda pod: change(pod["containers"][0]))


def in_spec(kind: str, name: str, change: Callable[[Manifest], Any]) -> Break:
    return lambda manifests: change(one(manifests, kind, name)["spec"])


def without(kind: str, name: str) -> Break:
    return lambda manifests: manifests.remove(one(manifests, kind, name))


def less(*keys: str) -> Callable[[Manifest], None]:
    """Takes a key away, however deep."""

    def change(place: Manifest) -> None:
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def put(*keys: str, **values: Any) -> Callable[[Manifest], None]:
    """Sets values, however deep."""

    def change(place: Manifest) -> None:
        for key in keys:
            place = place[key]
        place.update(values)

    return change


def with_variable(name: str, value: str) -> Callable[[Manifest], None]:
    """Sets an environment variable of a container, over what its ConfigMaps say."""

    def change(container: Manifest) -> None:
        container["env"] = [*container.get("env", []), {"name": name, "value": value}]

    return change


def name_of(value: object) -> str:
    """What pytest calls a promise or an overlay."""
    return getattr(value, "__name__", str(value))


def assert_noticed(promise: Promise, rendered: str, change: Break, complaint: str) -> None:
    """The promise holds, and no longer when it is broken."""
    manifests = render(rendered)
    assert list(promise(manifests)) == []
    change(manifests)
    assert any(complaint in fault for fault in promise(manifests))
