"""Makes promtool cases from `rules/tests/situations.yaml`.

They show every alert's behaviour when its subject is gone, when its collector fails, when a short fault is over, and on
a healthy installation that is small and fresh.

Series are written as text: `5` stays, `3+0.1` starts at 3 and rises by 0.1 a second, `age 60` is a Unix time that is
always 60 seconds ago, `stuck 60` one that was 60 seconds ago when the situation began and stays. The collector's own
declaration defines which series its failure removes.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chassis.documents import asked_names
from exporter.collector import CollectorSpec
from exporter.collectors import discover
from exporter.metrics import Kind
from tools.rules.catalogue import RULES

TABLE = RULES / "tests" / "situations.yaml"
SITUATIONS = ("gone", "failed", "over")
"""The fourth, healthy, small and fresh, is one page for all alerts."""
STEP = 30
LEAD_MAX_SECONDS = 4500
AFTERWARDS_SECONDS = 600
LABELS = 'job="kubernetes-pods", instance="10.0.0.9:9877"'
STALE = "ControlCoreCollectorStale"
_DURATION = re.compile(r"(\d+)(ms|[smhdw])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WINDOW = re.compile(r"\[(\w+)\]|\boffset (\w+)")

Series = Mapping[str, str | float | None]
"""Series by selector; None is absent."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert with what is said of it in the table."""

    name: str
    file: Path
    expr: str
    for_seconds: float
    before: Series
    """What differs from the healthy page before the fault too."""
    fault: Series
    instead: Series
    """The series that remain when the subject is gone."""
    outcome: Mapping[str, str]
    short_seconds: float


@dataclass(frozen=True, slots=True)
class Phase:
    """The page's content for some time."""

    seconds: float
    series: Series


@dataclass(slots=True)
class Case:
    """One promtool test."""

    name: str
    alerts: frozenset[str]
    """The alerts to run: other alerts are left out. Empty means all."""
    phases: list[Phase]
    checks: list[tuple[float, str, float]] = field(default_factory=list)
    """When, which question, which answer."""
    looks: list[tuple[float, str]] = field(default_factory=list)
    """When to evaluate which alert: promtool prints its result, because nothing is expected."""

    def document(self) -> dict[str, Any]:
        """The case as promtool reads it."""
        return {
            "name": self.name,
            "interval": f"{STEP}s",
            "input_series": [
                {"series": _labelled(selector), "values": values} for selector, values in _write(self.phases).items()
            ],
            "promql_expr_test": [
                {"expr": expr, "eval_time": f"{at:g}s", "exp_samples": [{"labels": "{}", "value": value}]}
                for at, expr, value in self.checks
            ],
            "alert_rule_test": [
                {"eval_time": f"{at:g}s", "alertname": name, "exp_alerts": []} for at, name in self.looks
            ],
        }


@functools.cache
def table() -> Mapping[str, Any]:
    """The file as it is."""
    found: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return found


@functools.cache
def groups_by_file() -> Mapping[Path, list[dict[str, Any]]]:
    """Every group of the shipped files."""
    return {path: yaml.safe_load(path.read_text("utf-8"))["groups"] for path in sorted(RULES.glob("*.yml"))}


@functools.cache
def rules_by_file() -> Mapping[Path, list[dict[str, Any]]]:
    """Every rule of the shipped files."""
    return {path: [rule for group in groups for rule in group["rules"]] for path, groups in groups_by_file().items()}


@functools.cache
def alerts() -> Mapping[str, Rule]:
    """Every alert that the table speaks of, by name; raises KeyError for one that it does not know."""
    recorded = {
        rule["record"]: rule["expr"] for rules in rules_by_file().values() for rule in rules if "record" in rule
    }
    found = {}
    for path, rules in rules_by_file().items():
        for rule in (rule for rule in rules if "alert" in rule):
            entry = table()["alerts"][rule["alert"]]
            expr = rule["expr"]
            for name, recorded_expr in recorded.items():
                expr = expr.replace(name, f"({recorded_expr})")
            wait = seconds_of(rule.get("for", "0s"))
            short = entry.get("short", max(STEP, wait - STEP))
            outcome = {situation: entry[situation] for situation in SITUATIONS}
            before, fault, instead = (entry.get(name, {}) for name in ("before", "fault", "instead"))
            found[rule["alert"]] = Rule(rule["alert"], path, expr, wait, before, fault, instead, outcome, short)
    return found


def seconds_of(duration: str) -> float:
    """A duration of PromQL in seconds."""
    return sum(int(number) * _SECONDS[unit] for number, unit in _DURATION.findall(duration))


def window_seconds(expr: str) -> float:
    """The longest window of an expression."""
    windows = [[seconds_of(part) for part in found if part] for found in _WINDOW.findall(expr)]
    return max((sum(parts) for parts in windows), default=0.0)


