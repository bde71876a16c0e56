"""Writes the Grafana dashboards in deploy/grafana/dashboards: what is on them is decided here, in one line a panel.

.venv/bin/python scripts/dashboards.py
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
WINDOW = "$__rate_interval"


@dataclass(frozen=True)
class Panel:
    """`queries`: legend → PromQL. `unit` is one of Grafana's. A `stat` shows the latest number."""

    title: str
    about: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stack: bool = False
    limits: Mapping[float, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Per second, over all processes."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{where}}}[{WINDOW}]))".replace("{}", "")


def quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels, where)})"


def mean(metric: str, by: str = "") -> str:
    return f"{rate(f'{metric}_sum', by)} / {rate(f'{metric}_count', by)}"


def share(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def stat(title: str, about: str, query: str, unit: str = "short", **limits: Mapping[float, str]) -> Panel:
    return Panel(title, about, {"": query}, unit, kind="stat", width=4, **limits)


FINISHED = "reasonflux_sessions_finished_total"
ENGINE_CALLS = "reasonflux_engine_call_seconds_count"
PROMPT, CACHED = 'kind="prompt"', 'kind="cached"'
BAD_ABOVE = {0.0: "green", 1.0: "red"}

OPERATIONS = (
    Row(
        "Does it serve?",
        (
            stat(
                "Targets down",
                "Services and engines that Prometheus cannot scrape.",
                'count(up{job=~".*(navigator|executor|template-store|engine).*"} == 0) or vector(0)',
                limits=BAD_ABOVE,
            ),
            stat(
                "Journal",
                "1: every navigator reaches Redis.",
                "min(reasonflux_journal_up)",
                limits={0.0: "red", 1.0: "green"},
            ),
            stat("Waiting", "Sessions that wait for a worker.", 'max(reasonflux_sessions{state="waiting"})'),
            stat("Working", "Sessions that workers carry on.", 'max(reasonflux_sessions{state="working"})'),
            stat(
                "Longest wait",
                "How long the first in line has waited.",
                "max(reasonflux_journal_oldest_waiting_seconds)",
                "s",
                limits={0.0: "green", 30.0: "red"},
            ),
            stat(
                "Slots in use",
                "Sessions in hand, of those that the navigators can hold.",
                "sum(reasonflux_worker_sessions) / sum(reasonflux_worker_slots)",
                "percentunit",
            ),
            Panel(
                "Sessions",
                "Started, and finished by outcome.",
                {"started": rate("reasonflux_sessions_started_total"), "{{outcome}}": rate(FINISHED, "outcome")},
                "reqps",
            ),
            Panel(
                "Time of a session",
                "From its start to its end, solved ones.",
                {
                    f"p{round(100 * q)}": quantile(q, "reasonflux_session_seconds", where='outcome="solved"')
                    for q in (0.5, 0.95)
                },
                "s",
            ),
            Panel(
                "Time in the queue",
                "Until a new session has its first worker.",
                {f"p{round(100 * q)}": quantile(q, "reasonflux_session_queue_seconds") for q in (0.5, 0.95)},
                "s",
            ),
        ),
    ),
    Row(
        "Requests",
        (
            Panel(
                "Answers by status",
                "Of all services; probes are left out.",
                {
                    "{{job}} {{status}}": rate(
                        "reasonflux_http_requests_total", "job, status", 'route!~"/healthz|/readyz|/metrics"'
                    )
                },
                "reqps",
            ),
            Panel(
                "Slowest twentieth of the answers",
                "Streams last as long as their session.",
                {
                    "{{job}} {{route}}": quantile(
                        0.95, "reasonflux_http_request_seconds", "job, route", 'route!~"/healthz|/readyz|/metrics"'
                    )
                },
                "s",
            ),
            Panel(
                "Refused before any work",
                "room: the deployment is full; the others are a client's own limits and keys.",
                {"{{reason}}": rate("reasonflux_requests_refused_total", "reason")},
                "reqps",
            ),
        ),
    ),
    Row(
        "Journal",
        (
            Panel(
                "Calls to Redis, p95",
                "Every commit waits for the disk.",
                {"{{call}}": quantile(0.95, "reasonflux_journal_call_seconds", "call")},
                "s",
            ),
            Panel(
                "Calls without an answer",
                "Redis was away, full or too slow.",
                {"{{call}}": rate("reasonflux_journal_calls_failed_total", "call")},
                "ops",
            ),
            Panel(
                "Sessions taken on",
                "taken_over: the last worker fell silent, so its work was done again.",
                {"{{reason}}": rate("reasonflux_session_claims_total", "reason")},
                "ops",
            ),
            Panel(
                "Redis memory",
                "At the limit Redis refuses every write.",
                {
                    "used": "max(reasonflux_redis_memory_used_bytes)",
                    "limit": "max(reasonflux_redis_memory_limit_bytes > 0)",
                },
                "bytes",
            ),
            Panel("Webhooks due", "Not told yet.", {"due": "max(reasonflux_webhooks_due)"}),
            Panel(
                "Slots",
                "Sessions in hand, by navigator.",
                {"{{instance}}": "reasonflux_worker_sessions", "all slots": "sum(reasonflux_worker_slots)"},
            ),
        ),
    ),
    Row(
        "Engines",
        (
            Panel(
                "Requests in the engine",
                "Running and waiting, as vLLM tells.",
                {
                    "running {{instance}}": "sum by (instance) (vllm:num_requests_running)",
                    "waiting {{instance}}": "sum by (instance) (vllm:num_requests_waiting)",
                },
            ),
            Panel(
                "Time to first token, p95",
                "vLLM's own clock, queue included.",
                {"{{instance}}": quantile(0.95, "vllm:time_to_first_token_seconds", "instance")},
                "s",
            ),
            Panel(
                "Tokens",
                "Prompt and generated, by engine.",
                {
                    "prompt {{instance}}": rate("vllm:prompt_tokens_total", "instance"),
                    "generated {{instance}}": rate("vllm:generation_tokens_total", "instance"),
                },
            ),
            Panel(
                "KV cache in use",
                "Near 1, running requests are preempted and computed again.",
                {"{{instance}}": "max by (instance) (vllm:kv_cache_usage_perc)"},
                "percentunit",
            ),
            Panel(
                "Calls that gave no reply",
                "As navigator and executor see it, further tries included.",
                {"{{engine}} {{outcome}}": rate(ENGINE_CALLS, "engine, outcome", 'outcome!="answered"')},
                "reqps",
            ),
            Panel(
                "Further tries and preemptions",
                "Tries after 429, 5xx and broken connections; preemptions inside vLLM.",
                {
                    "tries {{engine}}": rate("reasonflux_engine_call_retries_total", "engine"),
                    "preempted {{instance}}": rate("vllm:num_preemptions_total", "instance"),
                },
                "ops",
            ),
        ),
    ),
    Row(
        "Calculator, store, processes",
        (
            Panel(
                "Calculations",
                "timeout and crashed: the process was killed and replaced.",
                {"{{job}} {{outcome}}": rate("reasonflux_calculations_total", "job, outcome")},
                "ops",
            ),
            Panel(
                "Calculation and search, p95",
                "Waiting for a free calculator and the embedding included.",
                {
                    "calculation": quantile(0.95, "reasonflux_calculation_seconds"),
                    "search": quantile(0.95, "reasonflux_search_seconds"),
                },
                "s",
            ),
            Panel(
                "Library revisions",
                "The replicas of a store differ only for a moment.",
                {"{{library}} {{instance}}": "reasonflux_library_revision"},
            ),
            Panel(
                "CPU",
                "Seconds of CPU a second.",
                {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total[{WINDOW}])"},
            ),
            Panel("Memory", "Resident.", {"{{job}} {{instance}}": "process_resident_memory_bytes"}, "bytes"),
            Panel(
                "Versions",
                "How many processes run which.",
                {"{{service}} {{version}}": "count by (service, version) (reasonflux_build_info)"},
            ),
        ),
    ),
)

QUALITY = (
    Row(
        "At a glance",
        (
            stat(
                "Solved",
                "Of the sessions that were not cancelled.",
                share(rate(FINISHED, where='outcome="solved"'), rate(FINISHED, where='outcome!="cancelled"')),
                "percentunit",
            ),
            stat(
                "Tokens for a solved session",
                "Prompt and completion, both roles.",
                'sum (rate(reasonflux_session_tokens_sum{outcome="solved"}[$__rate_interval])) / '
                'sum (rate(reasonflux_session_tokens_count{outcome="solved"}[$__rate_interval]))',
            ),
            stat("Rounds", "Of a finished session, on average.", mean("reasonflux_session_rounds")),
            stat(
                "Cached",
                "Prompt tokens that came from the engines' prefix cache.",
                share(
                    rate("reasonflux_tokens_total", where='kind="cached"'),
                    rate("reasonflux_tokens_total", where='kind="prompt"'),
                ),
                "percentunit",
            ),
            stat(
                "No template fits",
                "Queries for which the store abstained.",
                share(
                    rate("reasonflux_search_queries_total", where='outcome="abstained",library=~"$library"'),
                    rate("reasonflux_search_queries_total", where='library=~"$library"'),
                ),
                "percentunit",
            ),
            stat(
                "Templates in a session",
                "Different ones that its steps followed, on average.",
                mean("reasonflux_session_templates"),
            ),
        ),
    ),
    Row(
        "Reasoning",
        (
            Panel(
                "Outcomes",
                "Share of all sessions.",
                {"{{outcome}}": f"{rate(FINISHED, 'outcome')} / on () group_left () {rate(FINISHED)}"},
                "percentunit",
                stack=True,
            ),
            Panel(
                "Rounds",
                "Navigator-executor exchanges of a session.",
                {f"p{round(100 * q)}": quantile(q, "reasonflux_session_rounds") for q in (0.5, 0.95)},
            ),
            Panel(
                "Verdicts",
                "How reviews end: retry and revise are exploration.",
                {"{{verdict}}": rate("reasonflux_steps_reviewed_total", "verdict")},
                "ops",
                stack=True,
            ),
            Panel(
                "Instantiations",
                "A result, or why a step has none.",
                {"{{outcome}}": rate("reasonflux_instantiations_total", "outcome")},
                "ops",
                stack=True,
            ),
            Panel(
                "Actions without an outcome",
                "What the navigator has to try again.",
                {"{{action}} {{kind}}": rate("reasonflux_actions_failed_total", "action, kind")},
                "ops",
            ),
            Panel(
                "Repairs",
                "Replies that were sent back to the model with their fault.",
                {"{{kind}}": rate("reasonflux_instantiation_repairs_total", "kind")},
                "ops",
            ),
        ),
    ),
    Row(
        "Templates",
        (
            Panel(
                "Queries",
                "chosen, or abstained.",
                {
                    "{{library}} {{outcome}}": rate(
                        "reasonflux_search_queries_total", "library, outcome", 'library=~"$library"'
                    )
                },
                "ops",
                stack=True,
            ),
            Panel(
                "Score of the best template",
                "Calibrated: near the probability that it is the right one.",
                {
                    f"p{round(100 * q)}": quantile(q, "reasonflux_search_score", where='library=~"$library"')
                    for q in (0.1, 0.5)
                },
                "percentunit",
            ),
            Panel(
                "Library",
                "Templates by status.",
                {
                    "{{library}} {{status}}": 'max by (library, status) (reasonflux_templates{library=~"$library"})',
                },
            ),
        ),
    ),
    Row(
        "Cost",
        (
            Panel(
                "Tokens",
                "By role: prompt without its cached part, cached, completion.",
                {
                    "{{role}} computed": f"{rate('reasonflux_tokens_total', 'role', PROMPT)} - "
                    f"({rate('reasonflux_tokens_total', 'role', CACHED)} or 0 * "
                    f"{rate('reasonflux_tokens_total', 'role', PROMPT)})",
                    "{{role}} cached": rate("reasonflux_tokens_total", "role", CACHED),
                    "{{role}} completion": rate("reasonflux_tokens_total", "role", 'kind="completion"'),
                },
                stack=True,
            ),
            Panel(
                "Tokens of a session",
                "By outcome, median.",
                {"{{outcome}}": quantile(0.5, "reasonflux_session_tokens", "outcome")},
            ),
            Panel(
                "Cached share",
                "Of the prompt tokens, by role.",
                {
                    "{{role}}": share(
                        rate("reasonflux_tokens_total", "role", CACHED),
                        rate("reasonflux_tokens_total", "role", PROMPT),
                    )
                },
                "percentunit",
            ),
            Panel(
                "Where the time goes",
                "Seconds a second that actions take, by action; they may run side by side.",
                {"{{action}}": rate("reasonflux_action_seconds_sum", "action")},
                "s",
                stack=True,
            ),
            Panel(
                "Work thrown away",
                "Actions that a change of plan stopped; ahead=true: begun before the last review was known.",
                {"{{action}} ahead={{ahead}}": rate("reasonflux_actions_dropped_total", "action, ahead")},
                "ops",
            ),
            Panel(
                "Tokens by tenant",
                "The ten that cost most; where keys or limits are on.",
                {"{{tenant}}": f"topk(10, {rate('reasonflux_tenant_tokens_total', 'tenant')})"},
                stack=True,
            ),
        ),
    ),
)

BOARDS = {
    "reasonflux-operations": ("ReasonFlux: operations", OPERATIONS, False),
    "reasonflux-reasoning": ("ReasonFlux: reasoning quality and cost", QUALITY, True),
}


def board(uid: str, title: str, rows: Sequence[Row], *, by_library: bool) -> dict[str, Any]:
    """A dashboard in Grafana's form."""
    ids, height, panels = count(1), 0, []
    for row in rows:
        place = {"h": 1, "w": 24, "x": 0, "y": height}
        panels.append({"id": next(ids), "type": "row", "title": row.title, "collapsed": False, "gridPos": place})
        height += 1
        across, tallest = 0, 0
        for panel in row.panels:
            tall = 4 if panel.kind == "stat" else 8
            if across + panel.width > 24:
                height, across, tallest = height + tallest, 0, 0
            place = {"h": tall, "w": panel.width, "x": across, "y": height}
            panels.append(drawn(panel, next(ids), place))
            across, tallest = across + panel.width, max(tallest, tall)
        height += tallest
    return {
        "uid": uid,
        "title": title,
        "tags": ["reasonflux"],
        "timezone": "browser",
        "schemaVersion": 41,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["reasonflux"], "title": "ReasonFlux", "asDropdown": False}],
        "templating": {"list": [LIBRARY] if by_library else []},
        "panels": panels,
    }


LIBRARY = {
    "name": "library",
    "label": "Library",
    "type": "query",
    "datasource": PROMETHEUS,
    "query": {"query": "label_values(reasonflux_templates, library)", "refId": "library"},
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": ["All"], "value": ["$__all"]},
}


def drawn(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    steps = [{"color": color, "value": None if at == 0 else at} for at, color in sorted(panel.limits.items())]
    custom = {"fillOpacity": 20 if panel.stack else 0, "stacking": {"mode": "normal" if panel.stack else "none"}}
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = custom
    if steps:
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": PROMETHEUS,
        "gridPos": dict(place),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        if panel.kind == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"},
        "targets": [
            {
                "refId": chr(ord("A") + place_in_line),
                "datasource": PROMETHEUS,
                "expr": query,
                "legendFormat": legend,
                "exemplar": "histogram_quantile" in query,
            }
            for place_in_line, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def files() -> dict[str, str]:
    """What stands in each file."""
    return {
        f"{uid}.json": json.dumps(board(uid, title, rows, by_library=by_library), indent=1) + "\n"
        for uid, (title, rows, by_library) in BOARDS.items()
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content)


if __name__ == "__main__":
    main()
