"""Finds rules and panels without data, because the series that they query do not exist."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from chassis.documents import asked_names
from chassis.errors import BackendError, Reason
from chassis.output.findings import Check, Finding, Severity, ask_all, unchecked
from exporter import self_metrics
from exporter.commands.doctor import shipped
from exporter.commands.doctor.installation import CheckedInstallation
from exporter.commands.doctor.prometheus import BUILD_INFO
from exporter.commands.doctor.rules import read_loaded
from exporter.metrics import Kind, Stability

if TYPE_CHECKING:
    from exporter.commands.doctor.prometheus import Prometheus
    from exporter.commands.doctor.shipped import PanelQuery
    from exporter.metrics import Metric

REMEDIATOR = "controlcore_remediat"
"""The prefix of the remediator's series."""
OURS = ("controlcore_", "controlcore:")
MAX_NAMED = 12
AT_ONCE = 8
ALL_SECONDS, CHECK_SECONDS = 45.0, 60.0
"""The time for all queries of the dashboards, and the deadline of their check, which then still reports its
findings.
"""
PANEL = " / "
"""Separator between the names of a dashboard and its panel."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Which series exist, where, and why others are missing."""

    owners: Mapping[str, str]
    """The collector of each series name; empty for the exporter's own."""
    published: frozenset[str]
    """Names that the collectors have just published."""
    stored: frozenset[str]
    """Names that Prometheus has now."""
    recorded: frozenset[str]
    """Names that loaded or shipped rules record."""
    silent: Mapping[str, str]
    """Why the configuration turns a collector off, by its name."""
    guide: frozenset[str]
    """The guide's names, if the setting guide_names turns them off."""


@dataclass(frozen=True, slots=True)
class Question:
    """A rule or a panel, and the series names that it queries."""

    title: str
    names: frozenset[str]
    is_absence: bool
    """Whether it is about missing series."""


