"""The chart's objects for the Prometheus operator and for Grafana."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml

from tests.fakes.chart import rendered
from tests.integration.helm.test_chart import OPERATOR
from tools.chart import CHART, find_object
from tools.install.build import locate


def test_rules_reach_the_operator_with_your_addresses_and_valid(tmp_path: Path) -> None:
    rules = [item for item in rendered(OPERATOR) if item["kind"] == "PrometheusRule"]
    shipped = sorted((CHART / "files" / "rules").glob("*.yml"))
    assert len(rules) == len(shipped)
    for item in rules:
        file = tmp_path / f"{item['metadata']['name']}.yml"
        file.write_text(yaml.safe_dump(item["spec"]), encoding="utf-8")
        for rule in (
            rule
            for group in item["spec"]["groups"]
            for rule in group["rules"]
            if group["name"] != "controlcore" and "alert" in rule
        ):
            assert rule["annotations"]["runbook_url"] == f"https://wiki.example/docs/runbooks/{rule['alert']}.md"
            assert rule["annotations"]["dashboard_url"].startswith("https://grafana.example/d/controlcore-")
    answer = subprocess.run(
        [locate("promtool"), "check", "rules", *tmp_path.glob("*.yml")], capture_output=True, text=True, check=False
    )
    assert answer.stdout.count("SUCCESS") == len(shipped), answer.stdout + answer.stderr


def test_the_guides_alerts_can_be_left_out() -> None:
    values = {**OPERATOR, "rules": {"enabled": True, "guide": False}}
    assert "controlcore-guide" not in {item["metadata"]["name"] for item in rendered(values)}


def test_dashboards_reach_grafana_unchanged_but_for_the_address_of_the_runbooks() -> None:
    changed = set()
    for path in (CHART / "files" / "dashboards").glob("*.json"):
        data = json.loads(find_object(rendered(OPERATOR), "ConfigMap", path.stem)["data"][path.name])
        for variable in data["templating"]["list"]:
            if variable["name"] == "runbooks":
                assert variable["query"] == "https://wiki.example/docs/runbooks"
                variable["query"] = "docs/runbooks"
                changed.add(path.stem)
        assert data == json.loads(path.read_text(encoding="utf-8"))
    assert len(changed) == 6
