"""Who may speak to whom, worked out from the rendered NetworkPolicies as a CNI would; each promise is shown to fail."""

import ipaddress
from collections.abc import Iterator

import pytest
from k8s_manifests import (
    RENDERED,
    Break,
    Faults,
    Manifest,
    Manifests,
    Promise,
    assert_noticed,
    in_container,
    in_spec,
    name_of,
    of_kind,
    one,
    put,
    render,
    templates,
    without,
)

PROD, SINGLE, GROUP = "overlays/gpu-prod", "overlays/gpu-single", "overlays/multi-node"
ENGINE_CALLERS = {"navigator", "executor", "engine-router"}
DNS = {"k8s-app": "kube-dns"}
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
COLLECTOR = {"app.kubernetes.io/name": "otel-collector"}
HERE = "reasonflux"
Labels = dict[str, str]


def matches(selector: Manifest, labels: Labels) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        wanted = wanted and labels.get(expression["key"]) in expression["values"]
    return wanted


def rules(manifests: Manifests, direction: str, labels: Labels) -> list[Manifest] | None:
    """The rules for a pod; None where no policy speaks of it, so that everything is allowed."""
    mine = [s for _, s in of_kind(manifests, "NetworkPolicy") if matches(s["podSelector"], labels)]
    mine = [s for s in mine if direction in s["policyTypes"]]
    return [rule for s in mine for rule in s.get(direction.lower(), [])] if mine else None


def peer_fits(peer: Manifest, labels: Labels, namespace: str) -> bool:
    if "ipBlock" in peer:
        return False
    place = peer.get("namespaceSelector")
    here = namespace == "reasonflux" if place is None else matches(place, {"kubernetes.io/metadata.name": namespace})
    return here and matches(peer.get("podSelector", {}), labels)


def allowed(found: list[Manifest] | None, side: str, labels: Labels, namespace: str) -> bool:
    if found is None:
        return True
    return any(side not in r or any(peer_fits(p, labels, namespace) for p in r[side]) for r in found)


def reaches(
    manifests: Manifests, source: Labels, target: Labels, at: str = "reasonflux", to: str = "reasonflux"
) -> bool:
    """Whether a pod may open a connection to another on some port; `at` and `to` are their namespaces."""
    out = at != "reasonflux" or allowed(rules(manifests, "Egress", source), "to", target, to)
    into = to != "reasonflux" or allowed(rules(manifests, "Ingress", target), "from", source, at)
    return out and into


def labelled(manifests: Manifests) -> Iterator[tuple[str, Labels]]:
    yield from ((name, template["metadata"]["labels"]) for _, name, template in templates(manifests))


def callers(manifests: Manifests, target: Labels) -> set[str]:
    return {name for name, labels in labelled(manifests) if labels != target and reaches(manifests, labels, target)}


def goes_out(manifests: Manifests, labels: Labels, address: str = "93.184.216.34") -> bool:
    """Whether a pod may reach an address outside of the cluster."""
    found = rules(manifests, "Egress", labels)
    if found is None:
        return True
    blocks = [p["ipBlock"] for r in found for p in r.get("to", []) if "ipBlock" in p]
    return any("to" not in r for r in found) or any(_within(address, block) for block in blocks)


def _within(address: str, block: Manifest) -> bool:
    told = ipaddress.ip_address(address)
    inside = told in ipaddress.ip_network(block["cidr"])
    return inside and not any(told in ipaddress.ip_network(hole) for hole in block.get("except", []))


def shut(manifests: Manifests) -> Faults:
    everything = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if all(spec != everything for _, spec in of_kind(manifests, "NetworkPolicy")):
        yield "pods may talk unless told otherwise"
    for name, spec in of_kind(manifests, "NetworkPolicy"):
        if any(not rule.get("to") for rule in spec.get("egress", [])):
            yield f"{name} lets traffic out to anywhere"


def engines_private(manifests: Manifests) -> Faults:
    """Only navigator and executor (directly or through the router) and Prometheus reach an engine."""
    for name, labels in labelled(manifests):
        if labels.get("app.kubernetes.io/component") not in {"engine", "engine-worker"}:
            continue
        group = {other for other, _ in labelled(manifests) if other.startswith("vllm-navigator-") and name != other}
        for caller in callers(manifests, labels) - ENGINE_CALLERS - (group if "-" in name else set()):
            yield f"{caller} reaches {name}"
        if labels["app.kubernetes.io/component"] == "engine" and not callers(manifests, labels) & ENGINE_CALLERS:
            yield f"nobody reaches {name}"
        if reaches(manifests, {"app": "other"}, labels, at="elsewhere"):
            yield f"anyone reaches {name}"


def redis_private(manifests: Manifests) -> Faults:
    for name, labels in labelled(manifests):
        if name == "redis":
            for caller in callers(manifests, labels) ^ {"navigator", "template-store"}:
                yield f"{caller} is wrongly treated by redis"
            if goes_out(manifests, labels):
                yield "redis has a way out"


def calculators_alone(manifests: Manifests) -> Faults:
    """Where a model's expressions are evaluated: the executor reaches engines and names, the store Redis and names."""
    for name, may in (("executor", "engine"), ("template-store", "redis")):
        mine = dict(labelled(manifests))[name]
        for other, labels in labelled(manifests):
            role = {labels.get("app.kubernetes.io/component", ""), other}
            if other != name and reaches(manifests, mine, labels) and not any(r.startswith(may) for r in role):
                yield f"{name} reaches {other}"
        if goes_out(manifests, mine) or reaches(manifests, mine, {"app": "other"}, to="elsewhere"):
            yield f"{name} has a way out"
        if not reaches(manifests, mine, DNS, to="kube-system"):
            yield f"{name} finds no names"


