"""The shipped policies: harmless as they come, and asking for what is published."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.collectors import discover
from remediations.core.intake import match_alerts, parse_payload
from remediations.core.model.alert import Mode
from remediations.core.policies.lint import find_placeholders
from remediations.core.policies.policy import Policy, Query
from remediations.core.policies.reader import parse_policies
from remediations.shipped import read_policies
from tools.rules.catalogue import find_faults

ROOT = Path(__file__).parents[3]
SHIPPED = parse_policies(read_policies(), "policies.yaml")
RULES = [
    rule
    for path in sorted((ROOT / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
OWN_PARTS = {
    rule["alert"]
    for name in ("controlcore-exporter.yml", "controlcore-remediator.yml")
    for group in yaml.safe_load((ROOT / "rules" / name).read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def _fits(parameters: Mapping[str, Any]) -> Query:
    """The question of a revert, with numbers in it."""
    promql = str(parameters["revert_if"]).replace("$old", "10").replace("$new", "12")
    return Query(promql, tuple(parameters["revert_collectors"]))


QUERIES = [
    *(pytest.param(query, id=name) for name, query in SHIPPED.dependencies.items()),
    *(pytest.param(policy.condition, id=f"{policy.name}-condition") for policy in SHIPPED.policies),
    *(pytest.param(policy.verify, id=f"{policy.name}-verify") for policy in SHIPPED.policies),
    *(
        pytest.param(_fits(policy.parameters), id=f"{policy.name}-revert")
        for policy in SHIPPED.policies
        if policy.parameters.get("revert_if")
    ),
]


@pytest.mark.parametrize("policy", SHIPPED.policies, ids=lambda policy: policy.name)
def test_shipped_policies_change_nothing(policy: Policy) -> None:
    assert policy.mode is Mode.DRY_RUN


@pytest.mark.parametrize("policy", SHIPPED.policies, ids=lambda policy: policy.name)
def test_every_policy_waits_for_the_database_and_has_a_page(policy: Policy) -> None:
    assert "database" in policy.dependencies or policy.action == "terminate_idle_sessions"
    page = (ROOT / "docs" / "remediations" / f"{policy.name}.md").read_text(encoding="utf-8")
    assert all(f"\n## {heading}\n" in page for heading in ("When", "What it touches", "Verification", "Undo", "Forbid"))


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_what_is_published_and_for_collectors_that_exist(query: Query) -> None:
    assert find_faults(query.promql) == ()
    assert set(query.collectors) <= {spec.name for spec in discover()}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "ControlCoreAPIDown", "remediation": "restart-api"}, ["restart-api"]),
        ({"alertname": "ControlCoreCPUSaturated", "remediation": "scale-api"}, ["scale-api"]),
        ({"alertname": "HighCPUUsage", "severity": "warning"}, ["scale-api"]),
        ({"alertname": "PolicyEvaluationSlow", "severity": "warning"}, ["scale-bouncer"]),
        ({"alertname": "ControlCorePolicyEngineFailing", "bouncer": "b1"}, []),
        ({"alertname": "DatabaseConnectionFailure", "severity": "critical"}, []),
        ({"alertname": "ControlCoreDatabaseDown", "remediation": "none"}, []),
    ],
)
def test_an_alert_finds_its_policy_or_none(labels: dict[str, str], expected: list[str]) -> None:
    alert = {"status": "firing", "labels": labels, "fingerprint": "f1"}
    payload = parse_payload(json.dumps({"version": "4", "alerts": [alert]}).encode())
    assert [match.policy for match in match_alerts(payload, SHIPPED, 0.0).matches] == expected


def test_every_policy_is_asked_for_by_an_alert_and_matches_only_the_guides() -> None:
    """Our own alerts carry the label, so that who reads the rule sees what may happen."""
    asked = {rule["labels"].get("remediation", "none") for rule in RULES}
    guides = {f'alertname="{rule["alert"]}"' for rule in RULES if "remediation" not in rule["labels"]}
    assert asked - {"none"} == {policy.name for policy in SHIPPED.policies}
    assert {str(matcher) for policy in SHIPPED.policies for matcher in policy.match} <= guides


def test_no_policy_needs_a_label_that_the_guides_scrape_configuration_does_not_give() -> None:
    """Its alerts carry no namespace and no pod: with several targets none could be chosen."""
    for policy in SHIPPED.policies:
        for targets in (policy.targets, *(rung.targets for rung in policy.ladder if rung.targets)):
            assert len(targets) == 1, policy.name
        queries = (policy.condition.promql, policy.verify.promql, *(guard.promql for guard in policy.guards))
        assert not [query for query in queries if re.search(r"\b(?:namespace|pod|job|instance)\b", query)]


def test_every_other_address_is_a_placeholder_or_the_guides_own() -> None:
    """A guessed address must not be called: it would fail silently, or reach another program."""
    told = {key for _, key, _ in find_placeholders(SHIPPED)}
    assert {"parameters.url", "parameters.urls[0]", "ladder[0].parameters.urls[0]", "witnesses[0].url"} == told
    urls = set(re.findall(r"https?://[^\s\"\]]+", read_policies()))
    assert {url for url in urls if ".invalid" not in url} == {
        "http://control-plane-api.controlcore.svc:8000/opal/bouncer-pairs"
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_page_of_policies_says_what_is_done_about_every_alert(rule: dict[str, Any]) -> None:
    """One row names all alerts about this project's own parts by their files."""
    page = (ROOT / "docs" / "remediations" / "README.md").read_text(encoding="utf-8")
    table = page.partition("\n## Every failure")[2].partition("\n## ")[0]
    named = set(re.findall(r"\w+", table)) | OWN_PARTS
    assert rule["alert"] in named, "name the alert in the table `Every failure` of docs/remediations/README.md"


def test_page_of_policies_has_every_policy_and_every_alert_that_asks_for_it() -> None:
    page = (ROOT / "docs" / "remediations" / "README.md").read_text(encoding="utf-8")
    for policy in SHIPPED.policies:
        rows = [line for line in page.splitlines() if f"[`{policy.name}`]({policy.name}.md)" in line]
        assert rows, policy.name
        for rule in RULES:
            if rule["labels"].get("remediation") == policy.name:
                assert any(rule["alert"] in row for row in rows), rule["alert"]
