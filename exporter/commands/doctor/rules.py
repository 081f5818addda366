"""Compares the rules that Prometheus has loaded with those of this version."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from chassis.documents import duration_seconds
from chassis.http.client_auth import without_user
from chassis.output.findings import Check, Finding, Severity
from exporter.commands.doctor import shipped
from exporter.commands.doctor.installation import CheckedInstallation
from exporter.commands.doctor.prometheus import Prometheus
from exporter.commands.doctor.shipped import GUIDE_FILE, Rule, squeeze

NUMBER = re.compile(r"(?<![\w:])\d+(?:\.\d+)?(?:ms|[smhdwy])?(?![\w:])")
MAX_NAMED = 12


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule of Prometheus' /api/v1/rules."""

    name: str
    expr: str
    for_seconds: float
    labels: Mapping[str, str]
    is_alert: bool
    fault: str
    """Why its last evaluation failed; empty when it did not."""
    file: str = ""
    """The file that it was read from."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the loaded rules differ from the shipped ones, each by name."""

    missing: tuple[str, ...]
    different: tuple[str, ...]
    tuned: tuple[str, ...]
    """Rules that differ only in numbers and durations: changed thresholds."""


async def check_rules(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Finds shipped rules that are missing or differ, and rules that Prometheus cannot evaluate."""
    prometheus = installation.prometheus
    if prometheus is None:
        return []
    loaded = await read_loaded(prometheus)
    known = await asyncio.to_thread(shipped.read_rules)
    wanted = [rule for rule in known if rule.file != GUIDE_FILE]
    written = await _canonical(prometheus, wanted, loaded)
    found = find_rules(len(wanted), compare(wanted, loaded, written), loaded, without_user(prometheus.url), check)
    return [*found, *find_repeated(known, loaded, check)]


CHECKS: tuple[Check[CheckedInstallation], ...] = (Check("prometheus.rules", check_rules, 60.0, asked="Prometheus"),)


async def read_loaded(prometheus: Prometheus) -> tuple[LoadedRule, ...]:
    """Every rule that Prometheus has loaded; raises BackendError."""
    groups = (await prometheus.read("rules"))["groups"]
    return tuple(_loaded(rule, str(group.get("file", ""))) for group in groups for rule in group["rules"])


async def _canonical(prometheus: Prometheus, wanted: Iterable[Rule], loaded: Iterable[LoadedRule]) -> dict[str, str]:
    """Prometheus' own form of the expressions whose texts differ: it reformats what it loads."""
    known = {squeeze(rule.expr) for rule in loaded}
    names = {rule.name for rule in wanted if squeeze(rule.expr) not in known}
    asked = {rule.expr for rule in wanted if rule.name in names} | {rule.expr for rule in loaded if rule.name in names}
    written: dict[str, str] = {}
    places = asyncio.Semaphore(8)

    async def ask(promql: str) -> None:
        async with places:
            written[promql] = squeeze(str(await prometheus.read("format_query", query=promql)))

    async with asyncio.TaskGroup() as group:
        for promql in asked:
            group.create_task(ask(promql), name="doctor.format_query")
    return written


def compare(wanted: Sequence[Rule], loaded: Sequence[LoadedRule], written: Mapping[str, str]) -> Comparison:
    """Compares by name; `written` has the canonical form of an expression whose plain text differs."""

    def text(promql: str) -> str:
        return written.get(promql) or squeeze(promql)

    def marks(labels: Mapping[str, str]) -> set[tuple[str, str]]:
        return {(name, str(value)) for name, value in labels.items()}

    found: dict[str, list[str]] = {"missing": [], "different": [], "tuned": []}
    for rule in wanted:
        same = [each for each in loaded if each.name == rule.name and each.is_alert is rule.is_alert]
        alike = [each for each in same if marks(rule.labels) <= marks(each.labels)]
        if not same:
            found["missing"].append(rule.name)
        elif any(
            text(each.expr) == text(rule.expr) and each.for_seconds == duration_seconds(rule.for_text) for each in alike
        ):
            continue
        elif any(NUMBER.sub("0", text(each.expr)) == NUMBER.sub("0", text(rule.expr)) for each in alike):
            found["tuned"].append(rule.name)
        else:
            found["different"].append(rule.name)
    return Comparison(*(tuple(dict.fromkeys(names)) for names in found.values()))


def find_rules(
    shipped_count: int, comparison: Comparison, loaded: Sequence[LoadedRule], url: str, check: str
) -> list[Finding]:
    """The faults of the loaded rules."""
    remedy = (
        "cd FOLDER   # a folder in rule_files of prometheus.yml; with the chart use --set rules.enabled=true instead\n"
        f"cp {quote(str(shipped.folder('rules')))}/*.yml . && promtool check rules *.yml"
        f" && curl -fsS -X POST {url}/-/reload\n"
        "# without --web.enable-lifecycle: kill -HUP the process of Prometheus instead of curl"
    )
    found = []
    if not any(rule.name.startswith("ControlCore") for rule in loaded):
        problem = "the shipped rules are not loaded in Prometheus: no alert of Control Core can fire"
        evidence = f"0 of {shipped_count} rules, {len(loaded)} others"
        return [Finding(Severity.ERROR, check, problem, evidence, remedy)]
    if comparison.missing:
        problem = f"{len(comparison.missing)} shipped rules are not loaded in Prometheus"
        found.append(Finding(Severity.WARNING, check, problem, _named(comparison.missing), remedy))
    if comparison.different:
        problem = f"{len(comparison.different)} loaded rules are not those of this version"
        found.append(Finding(Severity.WARNING, check, problem, _named(comparison.different), remedy))
    if comparison.tuned:
        problem = f"{len(comparison.tuned)} loaded rules have other thresholds than the shipped ones"
        found.append(
            Finding(Severity.INFO, check, problem, _named(comparison.tuned), "nothing to do if the changes are yours")
        )
    faulty = [rule for rule in loaded if rule.fault]
    if faulty:
        problem = f"Prometheus cannot evaluate {len(faulty)} rules"
        evidence = "\n".join(f"{rule.name}: {rule.fault}" for rule in faulty[:MAX_NAMED])
        remedy = f"correct these rules; {url}/rules shows them"
        found.append(Finding(Severity.ERROR, check, problem, evidence, remedy))
    return found


def find_repeated(known: Sequence[Rule], loaded: Sequence[LoadedRule], check: str) -> list[Finding]:
    """The alerts of the known files that more than one loaded rule makes, with the same labels."""
    names = {rule.name for rule in known if rule.is_alert}
    files: dict[tuple[str, frozenset[tuple[str, str]]], list[str]] = {}
    for rule in loaded:
        if rule.is_alert and rule.name in names:
            files.setdefault((rule.name, frozenset(rule.labels.items())), []).append(rule.file)
    repeated = {name: paths for (name, _), paths in files.items() if len(paths) > 1}
    if not repeated:
        return []
    evidence = "\n".join(f"{name}: {', '.join(paths)}" for name, paths in list(repeated.items())[:MAX_NAMED])
    is_guide = repeated.keys() <= {rule.name for rule in known if rule.file == GUIDE_FILE}
    remedy = (
        f"take {GUIDE_FILE} away: the guide's own file has the same alerts"
        if is_guide
        else "keep one of these files: take the other away, or out of rule_files of prometheus.yml"
    )
    problem = "alerts are loaded twice in Prometheus: each change must be made in both files"
    return [Finding(Severity.WARNING, check, problem, evidence, remedy)]


def _named(names: Sequence[str]) -> str:
    """The names, up to the number that is readable."""
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _loaded(rule: Mapping[str, Any], file: str) -> LoadedRule:
    """A rule from Prometheus' answer."""
    fault = str(rule.get("lastError") or "") if rule.get("health") == "err" else ""
    return LoadedRule(
        str(rule["name"]),
        str(rule["query"]),
        float(rule.get("duration", 0.0)),
        rule.get("labels") or {},
        is_alert=rule.get("type") == "alerting",
        fault=fault,
        file=file,
    )
