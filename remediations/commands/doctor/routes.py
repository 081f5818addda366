"""Checks of the path of an alert: Alertmanager answers, its routes lead to us and to people, and deliveries arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call
from chassis.http.client_auth import authorization, without_user
from chassis.kubernetes.objects import reading
from chassis.output.findings import Finding, Severity, unchecked
from remediations.commands.doctor.installation import Installation, unreachable
from remediations.commands.doctor.route_tree import WEBHOOK_PATH, Reached, RouteTree, read_tree
from remediations.commands.doctor.rules import PolicyAlert, policy_alerts
from remediations.core.model.names import DOCTOR
from remediations.core.policies.matchers import Matcher, MatchType, matches_all
from remediations.core.policies.matchers import quote as quote_value
from remediations.core.policies.policy import REMEDIATION_LABEL

WATCHDOG: Mapping[str, str] = {"alertname": "ControlCoreWatchdog", REMEDIATION_LABEL: "none", "severity": "none"}
MAX_REPEAT_SECONDS = 1200.0
"""ControlCoreAlertPathBroken fires when the alert that always fires has not arrived for this time."""
ROUTES_PAGE = "docs/alertmanager.md"
REMEDIATOR_ROUTE = (
    "add to alertmanager.yml as the first child of the root route:\n"
    "  - {receiver: controlcore-remediator, matchers: ['remediation!=\"\"'], continue: true, group_by: [alertname],"
    " group_wait: 5s, group_interval: 1m, repeat_interval: 5m}"
)
PEOPLE_ROUTE = (
    "add to alertmanager.yml as the last child of the root route, with your own receiver:\n"
    "  - {receiver: people, matchers: ['severity!=\"none\"']}"
)


@dataclass(frozen=True, slots=True)
class AlertmanagerStatus:
    """The content of GET /api/v2/status."""

    configuration: str
    """As Alertmanager shows it, without secrets."""
    peers: int
    """Members of the cluster, this one included; 0 without a cluster."""


async def read_status(place: Installation, url: str) -> AlertmanagerStatus:
    """Configuration and cluster of one Alertmanager; raises BackendError."""
    settings = place.settings.alertmanager
    if settings is None:
        raise PermanentError(Reason.MALFORMED, "alertmanager is not configured")
    headers = await authorization(settings, "alertmanager")
    call = Call(f"{url}/api/v2/status", settings.timeout_seconds, headers=headers)
    document = (await place.http.send(call)).require_ok().json()
    try:
        peers = document["cluster"].get("peers") or ()
        return AlertmanagerStatus(str(document["config"]["original"]), len(peers))
    except (KeyError, TypeError, AttributeError) as error:
        raise PermanentError(Reason.MALFORMED, "not a response of Alertmanager") from error


async def read_routes(place: Installation, url: str) -> RouteTree:
    """The routes of one Alertmanager; raises BackendError, PermanentError(malformed) for routes that cannot be read."""
    return await asyncio.to_thread(read_tree, (await read_status(place, url)).configuration)


async def check_alertmanager(place: Installation, check: str) -> list[Finding]:
    """Every Alertmanager in the settings answers, and the settings name every member of the cluster."""
    urls = place.alertmanagers
    if not urls:
        problem = "no Alertmanager is configured: silences are not respected and nothing is announced"
        remedy = f"add to {place.place}: alertmanager: {{url: http://alertmanager:9093}}"
        return [Finding(Severity.WARNING, check, problem, "the section alertmanager is absent", remedy)]
    found, peers = [], 0
    for url in urls:
        try:
            peers = max(peers, (await read_status(place, url)).peers)
        except BackendError as error:
            if error.reason is Reason.MISSING and await _has_silences(place, url):
                continue  # a server with the same API that shows no status: its routes stay unknown
            found.append(unreachable(check, "Alertmanager", without_user(url), "alertmanager", error))
    if peers > len(urls) and not found:
        problem = "the settings name fewer Alertmanagers than the cluster has: some members get no announcements"
        remedy = f"add the others to alertmanager.more_urls in {place.place}"
        found.append(Finding(Severity.WARNING, check, problem, f"{peers} members, {len(urls)} addresses", remedy))
    return found


async def _has_silences(place: Installation, url: str) -> bool:
    """Whether the server has the API for silences, which decisions need."""
    settings = place.settings.alertmanager
    if settings is None:
        return False
    headers = await authorization(settings, "alertmanager")
    params = {"filter": f"alertname={quote_value(DOCTOR)}"}
    try:
        call = Call(f"{url}/api/v2/silences", settings.timeout_seconds, headers=headers, params=params)
        (await place.http.send(call)).require_ok()
    except BackendError:
        return False
    return True


async def check_routes(place: Installation, check: str) -> list[Finding]:
    """Alerts of every policy reach the remediator and also people."""
    found = []
    alerts = await policy_alerts(place)
    for url in place.alertmanagers:
        shown = without_user(url)
        try:
            tree = await read_routes(place, url)
            with reading("matcher of Alertmanager"):
                found += [*judge_routes(check, tree, alerts, shown), *judge_inhibitions(check, tree, alerts)]
        except PermanentError as error:
            if error.reason is not Reason.MALFORMED:
                raise
            remedy = "\n".join(_try(shown, alert.labels) for alert in alerts)
            found.append(unchecked(check, f"doctor cannot read the routes of {shown}: {error}", remedy))
    return found


def judge_routes(check: str, tree: RouteTree, alerts: Sequence[PolicyAlert], url: str) -> list[Finding]:
    """The faults of the routes for these alerts; equal faults are one finding."""
    lost: dict[tuple[str, ...], list[PolicyAlert]] = {}
    unheard: dict[tuple[str, ...], list[PolicyAlert]] = {}
    for alert in alerts:
        reached = tree.reached(alert.labels)
        if not reached.own_routes:
            lost.setdefault(reached.receivers, []).append(alert)
        elif not reached.people:
            unheard.setdefault(reached.receivers, []).append(alert)
    found = []
    for receivers, faulty in lost.items():
        problem = f"alerts do not reach the remediator: none of their receivers sends to {WEBHOOK_PATH}"
        found.append(_fault(check, problem, receivers, faulty, REMEDIATOR_ROUTE, url))
    for receivers, faulty in unheard.items():
        problem = "alerts reach only the remediator, not people (`continue` leads to siblings, not to the root)"
        found.append(_fault(check, problem, receivers, faulty, PEOPLE_ROUTE, url))
    return [*found, *_credentials(check, tree), *_times(check, tree.reached(WATCHDOG))]


def _fault(
    check: str, problem: str, receivers: tuple[str, ...], alerts: Sequence[PolicyAlert], remedy: str, url: str
) -> Finding:
    """One fault of the tree, with the command that reproduces it."""
    evidence = f"receivers: {', '.join(receivers)}; policies: {_policies(alerts)}"
    trial = _try(url, alerts[0].labels)
    return Finding(Severity.ERROR, check, problem, evidence, f"{remedy}\n{trial}   # {ROUTES_PAGE}")


def _policies(alerts: Iterable[PolicyAlert]) -> str:
    """The names of the alerts' policies, each once."""
    return ", ".join(dict.fromkeys(alert.policy for alert in alerts))


