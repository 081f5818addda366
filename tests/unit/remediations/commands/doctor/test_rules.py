"""The alerts that policies wait for, and whether `identity` fits them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call, Response
from remediations.commands.doctor.rules import PolicyAlert, check_identity, check_rules, policy_alerts
from remediations.core.model.alert import Mode
from remediations.core.policies.matchers import parse_matchers
from remediations.settings import AlertmanagerSettings, RemediatorSettings
from tests.fakes.decisions import a_policy_set, restart_policy, scale_policy
from tests.fakes.installation import AskedHttp, AskedPrometheus, a_place, found_by

WATCHDOG = {"name": "ControlCoreWatchdog", "labels": {"remediation": "none"}, "lastError": ""}
API_DOWN = {"name": "ControlCoreAPIDown", "labels": {"remediation": "restart-api", "severity": "critical"}}
SENDS = {"activeAlertmanagers": [{"url": "http://alertmanager:9093/api/v2/alerts"}]}
CONFIG = {"yaml": "global: {external_labels: {cluster: demo}}"}
MISSING = PermanentError(Reason.MISSING, "HTTP status 404")


def a_prometheus(*rules: dict[str, Any], **others: Any) -> AskedPrometheus:
    groups = {"groups": [{"rules": list(rules)}]}
    return AskedPrometheus({"rules": groups, "alertmanagers": SENDS, "status/config": CONFIG} | others)


async def judged(*rules: dict[str, Any], policy: Any = None, **others: Any) -> list[tuple[str, str]]:
    place = a_place(a_policy_set(policy or restart_policy()), prometheus=a_prometheus(*rules, **others))
    return [(item.severity.value, item.problem) for item in await found_by(check_rules, place)]


async def test_good_rules_have_no_finding() -> None:
    assert await judged(WATCHDOG, API_DOWN) == []


async def test_policy_without_an_alert_is_told_by_its_mode() -> None:
    assert await judged(WATCHDOG) == [("error", "no loaded rule raises the alerts of some policies")]
    dry = restart_policy(mode=Mode.DRY_RUN)
    assert await judged(WATCHDOG, policy=dry) == [("warning", "no loaded rule raises the alerts of some policies")]


async def test_policy_may_be_found_by_its_matchers() -> None:
    guide = {"name": "HighCPUUsage", "labels": {}}
    policy = scale_policy(match=parse_matchers('alertname="HighCPUUsage"'))
    assert await judged(WATCHDOG, guide, policy=policy) == []


@pytest.mark.parametrize(("alert", "count"), [("HighCPUUsage", 0), ("Other", 1)])
async def test_matcher_of_a_label_that_only_the_series_has_is_not_held_against_a_rule(alert: str, count: int) -> None:
    guide = {"name": "HighCPUUsage", "labels": {"severity": "{{ $labels.level }}"}}
    policy = scale_policy(match=parse_matchers(f'alertname="{alert}",namespace="shop",severity="critical"'))
    assert len(await judged(WATCHDOG, guide, policy=policy)) == count


async def test_rule_that_cannot_be_evaluated_is_told() -> None:
    (found,) = await judged(WATCHDOG, API_DOWN | {"lastError": "many-to-many matching"})
    assert found == ("error", "the rule of ControlCoreAPIDown cannot be evaluated")


async def test_alert_that_always_fires_is_missed() -> None:
    ((severity, problem),) = await judged(API_DOWN)
    assert (severity, "always fires" in problem) == ("warning", True)


async def test_prometheus_that_sends_nowhere_is_told_unless_it_evaluates_no_rules() -> None:
    ((severity, problem),) = await judged(WATCHDOG, API_DOWN, alertmanagers={"activeAlertmanagers": []})
    assert (severity, "no Alertmanager" in problem) == ("error", True)
    assert await judged(WATCHDOG, API_DOWN, alertmanagers=MISSING) == []
    with pytest.raises(BackendError):
        await judged(WATCHDOG, API_DOWN, alertmanagers=PermanentError(Reason.AUTH, "401"))


async def test_labels_of_alerts_are_those_of_every_rule_with_those_of_prometheus() -> None:
    mild = {"name": "ControlCoreAPIDown", "labels": {"remediation": "restart-api", "severity": "warning"}}
    place = a_place(a_policy_set(), prometheus=a_prometheus(API_DOWN, mild, API_DOWN))
    added = {"alertname": "ControlCoreAPIDown", "cluster": "demo"}
    trial = {"alertname": "ControlCoreTest", "severity": "critical", "remediation": "scale-api", "cluster": "demo"}
    assert await policy_alerts(place) == [
        PolicyAlert("restart-api", {**API_DOWN["labels"], **added}),
        PolicyAlert("restart-api", {**mild["labels"], **added}),
        PolicyAlert("scale-api", trial),
    ]


async def test_prometheus_that_shows_nothing_leaves_the_trial_labels() -> None:
    hidden = AskedPrometheus({"rules": MISSING, "status/config": MISSING})
    (alert,) = await policy_alerts(a_place(a_policy_set(restart_policy()), prometheus=hidden))
    assert alert.labels["remediation"] == "restart-api"


async def identity_of(*alerts: dict[str, str], text: str = 'cluster="demo"', **others: Any) -> list[Any]:
    def answer(call: Call) -> Response:
        assert call.params == {"filter": 'remediation!=""'}
        return Response(200, json.dumps([{"labels": labels} for labels in alerts]).encode(), 0.0)

    place = a_place(
        a_policy_set(restart_policy(), identity=parse_matchers(text) if text else ()),
        settings=RemediatorSettings(alertmanager=AlertmanagerSettings()),
        prometheus=a_prometheus(API_DOWN, **others),
        http=AskedHttp(answer),
    )
    return await found_by(check_identity, place)


@pytest.mark.parametrize("text", ["", 'cluster="demo"', 'cluster=~"demo|test"'])
async def test_identity_that_fits_is_no_finding(text: str) -> None:
    assert await identity_of({"cluster": "demo"}, {"cluster": "other"}, text=text) == []
    assert await identity_of(text=text) == []


async def test_identity_that_fits_no_alert_is_told_with_the_values_there_are() -> None:
    (found,) = await identity_of({"cluster": "prod"}, {"cluster": "qa"}, {})
    assert (
        found.evidence == 'cluster="demo" in the policy file; cluster is "", "prod", "qa" in 3 alerts in Alertmanager'
    )
    assert "external_labels: {cluster: demo}" in found.remedy


async def test_without_alerts_the_rules_speak() -> None:
    (found,) = await identity_of(text='cluster="other"')
    assert 'cluster is "demo"' in found.evidence
    assert "in prometheus.yml" in found.remedy
    (regular,) = await identity_of(text='cluster=~"other"')
    assert "prometheus.yml" not in regular.remedy


async def test_identity_is_unknown_while_neither_alerts_nor_external_labels_are_seen() -> None:
    (found,) = await identity_of(**{"status/config": MISSING})
    assert (found.severity.value, "external_labels" in found.evidence) == ("unknown", True)
