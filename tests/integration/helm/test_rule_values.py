"""Per-alert values: each option changes exactly its alert, and promtool accepts what is rendered."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.chart import rendered
from tools.chart import CHART, ChartError, find_object, render
from tools.install.build import locate

ALERT = "ControlCoreLoginFailures"
THRESHOLDS: dict[str, str] = yaml.safe_load((CHART / "files" / "thresholds.yaml").read_text(encoding="utf-8"))
SHIPPED = sorted((CHART / "files" / "rules").glob("*.yml"))
COMPARISON = re.compile(r"(>=|<=|>|<)\s*([0-9.]+(?:e[0-9]+)?)")

Rules = dict[str, dict[str, Any]]

pytestmark = pytest.mark.timeout(60)


def values(**rules: Any) -> dict[str, Any]:
    """Rules as a ConfigMap, and nothing of the remediator."""
    return {"remediator": {"enabled": False}, "rules": {"configMap": {"enabled": True}, **rules}}


def files(**rules: Any) -> dict[str, str]:
    """The rule files of the ConfigMap."""
    found: dict[str, str] = find_object(rendered(values(**rules)), "ConfigMap", "controlcore-rules")["data"]
    return found


def by_name(texts: dict[str, str]) -> Rules:
    """Every rule by its name; recording rules by what they record and their labels."""
    found: Rules = {}
    for text in texts.values():
        for group in yaml.safe_load(text)["groups"]:
            for rule in group["rules"]:
                found[rule.get("alert") or f"{rule['record']}{rule.get('labels', '')}"] = rule
    return found


PLAIN = {path.name: path.read_text(encoding="utf-8") for path in SHIPPED}


def check(texts: dict[str, str], folder: Path) -> None:
    """Checks every file with promtool."""
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    command = [locate("promtool"), "check", "rules", *(str(folder / name) for name in texts)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (answer.returncode, answer.stdout.count("SUCCESS")) == (0, len(texts)), answer.stdout + answer.stderr


def test_without_changes_the_files_say_what_is_shipped() -> None:
    assert {name: yaml.safe_load(text) for name, text in files().items()} == {
        name: yaml.safe_load(text) for name, text in PLAIN.items()
    }


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"for": "7m"}, ("for",), "7m"),
        ({"keepFiringFor": "9m"}, ("keep_firing_for",), "9m"),
        ({"severity": "info"}, ("labels", "severity"), "info"),
        ({"labels": {"team": "identity"}}, ("labels", "team"), "identity"),
        ({"annotations": {"summary": "Too many"}}, ("annotations", "summary"), "Too many"),
        ({"threshold": 20}, ("expr",), None),
        ({"threshold": 0.5}, ("expr",), None),
    ],
)
def test_option_changes_exactly_its_alert(
    change: dict[str, Any], path: tuple[str, ...], expected: str | None, tmp_path: Path
) -> None:
    changed = files(alerts={ALERT: change})
    check(changed, tmp_path)
    before, after = by_name(PLAIN), by_name(changed)
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {ALERT}
    place = after[ALERT]
    for key in path[:-1]:
        place = place[key]
    if expected is None:
        assert place[path[-1]] == before[ALERT]["expr"].replace("> 5", f"> {change['threshold']}")
    else:
        assert place[path[-1]] == expected
    place.pop(path[-1])
    original = before[ALERT]
    for key in path[:-1]:
        original = original[key]
    original.pop(path[-1], None)
    assert after[ALERT] == before[ALERT]


def test_alert_that_is_switched_off_is_gone_and_no_other() -> None:
    assert by_name(PLAIN).keys() - by_name(files(alerts={ALERT: {"enabled": False}})).keys() == {ALERT}


def test_group_of_which_every_alert_is_off_is_left_out() -> None:
    guide = ("HighCPUUsage", "DatabaseConnectionFailure", "PolicyEvaluationSlow")
    assert "guide.yml" not in files(alerts={name: {"enabled": False} for name in guide})


@pytest.mark.parametrize("name", sorted(THRESHOLDS))
def test_threshold_replaces_the_number_and_nothing_else(name: str) -> None:
    operator, number = THRESHOLDS[name].split(" ")
    expected = re.sub(rf"{re.escape(THRESHOLDS[name])}(?![0-9.])", f"{operator} 12345", by_name(PLAIN)[name]["expr"])
    assert expected != by_name(PLAIN)[name]["expr"], f"{name} no longer compares with {number}"
    assert by_name(files(alerts={each: {"threshold": 12345} for each in THRESHOLDS}))[name]["expr"] == expected


def test_every_alert_with_one_number_has_a_threshold() -> None:
    """A comparison with 0 says that something is there at all."""
    alone = {
        name: f"{operator} {number}"
        for name, rule in by_name(PLAIN).items()
        if "alert" in rule and len(found := {each for each in COMPARISON.findall(rule["expr"]) if each[1] != "0"}) == 1
        for operator, number in found
    }
    assert {name: THRESHOLDS.get(name) for name in alone} == alone


def test_changed_thresholds_are_accepted_by_promtool(tmp_path: Path) -> None:
    check(files(alerts={name: {"threshold": 0.25} for name in THRESHOLDS}), tmp_path)


def test_changed_threshold_decides_when_the_alert_fires(tmp_path: Path) -> None:
    """The rendered file, played by promtool: ten failed logins fire at 5 and not at 20."""
    check_file = tmp_path / "test.yaml"
    for threshold, fires in ((5, True), (20, False)):
        (tmp_path / "rules.yml").write_text(files(alerts={ALERT: {"threshold": threshold}})["controlcore-audit.yml"])
        case = {
            "interval": "1m",
            "input_series": [{"series": "controlcore_login_failures_total", "values": "0+1x30"}],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{ALERT}", alertstate="firing"}}) or vector(0)',
                    "eval_time": "20m",
                    "exp_samples": [{"labels": "{}", "value": int(fires)}],
                }
            ],
        }
        check_file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [case]}), encoding="utf-8")
        command = [locate("promtool"), "test", "rules", str(check_file)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_labels_and_annotations_of_all_alerts_lose_to_those_of_one(tmp_path: Path) -> None:
    changed = files(
        additionalRuleLabels={"team": "identity"},
        additionalRuleAnnotations={"wiki": "all"},
        alerts={ALERT: {"labels": {"team": "audit"}, "annotations": {"wiki": "one"}}},
    )
    check(changed, tmp_path)
    for name, rule in by_name(changed).items():
        expected = ("audit", "one") if name == ALERT else ("identity", "all")
        found = (rule.get("labels", {}).get("team"), rule.get("annotations", {}).get("wiki"))
        assert found == (expected if "alert" in rule else (None, None)), name


@pytest.mark.parametrize("slash", ["", "/"])
def test_links_are_joined_with_exactly_one_slash(slash: str) -> None:
    bases = {"runbookBase": f"https://wiki.example.com/cc{slash}", "grafanaBase": f"https://grafana.example.com{slash}"}
    for name, rule in by_name(files(**bases)).items():
        annotations = rule.get("annotations", {})
        if "runbook_url" in annotations:
            assert annotations["runbook_url"] == f"https://wiki.example.com/cc/docs/runbooks/{name}.md"
            assert re.fullmatch(r"https://grafana\.example\.com/d/[-a-z]+", annotations["dashboard_url"])


def test_operator_objects_hold_the_same_rules_as_the_files() -> None:
    changes = {"alerts": {ALERT: {"severity": "info"}}, "namespace": "monitoring"}
    objects = rendered(values(enabled=True, **changes))
    specs = [item for item in objects if item["kind"] == "PrometheusRule"]
    texts = find_object(objects, "ConfigMap", "controlcore-rules")["data"]
    assert sorted(map(str, (item["spec"] for item in specs))) == sorted(map(str, map(yaml.safe_load, texts.values())))
    assert {item["metadata"]["namespace"] for item in specs} == {"monitoring"}


def test_files_for_mimir_and_thanos_have_their_keys() -> None:
    text = files(configMap={"enabled": True, "mimirNamespace": "controlcore"})["guide.yml"]
    assert yaml.safe_load(text)["namespace"] == "controlcore"
    groups = yaml.safe_load(files(partialResponseStrategy="abort")["guide.yml"])["groups"]
    assert {group["partial_response_strategy"] for group in groups} == {"abort"}


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({"alerts": {"ControlCoreApiDown": {"enabled": False}}}, "ControlCoreApiDown: no alert of this chart"),
        ({"alerts": {"ControlCoreAPIDown": {"threshold": 2}}}, "ControlCoreAPIDown.threshold: this alert has no thres"),
        ({"alerts": {ALERT: {"treshold": 2}}}, "additional properties 'treshold' not allowed"),
        ({"alerts": {ALERT: {"threshold": "2"}}}, "want number"),
        ({"alerts": {ALERT: {"for": "5 minutes"}}}, "does not match pattern"),
        ({"additionalRuleLabels": {"remediation": "none"}}, "remediation"),
        ({"runbookBase": "wiki.example.com"}, "does not match pattern"),
    ],
)
def test_change_that_makes_no_sense_is_refused(rules: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ChartError, match=complaint):
        render(values(**rules), "controlcore", "controlcore")
