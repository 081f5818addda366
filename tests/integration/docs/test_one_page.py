"""One fault, one page: the shipped example on a real Alertmanager, with the labels that the shipped rules give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.waiting import wait_for
from tests.fakes.webhook_receiver import names_of, receive
from tools.rules.situations import rules_by_file
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.versions import Generation

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "alertmanager.yml"
LABELS = {rule["alert"]: rule["labels"] for rules in rules_by_file().values() for rule in rules if "alert" in rule}
B1, CLIENT = {"bouncer": "b1"}, {"client": "c1"}
SENTINEL, WATCHDOG = "Sentinel", "ControlCoreWatchdog"

FAULTS: dict[str, tuple[tuple[str, dict[str, str]], ...]] = {
    "database frozen": (
        ("ControlCoreDatabaseDown", {}),
        ("ControlCoreAPIDown", {}),
        ("ControlCoreAPIEventLoopBlocked", {}),
        ("ControlCoreDatabaseConnectionFailures", {}),
        ("ControlCoreCollectorStale", {"collector": "postgres"}),
        ("ControlCoreCollectorStale", {"collector": "audit"}),
    ),
    "connections used up": (
        ("ControlCoreDatabaseConnectionsExhausted", {}),
        ("ControlCoreDatabaseConnectionFailures", {}),
        ("ControlCoreAPIDataPathBroken", {}),
    ),
    "API dead": (
        ("ControlCoreAPIDown", {}),
        ("ControlCoreAPIRedisPathBroken", {}),
        ("ControlCoreCollectorStale", {"collector": "api"}),
    ),
    "Service selects nothing": (("ControlCoreServiceSelectsNothing", {"service": "a"}), ("ControlCoreAPIDown", {})),
    "Redis dead": (("ControlCoreRedisDown", {}), ("ControlCoreCollectorStale", {"collector": "redis"})),
    "bouncer dead": (
        ("ControlCoreBouncerHeartbeatMissing", B1),
        ("ControlCorePolicyErrorBudgetBurnFast", B1),
        ("ControlCorePolicyErrorBudgetBurnSlow", B1),
        ("ControlCorePolicySyncFailing", B1),
    ),
    "engine without policies": (
        ("ControlCorePolicyEngineFailing", B1),
        ("ControlCoreBouncerHasNoPolicies", B1),
        ("ControlCoreOPALClientNotReady", CLIENT),
        ("ControlCorePolicyErrorBudgetBurnFast", B1),
    ),
    "OPAL server dead": (("ControlCoreOPALDown", {}), ("ControlCoreOPALClientsMissing", {})),
    "certificate of the API": (
        ("ControlCoreAPICertificateExpiry", {"endpoint": "api"}),
        ("ControlCoreCertificateExpiry", {"endpoint": "api"}),
    ),
    "rollout stuck": (
        ("ControlCoreRolloutStalled", {"component": "bouncer"}),
        ("ControlCoreContainerWaiting", {"component": "bouncer", "reason": "image_pull"}),
    ),
}
"""Alerts of one fault by name, each with the labels that its expression returns."""

pytestmark = pytest.mark.timeout(90)


def posted() -> Iterator[dict[str, Any]]:
    """Every fault in a separate cluster."""
    for cluster, alerts in FAULTS.items():
        for name, labels in alerts:
            yield {"labels": {"alertname": name, "cluster": cluster, **labels, **LABELS[name]}}


def configuration(people: str, remediator: str) -> str:
    """The example with addresses of this machine, and short waiting times."""
    whole = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    whole["route"]["group_wait"] = whole["route"]["routes"][0]["group_wait"] = "2s"
    urls = {"people": people, "controlcore-remediator": remediator}
    for each in whole["receivers"]:
        each["webhook_configs"] = [{"url": urls[each["name"]], "max_alerts": 0}] if each["name"] in urls else []
    return yaml.safe_dump(whole)


def pages(people: list[dict[str, Any]]) -> dict[str, int]:
    """Number of notifications for people by cluster."""
    clusters = [body["groupLabels"].get("cluster", SENTINEL) for body in people]
    return {cluster: clusters.count(cluster) for cluster in clusters}


def pairs(alerts: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Name and cluster of each alert."""
    return {(alert["labels"]["alertname"], alert["labels"].get("cluster", "")) for alert in alerts}


@pytest.mark.parametrize("generation", list(Generation), ids=lambda each: each.value)
def test_ten_faults_make_ten_notifications_and_every_alert_with_a_policy_is_delivered(generation: Generation) -> None:
    people: list[dict[str, Any]] = []
    remediator: list[dict[str, Any]] = []
    with (
        receive(people) as people_url,
        receive(remediator) as remediator_url,
        AlertmanagerServer(configuration(people_url, remediator_url), generation) as server,
    ):
        server.post_alerts([*posted(), {"labels": {"alertname": WATCHDOG, **LABELS[WATCHDOG]}}])
        wait_for(lambda: FAULTS.keys() <= pages(people).keys(), describe=lambda: pages(people))
        # Its groups wait as long as all others: after it nothing of the faults is on its way any more.
        server.post_alerts([{"labels": {"alertname": SENTINEL, "remediation": "none"}}])
        wait_for(lambda: SENTINEL in names_of(people) and SENTINEL in names_of(remediator))
    assert WATCHDOG in names_of(remediator)
    assert pages(people) == dict.fromkeys((*FAULTS, SENTINEL), 1)
    expected = {
        (name, cluster) for cluster, each in FAULTS.items() for name, _ in each if LABELS[name]["remediation"] != "none"
    }
    arrived = {
        (alert["labels"]["alertname"], alert["labels"].get("cluster"))
        for body in remediator
        for alert in body["alerts"]
    }
    assert expected <= arrived
