"""docker-compose.yml as data, and what each profile of it is meant to start."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
SECRETS = {"REDIS_PASSWORD": "0" * 48, "ENGINE_KEY": "1" * 48, "GRAFANA_PASSWORD": "2" * 48}
EXPECTED = {
    "cpu": {"redis", "template-store", "navigator", "executor", "navigator-engine", "executor-engine"},
    "gpu": {"redis", "template-store", "navigator-gpu", "executor-gpu", "engine-gpu"},
    "gpu-pair": {
        "redis",
        "template-store",
        "navigator-gpu",
        "executor-gpu",
        "navigator-engine-gpu",
        "executor-engine-gpu",
    },
    "observability": {"prometheus", "grafana", "otel-collector", "jaeger"},
}
Stack = dict[str, Any]


def load() -> Stack:
    stack: Stack = yaml.safe_load(COMPOSE.read_text())
    return stack
