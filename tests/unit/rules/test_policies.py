"""The shipped policies: harmless as they come, and asking for what is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.collectors import discover
from remediations.intake import match_alerts, parse_payload
from remediations.model import Mode
from remediations.policy import Policy, Query, parse_policies
from remediations.shipped import read_policies
from tools.published import find_faults

ROOT = Path(__file__).parents[3]
SHIPPED = parse_policies(read_policies(), "policies.yaml")


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
        ({"alertname": "DatabaseConnectionFailure", "severity": "critical"}, []),
        ({"alertname": "ControlCoreDatabaseDown", "remediation": "none"}, []),
    ],
)
def test_an_alert_finds_its_policy_or_none(labels: dict[str, str], expected: list[str]) -> None:
    alert = {"status": "firing", "labels": labels, "fingerprint": "f1"}
    payload = parse_payload(json.dumps({"version": "4", "alerts": [alert]}).encode())
    assert [match.policy for match in match_alerts(payload, SHIPPED, 0.0).matches] == expected
