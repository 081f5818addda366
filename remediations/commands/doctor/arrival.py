"""Checks that deliveries arrive, by the alert that always fires or, if allowed, by our own test alert.

The proof is a metric of the running program, read over HTTP: the start time of the alert that arrived. We choose that
time to the millisecond, so it identifies our alert, and an alert of an earlier run does not count.
"""

from __future__ import annotations

import asyncio
import secrets

from chassis.clock import format_rfc3339
from chassis.errors import BackendError
from chassis.http.call import Call
from chassis.http.client_auth import authorization, without_user
from chassis.kubernetes.objects import reading
from chassis.output.findings import Finding, Severity
from remediations.commands.doctor.installation import Installation
from remediations.commands.doctor.program import DOCTOR_AT, WATCHDOG_AT, Page, read_own_page, refused_deliveries
from remediations.commands.doctor.route_tree import WEBHOOK_PATH, Reached
from remediations.commands.doctor.routes import MAX_REPEAT_SECONDS, REMEDIATOR_ROUTE, read_routes
from remediations.commands.output.text import age_words
from remediations.core.model.names import DOCTOR
from remediations.core.policies.policy import REMEDIATION_LABEL
from remediations.core.policies.time_windows import parse_clock
from remediations.facts.ask import describe
from remediations.settings import AlertmanagerSettings

POLL_SECONDS = 0.2
SLACK_SECONDS = 5.0
"""Time beyond the waiting times of the route: the flush and the delivery itself."""
PEER_SECONDS = 15.0
"""A member of a cluster waits this long for each member before it (Alertmanager's --cluster.peer-timeout)."""
MAX_WAIT_SECONDS = 180.0
LIFE_SECONDS = 60.0
"""How long the alert fires beyond the wait."""
COMPARE_TOKENS = (
    "compare the file that http_config: {authorization: {credentials_file: …}} of the receiver names with {path};\n"
    "both must hold the same token"
)


async def check_arrival(place: Installation, check: str) -> list[Finding]:
    """Alerts arrive at the running program."""
    settings = place.settings.alertmanager
    if settings is None or not place.policy_set.policies:
        return _unsent(place, check) if place.is_sending else []  # other checks report this
    if place.is_sending:
        # one after the other: each delivery replaces the previous time
        return [finding for url in place.alertmanagers for finding in await _try(place, check, settings, url)]
    return judge_watchdog(place, check, await read_own_page(place), place.clock.now())


def _unsent(place: Installation, check: str) -> list[Finding]:
    """The finding for a test alert that was requested but cannot be sent."""
    problem, evidence = "no alert was sent: the address of Alertmanager is missing", "alertmanager.url is not set"
    remedy = f"add to {place.place}: alertmanager: {{url: http://ALERTMANAGER:9093}}"
    if place.settings.alertmanager is not None:
        problem = "no alert was sent: without a policy its route is unknown"
        evidence = f"{place.settings.policies_file} gives no policy"
        remedy = "fix the policy file, then run doctor again"
    return [Finding(Severity.UNKNOWN, check, problem, evidence, remedy)]


def judge_watchdog(place: Installation, check: str, page: Page, now: float) -> list[Finding]:
    """Whether the alert that always fires has arrived recently; unknown until it has arrived once."""
    refused = _refusal(place, check, page)
    at = page.get((WATCHDOG_AT, ""))
    if at is not None and now - at <= MAX_REPEAT_SECONDS:
        return []
    if refused:
        return refused
    if at is not None:
        problem = "alerts no longer arrive at the remediator"
        evidence = f"ControlCoreWatchdog last arrived {age_words(now - at)} ago"
        remedy = f"{place.command} doctor --send-alert   # then docs/runbooks/ControlCoreAlertPathBroken.md"
        return [Finding(Severity.ERROR, check, problem, evidence, remedy)]
    problem = "no alert has arrived yet, so the path of alerts is not proven"
    evidence = "ControlCoreWatchdog has not arrived since the program's start"
    remedy = f"{place.command} doctor --send-alert   # sends a test alert; nothing acts on it"
    return [Finding(Severity.UNKNOWN, check, problem, evidence, remedy)]


