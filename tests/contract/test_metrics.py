"""Metrics of the three services: what they count, that they stay few, and that docs/metrics.md lists all of them."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

from calculator import Calculator
from calculator.metrics import CalculatorMetrics
from navigator.journal import MemoryJournal
from navigator.metrics import JournalMetrics, WorkerMetrics
from navigator.ports import Backlog
from navigator.testing import on_fakes, opened, plan, review, script, step
from reasonflux.contracts import Instantiation
from reasonflux.engine import EngineConfig, Message, OpenAIEngine
from reasonflux.errors import EngineUnavailable
from reasonflux.measuring import EngineCalls
from reasonflux.service import create_app

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = {"problem": "What is 3 + 4?"}


def solving() -> FastAPI:
    return on_fakes(script([plan(step("add", "s1"))], [review("finish", answer="r1")]), [Instantiation(result="7")])


async def solved(client: httpx.AsyncClient) -> None:
    session_id = (await client.post("/v1/sessions", json=PROBLEM)).json()["id"]
    await client.get(f"/v1/sessions/{session_id}/events", headers={"Accept": "text/event-stream"})


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_a_solved_session_is_counted_from_its_start_to_its_cost() -> None:
    app = solving()
    async with opened(app) as client:
        await solved(client)
        found = app.state.registry
        assert value(found, "reasonflux_sessions_started_total") == 1
        assert value(found, "reasonflux_sessions_finished_total", outcome="solved") == 1
        assert value(found, "reasonflux_session_templates_sum") == 0
        assert value(found, "reasonflux_session_seconds_count", outcome="solved") == 1
        assert (value(found, "reasonflux_session_tokens_sum", outcome="solved") or 0) > 0
        assert value(found, "reasonflux_engine_calls_total", role="navigator", engine="default") == 2
        assert value(found, "reasonflux_action_seconds_count", action="plan") == 1
        assert value(found, "reasonflux_action_seconds_count", action="instantiate") == 1
        assert value(found, "reasonflux_session_claims_total", reason="new") == 1
        assert value(found, "reasonflux_session_claims_total", reason="taken_over") == 0
        assert value(found, "reasonflux_session_queue_seconds_count") == 1
        assert value(found, "reasonflux_worker_slots") == 4


async def test_counters_are_there_before_anything_happens() -> None:
    """A counter that appears with its first increase hides that increase from rate()."""
    app = solving()
    async with opened(app) as client:
        await client.get("/metrics")
        for outcome in ("solved", "unsolved", "failed", "cancelled"):
            assert value(app.state.registry, "reasonflux_sessions_finished_total", outcome=outcome) == 0
        assert value(app.state.registry, "reasonflux_session_claims_total", reason="taken_over") == 0


async def test_an_unknown_method_or_path_makes_no_time_series_of_its_own() -> None:
    @asynccontextmanager
    async def nothing(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = create_app(title="kit", version="0", lifespan=nothing)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kit") as client:
        for n in range(20):
            await client.request(f"BREW{n}", f"/nowhere/{n}")
    series = [s for family in app.state.registry.collect() for s in family.samples if s.name.endswith("requests_total")]
    assert [(s.labels, s.value) for s in series] == [({"method": "OTHER", "route": "unmatched", "status": "404"}, 20.0)]


async def test_metrics_come_in_both_formats() -> None:
    async with opened(solving()) as client:
        plain = await client.get("/metrics")
        wanted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        exact = await client.get("/metrics", headers={"Accept": wanted})
    assert plain.headers["content-type"].startswith("text/plain")
    assert exact.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in classic(plain.text)}
    assert "reasonflux_sessions_finished" in names
    assert names == {family.name for family in openmetrics(exact.text)}
    assert not [name for name in names if name.endswith("_created")]


async def test_the_backlog_is_told_when_somebody_looks_and_an_outage_too() -> None:
    class Gone(MemoryJournal):
        away = False

        async def backlog(self) -> Backlog:
            if self.away:
                raise TimeoutError
            return Backlog(waiting=3, working=2, oldest_wait=7.5, notices=1, memory_used=100, memory_limit=400)

    registry, journal = CollectorRegistry(), Gone()
    metrics = JournalMetrics(registry)
    await metrics.refresh(journal)
    assert value(registry, "reasonflux_sessions", state="waiting") == 3
    assert value(registry, "reasonflux_sessions", state="working") == 2
    assert value(registry, "reasonflux_journal_oldest_waiting_seconds") == 7.5
    assert value(registry, "reasonflux_redis_memory_limit_bytes") == 400
    assert value(registry, "reasonflux_journal_up") == 1
    journal.away = True
    await metrics.refresh(journal)
    assert value(registry, "reasonflux_journal_up") == 0
    assert value(registry, "reasonflux_sessions", state="waiting") == 3


def test_what_a_worker_has_in_hand_is_looked_up_not_counted() -> None:
    registry, busy = CollectorRegistry(), [0]
    WorkerMetrics(registry, 8, lambda: busy[0])
    busy[0] = 5
    assert value(registry, "reasonflux_worker_sessions") == 5


async def test_engine_calls_are_counted_by_how_they_ended_and_further_tries_apart() -> None:
    answers = [httpx.Response(503), httpx.Response(503), httpx.Response(400, json={"error": {"message": "no"}})]

    async def at_once(_: float) -> None: ...

    registry = CollectorRegistry()
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    async with httpx.AsyncClient(transport=transport) as http:
        config = EngineConfig(url="http://engine/v1", model="m", retries=1)
        engine = OpenAIEngine(http, config, sleep=at_once, watch=EngineCalls(registry).of("default"))
        with pytest.raises(EngineUnavailable):
            await engine.chat([Message(role="user", content="hello")])
        with pytest.raises(Exception, match="no"):
            await engine.chat([Message(role="user", content="hello")])
    counted = "reasonflux_engine_call_seconds_count"
    assert value(registry, counted, engine="default", outcome="engine_unavailable") == 1
    assert value(registry, counted, engine="default", outcome="engine_refused") == 1
    assert value(registry, counted, engine="default", outcome="answered") == 0
    assert value(registry, "reasonflux_engine_call_retries_total", engine="default") == 1


@pytest.mark.parametrize(
    ("statement", "seconds", "outcome"), [("1 + 1", 60.0, "value"), ("1 / 0", 60.0, "error"), ("1 + 1", 0.0, "timeout")]
)
async def test_calculations_are_counted_by_how_they_ended(statement: str, seconds: float, outcome: str) -> None:
    registry = CollectorRegistry()
    observe = CalculatorMetrics(registry).observe
    async with Calculator(processes=1, timeout=seconds, observe=observe) as calculator:
        await calculator.evaluate([statement])
    assert value(registry, "reasonflux_calculations_total", outcome=outcome) == 1


def written() -> ModuleType:
    spec = importlib.util.spec_from_file_location("metrics_table", ROOT / "scripts" / "metrics_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_docs_metrics_md_lists_every_metric_with_its_labels(tmp_path: Path) -> None:
    rows = await written().rows(tmp_path)
    told = (ROOT / "docs" / "metrics.md").read_text()
    missing = [row for row in rows if row not in told]
    unknown = [line for line in told.splitlines() if line.startswith("| `reasonflux_") and line not in rows]
    assert not missing, "write it anew: .venv/bin/python scripts/metrics_table.py"
    assert not unknown


async def test_names_say_their_unit_and_labels_name_no_session(tmp_path: Path) -> None:
    for row in await written().rows(tmp_path):
        name, labels, kind, help_, _ = (cell.strip(" `") for cell in row.strip("|").split("|"))
        units = ("_seconds", "_tokens", "_rounds", "_templates", "_score")
        assert kind != "histogram" or name.endswith(units), name
        assert (kind == "counter") == name.endswith("_total"), name
        assert len(help_) > 5, name
        assert not {"session", "request", "problem", "user", "id", "model"} & set(labels.split(", ")), name
