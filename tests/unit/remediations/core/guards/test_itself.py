from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from remediations.core.guards.scope import OWN_ALERTS
from remediations.core.model.alert import Target
from remediations.core.model.facts import Fact, ProcessStart
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, a_remediation, an_alert, ask, facts

RULES = Path(__file__).parents[5] / "rules" / "controlcore-remediator.yml"
OURS = Target("ops", "Deployment", "remediator-of-us")


def asked(target: Target, pod: str):
    start = Fact(ProcessStart(NOW - 3600, 5.0, pod), "journal")
    return ask("itself", remediation=a_remediation(target=target), facts=facts(start=start)).reason


@pytest.mark.parametrize("name", sorted(OWN_ALERTS))
def test_alert_about_the_remediator_holds(name: str):
    alert = an_alert(labels={"alertname": name, "cluster": "demo"})
    assert ask("itself", remediation=a_remediation(alert=alert)).reason is HoldReason.ITSELF


@pytest.mark.parametrize("label", ["job", "component", "service", "container", "deployment"])
def test_alert_of_anybody_that_names_the_remediator_holds(label: str):
    alert = an_alert(labels={"alertname": "PodCrashLooping", label: "controlcore-remediator"})
    assert ask("itself", remediation=a_remediation(alert=alert)).reason is HoldReason.ITSELF


def test_alert_about_something_else_passes():
    alert = an_alert(labels={"alertname": "PodCrashLooping", "job": "controlcore-exporter"})
    assert ask("itself", remediation=a_remediation(alert=alert)).reason is None


def test_deployment_that_we_run_in_holds():
    assert asked(OURS, "ops/remediator-of-us-6d4b9c7f5-x2x4z") is HoldReason.ITSELF


@pytest.mark.parametrize(
    "pod",
    ["", "ops/", "other/remediator-of-us-6d4b9c7f5-x2x4z", "ops/remediator-of-us-2-6d4b9c7f5-x2x4z", "ops/my-host"],
)
def test_other_pod_or_none_passes(pod: str):
    assert asked(OURS, pod) is None


def test_own_alerts_are_those_of_the_rule_file():
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} == OWN_ALERTS