def collectors_of(rule: Rule) -> dict[str, CollectorSpec]:
    """The exporter's collectors on whose values the alert rests."""
    specs = _specs()
    names = {re.sub("_(bucket|count|sum)$", "", name) for name in asked_names(rule.expr)} | asked_names(rule.expr)
    return {specs[name].name: specs[name] for name in names if name in specs}


@functools.cache
def _specs() -> Mapping[str, CollectorSpec]:
    """The collector of each metric."""
    return {metric.name: spec for spec in discover() for metric in spec.metrics}


def cases_of(path: Path) -> list[Case]:
    """The generated cases of one rule file's alerts."""
    found: list[Case] = []
    for rule in (rule for rule in alerts().values() if rule.file == path):
        if rule.fault:
            found += [_gone(rule), _over(rule)]
        if rule.outcome["failed"] == STALE:
            found.append(_failed(rule))
    return found


def standing(rule: Rule) -> Case:
    """The fault stays, and the alert is evaluated throughout: some rules adapt to a lasting fault."""
    lead, healthy = _lead(rule), _page(rule, None)
    tail = min(LEAD_MAX_SECONDS, window_seconds(rule.expr)) + rule.for_seconds + 2 * AFTERWARDS_SECONDS
    phases = [Phase(lead, healthy), Phase(tail, {**healthy, **rule.fault})]
    looks = [(lead + step * STEP, rule.name) for step in range(0, int(tail / STEP), 4)]
    return Case(rule.name, frozenset({rule.name}), phases, looks=looks)


def fresh() -> Case:
    """Two hours and a half of a healthy, small installation: nothing but the alert that always fires."""
    case = Case("healthy, small, fresh", frozenset(), [Phase(9000, table()["healthy"])])
    case.checks.append((9000, 'count(count_over_time(ALERTS{alertname!="ControlCoreWatchdog"}[150m])) or vector(0)', 0))
    return case


def write_cases(cases: Iterable[Case], folder: Path) -> list[Path]:
    """Writes a promtool file for each case, with the rules that it needs; one promtool runs them all."""
    return [
        write_case(folder / str(number), case.document(), f"{STEP}s", rules_for(case.alerts))
        for number, case in enumerate(cases)
    ]


def write_case(path: Path, case: Mapping[str, Any], interval: str, groups: list[dict[str, Any]]) -> Path:
    """Writes one case and its rules, evaluated once in each interval."""
    rules, cases = path.with_suffix(".rules.json"), path.with_suffix(".test.json")
    rules.write_text(json.dumps({"groups": groups}), encoding="utf-8")
    document = {"rule_files": [str(rules)], "evaluation_interval": interval, "tests": [case]}
    cases.write_text(json.dumps(document), encoding="utf-8")
    return cases


def rules_for(asked: frozenset[str]) -> list[dict[str, Any]]:
    """The groups of these alerts' files without the other alerts, which every step would evaluate for nothing."""
    files = {alerts()[name].file for name in asked} or groups_by_file().keys()
    found = []
    for group in (group for path in sorted(files) for group in groups_by_file()[path]):
        rules = [rule for rule in group["rules"] if not asked or "record" in rule or rule["alert"] in asked]
        if rules:
            found.append(group | {"rules": rules})
    return found


def _gone(rule: Rule) -> Case:
    """The series vanish: the alert in the table fires, and no other alert fires wrongly."""
    teller = alerts().get(rule.outcome["gone"])
    lead = _lead(rule)
    healthy = _page(rule, teller)
    without = {selector: None for selector in healthy if _name(selector) in asked_names(rule.expr)}
    wait = 0.0 if teller is None else teller.for_seconds + min(LEAD_MAX_SECONDS, window_seconds(teller.expr))
    after = max(wait, rule.for_seconds) + AFTERWARDS_SECONDS
    case = Case(
        f"{rule.name} gone",
        frozenset({rule.name} | ({teller.name} if teller else set())),
        [Phase(lead, healthy), Phase(after, {**healthy, **without, **rule.instead})],
    )
    if teller is not None:
        case.checks.append((lead + after, _fires_now(teller.name), 1))
    if teller is None or teller.name != rule.name:
        case.checks.append((lead + after, _has_fired(rule.name, after), 0))
    return case


