"""Writes the alert rules for the Prometheus operator from those in deploy/prometheus: they are kept in one place.

.venv/bin/python scripts/kubernetes_rules.py
"""

from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
RULES = DEPLOY / "prometheus" / "rules" / "reasonflux.yml"
WRITTEN = DEPLOY / "k8s" / "components" / "monitoring" / "reasonflux-rules.yaml"
HEAD = "# Written by scripts/kubernetes_rules.py from deploy/prometheus/rules/reasonflux.yml: change them there.\n"


def main() -> None:
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "reasonflux"},
        "spec": yaml.safe_load(RULES.read_text()),
    }
    WRITTEN.write_text(HEAD + yaml.safe_dump(resource, sort_keys=False, width=1000))


if __name__ == "__main__":
    main()
