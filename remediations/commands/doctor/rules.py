"""Checks what Prometheus has loaded: the policies' alerts, their labels, and where it sends alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from chassis.documents import load_yaml
from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call
from chassis.http.client_auth import authorization
from chassis.kubernetes.objects import reading
from chassis.output.findings import Finding, Severity, unchecked
from remediations.commands.doctor.installation import ACTING, Installation, names_of, severity_of
from remediations.core.policies.matchers import MatchType, matches_all, quote
from remediations.core.policies.policy import REMEDIATION_LABEL, Policy, matches

TRIAL: Mapping[str, str] = {"alertname": "ControlCoreTest", "severity": "critical"}
"""Placeholder for the alert of a policy whose rule is not known."""
WATCHDOG = "ControlCoreWatchdog"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alerting rule that Prometheus evaluates."""

    labels: Mapping[str, str]
    """The labels that the rule sets, with `alertname`."""
    problem: str
    """Why its last evaluation failed; empty if it succeeded."""


@dataclass(frozen=True, slots=True)
class PolicyAlert:
    """An alert with a policy's name in its label."""

    policy: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """The alerting rules, and the labels that Prometheus adds to every alert."""

    rules: Sequence[AlertRule]
    external: Mapping[str, str] | None
    """None if Prometheus does not show its configuration."""

    def labels(self, rule: AlertRule) -> dict[str, str]:
        """The known labels of a rule's alerts; those from series and templates are unknown."""
        given = {**(self.external or {}), **rule.labels}
        return {name: value for name, value in given.items() if "{{" not in value}

    def of(self, policy: Policy) -> list[AlertRule]:
        """The rules whose alerts match the policy; without one, those whose alerts may match by unknown labels."""
        sure = [rule for rule in self.rules if matches(policy, self.labels(rule))]
        return sure or [rule for rule in self.rules if _may_match(policy, self.labels(rule))]


def _may_match(policy: Policy, labels: Mapping[str, str]) -> bool:
    """Whether no known label contradicts the policy's matchers."""
    return bool(policy.match) and matches_all((item for item in policy.match if item.label in labels), labels)


async def read_rules(place: Installation) -> LoadedRules:
    """What Prometheus has loaded; raises BackendError."""
    data = await place.prometheus.read("rules", {"type": "alert", "exclude_alerts": "true"})
    with reading("list of rules"):
        rules = [
            AlertRule({**item.get("labels", {}), "alertname": item["name"]}, str(item.get("lastError") or ""))
            for group in data["groups"]
            for item in group["rules"]
        ]
    return LoadedRules(rules, await _external_labels(place))