def inward_only(manifests: Manifests) -> Faults:
    """Weights come in by a Job, or by the engine itself without a cache; neither reaches inner addresses."""
    for name, labels in labelled(manifests):
        if labels.get("app.kubernetes.io/component") in {"engine", "model-fetch"}:
            if goes_out(manifests, labels, "10.1.2.3") or goes_out(manifests, labels, "169.254.169.254"):
                yield f"{name} reaches the inside through the door for weights"
            cached = any(spec for _, spec in of_kind(manifests, "Job"))
            if goes_out(manifests, labels) and cached and labels["app.kubernetes.io/component"] == "engine":
                yield f"{name} has a way out, and needs none"


def scraped(manifests: Manifests) -> Faults:
    if not any(of_kind(manifests, "PodMonitor")):
        return
    for name, labels in labelled(manifests):
        watched = labels.get("app.kubernetes.io/component") in {"service", "engine"}
        if watched and not reaches(manifests, PROMETHEUS, labels, at="monitoring"):
            yield f"Prometheus cannot scrape {name}"


def traced(manifests: Manifests) -> Faults:
    if not any(m["kind"] == "ConfigMap" and m["metadata"]["name"].startswith("tracing-") for m in manifests):
        return
    for name, labels in labelled(manifests):
        tells = labels.get("app.kubernetes.io/component") in {"service", "engine"}
        if tells and not reaches(manifests, labels, COLLECTOR, to="observability"):
            yield f"{name} cannot send its traces"
    for _, name, template in templates(manifests):
        container = template["spec"]["containers"][0]
        sources = [
            source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source
        ]
        told = any(source.startswith("tracing-") for source in sources)
        if template["metadata"]["labels"].get("app.kubernetes.io/component") in {"service", "engine"} and not told:
            yield f"{name} is not told where traces go"


PROMISES = (shut, engines_private, redis_private, calculators_alone, inward_only, scraped, traced)


def as_executor(manifests: Manifests) -> None:
    labels = one(manifests, "Deployment", "template-store")["spec"]["template"]["metadata"]["labels"]
    labels["app.kubernetes.io/name"] = "executor"


def rule(kind: str, name: str, direction: str) -> Break:
    """Takes the peers away from a policy's first rule."""
    return in_spec("NetworkPolicy", name, lambda spec: spec[kind][0].pop(direction))


def no_exceptions(spec: Manifest) -> None:
    spec["egress"][1]["to"][0]["ipBlock"].pop("except")


def more(name: str, peer: Manifest) -> Break:
    return in_spec("NetworkPolicy", name, lambda spec: spec["egress"].append({"to": [peer]}))


BREAKS: list[tuple[Promise, str, Break, str]] = [
    (shut, PROD, without("NetworkPolicy", "deny-all"), "unless told otherwise"),
    (shut, PROD, rule("egress", "names", "to"), "out to anywhere"),
    (engines_private, PROD, rule("ingress", "engine", "from"), "anyone reaches"),
    (engines_private, PROD, as_executor, "template-store reaches"),
    (engines_private, SINGLE, without("NetworkPolicy", "engine"), "nobody reaches"),
    (engines_private, GROUP, rule("ingress", "engine-group", "from"), "anyone reaches"),
    (redis_private, PROD, without("NetworkPolicy", "template-store"), "wrongly treated"),
    (redis_private, PROD, without("NetworkPolicy", "deny-all"), "way out"),
    (calculators_alone, PROD, more("executor", {"podSelector": {}}), "executor reaches"),
    (calculators_alone, PROD, more("executor", {"ipBlock": {"cidr": "0.0.0.0/0"}}), "executor has a way out"),
    (calculators_alone, PROD, more("template-store", {"namespaceSelector": {}}), "template-store has a way out"),
    (calculators_alone, PROD, without("NetworkPolicy", "names"), "finds no names"),
    (inward_only, PROD, in_spec("NetworkPolicy", "model-fetch", no_exceptions), "reaches the inside"),
    (inward_only, PROD, in_spec("NetworkPolicy", "model-fetch", put(podSelector={})), "needs none"),
    (scraped, PROD, without("NetworkPolicy", "scraping"), "cannot scrape"),
    (traced, "gpu-prod + tracing", without("NetworkPolicy", "tracing"), "cannot send"),
    (traced, "gpu-prod + tracing", in_container("executor", lambda spec: spec.pop("envFrom")), "not told"),
]


@pytest.mark.parametrize("name", RENDERED)
@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
def test_policies_keep_their_promise(promise: Promise, name: str) -> None:
    assert list(promise(render(name))) == []


@pytest.mark.parametrize(("promise", "name", "change", "complaint"), BREAKS, ids=name_of)
def test_a_broken_policy_promise_is_noticed(promise: Promise, name: str, change: Break, complaint: str) -> None:
    assert_noticed(promise, name, change, complaint)


def test_every_policy_promise_has_been_broken_once() -> None:
    assert {promise for promise, *_ in BREAKS} == set(PROMISES)
