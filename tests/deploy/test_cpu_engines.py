"""Engines on CPUs never read prompts in parts, wherever they are started: see `reasonflux.local.stack.NO_CHUNKS`."""

from compose_file import load
from k8s_manifests import arguments, engines, render

from reasonflux.local.stack import NO_CHUNKS


def test_on_compose() -> None:
    services = load()["services"]
    for name in ("navigator-engine", "executor-engine"):
        assert NO_CHUNKS in services[name]["command"]
    assert NO_CHUNKS not in services["engine-gpu"]["command"]


def test_on_kubernetes() -> None:
    on_cpus = render("overlays/dev-cpu")
    found = [arguments(on_cpus, pod["containers"][0]) for _, pod in engines(on_cpus)]
    assert found
    assert all(NO_CHUNKS in words for words in found)
    on_gpus = render("overlays/gpu-prod")
    assert not any(NO_CHUNKS in arguments(on_gpus, pod["containers"][0]) for _, pod in engines(on_gpus))
