"""The table of `doctor`'s checks, and the command itself."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from chassis.errors import BackendError
from chassis.output.findings import FORMS, Check, Finding, exit_status, render_findings, run_checks, unchecked
from chassis.process.daemon_threads import use_daemon_threads
from remediations.commands.doctor import access, arrival, journal_file, objects, own_files, program, questions, routes
from remediations.commands.doctor import rules as loaded_rules
from remediations.commands.doctor.installation import Installation, opened
from remediations.facts.ask import describe
from remediations.settings import RemediatorSettings

SECONDS = 15.0
"""Deadline of one check; the calls in it have shorter ones."""
ARRIVAL_SECONDS = arrival.MAX_WAIT_SECONDS + SECONDS
"""Deadline for each Alertmanager that an alert is sent to."""

Ask = Callable[[Installation, str], Awaitable[Iterable[Finding]]]


def behind(first: str, question: Ask) -> Ask:
    """The check; its result is unknown while the server of the check `first` does not answer."""

    async def find_all(place: Installation, check: str) -> Iterable[Finding]:
        try:
            return await question(place, check)
        except BackendError as error:
            return [unchecked(check, describe(error), f"fix what the check {first} names, then run doctor again")]

    return find_all


ARRIVAL = "alertmanager.arrival"

FILES, DISK = ("the disk of the settings' files",), ("the journal's disk",)
PROGRAM, ENDPOINTS = ("the running program",), ("what policies call",)
PROMETHEUS = ("Prometheus", "prometheus.timeout_seconds")
ALERTMANAGER = ("Alertmanager", "alertmanager.timeout_seconds")
API = ("the API server", "kubernetes.timeout_seconds")
DATABASE = ("the database", "database.timeout_seconds")
"""The server or file that a check uses, and the setting with the deadline of one call."""

CHECKS: tuple[Check[Installation], ...] = (
    Check("configuration", own_files.check_configuration, SECONDS, *FILES),
    Check("credentials", own_files.check_credentials, SECONDS, *FILES),
    Check("roles", own_files.check_roles, SECONDS, *FILES),
    Check("journal", journal_file.check_journal, SECONDS, *DISK),
    Check("journal.servers", journal_file.check_servers, SECONDS, *DISK),
    Check("pauses", journal_file.check_pauses, SECONDS, *DISK),
    Check("program", program.check_program, SECONDS, *PROGRAM),
    Check("prometheus", questions.check_prometheus, SECONDS, *PROMETHEUS),
    Check("prometheus.rules", behind("prometheus", loaded_rules.check_rules), SECONDS, *PROMETHEUS),
    Check("prometheus.promql", behind("prometheus", questions.check_promql), SECONDS, *PROMETHEUS),
    Check("prometheus.collectors", behind("prometheus", questions.check_collectors), SECONDS, *PROMETHEUS),
    Check("prometheus.series", behind("prometheus", questions.check_series), SECONDS, *PROMETHEUS),
    Check("prometheus.scrape", behind("prometheus", questions.check_scraped), SECONDS, *PROMETHEUS),
    Check("alertmanager", routes.check_alertmanager, SECONDS, *ALERTMANAGER),
    Check("alertmanager.routes", behind("alertmanager", routes.check_routes), SECONDS, *ALERTMANAGER),
    Check(ARRIVAL, behind("program", arrival.check_arrival), SECONDS, *ALERTMANAGER),
    Check("identity", behind("alertmanager", loaded_rules.check_identity), SECONDS, *ALERTMANAGER),
    Check("kubernetes", objects.check_cluster, SECONDS, *API),
    Check("kubernetes.objects", behind("kubernetes", objects.check_objects), SECONDS, *API),
    Check("rights", behind("kubernetes", access.check_rights), SECONDS, *API),
    Check("rights.excess", behind("kubernetes", access.check_excess), SECONDS, *API),
    Check("rights.self_test", behind("kubernetes", access.check_self_test), SECONDS, *API),
    Check("endpoints", objects.check_endpoints, SECONDS, *ENDPOINTS),
    Check("database", objects.check_database, SECONDS, *DATABASE),
)
"""A check has a name, a function and a deadline; the checks run concurrently."""


def run_doctor(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints the faults of the installation; the exit status shows whether there are any."""
    form = getattr(options, "output", "table")
    file: Path | None = getattr(options, "config_file", None)
    url: str = options.url or ""
    findings, secrets = asyncio.run(_examined(settings, file, is_sending=options.is_sending, url=url))
    names = [check.name for check in checks_of(url)]
    text = render_findings(findings, names, form if form in FORMS else "table", secrets)
    sys.stdout.write(text)
    return exit_status(findings)


async def _examined(
    settings: RemediatorSettings, file: Path | None, *, is_sending: bool, url: str
) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings, and the secrets that they must not show."""
    findings = await examine(settings, file, is_sending=is_sending, url=url)
    try:
        async with asyncio.timeout(SECONDS):
            return findings, await asyncio.to_thread(lambda: tuple(own_files.known_secrets(settings)))
    except TimeoutError:
        return findings, ()  # no check could read a file that is unreadable now


async def examine(settings: RemediatorSettings, file: Path | None, *, is_sending: bool, url: str = "") -> list[Finding]:
    """The findings, the worst first."""
    use_daemon_threads()
    async with opened(settings, file, is_sending=is_sending, url=url) as place:
        return await run_checks(place, table_for(place))


def table_for(place: Installation) -> Sequence[Check[Installation]]:
    """The checks with their deadlines: the test alert may take as long as the routes allow."""
    checks = checks_of(place.url)
    if not place.is_sending:
        return checks
    seconds = SECONDS + ARRIVAL_SECONDS * len(place.alertmanagers)
    return [replace(check, timeout_seconds=seconds) if check.name == ARRIVAL else check for check in checks]


def checks_of(url: str) -> Sequence[Check[Installation]]:
    """The checks for a program on this machine, or without those of its journal for one at `url`."""
    return [check for check in CHECKS if check.asked != DISK[0]] if url else CHECKS
