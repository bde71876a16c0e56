"""Alert rules and dashboards as files: they parse, they fire on what they are for, and each alert says what to do."""

import re
import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml
from boards import DASHBOARDS, ROOT, RULES, alerts, dashboards, metrics, panels, queries

OPERATIONS = ROOT / "docs" / "operations.md"
KUBERNETES = ROOT / "deploy" / "k8s" / "components" / "monitoring"


def promtool(*arguments: str | Path) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on PATH: apt-get install prometheus")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_what_prometheus_takes() -> None:
    promtool("check", "rules", RULES)


def test_each_alert_fires_on_what_it_is_for_and_a_healthy_deployment_fires_none() -> None:
    promtool("test", "rules", "tests/deploy/alerts.test.yml")


def test_each_alert_that_only_kubernetes_has_fires_on_what_it_is_for(tmp_path: Path) -> None:
    (document,) = yaml.safe_load_all((KUBERNETES / "rules.yaml").read_text())
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(document["spec"]))
    shutil.copy(ROOT / "tests" / "deploy" / "kubernetes_alerts.test.yml", tmp_path)
    promtool("test", "rules", tmp_path / "kubernetes_alerts.test.yml")


def test_no_alert_is_left_out_of_the_tests_of_the_rules() -> None:
    tested = (ROOT / "tests" / "deploy" / "alerts.test.yml").read_text()
    own = (ROOT / "tests" / "deploy" / "kubernetes_alerts.test.yml").read_text()
    assert [name for name in kubernetes_alerts() if f'alertname="{name}"' not in own] == []
    assert [rule["alert"] for rule in alerts() if f'alertname="{rule["alert"]}"' not in tested] == []


def test_the_query_of_every_panel_parses(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(queries())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "panels.yml")


def test_a_query_that_does_not_parse_is_noticed(tmp_path: Path) -> None:
    wrong = {"groups": [{"name": "g", "rules": [{"record": "r", "expr": "sum(rate(up[5m])"}]}]}
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(AssertionError):
        promtool("check", "rules", tmp_path / "wrong.yml")


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def kubernetes_alerts() -> list[str]:
    found = yaml.safe_load_all((KUBERNETES / "rules.yaml").read_text())
    return [rule["alert"] for document in found for group in document["spec"]["groups"] for rule in group["rules"]]


def test_every_alert_says_what_to_do_and_has_a_runbook() -> None:
    there = anchors(OPERATIONS)
    for rule in alerts():
        told = rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        assert len(told["summary"]) > 20, rule["alert"]
        assert len(told["action"]) > 20, rule["alert"]
        assert told["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["alert"].lower() in there, f"docs/operations.md has no section {rule['alert']}"
    assert [name for name in kubernetes_alerts() if name.lower() not in there] == []


def test_no_runbook_is_about_an_alert_that_is_gone() -> None:
    named = set(re.findall(r"^#+ (ReasonFlux\w+)$", OPERATIONS.read_text(), re.MULTILINE))
    assert named == {rule["alert"] for rule in alerts()} | set(kubernetes_alerts())


def test_every_metric_of_ours_on_a_board_or_in_an_alert_is_explained() -> None:
    told = set(re.findall(r"^\| `(reasonflux_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    told |= {f"{name}_{part}" for name in told for part in ("bucket", "sum", "count")}
    asked = {name for query in [*queries(), *(rule["expr"] for rule in alerts())] for name in metrics(query)}
    assert sorted(name for name in asked if name.startswith("reasonflux_") and name not in told) == []


def test_the_dashboards_are_those_that_the_script_writes() -> None:
    spec = spec_from_file_location("dashboards", ROOT / "scripts" / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    written = {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}
    assert written == script.files(), "write them anew: .venv/bin/python scripts/dashboards.py"


def test_every_panel_has_a_query_an_explanation_and_a_place_of_its_own() -> None:
    uids = [dashboard["uid"] for dashboard in dashboards().values()]
    assert len(uids) == len(set(uids)) == 2
    for dashboard in dashboards().values():
        taken: set[tuple[int, int]] = set()
        for panel in panels(dashboard):
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "prometheus"
            assert all(metrics(target["expr"]) for target in panel["targets"]), panel["title"]
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, panel["title"]
            taken |= cells


def test_grafana_finds_the_dashboards_and_leads_from_a_measurement_to_its_trace() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "dashboards.yaml").read_text())["providers"]
    mounts = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    sources = yaml.safe_load((provisioning / "datasources" / "datasources.yaml").read_text())["datasources"]
    (prometheus,) = [source for source in sources if source["uid"] == "prometheus"]
    assert prometheus["jsonData"]["exemplarTraceIdDestinations"] == [{"name": "trace_id", "datasourceUid": "jaeger"}]
    command = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]["command"]
    assert "--enable-feature=exemplar-storage" in command


def test_kubernetes_gets_the_same_rules() -> None:
    (copied,) = yaml.safe_load_all((KUBERNETES / "reasonflux-rules.yaml").read_text())
    assert copied["kind"] == "PrometheusRule"
    assert copied["spec"] == yaml.safe_load(RULES.read_text()), "write it anew: scripts/kubernetes_rules.py"
    assert "reasonflux-rules.yaml" in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    mine, theirs = {rule["alert"] for rule in alerts()}, set(kubernetes_alerts())
    assert not mine & theirs
