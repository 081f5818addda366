"""Required parts of every rule file, alert, rule test and runbook."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.generate.links import read_links
from tools.rules.catalogue import find_faults

ROOT = Path(__file__).parents[3]
RULES = ROOT / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
POLICIES = ROOT / "remediations" / "shipped" / "policies.yaml"
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}
# Parts that one fault stops together are one component: the API never works without its database.
COMPONENTS = {
    *("control-plane", "bouncers", "redis", "audit", "backup", "certificates", "sources"),
    *("exporter", "remediator", "sidecar"),
}
SEVERITIES = {"critical", "warning", "info", "none"}
# The guide's scrape configuration gives pods no such labels, so a rule that names them would never match.
FOREIGN_LABELS = {"job", "namespace", "pod", "instance", "cluster"}
# It fires always, so no innocent case exists.
ALWAYS_FIRING = "ControlCoreWatchdog"

LINKS = read_links()
GUIDE = {
    "HighCPUUsage": {
        "expr": "cpu_usage_percent > 80",
        "for": "5m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "High CPU usage detected",
            "description": "CPU usage is above 80% for more than 5 minutes",
        },
    },
    "DatabaseConnectionFailure": {
        "expr": "database_connections_failed > 5",
        "for": "1m",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "Database connection failures",
            "description": "Multiple database connection failures detected",
        },
    },
    "PolicyEvaluationSlow": {
        "expr": "policy_evaluation_duration_seconds > 1",
        "for": "2m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "Slow policy evaluation",
            "description": "Policy evaluation is taking longer than 1 second",
        },
    },
}


def _alerts(*patterns: str) -> list[Any]:
    """Every alert of the matching files, named by its alert."""
    return [
        pytest.param(rule, id=rule["alert"])
        for pattern in patterns
        for path in sorted(RULES.glob(pattern))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def _recordings() -> list[Any]:
    """Every recording rule, named by what it records."""
    return [
        pytest.param(rule, id=rule["record"])
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]


OWN = _alerts("controlcore-*.yml")
ALL = _alerts("*.yml")
RECORDED = _recordings()


@cache
def _cases() -> dict[str, set[str]]:
    """Alert → the kinds of cases in rules/tests, judged by what they expect, not by what they are called."""
    found: dict[str, set[str]] = {}
    for path in sorted((RULES / "tests").glob("*.test.yaml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            alert, kind = group["name"].split()[:2]
            expects = [case for case in group["alert_rule_test"] if case["alertname"] == alert]
            assert expects, f"{path.name}: the case {group['name']!r} never asks for {alert}"
            does_fire = any(case.get("exp_alerts") for case in expects)
            assert does_fire == (kind == "fires"), f"{path.name}: {group['name']!r} is not what its name says"
            found.setdefault(alert, set()).add(kind)
    return found


def test_the_guides_alerts_stand_as_printed() -> None:
    document = yaml.safe_load((RULES / "guide.yml").read_text(encoding="utf-8"))
    assert [group["name"] for group in document["groups"]] == ["controlcore"]
    rules = {rule.pop("alert"): rule for rule in document["groups"][0]["rules"]}
    assert rules == GUIDE


def test_rule_files_end_in_yml_and_nothing_else_here_does() -> None:
    """`rules/*.yml` is what the guide's Prometheus loads: a `.yaml` would silently not be."""
    strays = [path for path in RULES.rglob("*.y*ml") if path.parent == RULES and path.suffix != ".yml"]
    strays += [
        path
        for path in (RULES / "tests").rglob("*")
        if not path.name.endswith(".test.yaml") and path.name != "situations.yaml"
    ]
    assert strays == []


def test_alert_and_group_names_are_unique_over_all_files() -> None:
    names = [parameters.values[0]["alert"] for parameters in ALL]
    groups = [
        group["name"] for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    ]
    assert len(names) == len(set(names))
    assert len(groups) == len(set(groups))


@pytest.mark.parametrize("rule", [*ALL, *RECORDED])
def test_every_name_and_label_in_an_expression_is_published(rule: dict[str, Any]) -> None:
    assert find_faults(rule["expr"]) == ()


