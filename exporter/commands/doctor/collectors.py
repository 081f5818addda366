"""Runs each collector once, as `serve` would, and reports the results."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chassis.errors import Reason
from chassis.output.findings import Check, Finding, Severity
from exporter.collection.schedule import Job, Schedule
from exporter.collector import NotConfiguredError
from exporter.commands.configuration import collector_settings
from exporter.commands.deployment import budget_of
from exporter.commands.doctor.installation import DATABASE, CheckedInstallation
from exporter.commands.doctor.rights import read_rights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.collector import CollectorSpec
    from exporter.results.record import CollectionOutcome

ALL_SECONDS = 300.0
"""Above the collectors' own deadlines."""


class _NoObserver:
    """An observer that does nothing: the outcomes are returned."""

    def begin(self, name: str, now_monotonic: float) -> None:
        """Nothing."""

    def skip(self, name: str, missing: str) -> None:
        """Nothing."""

    def finish(self, outcome: CollectionOutcome) -> None:
        """Nothing."""


async def run_collectors(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Runs every collector once, concurrently as in `serve`; those of broken sources are not run."""
    for spec in installation.specs:
        if not installation.settings.runs(spec.scope):
            installation.not_configured[spec.name] = f"left out by scope: {installation.settings.scope}"
        elif not collector_settings(installation.settings, spec.name).enabled:
            installation.not_configured[spec.name] = f"switched off: collectors.{spec.name}.enabled"
    budget = budget_of(installation.settings, len(installation.bouncers))
    schedule = Schedule(installation.working_sources(), budget, _NoObserver())
    async with asyncio.TaskGroup() as group:
        for job in installation.jobs():
            group.create_task(_run(installation, schedule, job), name=f"doctor.{job.spec.name}")
    if not installation.not_run:
        return []
    problem = f"not checked, because their sources cannot be used: {', '.join(sorted(installation.not_run))}"
    evidence = f"the other collectors were run: {', '.join(sorted(installation.outcomes)) or 'none is configured'}"
    return [Finding(Severity.UNKNOWN, check, problem, evidence, "fix the addresses first, then run doctor again")]


async def ask_rights(installation: CheckedInstallation, _check: str) -> list[Finding]:
    """Reads the role's rights from the database, for the checks that compare them."""
    postgres = installation.sources.postgres
    if postgres is not None and (DATABASE, "") not in installation.broken:
        installation.rights = await read_rights(postgres, [job.spec for job in installation.jobs()])
    return []


async def check_failures(installation: CheckedInstallation, check: str) -> list[Finding]:
    """The collectors that failed, except those whose rights or tables have separate checks."""
    specs = {spec.name: spec for spec in installation.specs}
    rights = installation.rights
    explained = set()
    for column in () if rights is None else rights.columns:
        if not column.may_read:
            explained |= {
                (name, Reason.PERMISSION if column.is_there else Reason.MISSING) for name in column.collectors
            }
    failures = {
        name: outcome for name, outcome in installation.outcomes.items() if (name, outcome.reason) not in explained
    }
    return find_failures(failures, specs, check)


async def check_losses(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Reports what collectors read but could not publish."""
    return find_losses(installation.outcomes, check)


RIGHTS: tuple[Check[CheckedInstallation], ...] = (Check("database.rights", ask_rights, asked="PostgreSQL"),)
RUN: tuple[Check[CheckedInstallation], ...] = (
    Check(
        "collectors.run", run_collectors, ALL_SECONDS, "the source of a collector", "collectors.NAME.timeout_seconds"
    ),
)
CHECKS: tuple[Check[CheckedInstallation], ...] = (
    Check("collectors.success", check_failures),
    Check("collectors.values", check_losses),
)


async def _run(installation: CheckedInstallation, schedule: Schedule, job: Job) -> None:
    """One collector's one collection, or why there was none."""
    own = installation.working_settings(job.spec.name)
    try:
        installation.outcomes[job.spec.name] = await schedule.collect_once(Job(job.spec, own))
    except NotConfiguredError as missing:
        if installation.broken and await _is_configured(installation, job):
            installation.not_run.add(job.spec.name)
        else:
            installation.not_configured[job.spec.name] = str(missing)


async def _is_configured(installation: CheckedInstallation, job: Job) -> bool:
    """Whether the collector would run if no source were broken; opening a collector sends no request."""
    try:
        async with job.spec.open(job.settings, installation.sources):
            return True
    except NotConfiguredError:
        return False


def find_failures(
    outcomes: Mapping[str, CollectionOutcome], specs: Mapping[str, CollectorSpec], check: str
) -> list[Finding]:
    """The failed collections; failures with the same reason and message are one finding."""
    groups: dict[tuple[Reason, str], list[str]] = {}
    for name, outcome in sorted(outcomes.items()):
        if outcome.reason is not None:
            groups.setdefault((outcome.reason, outcome.message), []).append(name)
    return [
        Finding(
            Severity.ERROR,
            check,
            f"collectors fail ({reason}): {', '.join(names)}",
            message,
            _remedy(reason, names, specs),
        )
        for (reason, message), names in groups.items()
    ]


def find_losses(outcomes: Mapping[str, CollectionOutcome], check: str) -> list[Finding]:
    """Items that could not be read, values outside of the closed sets, and series over the limits."""
    found = []
    for name, outcome in sorted(outcomes.items()):
        lost = [f"dropped items, {reason}: {count}" for reason, count in sorted(outcome.losses.dropped.items())]
        lost += [f"unknown value of {field}: {count}" for field, count in sorted(outcome.losses.unknown.items())]
        if lost:
            problem = f"{name} reads values that it does not understand"
            remedy = (
                "install a newer controlcore-exporter, or correct these rows: docs/runbooks/ControlCoreItemsDropped.md"
            )
            found.append(Finding(Severity.WARNING, check, problem, "\n".join(lost), remedy))
        if outcome.admitted is not None and outcome.admitted.dropped:
            problem = f"{name} has more series than it may publish"
            evidence = f"{outcome.admitted.dropped} series dropped"
            remedy = "raise limits.max_series_per_collector (and limits.max_series)"
            found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
    return found


def _remedy(reason: Reason, names: list[str], specs: Mapping[str, CollectorSpec]) -> str:
    """The remedy for a failed collection."""
    section = f"collectors.{names[0]}"
    rights = [right for name in names for right in specs[name].rbac]
    if reason is Reason.PERMISSION and rights:
        return f"give the exporter's ServiceAccount these rights (the chart's Role has them): {', '.join(rights)}"
    if reason is Reason.TIMEOUT:
        return f"raise {section}.timeout_seconds and its other deadlines, or find out why the source is slow"
    if reason in {Reason.AUTH, Reason.PERMISSION}:
        return f"give {section} credentials that are accepted: docs/exporter.md, What some collectors need"
    if reason is Reason.INTERNAL:
        return "this is a fault of the exporter: report it with the evidence"
    return f"fix what the evidence names, or switch off what does not exist: --no-collector.{names[0]}"
