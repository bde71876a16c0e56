"""Requests and limits of the rendered pods hold what the processes were seen to need; each promise is shown to fail."""

import pytest
from k8s_manifests import (
    RENDERED,
    Break,
    Faults,
    Manifest,
    Manifests,
    Promise,
    assert_noticed,
    containers,
    environment,
    in_container,
    in_pod,
    less,
    name_of,
    pods,
    put,
    render,
    with_variable,
)

from calculator.child import MEMORY_BYTES
from executor.settings import Settings as ExecutorSettings
from template_store.settings import Settings as TemplateStoreSettings

PROD, CPU = "overlays/gpu-prod", "overlays/dev-cpu"
UNITS = {"Mi": 2**20, "Gi": 2**30}
SEEN = {"navigator": 90, "executor": 216, "template-store": 327, "redis": 151}
"""The most memory that each was seen to take, in MiB: docs/deploy-kubernetes.md says when and how."""
SEEN_ENGINE = 2808
"""The same of an engine with the shipped weights."""
CALCULATORS = {
    "executor": ExecutorSettings.model_fields["calculator_processes"].default,
    "template-store": TemplateStoreSettings.model_fields["calculator_processes"].default,
}


def memory(container: Manifest, side: str) -> int:
    told = container["resources"][side]["memory"]
    return int(told[:-2]) * UNITS[told[-2:]]


def bounded(manifests: Manifests) -> Faults:
    for name, container in containers(manifests):
        for side in ("requests", "limits"):
            if not {"cpu", "memory"} <= set(container.get("resources", {}).get(side, {})):
                yield f"{name} has no {side}"
    for name, pod in pods(manifests):
        for volume in pod.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name}: {volume['name']} may fill the node"


def measured(manifests: Manifests) -> Faults:
    """What is asked for holds the most that was seen, so that a node is not filled with pods that do not fit."""
    shipped = {"vllm": SEEN_ENGINE} if not any("nvidia.com" in str(pod) for _, pod in pods(manifests)) else {}
    for name, container in containers(manifests):
        seen = {**SEEN, **shipped}.get(container["name"])
        if seen is not None and memory(container, "requests") < seen * 2**20:
            yield f"{name} asks for less than it was seen to take"


def outlives_its_calculators(manifests: Manifests) -> Faults:
    """A calculation that takes all it may ends its own process, and not the pod's container with everything in it."""
    for name, container in containers(manifests):
        if container["name"] in CALCULATORS:
            told = environment(manifests, container).get("REASONFLUX_CALCULATOR_PROCESSES")
            children = int(told or CALCULATORS[container["name"]])
            if memory(container, "limits") < SEEN[container["name"]] * 2**20 + children * MEMORY_BYTES:
                yield f"{name} is ended by a hostile expression"


more_calculators = with_variable("REASONFLUX_CALCULATOR_PROCESSES", "2")
PROMISES = (bounded, measured, outlives_its_calculators)
BREAKS: list[tuple[Promise, str, Break, str]] = [
    (bounded, PROD, in_container("redis", less("resources", "limits")), "limits"),
    (bounded, PROD, in_pod("vllm-navigator", lambda p: p["initContainers"][0].pop("resources")), "requests"),
    (bounded, PROD, in_pod("redis", lambda p: p["volumes"].append({"name": "x", "emptyDir": {}})), "fill the node"),
    (measured, PROD, in_container("template-store", put("resources", "requests", memory="256Mi")), "less than"),
    (measured, CPU, in_container("vllm-executor", put("resources", "requests", memory="2Gi")), "less than"),
    (outlives_its_calculators, PROD, in_container("executor", put("resources", "limits", memory="1Gi")), "hostile"),
    (outlives_its_calculators, PROD, in_container("template-store", more_calculators), "hostile"),
]  # fmt: skip


@pytest.mark.parametrize("name", RENDERED)
@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
def test_resources_keep_their_promise(promise: Promise, name: str) -> None:
    assert list(promise(render(name))) == []


@pytest.mark.parametrize(("promise", "name", "change", "complaint"), BREAKS, ids=name_of)
def test_a_broken_resource_promise_is_noticed(promise: Promise, name: str, change: Break, complaint: str) -> None:
    assert_noticed(promise, name, change, complaint)


def test_every_resource_promise_has_been_broken_once() -> None:
    assert {promise for promise, *_ in BREAKS} == set(PROMISES)