def _try(url: str, labels: Mapping[str, str]) -> str:
    """The amtool command that tests the tree with these labels."""
    words = " ".join(quote(f"{name}={value}") for name, value in labels.items())
    return f"amtool config routes test --alertmanager.url={url} {words}"


def _credentials(check: str, tree: RouteTree) -> list[Finding]:
    """The finding for a receiver of the remediator that sends no credential: its deliveries are answered 401."""
    silent = sorted(name for name in tree.own() if not tree.receivers[name].has_credential)
    if not silent or len(tree.own()) > 1:
        return []  # if several may be ours, the others may be correct
    problem = "the receiver sends no credential, so each delivery is answered 401 and Alertmanager drops it"
    remedy = (
        "add to its webhook in alertmanager.yml:\n"
        "  http_config: {authorization: {type: Bearer, credentials_file: /etc/alertmanager/controlcore-token}}"
    )
    return [Finding(Severity.ERROR, check, problem, f"receiver {silent[0]} has no http_config for it", remedy)]


def _times(check: str, reached: Reached) -> list[Finding]:
    """Waiting times and intervals of the remediator's route."""
    found = []
    for route in reached.own_routes[:1]:
        if route.repeat_interval_seconds >= MAX_REPEAT_SECONDS:
            problem = "the remediator's route repeats too rarely: ControlCoreAlertPathBroken will fire without a fault"
            evidence = f"repeat_interval of receiver {route.receiver} is {route.repeat_interval_seconds:g} s"
            remedy = "set repeat_interval: 5m on this route in alertmanager.yml"
            found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
        if route.time_intervals:
            problem = "the remediator's route is muted at times: nothing is repaired then"
            evidence = f"time intervals of receiver {route.receiver}: {', '.join(route.time_intervals)}"
            remedy = (
                "remove mute_time_intervals and active_time_intervals from it; a policy has `schedule` and "
                "`freeze` for this"
            )
            found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
    return found


def judge_inhibitions(check: str, tree: RouteTree, alerts: Sequence[PolicyAlert]) -> Iterable[Finding]:
    """Inhibition rules that would also keep an alert for a policy from the remediator."""
    for rule in tree.inhibit_rules:
        held = [alert for alert in alerts if matches_all(rule.target, alert.labels)]
        if held and "alertname" not in rule.equal:
            problem = "an inhibition rule also mutes alerts for the remediator: inhibition applies to every receiver"
            evidence = f"target {{{', '.join(map(str, rule.target))}}}; policies: {_policies(held)}"
            added = Matcher(REMEDIATION_LABEL, MatchType.EQUAL, "none")
            remedy = f"add the matcher {added} to the target_matchers of this rule   # {ROUTES_PAGE}"
            yield Finding(Severity.WARNING, check, problem, evidence, remedy)