def _failed(rule: Rule) -> Case:
    """The collector fails on a healthy installation: its absence is reported, and nothing else."""
    lead, healthy = _lead(rule), dict(_page(rule, None))
    failing: dict[str, str | float | None] = dict(healthy)
    for spec in collectors_of(rule).values():
        labels = f'{{collector="{spec.name}"}}'
        last = f"controlcore_scrape_collector_last_success_timestamp_seconds{labels}"
        success = f"controlcore_scrape_collector_success{labels}"
        healthy |= {last: "age 15", success: 1}
        failing |= {last: "stuck 15", success: 0}
        for metric in spec.metrics:
            is_kept = metric.name in spec.always and metric.kind is not Kind.GAUGE
            for selector in healthy:
                if re.sub("_(bucket|count|sum)$", "", _name(selector)) == metric.name or _name(selector) == metric.name:
                    failing[selector] = "+0" if is_kept else None
    after = min(LEAD_MAX_SECONDS, window_seconds(rule.expr)) + rule.for_seconds + AFTERWARDS_SECONDS
    case = Case(f"{rule.name} failed", frozenset({rule.name, STALE}), [Phase(lead, healthy), Phase(after, failing)])
    case.checks.append((lead + after, _fires_now(STALE), 1))
    case.checks.append((lead + after, _has_fired(rule.name, after), 0))
    return case


def _over(rule: Rule) -> Case:
    """A short fault that is over begins to fire at no time after; the same fault fires when it stays."""
    lead, healthy = _lead(rule), _page(rule, None)
    look = min(LEAD_MAX_SECONDS, window_seconds(rule.expr))
    fault = {**healthy, **rule.fault}
    tail = look + rule.for_seconds + AFTERWARDS_SECONDS
    case = Case(f"{rule.name} over", frozenset({rule.name}), [Phase(lead, healthy), Phase(rule.short_seconds, fault)])
    case.phases += [Phase(tail, healthy), Phase(tail, fault)]
    end = lead + rule.short_seconds
    if rule.outcome["over"] == "silent":
        case.checks.append((end + tail - STEP, _has_fired(rule.name, tail + rule.short_seconds), 0))
    case.checks.append((end + 2 * tail, _has_fired(rule.name, tail - STEP), 1))
    return case


def _page(rule: Rule, other: Rule | None) -> Series:
    """The part of the healthy page that the rules use."""
    names = asked_names(rule.expr) | (asked_names(other.expr) if other else frozenset())
    wanted = {selector: value for selector, value in table()["healthy"].items() if _name(selector) in names}
    return {**wanted, **{selector: wanted.get(selector) for selector in (*rule.fault, *rule.instead)}, **rule.before}


def _lead(rule: Rule) -> float:
    """How long the installation was healthy before: as long as the rule's window."""
    return min(LEAD_MAX_SECONDS, window_seconds(rule.expr)) + AFTERWARDS_SECONDS


def _fires_now(alert: str) -> str:
    return f'(count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > bool 0) or vector(0)'


def _has_fired(alert: str, seconds: float) -> str:
    fired = f'count_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[{seconds:.0f}s])'
    return f"(count({fired}) > bool 0) or vector(0)"


def _name(selector: str) -> str:
    return selector.partition("{")[0]


def _labelled(selector: str) -> str:
    name, _, labels = selector.partition("{")
    return f"{name}{{{labels.removesuffix('}')}{', ' if labels else ''}{LABELS}}}"


def _write(phases: Iterable[Phase]) -> dict[str, str]:
    """Every series with its samples, one each step; a rising one continues from its last value."""
    phases = list(phases)
    found: dict[str, list[str]] = {selector: [] for phase in phases for selector in phase.series}
    level: dict[str, float] = {}
    began = 0.0
    for phase in phases:
        steps = round(phase.seconds / STEP)
        for selector, samples in found.items():
            text = phase.series.get(selector)
            samples.extend(
                _absent(samples, steps) if text is None else _samples(selector, str(text), began, steps, level)
            )
        began += steps * STEP
    return {selector: " ".join([*samples, samples[-1].replace("stale", "_")]) for selector, samples in found.items()}


def _absent(before: list[str], steps: int) -> list[str]:
    """No samples; the first is a staleness marker where there was a value, as a scrape leaves it."""
    return ["stale" if before else "_", *["_"] * (steps - 1)]


def _samples(selector: str, text: str, began: float, steps: int, level: dict[str, float]) -> list[str]:
    """The samples of one series in one phase."""
    moments = [began + STEP * step for step in range(steps)]
    word, _, number = text.partition(" ")
    if word == "age":
        return [f"{moment - float(number):g}" for moment in moments]
    if word == "stuck":
        return [f"{began - float(number):g}"] * steps
    start, is_rising, rate = text.partition("+")
    if not is_rising and not _name(selector).endswith("_total"):
        return [text] * steps
    value = level.get(selector, float(start or 0))
    values = [value + float(rate or 0) * STEP * (step + 1) for step in range(steps)]
    level[selector] = values[-1] if values else value
    return [f"{value:.6f}" for value in values]