def _refusal(place: Installation, check: str, page: Page, before: Page | None = None) -> list[Finding]:
    """The finding for deliveries that the program refused, since its start or since an earlier reading."""
    counts = refused_deliveries(page)
    if before is not None:
        known = refused_deliveries(before)
        counts = {kind: number - known.get(kind, 0) for kind, number in counts.items() if number > known.get(kind, 0)}
    if not counts:
        return []
    evidence = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    path = place.settings.server.token_file or "server.token_file"
    remedy = COMPARE_TOKENS.replace("{path}", str(path))
    if "unauthorized" not in counts:
        remedy = "the program's log says why: see its lines notification.refused"
    problem = "deliveries reach the remediator but are refused"
    return [Finding(Severity.ERROR, check, problem, evidence, remedy)]


async def _try(place: Installation, check: str, settings: AlertmanagerSettings, url: str) -> list[Finding]:
    """Sends one alert to this Alertmanager, and waits until it arrives at the webhook.

    If no route leads to the remediator, the alert is not sent, because it would only reach people.
    """
    shown = without_user(url)
    before = await read_own_page(place)
    try:
        tree = await read_routes(place, url)
        with reading("matcher of Alertmanager"):
            reached = tree.reached(doctor_labels(""))
        if not reached.own_routes:
            problem = 'no alert was sent: the routes do not send alerts with remediation="none" to the remediator'
            remedy = f"{REMEDIATOR_ROUTE}\nthen run doctor again"
            evidence = f"{shown}: receivers {', '.join(reached.receivers)}"
            return [Finding(Severity.UNKNOWN, check, problem, evidence, remedy)]
        wait = longest_wait(reached, len(place.alertmanagers))
        sent_at = await _send(place, settings, url, wait)
    except BackendError as error:
        problem = "the alert could not be sent, so the path of alerts is not proven"
        remedy = "fix what the checks alertmanager and alertmanager.routes name, then run doctor again"
        return [Finding(Severity.UNKNOWN, check, problem, f"{shown}: {describe(error)}", remedy)]
    page = before
    try:
        async with asyncio.timeout(wait):
            while page.get((DOCTOR_AT, "")) != sent_at:
                if refused := _refusal(place, check, page, before):
                    return refused
                await place.clock.sleep(POLL_SECONDS)
                page = await read_own_page(place)
    except TimeoutError:
        return [_lost(place, check, shown, reached, wait)]
    return []


def _lost(place: Installation, check: str, shown: str, reached: Reached, wait_seconds: float) -> Finding:
    """The finding for an alert that Alertmanager accepted and routes to the remediator, but that did not arrive."""
    receiver = reached.own_routes[0].receiver
    problem = "an alert sent to Alertmanager does not arrive at the remediator, although its routes lead there"
    evidence = f"{shown} accepted {DOCTOR} for receiver {receiver}, and it did not arrive within {wait_seconds:.0f} s"
    address = f"http://REMEDIATOR:{place.settings.server.port}{WEBHOOK_PATH}"
    remedy = (
        f"curl -si -X POST {address}   # from Alertmanager's host: 401 means that the connection works\n"
        f"see its log for receiver {receiver} (`Notify for alerts failed`), and correct `url` of its webhook_configs"
    )
    return Finding(Severity.ERROR, check, problem, evidence, remedy)


def longest_wait(reached: Reached, alertmanagers: int) -> float:
    """Longest time until the alert arrives: group_wait, or group_interval if its group already has an alert."""
    times = [route.group_wait_seconds + route.group_interval_seconds for route in reached.own_routes]
    others = alertmanagers - 1
    return min(max(times, default=0.0) + SLACK_SECONDS + PEER_SECONDS * others, MAX_WAIT_SECONDS)


def doctor_labels(nonce: str) -> dict[str, str]:
    """The labels of the alert: no policy can be named `none`, and people's routes exclude severity `none`."""
    return {"alertname": DOCTOR, REMEDIATION_LABEL: "none", "severity": "none", "component": "remediator", "run": nonce}


async def _send(place: Installation, settings: AlertmanagerSettings, url: str, wait_seconds: float) -> float | None:
    """Sends the alert; returns its start time in Unix seconds. Raises BackendError."""
    now = place.clock.now()
    begin = format_rfc3339(now)
    alert = {
        "labels": doctor_labels(secrets.token_hex(8)),
        "annotations": {"summary": "Sent by `controlcore-remediator doctor --send-alert`; nothing is wrong."},
        "startsAt": begin,
        "endsAt": format_rfc3339(now + wait_seconds + LIFE_SECONDS),
    }
    headers = await authorization(settings, "alertmanager")
    call = Call(f"{url}/api/v2/alerts", settings.timeout_seconds, method="POST", headers=headers, json=[alert])
    (await place.http.send(call)).require_ok()
    return parse_clock(begin)
