"""The command: opens the sources as `serve` does, runs the checks in order, and writes their findings."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chassis import log
from chassis.clock import SystemClock
from chassis.config import load_section, read_secret
from chassis.errors import BackendError, ConfigError
from chassis.http.client_auth import ClientAuthSettings, secret_files
from chassis.output.findings import (
    EXIT_STATUSES,
    FORMS,
    Check,
    Finding,
    exit_status,
    render_findings,
    run_checks,
    unchecked,
    worst_first,
)
from chassis.process.daemon_threads import use_daemon_threads
from exporter.commands.configuration import load_settings
from exporter.commands.doctor import addresses, clocks, collectors, database, engines, prometheus, rules, series
from exporter.commands.doctor.installation import CheckedInstallation
from exporter.commands.doctor.prometheus import Prometheus
from exporter.settings import check_http
from exporter.sources import open as opening
from exporter.sources.bouncer_discovery import Discovery

if TYPE_CHECKING:
    from exporter.collector import CollectorSpec
    from exporter.settings import ExporterSettings

SECRETS_SECONDS = 15.0
"""Longest wait for the files with passwords; a network file system may hang."""
PHASES: tuple[tuple[Check[CheckedInstallation], ...], ...] = (
    addresses.CHECKS,
    collectors.RIGHTS,
    collectors.RUN,
    (*collectors.CHECKS, *database.CHECKS, *engines.CHECKS, *clocks.CHECKS),
)
"""Every check of an installation, in order: later checks use the results of earlier ones."""
PROMETHEUS_PHASES: tuple[tuple[Check[CheckedInstallation], ...], ...] = (
    prometheus.ADDRESS,
    (*prometheus.CHECKS, *rules.CHECKS, *series.CHECKS, *clocks.PROMETHEUS),
)
"""The checks of its Prometheus, which run after them."""


def add_options(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command line with the options of this command alone, and its exit statuses."""
    command.add_argument("-o", "--output", choices=FORMS, default="table", help="table, json or yaml")
    command.add_argument(
        "--prometheus.url",
        dest="prometheus_url",
        type=_url,
        metavar="URL",
        help="the Prometheus that scrapes this exporter",
    )
    command.add_argument(
        "--http.config.file",
        dest="http_config_file",
        type=Path,
        metavar="PATH",
        help="basic_auth or authorization for Prometheus, as promtool reads it",
    )
    statuses = "".join(f"  {number}  {meaning}\n" for number, meaning in EXIT_STATUSES.items())
    command.epilog = f"{command.epilog or ''}\n\nexit status:\n{statuses}"
    return command


def run(specs: tuple[CollectorSpec, ...], options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Prints the findings; returns the exit status. Raises ConfigError."""
    log.configure(program="controlcore-exporter", level="error", form="console", clock=SystemClock())
    settings = load_settings(specs, options.config_file, overrides)
    path: Path | None = options.http_config_file
    auth = ClientAuthSettings() if path is None else load_section(ClientAuthSettings, path)

    async def examine_and_read() -> tuple[list[str], list[Finding], tuple[str, ...]]:
        made, findings = await examine(specs, settings, options.prometheus_url, auth)
        try:
            async with asyncio.timeout(SECRETS_SECONDS):
                return made, findings, await asyncio.to_thread(lambda: tuple(known_secrets(settings, auth)))
        except TimeoutError:
            return made, findings, ()  # no check could read a file that is unreadable now

    made, findings, secrets = asyncio.run(examine_and_read())
    sys.stdout.write(render_findings(findings, made, options.output, secrets))
    return exit_status(findings)


async def examine(
    specs: tuple[CollectorSpec, ...], settings: ExporterSettings, url: str | None, auth: ClientAuthSettings
) -> tuple[list[str], list[Finding]]:
    """The names of the checks that ran, and their findings. Raises ConfigError."""
    use_daemon_threads()
    made: list[str] = []
    found: list[Finding] = []
    for name in ("", *settings.deployments):
        watched = settings.watching(name) if name else settings
        async with AsyncExitStack() as stack:
            sources = await stack.enter_async_context(opening.opened(watched, SystemClock()))
            discovery = Discovery(log.get_logger())
            bouncers = watched.bouncers if name else await discovery.find(watched, sources)
            sources = replace(sources, settings=watched.model_copy(update={"bouncers": bouncers}))
            asked = None if name or url is None else Prometheus(sources.http, url, auth)
            installation = CheckedInstallation(watched, specs, sources, name, asked, discovery.faults)
            for checks in PHASES if asked is None else (*PHASES, *PROMETHEUS_PHASES):
                findings = await run_checks(installation, checks)
                made += [_named(name, check.name) for check in checks]
                found += [replace(finding, check=_named(name, finding.check)) for finding in findings]
    if url is None:
        reason = "--prometheus.url is not given, so rules, targets and dashboards are not checked"
        found.append(unchecked("prometheus", reason, "give --prometheus.url http://PROMETHEUS:9090"))
    return made, worst_first(found)


def known_secrets(settings: ExporterSettings, auth: ClientAuthSettings) -> Iterator[str]:
    """The passwords and tokens that no evidence may show; none for an unreadable file, which a check reports."""
    for watched in (settings, *map(settings.watching, settings.deployments)):
        postgres, redis = opening.addresses(watched)
        with suppress(BackendError):
            if postgres is not None:
                yield postgres.read_password(postgres.target())
        with suppress(BackendError):
            if redis is not None:
                yield redis.read_password(redis.target())
    for setting, path in secret_files(auth):
        with suppress(ConfigError):
            yield read_secret(path, setting).get_secret_value()


def _url(text: str) -> str:
    """A base URL without a user."""
    try:
        return check_http(text) or ""
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _named(deployment: str, check: str) -> str:
    """The check's name, with the further deployment that it is about."""
    return f"{deployment}/{check}" if deployment else check
