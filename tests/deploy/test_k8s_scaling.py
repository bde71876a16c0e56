"""Engines and services scale as promised, and are watched; each promise is shown to fail when it is broken."""

import re

import pytest
from k8s_manifests import (
    RENDERED,
    Break,
    Faults,
    Manifests,
    Promise,
    assert_noticed,
    in_spec,
    less,
    name_of,
    of_kind,
    one,
    put,
    render,
    templates,
)

PROD = "overlays/gpu-prod"
ENGINE_METRICS = {
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
}
"""What vLLM 0.32's /metrics tells; the names that dashboards and alerts here stand on."""


def never_to_none(manifests: Manifests) -> Faults:
    for name, spec in of_kind(manifests, "ScaledObject"):
        if spec.get("minReplicaCount") != 1:
            yield f"{name} may go down to none, and a model takes minutes to load"
        if spec.get("fallback", {}).get("behavior") != "currentReplicasIfHigher":
            yield f"{name} shrinks when Prometheus is away"
    for name, spec in of_kind(manifests, "HorizontalPodAutoscaler"):
        if spec["minReplicas"] < 2:
            yield f"{name} may be a single pod"


def slowly_down(manifests: Manifests) -> Faults:
    for name, spec in of_kind(manifests, "ScaledObject"):
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"].get("scaleDown", {})
        if down.get("stabilizationWindowSeconds", 0) < 600 or [p["value"] for p in down["policies"]] != [1]:
            yield f"{name} shrinks faster than a model loads"
    for name, spec in of_kind(manifests, "HorizontalPodAutoscaler"):
        if spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] < 300:
            yield f"{name} shrinks at once"


def by_the_queue(manifests: Manifests) -> Faults:
    """By what waits at this engine and no other, and not down while it is busy."""
    for name, spec in of_kind(manifests, "ScaledObject"):
        queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
        for metric in ("vllm:num_requests_waiting", "vllm:num_requests_running"):
            told = f'sum({metric}{{namespace="reasonflux",app_kubernetes_io_name="{name}"}})'
            if told not in queries:
                yield f"{name} does not look at {metric}"


def nobody_sets_it_back(manifests: Manifests) -> Faults:
    scaled = [s["scaleTargetRef"] for _, s in of_kind(manifests, "ScaledObject", "HorizontalPodAutoscaler")]
    for target in scaled:
        workload = one(manifests, target["kind"], target["name"])
        if "replicas" in workload["spec"]:
            yield f"each apply sets {target['name']} back"


def watched(manifests: Manifests) -> Faults:
    """The monitors choose what they mean, and the label that the queries ask for is put on."""
    for name, spec in of_kind(manifests, "PodMonitor"):
        wanted = spec["selector"]["matchLabels"].items()
        chosen = [t["spec"] for _, _, t in templates(manifests) if wanted <= t["metadata"]["labels"].items()]
        ports = {port["name"] for pod in chosen for port in pod["containers"][0]["ports"]}
        if not chosen or {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]} - ports:
            yield f"{name} watches nothing"
        if "app.kubernetes.io/name" not in spec.get("podTargetLabels", []):
            yield f"{name} does not tell engines apart"
    for name, spec in of_kind(manifests, "ServiceMonitor"):
        wanted = spec["selector"]["matchLabels"].items()
        services = [
            m for m in manifests if m["kind"] == "Service" and wanted <= m["metadata"].get("labels", {}).items()
        ]
        if {m["metadata"]["name"] for m in services} != {"navigator", "executor", "template-store"}:
            yield f"{name} does not watch our three services"


def told_what_to_do(manifests: Manifests) -> Faults:
    for _, spec in of_kind(manifests, "PrometheusRule"):
        for rule in (rule for group in spec["groups"] for rule in group["rules"]):
            if not {"summary", "action"} <= set(rule["annotations"]) or "severity" not in rule["labels"]:
                yield f"{rule['alert']} says nothing to do"
            unknown = set(re.findall(r"vllm:\w+", rule["expr"])) - ENGINE_METRICS
            if unknown:
                yield f"{rule['alert']} asks for {unknown}, which no engine tells"


PROMISES = (never_to_none, slowly_down, by_the_queue, nobody_sets_it_back, watched, told_what_to_do)
ENGINE = ("ScaledObject", "vllm-navigator")
BEHAVIOUR = ("advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown")


def first_rule(manifests: Manifests) -> dict[str, object]:
    rule: dict[str, object] = one(manifests, "PrometheusRule", "reasonflux-kubernetes")["spec"]["groups"][0]["rules"][0]
    return rule


BREAKS: list[tuple[Promise, str, Break, str]] = [
    (never_to_none, PROD, in_spec(*ENGINE, put(minReplicaCount=0)), "down to none"),
    (never_to_none, PROD, in_spec(*ENGINE, less("fallback")), "Prometheus is away"),
    (never_to_none, PROD, in_spec("HorizontalPodAutoscaler", "navigator", put(minReplicas=1)), "single pod"),
    (slowly_down, PROD, in_spec(*ENGINE, put(*BEHAVIOUR, stabilizationWindowSeconds=0)), "faster"),
    (slowly_down, PROD, in_spec("HorizontalPodAutoscaler", "navigator", put("behavior", "scaleDown",
        stabilizationWindowSeconds=0)), "at once"),
    (by_the_queue, PROD, in_spec(*ENGINE, lambda s: s["triggers"].pop(0)), "requests_waiting"),
    (by_the_queue, PROD, in_spec(*ENGINE, lambda s: s["triggers"].pop(1)), "requests_running"),
    (nobody_sets_it_back, PROD, in_spec("Deployment", "vllm-navigator", put(replicas=1)), "sets vllm-navigator back"),
    (nobody_sets_it_back, PROD, in_spec("Deployment", "navigator", put(replicas=2)), "sets navigator back"),
    (watched, PROD, in_spec("PodMonitor", "reasonflux-engines", put("selector", matchLabels={"a": "b"})), "nothing"),
    (watched, PROD, in_spec("PodMonitor", "reasonflux-engines", less("podTargetLabels")), "apart"),
    (watched, PROD, lambda m: one(m, "Service", "executor")["metadata"].pop("labels"), "our three"),
    (told_what_to_do, PROD, lambda m: first_rule(m).update(annotations={}), "nothing to do"),
    (told_what_to_do, PROD, lambda m: first_rule(m).update(expr="vllm:num_request_waiting > 1"), "no engine tells"),
]  # fmt: skip


@pytest.mark.parametrize("name", RENDERED)
@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
def test_scaling_keeps_its_promise(promise: Promise, name: str) -> None:
    assert list(promise(render(name))) == []


@pytest.mark.parametrize(("promise", "name", "change", "complaint"), BREAKS, ids=name_of)
def test_a_broken_scaling_promise_is_noticed(promise: Promise, name: str, change: Break, complaint: str) -> None:
    assert_noticed(promise, name, change, complaint)


def test_every_scaling_promise_has_been_broken_once() -> None:
    assert {promise for promise, *_ in BREAKS} == set(PROMISES)
