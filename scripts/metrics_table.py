"""Writes docs/metrics.md: every metric of the three services, read off the services themselves.

    .venv/bin/python scripts/metrics_table.py

The services are started in this process, on nothing: no Redis, no engine and no network are needed.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

import executor.app
import navigator.app
import template_store.app
from executor.settings import Settings as ExecutorSettings
from navigator.settings import Settings as NavigatorSettings
from template_store.records import MemoryRecords
from template_store.settings import SHIPPED_LIBRARY
from template_store.settings import Settings as StoreSettings
from template_store.testing import WordEmbedder

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
HEAD = """# Metrics

Each service tells its metrics at `/metrics`, without a key, in Prometheus' text format, or as OpenMetrics with
exemplars (the trace of a request) to whoever asks for that. The table is written by `scripts/metrics_table.py` and
checked by `tests/contract/test_metrics.py`. A histogram `x` is there as `x_bucket`, `x_sum` and `x_count`. Besides,
there are the `process_*` metrics of Prometheus' client library. vLLM's own (`vllm:…`) are at the engine's `/metrics`.

Labels have few values: kinds that the code knows, and names that the operator gave (libraries, engines, tenants).
`reasonflux_sessions`, `reasonflux_journal_oldest_waiting_seconds`, `reasonflux_webhooks_due` and
`reasonflux_redis_memory_*` are read from Redis while somebody looks: every navigator tells the same, so take `max` over
them, not `sum`. All others count what one process does: sum over processes.

| metric | labels | type | what | of |
| --- | --- | --- | --- | --- |
"""


def applications(folder: Path) -> dict[str, FastAPI]:
    nowhere = "redis://127.0.0.1:1/0"
    template = next(SHIPPED_LIBRARY.rglob("*.yaml"))  # a library has at least one
    place = folder / template.relative_to(SHIPPED_LIBRARY)
    place.parent.mkdir(parents=True)
    shutil.copy(template, place)
    return {
        "navigator": navigator.app.create(NavigatorSettings(redis_url=nowhere, navigator_workers=0)),
        "executor": executor.app.create(ExecutorSettings()),
        "template-store": template_store.app.create(
            StoreSettings(redis_url=nowhere, library_dir=folder, cache_dir=folder),
            records=MemoryRecords(),
            embedder=WordEmbedder(),
        ),
    }


async def rows(folder: Path) -> list[str]:
    """The table's lines, by name. `folder` is empty and may be written to."""
    found: dict[str, tuple[str, str]] = {}
    where: dict[str, list[str]] = {}
    for service, app in applications(folder).items():
        async with app.router.lifespan_context(app):
            # A first request: the middlewares that count requests are made by it.
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
                await client.get("/metrics")
            for name, told in described(app.state.registry).items():
                found[name] = told
                where.setdefault(name, []).append(service)
    return [
        f"| `{name}` | {labels} | {kind_and_help} | {'all' if len(where[name]) == 3 else ', '.join(where[name])} |"
        for name, (labels, kind_and_help) in sorted(found.items())
    ]


def described(registry: CollectorRegistry) -> dict[str, tuple[str, str]]:
    """By the name that queries use: the labels; the type and the help."""
    # Only the collector knows its labels before it has a sample; prometheus_client tells them in no other way.
    labels = {name: getattr(collector, "_labelnames", ()) for name, collector in registry._names_to_collectors.items()}
    told: dict[str, tuple[str, str]] = {}
    for family in registry.collect():
        if not family.name.startswith("reasonflux_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        seen = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        own = labels.get(family.name) or seen
        told[name] = (", ".join(own), f"{family.type} | {family.documentation.rstrip('.')}.")
    return told


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        DOCUMENT.write_text(HEAD + "\n".join(asyncio.run(rows(Path(folder)))) + "\n")


if __name__ == "__main__":
    main()
