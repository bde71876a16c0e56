"""The dashboards and alert rules in deploy/, as tests read them: their queries, and the metrics that these name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules" / "reasonflux.yml"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"

_VARIABLES = {"$__rate_interval": "5m", "$library": ".*"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_METRIC = re.compile(r"\b(?:reasonflux_|vllm:|process_)[a-zA-Z0-9_:]+|\bup\b")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries(rate_interval: str = "5m") -> list[str]:
    """Every query of every panel, with Grafana's variables filled in."""
    found = [
        target["expr"]
        for dashboard in dashboards().values()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]
    filled = {**_VARIABLES, "$__rate_interval": rate_interval}
    for name, value in filled.items():
        found = [query.replace(name, value) for query in found]
    return found


def metrics(query: str) -> set[str]:
    """The names of metrics in a query; what stands in strings is none."""
    return set(_METRIC.findall(_STRING.sub('""', query)))