async def check_series(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Compares the series that loaded rules and shipped panels query with the existing ones."""
    prometheus = installation.prometheus
    if prometheus is None:
        return []
    loaded = await read_loaded(prometheus)
    rules = await asyncio.to_thread(shipped.read_rules)
    panels = await asyncio.to_thread(shipped.read_queries)
    questions = [Question(rule.name, asked_names(rule.expr), "absent" in rule.expr) for rule in loaded]
    questions += [
        Question(f"{each.dashboard}{PANEL}{each.panel}", asked_names(each.promql), "absent" in each.promql)
        for each in panels
    ]
    owners = series_owners(installation)
    stored = await prometheus.names(name for name in owners if not name.startswith(OURS))
    if BUILD_INFO not in stored:
        return []  # nothing is scraped, which the check of the targets reports
    recorded = {rule.name for rule in loaded if not rule.is_alert} | {rule.name for rule in rules if not rule.is_alert}
    return find_series(questions, catalogue(installation, owners, stored, frozenset(recorded)), check)


async def check_dashboards(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Runs every query of the shipped dashboards."""
    prometheus = installation.prometheus
    if prometheus is None or not await prometheus.query(BUILD_INFO):
        return []
    panels = await asyncio.to_thread(shipped.read_queries)
    stored = await prometheus.names(name for name in series_owners(installation) if not name.startswith(OURS))
    answers = await ask_all([partial(_ask, prometheus, panel.promql) for panel in panels], AT_ONCE, ALL_SECONDS)
    known = {panel: answer for panel, answer in zip(panels, answers, strict=True) if answer is not None}
    found = find_panels(known, stored, check)
    if None in answers:
        reason = f"{answers.count(None)} of {len(answers)} queries of the dashboards had no answer in {ALL_SECONDS:g} s"
        found.append(unchecked(check, reason, "see why Prometheus is slow, then run doctor again"))
    return found


CHECKS: tuple[Check[CheckedInstallation], ...] = (
    Check("prometheus.series", check_series, 30.0, asked="Prometheus"),
    Check("prometheus.dashboards", check_dashboards, CHECK_SECONDS, asked="Prometheus"),
)


def series_owners(installation: CheckedInstallation) -> dict[str, str]:
    """The collector of every series name of the exporter, including a histogram's three; empty for its own."""
    owned = [(metric, spec.name) for spec in installation.specs for metric in spec.metrics]
    owned += [(metric, "") for metric in self_metrics.METRICS]
    return {name: owner for metric, owner in owned for name in series_names(metric)}


def series_names(metric: Metric) -> tuple[str, ...]:
    """The names under which Prometheus stores a metric."""
    if metric.kind is not Kind.HISTOGRAM:
        return (metric.name,)
    return tuple(f"{metric.name}_{part}" for part in ("bucket", "count", "sum"))


def catalogue(
    installation: CheckedInstallation, owners: Mapping[str, str], stored: frozenset[str], recorded: frozenset[str]
) -> Catalogue:
    """The existing series, from the collectors' own collections and Prometheus."""
    admitted = [outcome.admitted for outcome in installation.outcomes.values() if outcome.admitted is not None]
    families = [family for each in admitted for family in each.families if family.samples or family.distributions]
    guide = {
        name
        for spec in installation.specs
        for metric in spec.metrics
        if metric.stability is Stability.GUIDE and not installation.settings.guide_names
        for name in series_names(metric)
    }
    return Catalogue(
        owners,
        frozenset(name for family in families for name in series_names(family.metric)),
        stored,
        recorded,
        installation.not_configured,
        frozenset(guide),
    )


def find_series(questions: Iterable[Question], known: Catalogue, check: str) -> list[Finding]:
    """Series that are published but not stored, that this version does not have, and that no collector gives here."""
    lost: dict[str, list[str]] = {}
    strange: dict[str, list[str]] = {}
    silent: dict[str, list[str]] = {}
    for question in questions:
        absent = question.names - known.stored - known.recorded
        for name in absent:
            if name in known.published:
                lost.setdefault(name, []).append(question.title)
            elif name in known.guide:
                silent.setdefault("guide_names is false", []).append(question.title)
            elif name.startswith(OURS) and name not in known.owners and not name.startswith(REMEDIATOR):
                strange.setdefault(name, []).append(question.title)
        reasons = {_reason(name, known) for name in absent}
        if question.names and absent == question.names and reasons and None not in reasons and not question.is_absence:
            silent.setdefault(next(iter(sorted(filter(None, reasons)))), []).append(question.title)
    return [*_find_lost(lost, check), *_find_strange(strange, check), *_find_silent(silent, check)]


def find_panels(answers: Mapping[PanelQuery, str | int], stored: frozenset[str], check: str) -> list[Finding]:
    """Queries that Prometheus refuses, and queries without data although their series exist.

    `answers` has for each query the number of its samples, or Prometheus' error.
    """
    refused = [
        f"{each.dashboard}{PANEL}{each.panel}: {said}" for each, said in answers.items() if isinstance(said, str)
    ]
    empty = [
        f"{each.dashboard}{PANEL}{each.panel}"
        for each, count in answers.items()
        if count == 0 and (names := asked_names(each.promql)) and names <= stored
    ]
    found = []
    if refused:
        problem = f"Prometheus refuses {len(refused)} queries of the dashboards"
        remedy = "use a Prometheus of 2.42 or newer, or correct the query"
        found.append(Finding(Severity.WARNING, check, problem, "\n".join(refused[:MAX_NAMED]), remedy))
    if empty:
        problem = f"{len(empty)} queries of the dashboards have no data now, although their series exist"
        remedy = "nothing to do if what they show does not happen here"
        found.append(Finding(Severity.INFO, check, problem, _some(empty), remedy))
    return found


async def _ask(prometheus: Prometheus, promql: str) -> str | int:
    """How many samples a query gives, or why Prometheus refuses it; raises BackendError when it gives no answer."""
    try:
        return len(await prometheus.query(promql))
    except BackendError as error:
        if error.reason is not Reason.HTTP_4XX:
            raise
        return str(error)


def _reason(name: str, known: Catalogue) -> str | None:
    """Why the configuration leaves a series out; None when it may exist."""
    owner = known.owners.get(name)
    if name.startswith(REMEDIATOR):
        has_any = any(stored.startswith(REMEDIATOR) for stored in known.stored)
        return None if has_any else "controlcore-remediator is not scraped"
    return known.silent.get(owner) if owner else None


def _find_lost(lost: Mapping[str, list[str]], check: str) -> list[Finding]:
    """Series that the exporter publishes and Prometheus does not have."""
    if not lost:
        return []
    problem = (
        f"{len(lost)} series that the exporter publishes are not in Prometheus; rules and panels that use them "
        "show nothing"
    )
    evidence = "\n".join(f"{name}: {_some(titles)}" for name, titles in sorted(lost.items())[:MAX_NAMED])
    remedy = "remove the metric_relabel_configs that drop them, and restart an exporter older than this version"
    return [Finding(Severity.WARNING, check, problem, evidence, remedy)]


def _find_strange(strange: Mapping[str, list[str]], check: str) -> list[Finding]:
    """Names that this version does not know."""
    if not strange:
        return []
    problem = f"rules use {len(strange)} series that this version does not publish; they can never fire"
    evidence = "\n".join(f"{name}: {_some(titles)}" for name, titles in sorted(strange.items())[:MAX_NAMED])
    remedy = f"load the rules of this version ({shipped.folder('rules')}), or correct your own with docs/metrics.md"
    return [Finding(Severity.WARNING, check, problem, evidence, remedy)]


def _find_silent(silent: Mapping[str, list[str]], check: str) -> list[Finding]:
    """Rules and panels that cannot show data with this configuration."""
    if not silent:
        return []
    titles = {title for named in silent.values() for title in named}
    problem = f"{len(titles)} rules and panels cannot show data: what they query is not configured"
    evidence = "\n".join(f"{reason}: {_rules_and_panels(named)}" for reason, named in sorted(silent.items()))
    return [Finding(Severity.INFO, check, problem, evidence, "set what the evidence names, if that part exists")]


def _rules_and_panels(titles: Iterable[str]) -> str:
    """The rules by name, and how many panels."""
    rules = {title for title in titles if PANEL not in title}
    panels = len(set(titles) - rules)
    return "; ".join(filter(None, (_some(rules), f"{panels} panel{'s' * (panels > 1)}" if panels else "")))


def _some(titles: Iterable[str]) -> str:
    """The titles, each once, up to the number that is readable."""
    names = sorted(set(titles))
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