@pytest.mark.parametrize("rule", ALL)
def test_every_alert_has_a_runbook(rule: dict[str, Any]) -> None:
    path = RUNBOOKS / f"{rule['alert']}.md"
    assert path.exists(), f"write docs/runbooks/{path.name}, with the parts of its neighbours"
    page = path.read_text(encoding="utf-8")
    assert page.startswith(f"# {rule['alert']}\n")
    headings = set(re.findall(r"^## (.+)$", page, re.MULTILINE))
    assert {"Meaning", "Impact", "Diagnosis", "Repair", "Silence"} <= headings


@pytest.mark.parametrize("rule", ALL)
def test_every_alert_has_a_firing_and_an_innocent_case(rule: dict[str, Any]) -> None:
    expected = {"fires"} if rule["alert"] == ALWAYS_FIRING else {"fires", "innocent"}
    names = [f"{rule['alert']} {kind}" for kind in sorted(expected)]
    assert expected == _cases().get(rule["alert"]), f"rules/tests needs cases whose names begin with {names}"


@pytest.mark.parametrize("rule", OWN)
def test_own_alerts_say_what_where_and_what_is_done(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert name.startswith("ControlCore")
    assert rule["annotations"].keys() == ANNOTATIONS
    assert rule["annotations"]["runbook_url"] == LINKS.runbook(f"{name}.md")
    assert rule["labels"].keys() in ({"severity", "remediation", "component"}, {"severity", "remediation"})
    assert rule["labels"].get("component") in {*COMPONENTS, None}
    assert rule["labels"]["severity"] in SEVERITIES


@pytest.mark.parametrize("path", sorted(RULES.glob("controlcore-*.yml")), ids=lambda path: path.stem)
def test_every_rule_has_the_reason_of_its_figures_above_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    rules = [number for number, line in enumerate(lines) if re.match(r" +- (alert|record): ", line)]
    assert rules
    assert [lines[number] for number in rules if not lines[number - 1].startswith("      # ")] == []


def test_every_own_alert_that_fires_has_a_component() -> None:
    """People's notifications are grouped by it; where a rule gives none, the expression returns a Deployment's name."""
    own = {parameters.values[0]["alert"] for parameters in OWN}
    seen = set()
    for path in (RULES / "tests").glob("controlcore-*.test.yaml"):
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for case in test["alert_rule_test"]:
                for expected in case.get("exp_alerts") or ():
                    seen.add(case["alertname"])
                    assert expected["exp_labels"]["component"], test["name"]
    assert own == seen


@pytest.mark.parametrize("rule", OWN)
def test_annotations_say_the_measured_value(rule: dict[str, Any]) -> None:
    """If the alert compares with 0 or 1 (`x == 0`), or checks whether a series exists, the value says nothing."""
    first = re.search(r"(==|!=|<=|>=|<|>)\s*(\S+)", re.sub(r"\{[^}]*\}", "", rule["expr"]))
    is_measured = first is not None and first[1] != "=="
    texts = rule["annotations"]["summary"] + rule["annotations"]["description"]
    assert "$value" in texts or not is_measured
    assert "{{ $value }}" not in texts, "a bare number has no unit: humanize, humanizePercentage, humanizeDuration"


@pytest.mark.parametrize("rule", ALL)
def test_what_to_do_first_ends_the_description_and_begins_the_runbook(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    begin = re.match(rf"# {name}\n\n\*\*First:\*\* (.+)\n\n## Meaning\n", page)
    assert begin is not None
    if name in GUIDE or name == ALWAYS_FIRING:
        return
    measured, _, first = rule["annotations"]["description"].partition(" First: ")
    assert measured.endswith(".")
    assert first == begin[1]


@pytest.mark.parametrize("rule", OWN)
def test_a_text_names_no_label_that_every_alert_of_the_target_has(rule: dict[str, Any]) -> None:
    """Alertmanager gets cluster and namespace as labels (decision 0017); a text without them would have a gap."""
    texts = " ".join(rule["annotations"].values())
    assert not FOREIGN_LABELS & set(re.findall(r"\$labels\.(\w+)", texts))
    assert "$externalLabels" not in texts


def _table(heading: str) -> dict[str, str]:
    """First and second cell of each row below that heading of the runbooks' page."""
    page = (RUNBOOKS / "README.md").read_text(encoding="utf-8").partition(f"| {heading} |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| \[?(\w+)[^|]* \| ([^|]+) \|", page, re.MULTILINE))


def test_every_alert_that_pages_has_its_reason() -> None:
    """The rule above the table: users refused or wrongly let in, data lost for good, or blind monitoring."""
    pages = {
        parameters.values[0]["alert"] for parameters in OWN if parameters.values[0]["labels"]["severity"] == "critical"
    }
    differ = pages ^ _table("alert that pages").keys()
    assert not differ, f"say in docs/runbooks/README.md why people cannot wait: {sorted(differ)}"


def test_the_list_of_alerts_has_their_severities() -> None:
    severities = {parameters.values[0]["alert"]: parameters.values[0]["labels"]["severity"] for parameters in ALL}
    differ = severities.items() ^ _table("alert").items()
    assert not differ, f"these rows of the list of alerts in docs/runbooks/README.md: {sorted(differ)}"


@pytest.mark.parametrize("rule", OWN)
def test_the_remediation_is_a_shipped_policy_or_none_with_its_reason(rule: dict[str, Any]) -> None:
    remediation = rule["labels"]["remediation"]
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text(encoding="utf-8")
    if remediation == "none":
        assert "The remediator does nothing here" in page
    else:
        names = [policy["name"] for policy in yaml.safe_load(POLICIES.read_text(encoding="utf-8"))["policies"]]
        assert remediation in names
        assert f"`{remediation}`" in page


@pytest.mark.parametrize("rule", [*OWN, *RECORDED])
def test_labels_are_constant_and_expressions_outlive_a_pod(rule: dict[str, Any]) -> None:
    """A label with a value in it makes a new alert at every change; `by` drops what a user's scrape adds.

    `by (cluster)` alone checks whether anything exists at all, wherever it has moved.
    """
    assert not any("{{" in str(value) for value in rule.get("labels", {}).values())
    grouping = re.findall(r"\b(by|without|on|ignoring)\s*\(([^)]*)\)", rule["expr"])
    for word, labels in grouping:
        if word == "ignoring":  # a comparison may leave out our own labels, but not a user's
            assert labels == "client"
            continue
        if (word, labels) == ("by", "cluster"):
            continue
        assert word == "without"
        # The inner one of two: what is summed within each exporter.
        assert {"instance", "pod"} <= {label.strip() for label in labels.split(",")} or labels in {"state", "client"}
    inside = " ".join(re.findall(r"\{([^}]*)\}", rule["expr"]))
    assert not FOREIGN_LABELS & set(re.findall(r"(\w+)\s*[=!]", inside))


@pytest.mark.parametrize("rule", [*OWN, *RECORDED])
def test_every_selected_series_is_aggregated_without_instance_and_pod(rule: dict[str, Any]) -> None:
    selected = re.findall(r"\bcontrolcore_\w+", rule["expr"])
    aggregations = re.findall(r"\b(?:max|min|sum) without \([^)]*\)", rule["expr"])
    assert len(aggregations) >= len(selected) or rule["expr"].startswith("absent(")


@pytest.mark.parametrize("rule", [*OWN, *RECORDED])
def test_bounds_of_histograms_are_never_selected_by_integers(rule: dict[str, Any]) -> None:
    """2.42 stores `le="1"` as scraped, 3.x as `1.0`: only canonical floats match on both."""
    for bound in re.findall(r'le="([^"]*)"', rule["expr"]):
        assert bound == "+Inf" or "." in bound


@pytest.mark.parametrize("rule", RECORDED)
def test_what_is_recorded_is_named_by_level_metric_and_operation_and_used(rule: dict[str, Any]) -> None:
    """Prometheus' own form; a name with a window in it has that window in its expression."""
    name = rule["record"]
    assert re.fullmatch(r"controlcore:[a-z_]+:(ratio_rate\d+[mhd]|max)", name)
    windows = set(re.findall(r"\[(\w+)\]", rule["expr"]))
    assert windows == {name.rpartition("rate")[2]} or name.endswith(":max")
    assert any(name in parameters.values[0]["expr"] for parameters in OWN)


@pytest.mark.parametrize("rule", ALL)
def test_queries_in_a_runbook_ask_for_what_is_published(rule: dict[str, Any]) -> None:
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text(encoding="utf-8")
    queries = [line for block in re.findall(r"```promql\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    # `up` comes from Prometheus itself.
    faults = [fault for query in queries for fault in find_faults(query) if not fault.startswith("up is")]
    assert queries
    assert faults == []
