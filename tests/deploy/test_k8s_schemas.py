"""Every rendered manifest fits its kind's schema: Kubernetes' own kinds and those of operators; other kinds fail."""

import copy
import functools
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from k8s_manifests import K8S, OVERLAYS, RENDERED, Manifest, Manifests, kustomize, one, put, render

OURS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "k8s_schemas").glob("*.json")}
CORE = {
    "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Job", "Namespace", "NetworkPolicy", "PersistentVolumeClaim",
    "Pod", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet",
}  # fmt: skip
PROD, GROUP = "overlays/gpu-prod", "overlays/multi-node"


def misfits(manifests: Manifests) -> Iterator[str]:
    """What does not fit our schemas, and kinds that no schema speaks of."""
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind in OURS:
            faults = Draft202012Validator(OURS[kind]).iter_errors(manifest)
            yield from (f"{kind} {name}: {fault.json_path} {fault.message}" for fault in faults)
        elif kind not in CORE:
            yield f"{kind} {name}: no schema speaks of this kind"


def as_core(manifests: Manifests) -> Manifests:
    """Only what Kubernetes itself knows; the pods of a LeaderWorkerSet as Deployments, so that they are checked too."""
    known = [m for m in manifests if m["kind"] in CORE]
    for group in (m for m in manifests if m["kind"] == "LeaderWorkerSet"):
        for part in ("leaderTemplate", "workerTemplate"):
            template = group["spec"]["leaderWorkerTemplate"][part]
            spec = {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}
            known.append({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": part}, "spec": spec})
    return known


@functools.cache
def validator() -> str:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed")
    return str(Path(sys.executable).with_name("kubernetes-validate"))


def validated(manifests: Manifests, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "all.yaml"
    path.write_text(yaml.safe_dump_all(as_core(manifests)))
    return subprocess.run([validator(), "--strict", str(path)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", RENDERED)
def test_manifests_fit_the_schemas_of_kubernetes(name: str, tmp_path: Path) -> None:
    done = validated(render(name), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", RENDERED)
def test_manifests_of_operators_fit_our_schemas_and_no_other_kind_is_used(name: str) -> None:
    assert list(misfits(render(name))) == []


def test_the_pod_that_weights_are_copied_through_fits_the_schemas_and_mounts_the_cache(tmp_path: Path) -> None:
    loader = yaml.safe_load((K8S / "components/model-cache/loader.yaml").read_text())
    assert validated([loader], tmp_path).returncode == 0
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in loader["spec"]["volumes"]]
    assert claims == [one(render(PROD), "PersistentVolumeClaim", "model-cache")["metadata"]["name"]]


def test_a_field_that_kubernetes_does_not_know_is_noticed(tmp_path: Path) -> None:
    manifests = render(GROUP)
    group = one(manifests, "LeaderWorkerSet", "vllm-navigator")["spec"]["leaderWorkerTemplate"]
    group["workerTemplate"]["spec"]["tolerates"] = []
    assert validated(manifests, tmp_path).returncode != 0


BREAKS: list[tuple[str, str, str, tuple[str, ...], dict[str, object], str]] = [
    (PROD, "ScaledObject", "vllm-navigator", ("spec",), {"minReplicas": 1}, "minReplicas"),
    (PROD, "ScaledObject", "vllm-navigator", ("spec",), {"triggers": []}, "triggers"),
    (PROD, "ServiceMonitor", "reasonflux-services", ("spec",), {"endpoints": [{"path": "/metrics"}]}, "port"),
    (PROD, "PodMonitor", "reasonflux-engines", ("spec",), {"endpoints": []}, "endpoints"),
    (PROD, "PrometheusRule", "reasonflux-kubernetes", ("spec",), {"groups": [{"rules": [{"alert": "b"}]}]}, "expr"),
    (PROD, "HTTPRoute", "navigator", ("spec",), {"parentRefs": []}, "parentRefs"),
    (PROD, "HTTPRoute", "navigator", (), {"apiVersion": "gateway.networking.k8s.io/v1beta1"}, "apiVersion"),
    (GROUP, "LeaderWorkerSet", "vllm-navigator", ("spec", "leaderWorkerTemplate"), {"restartPolicy": "No"}, "No"),
    (PROD, "HTTPRoute", "navigator", (), {"kind": "GRPCRoute"}, "no schema speaks"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "called", "place", "values", "complaint"), BREAKS)
def test_a_manifest_that_does_not_fit_our_schemas_is_noticed(
    name: str, kind: str, called: str, place: tuple[str, ...], values: Manifest, complaint: str
) -> None:
    manifests = render(name)
    put(*place, **copy.deepcopy(values))(one(manifests, kind, called))
    assert any(complaint in fault for fault in misfits(manifests))


def test_every_schema_of_ours_has_refused_something() -> None:
    assert {kind for _, kind, *_ in BREAKS} == set(OURS)


def test_what_checkov_finds_in_the_overlays_is_explained(tmp_path: Path) -> None:
    checkov = shutil.which("checkov")
    if checkov is None:
        pytest.skip("checkov is not installed (it wants a virtual environment of its own)")
    for name in OVERLAYS:
        (tmp_path / f"{Path(name).name}.yaml").write_text(kustomize(name))
    command = [checkov, "-d", str(tmp_path), "--framework", "kubernetes", "--compact", "--quiet"]
    found = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=False)
    failed = {check["check_id"] for check in json.loads(found.stdout)["results"]["failed_checks"]}
    explained = set(re.findall(r"^\| `(CKV\w+)` \|", (K8S / "README.md").read_text(), re.M))
    assert failed == explained
