"""Checks of the running program, over HTTP as Alertmanager and Prometheus use it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from chassis.config import read_secret
from chassis.errors import BackendError, ConfigError, PermanentError, Reason
from chassis.http.call import Call
from chassis.kubernetes.objects import reading
from chassis.output.findings import Finding, Severity, unchecked
from remediations.commands.doctor.installation import Installation, own_web, shell_word
from remediations.facts.ask import describe
from remediations.journal.sqlite.inspection import find_server

SECONDS = 3.0
ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where to ask a server that listens on all
"""The address to use for a program that listens on all addresses."""
NOTIFICATIONS = "controlcore_remediation_webhook_notifications_total"
WATCHDOG_AT = "controlcore_remediation_webhook_last_watchdog_timestamp_seconds"
DOCTOR_AT = "controlcore_remediation_webhook_last_doctor_alert_timestamp_seconds"

Page = Mapping[tuple[str, str], float]
"""Name and status label (empty for none) → value."""


async def own_url(place: Installation) -> str:
    """Where the program with these settings answers; raises PermanentError if it picks its own port."""
    if place.url:
        return place.url
    server = place.settings.server
    if not server.port:
        raise PermanentError(Reason.MALFORMED, "server.port is 0, so the port is in the program's log only")
    web = await asyncio.to_thread(own_web, place.settings)
    scheme = "http" if web is None or web.tls is None else "https"
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{scheme}://{ANY.get(server.host, host)}:{server.port}"


async def read_own_page(place: Installation) -> Page:
    """The program's metrics; raises BackendError. A credential is sent only if the page requires one."""
    url = f"{await own_url(place)}/metrics"
    answer = await place.own_http.send(Call(url, SECONDS))
    if answer.status == HTTPStatus.UNAUTHORIZED:
        headers = await asyncio.to_thread(_authorization, place.settings.token_files())
        answer = await place.own_http.send(Call(url, SECONDS, headers=headers))
    text = answer.require_ok().body.decode(errors="replace")
    with reading("page of metrics"):
        return {
            (sample.name, sample.labels.get("status", "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in {NOTIFICATIONS, WATCHDOG_AT, DOCTOR_AT}
        }


def _authorization(files: tuple[Path, ...]) -> dict[str, str]:
    """The first token that can be read; each of them may read the page."""
    for path in files:
        try:
            return {"Authorization": f"Bearer {read_secret(path, 'server.token_file').get_secret_value()}"}
        except ConfigError:
            continue
    return {}


async def check_program(place: Installation, check: str) -> list[Finding]:
    """The program answers, is ready, and serves the journal of these settings."""
    url = await own_url(place)
    path = place.settings.journal.path
    unread = ""
    try:
        holder = place.url or await asyncio.to_thread(find_server, path)  # elsewhere, the journal is there too
    except OSError as error:
        holder, unread = "", f"{path}-owner: {error.strerror}"
    try:
        answer = await place.own_http.send(Call(f"{url}/-/ready", SECONDS))
    except BackendError as error:
        return [_silent(place, check, f"{url}: {describe(error)}", holder)]
    first, *warnings = answer.body.decode(errors="replace").strip().splitlines() or [""]
    found = []
    if answer.status != HTTPStatus.OK:
        problem = "the program is not ready: every alert is answered 503"
        disk = f"df -h {shell_word(path.parent)}"
        remedy = f"its log names the fault; if the journal cannot be written, check its disk: {disk}"
        found.append(Finding(Severity.ERROR, check, problem, f"{url}/-/ready: {answer.status}, {first}", remedy))
    elif unread:
        remedy = f"as the program's user: {place.command} doctor"
        found.append(unchecked(check, f"{url} is ready; whether it serves {path} is unknown: {unread}", remedy))
    elif not holder:
        problem = "the program that answers serves another journal than these settings name"
        remedy = (
            f"pass the settings that the program was started with (--config.file), or restart it with {place.place}"
        )
        found.append(Finding(Severity.ERROR, check, problem, f"{url} is ready, and no program serves {path}", remedy))
    if warnings:
        problem = "the running program reports warnings"
        remedy = "fix what they name; sources are probed again every half minute"
        found.append(Finding(Severity.WARNING, check, problem, "\n".join(warnings), remedy))
    return found


def _silent(place: Installation, check: str, evidence: str, holder: str) -> Finding:
    """The finding for a program that does not answer; `holder` is the process that serves the journal, if known."""
    if holder and not place.url:
        problem = "the program that serves the journal does not answer at the address in these settings"
        remedy = (
            f"compare server.host and server.port in {place.place} with those of the running program, and restart it"
        )
        evidence = f"{holder} serves {place.settings.journal.path}; {evidence}"
        return Finding(Severity.ERROR, check, problem, evidence, remedy)
    problem = "no remediator answers: no alert is received and nothing is repaired"
    remedy = (
        f"{place.command} serve\n# on Kubernetes: kubectl get pods -A -l app.kubernetes.io/name=controlcore-remediator"
    )
    return Finding(Severity.ERROR, check, problem, evidence, remedy)


def refused_deliveries(page: Page) -> dict[str, int]:
    """Deliveries that were refused since the program's start, by status."""
    kinds = ("unauthorized", "forbidden", "malformed", "rejected", "unavailable")
    counts = {kind: page.get((NOTIFICATIONS, kind), 0.0) for kind in kinds}
    return {kind: int(number) for kind, number in counts.items() if number > 0 and math.isfinite(number)}
