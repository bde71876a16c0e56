"""What operators see of the running stack: a trace from request to vLLM, logs without texts, metrics that exist."""

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
from boards import alerts, metrics, queries
from collector import Collector, Span
from embedded import Embedded

from reasonflux.client import NavigatorClient
from reasonflux.contracts import FailureKind, Outcome, Session

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

SUM = "An arithmetic sequence has first term 3 and common difference 4. What is the sum of its first 20 terms?"
SERVICES = ("navigator", "executor", "template-store")
ENGINES = ("navigator-engine", "executor-engine")
TRACED = {*(f"reasonflux-{name}" for name in SERVICES), "vllm-navigator", "vllm-executor"}


async def solved(embedded: Embedded) -> Session:
    async with NavigatorClient.open(embedded.url("navigator")) as navigator:
        session = await navigator.solve(SUM)
    assert session.outcome is Outcome.SOLVED
    return session


def trace_of(session: Session, collector: Collector) -> list[Span]:
    """The spans of the trace that the session's creation began; reading it afterwards makes traces of their own."""
    began = {
        span.trace
        for span in collector.spans
        if span.name == "POST /v1/sessions" and span.attributes.get("session.id") == session.id
    }
    return [span for span in collector.spans if span.trace in began]


def roots(spans: list[Span]) -> list[str]:
    """The names of those whose parent is not among them."""
    ids = {span.id for span in spans}
    return [span.name for span in spans if span.parent not in ids]


async def test_a_solved_session_is_one_trace_from_the_request_to_vllm(embedded: Embedded, collector: Collector) -> None:
    session = await solved(embedded)
    for _ in range(60):  # spans are sent in batches, every five seconds
        spans = trace_of(session, collector)
        inside_vllm = [span for span in spans if span.service.startswith("vllm-")]
        if len(inside_vllm) == session.usage.all.calls and roots(spans) == ["POST /v1/sessions"]:
            break
        await asyncio.to_thread(collector.news, 1.0)
    assert {span.service for span in spans} == TRACED
    assert roots(spans) == ["POST /v1/sessions"]

    own = {span.id: span for span in spans}
    assert {own[span.parent].name for span in inside_vllm} == {
        "chat reasonflux-tiny-navigator",
        "chat reasonflux-tiny-executor",
    }
    assert len(inside_vllm) == session.usage.all.calls
    assert not [span.name for span in collector.spans if "arithmetic sequence has" in span.told]


async def test_a_collector_that_hangs_costs_nobody_an_answer(embedded: Embedded, collector: Collector) -> None:
    collector.hang()
    try:
        await solved(embedded)
        await solved(embedded)
    finally:
        collector.go_on()


async def test_no_service_logs_a_problem_and_every_line_is_json_that_names_its_session(embedded: Embedded) -> None:
    folder = Path(embedded.env["REASONFLUX_HOME"]) / "run"
    before = {name: len((folder / f"{name}.log").read_text()) for name in (*SERVICES, *ENGINES)}  # of other tests
    session = await solved(embedded)
    async with httpx.AsyncClient(base_url=embedded.url("navigator")) as client:
        await client.post("/v1/sessions", json={"problem": SUM, "effort": SUM})  # refused: its text is not told either
        await client.post("/v1/chat/completions", json={"model": SUM, "messages": [{"role": "user", "content": SUM}]})
    logs = {name: (folder / f"{name}.log").read_text() for name in (*SERVICES, *ENGINES)}
    for name, log in logs.items():
        assert "arithmetic sequence" not in log, name
        assert "first term 3" not in log, name
    for name in SERVICES:
        lines = [json.loads(line) for line in logs[name][before[name] :].splitlines()]
        assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
        mine = [line for line in lines if line.get("session") == session.id]
        assert mine, name
        assert {line["trace_id"] for line in mine if "trace_id" in line}
        worked = [line for line in lines if line.get("route") in ("/v1/instantiate", "/v1/templates/search")]
        assert all("session" in line for line in worked), name


async def test_every_metric_of_the_dashboards_and_alerts_exists_in_the_running_stack(embedded: Embedded) -> None:
    await solved(embedded)
    there = {"up"}
    async with httpx.AsyncClient() as client:
        for name in (*SERVICES, *ENGINES):
            told = (await client.get(f"{embedded.url(name.replace('-', '_'))}/metrics")).text
            there |= names(told)
    asked = set().union(*(metrics(query) for query in (*queries(), *(rule["expr"] for rule in alerts()))))
    assert len(asked) > 30
    assert asked - there == set()


def names(told: str) -> set[str]:
    """Every name that a query may use: also those of metrics that have no sample yet."""
    found: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", told, re.MULTILINE):
        found |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return found


def test_label_values_that_alerts_ask_for_are_values_that_the_services_tell() -> None:
    kinds = {kind.value for kind in FailureKind}
    asked = {
        value
        for rule in alerts()
        for pattern in re.findall(r'(?:kind|outcome)[!=]~?"([^"]*)"', rule["expr"])
        for value in pattern.split("|")
    }
    known = {*kinds, "answered", "cancelled", "solved", "failed", "timeout", "crashed", "abstained", "prompt", "cached"}
    assert asked <= known, asked - known