async def _external_labels(place: Installation) -> Mapping[str, str] | None:
    """`external_labels` of Prometheus; None if it does not show its configuration."""
    try:
        data = await place.prometheus.read("status/config", {})
        document = load_yaml(data["yaml"], is_strict=False)
        labels = (document.get("global") or {}).get("external_labels") or {}
        return {str(name): str(value) for name, value in labels.items()}
    except (BackendError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None


async def policy_alerts(place: Installation) -> list[PolicyAlert]:
    """An alert for every rule of a policy, as far as its labels are known; one alert for a policy without a rule.

    Several rules may have one name: they differ in labels, by which Alertmanager routes them apart.
    """
    try:
        loaded = await read_rules(place)
    except BackendError:
        loaded = LoadedRules((), None)
    found = []
    for policy in place.policy_set.policies:
        rules = [rule.labels for rule in loaded.of(policy)] or [{**TRIAL, REMEDIATION_LABEL: policy.name}]
        found += [PolicyAlert(policy.name, {**(loaded.external or {}), **labels}) for labels in rules]
    return [alert for number, alert in enumerate(found) if alert not in found[:number]]


async def check_rules(place: Installation, check: str) -> list[Finding]:
    """Every policy's alert is loaded and can be evaluated, and Prometheus sends alerts to an Alertmanager."""
    loaded = await read_rules(place)
    found = judge_rules(check, place, loaded)
    try:
        receivers = await place.prometheus.read("alertmanagers", {})
        with reading("list of Alertmanagers"):
            has_receiver = bool(receivers["activeAlertmanagers"])
    except PermanentError as error:
        if error.reason is not Reason.MISSING:
            raise
        return found  # a server with the same API that evaluates no rules
    if not has_receiver:
        problem = "Prometheus sends its alerts to no Alertmanager: neither people nor the remediator get them"
        evidence = f"{place.prometheus_url}/api/v1/alertmanagers lists none"
        remedy = (
            "add to prometheus.yml: alerting: {alertmanagers: [{static_configs: [{targets: ['alertmanager:9093']}]}]}"
        )
        found.append(Finding(Severity.ERROR, check, problem, evidence, remedy))
    return found


def judge_rules(check: str, place: Installation, loaded: LoadedRules) -> list[Finding]:
    """The missing rules of Prometheus."""
    policies, url = place.policy_set.policies, place.prometheus_url
    remedy = (
        f"{place.exporter_doctor}   # how to copy the shipped rules to rule_files\n"
        f"curl -fsS -X POST {url}/-/reload   # or kill -HUP the process of Prometheus"
    )
    names = {rule.labels["alertname"] for rule in loaded.rules}
    found = []
    silent = [policy for policy in policies if not loaded.of(policy)]
    if silent:
        problem = "no loaded rule raises the alerts of some policies"
        evidence = f"{len(names)} alerts are loaded, none of them for: {names_of(silent)}"
        found.append(Finding(severity_of(silent), check, problem, evidence, remedy))
    broken = [rule for policy in policies for rule in loaded.of(policy) if rule.problem]
    for rule in dict.fromkeys(str(rule.labels["alertname"]) for rule in broken):
        problem = next(each.problem for each in broken if each.labels["alertname"] == rule)
        remedy_rule = (
            f"promtool check rules FILE   # the file with {rule}; then check that its series have the labels that "
            "it joins on"
        )
        found.append(Finding(Severity.ERROR, check, f"the rule of {rule} cannot be evaluated", problem, remedy_rule))
    if policies and not silent and WATCHDOG not in names:
        problem = "the alert that always fires is not loaded: a broken alert path would not be noticed"
        found.append(Finding(Severity.WARNING, check, problem, f"no rule is called {WATCHDOG}", remedy))
    return found


async def check_identity(place: Installation, check: str) -> list[Finding]:
    """Alerts of this installation satisfy `identity`; otherwise every remediation is held as another cluster's."""
    identity = place.policy_set.identity
    if not identity:
        return []
    seen = [labels for url in place.alertmanagers[:1] for labels in await _alerts(place, url)]
    source, is_known = "alerts in Alertmanager", True
    if not seen:
        is_known = await _external_labels(place) is not None
        seen = [alert.labels for alert in await policy_alerts(place)]
        source = "rules in Prometheus with external_labels"
    if not seen or any(matches_all(identity, labels) for labels in seen):
        return []
    if not is_known:
        reason = "Alertmanager has no alert for a policy, and Prometheus does not show its external_labels"
        return [unchecked(check, reason, "run doctor again while ControlCoreWatchdog fires")]
    wrong = next(matcher for matcher in identity if not any(matcher.matches(labels) for labels in seen))
    values = sorted({labels.get(wrong.label, "") for labels in seen})
    shown = ", ".join(quote(value) for value in values[:5])
    problem = "`identity` matches no alert of this installation: each alert is held as foreign_target"
    evidence = f"{wrong} in the policy file; {wrong.label} is {shown} in {len(seen)} {source}"
    remedy = f"correct `identity` in {place.settings.policies_file}"
    if wrong.type is MatchType.EQUAL:
        remedy += f", or set global: {{external_labels: {{{wrong.label}: {wrong.value}}}}} in prometheus.yml"
    acting = [policy for policy in place.policy_set.policies if policy.mode in ACTING]
    return [Finding(severity_of(acting or place.policy_set.policies), check, problem, evidence, remedy)]


async def _alerts(place: Installation, url: str) -> list[Mapping[str, str]]:
    """The labels of alerts for a policy and of the alert that always fires, as Alertmanager has them."""
    settings = place.settings.alertmanager
    if settings is None:
        return []
    headers = await authorization(settings, "alertmanager")
    params = {"filter": f'{REMEDIATION_LABEL}!=""'}
    call = Call(f"{url}/api/v2/alerts", settings.timeout_seconds, headers=headers, params=params)
    document = (await place.http.send(call)).require_ok().json()
    with reading("list of alerts"):
        return [item["labels"] for item in document]
