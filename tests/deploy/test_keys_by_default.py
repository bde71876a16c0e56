"""Whoever brings the stack up with compose or on Kubernetes gets a navigator that asks for keys."""

import copy

import pytest
from compose_file import Stack, load
from k8s_manifests import RENDERED, Manifests, containers, environment, render


def open_in_compose(stack: Stack) -> list[str]:
    served = {
        name: each for name, each in stack["services"].items() if name.startswith("navigator") and "ports" in each
    }
    assert served
    return [name for name, each in served.items() if each.get("environment", {}).get("REASONFLUX_ACCESS") != "keys"]


def open_on_kubernetes(manifests: Manifests) -> list[str]:
    found = {name: environment(manifests, each) for name, each in containers(manifests) if name == "navigator"}
    assert found
    return [name for name, variables in found.items() if variables.get("REASONFLUX_ACCESS") != "keys"]


def test_compose_asks_for_keys() -> None:
    assert open_in_compose(load()) == []


def test_a_navigator_that_compose_leaves_open_is_noticed() -> None:
    stack = copy.deepcopy(load())
    stack["services"]["navigator"]["environment"]["REASONFLUX_ACCESS"] = "open"
    assert open_in_compose(stack) == ["navigator"]


@pytest.mark.parametrize("name", RENDERED)
def test_kubernetes_asks_for_keys(name: str) -> None:
    assert open_on_kubernetes(render(name)) == []


def test_a_navigator_that_kubernetes_leaves_open_is_noticed() -> None:
    manifests = copy.deepcopy(render(RENDERED[0]))
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            manifest["data"].pop("REASONFLUX_ACCESS", None)
    assert open_on_kubernetes(manifests) == ["navigator"]
