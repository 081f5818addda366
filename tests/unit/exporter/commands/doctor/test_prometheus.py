"""Targets, rules and series: what of Prometheus is a finding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chassis.output.findings import Severity
from chassis.process.build_info import version
from exporter.commands.doctor.prometheus import find_targets
from exporter.commands.doctor.rules import LoadedRule, compare, find_repeated, find_rules
from exporter.commands.doctor.series import Catalogue, Question, find_panels, find_series
from exporter.commands.doctor.shipped import PanelQuery, Rule, read_queries, read_rules, squeeze

OWN = version().partition("+")[0]
TARGET: dict[str, Any] = {"scrapeUrl": "http://e:9877/metrics", "health": "up", "scrapeInterval": "15s"}
RULE = Rule("ControlCoreA", "max by (x) (a) > 1", "5m", {"severity": "critical"}, is_alert=True, file="a.yml")
LOADED = LoadedRule("ControlCoreA", "max by (x) (a) > 1", 300.0, {"severity": "critical"}, is_alert=True, fault="")


def test_scraped_exporter_is_no_finding() -> None:
    assert find_targets([OWN], [TARGET], 9877, "http://p", "t") == []


def test_target_that_is_down_slow_or_another_version_is_told() -> None:
    (down,) = find_targets([], [{**TARGET, "health": "down", "lastError": "refused"}], 9877, "http://p", "t")
    assert (down.severity, down.evidence) == (Severity.ERROR, "refused")
    (slow,) = find_targets([OWN], [{**TARGET, "scrapeInterval": "1m"}], 9877, "http://p", "t")
    assert (slow.severity, slow.evidence) == (Severity.WARNING, "scrape_interval is 60 s")
    (other,) = find_targets(["0.0.1"], [TARGET], 9877, "http://p", "t")
    assert other.severity is Severity.INFO


def test_target_without_the_exporters_series_is_told_beside_what_else_is_wrong() -> None:
    slow, nothing = find_targets([], [{**TARGET, "scrapeInterval": "1m"}], 9877, "http://p", "t")
    assert (slow.severity, nothing.severity) == (Severity.WARNING, Severity.ERROR)
    assert "has no series of controlcore-exporter" in nothing.problem
    assert "scrape_configs" not in nothing.remedy


def test_target_that_was_not_scraped_yet_is_unknown() -> None:
    (finding,) = find_targets([], [{**TARGET, "health": "unknown"}], 9877, "http://p", "t")
    assert (finding.severity, finding.evidence) == (
        Severity.UNKNOWN, "Prometheus has not scraped http://e:9877/metrics yet",
    )  # fmt: skip


def test_parameters_of_a_target_are_not_shown() -> None:
    target = {**TARGET, "health": "down", "scrapeUrl": "http://ann:pw@h:9877/metrics?token=kept-secret&a=b"}
    (finding,) = find_targets([], [target], 9877, "http://p", "t")
    assert finding.problem == "Prometheus cannot scrape http://h:9877/metrics"
    assert finding.remedy.endswith("curl -s http://h:9877/metrics | head")


def test_nothing_scraped_shows_what_to_write() -> None:
    (finding,) = find_targets([], [], 9999, "http://p", "t")
    assert 'targets: ["HOST:9999"]' in finding.remedy


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, ""),
        ({"expr": "max  by(x) (a)\n> 1 # why"}, ""),
        ({"labels": {"severity": "critical", "team": "a"}}, ""),
        ({"expr": "max by (x) (a) > 2"}, "tuned"),
        ({"for_seconds": 60.0}, "tuned"),
        ({"expr": "max by (x) (b) > 1"}, "different"),
        ({"labels": {"severity": "warning"}}, "different"),
        ({"is_alert": False}, "missing"),
        ({"name": "ControlCoreB"}, "missing"),
    ],
)
def test_rule_is_compared_by_what_it_means(change: dict[str, Any], kind: str) -> None:
    found = compare([RULE], [replace(LOADED, **change)], {})
    assert [name for name in ("missing", "different", "tuned") if getattr(found, name)] == ([kind] if kind else [])


def test_signs_within_strings_are_no_comments_and_no_space() -> None:
    assert squeeze('a{x=~"b#c"}  # why\n > 1') == 'a{x=~"b#c"}>1'
    assert squeeze('a{x="b c"}') != squeeze('a{x="bc"}')


def test_expressions_that_prometheus_writes_alike_are_the_same() -> None:
    loaded = replace(LOADED, expr="max(a) by (x) > 1")
    written = {RULE.expr: squeeze(RULE.expr), loaded.expr: squeeze(RULE.expr)}
    assert compare([RULE], [loaded], written).different == ()


def test_findings_about_rules() -> None:
    all_well = compare([RULE], [LOADED], {})
    assert find_rules(1, all_well, [LOADED], "http://p", "r") == []
    (none,) = find_rules(1, compare([RULE], [], {}), [], "http://p", "r")
    assert (none.severity, none.evidence) == (Severity.ERROR, "0 of 1 rules, 0 others")
    (faulty,) = find_rules(1, all_well, [replace(LOADED, fault="many-to-many")], "http://p", "r")
    assert faulty.evidence == "ControlCoreA: many-to-many"
    (tuned,) = find_rules(1, compare([RULE], [replace(LOADED, for_seconds=1.0)], {}), [LOADED], "http://p", "r")
    assert tuned.severity is Severity.INFO


GUIDE = replace(RULE, name="HighCPUUsage", file="guide.yml")


@pytest.mark.parametrize(
    ("name", "remedy"), [("HighCPUUsage", "take guide.yml away"), ("ControlCoreA", "keep one of these files")]
)
def test_alert_that_two_files_make_is_told_with_both(name: str, remedy: str) -> None:
    loaded = [replace(LOADED, name=name, file="/r/guide.yml"), replace(LOADED, name=name, file="/r/own.yml")]
    (found,) = find_repeated([RULE, GUIDE], loaded, "r")
    assert (found.severity, found.evidence) == (Severity.WARNING, f"{name}: /r/guide.yml, /r/own.yml")
    assert remedy in found.remedy


@pytest.mark.parametrize("change", [{"labels": {"severity": "warning"}}, {"is_alert": False}, {"name": "Foreign"}])
def test_rules_that_make_different_alerts_are_not_repeated(change: dict[str, Any]) -> None:
    name = change.get("name", LOADED.name)
    assert find_repeated([RULE, GUIDE], [replace(LOADED, name=name), replace(LOADED, **change)], "r") == []


KNOWN = Catalogue(
    owners={"controlcore_a": "lamp", "controlcore_b": "door", "guide_name": "lamp"},
    published=frozenset({"controlcore_a"}),
    stored=frozenset({"controlcore_exporter_build_info"}),
    recorded=frozenset({"controlcore:rate"}),
    silent={"door": "set door.url"},
    guide=frozenset(),
)


@pytest.mark.parametrize(
    ("names", "known", "severity", "words"),
    [
        ({"controlcore_a"}, {"stored": frozenset({"controlcore_a"})}, None, ""),
        ({"controlcore_a"}, {}, Severity.WARNING, "are not in Prometheus"),
        ({"controlcore_gone"}, {}, Severity.WARNING, "this version does not publish"),
        ({"controlcore_b"}, {}, Severity.INFO, "not configured"),
        ({"controlcore_b"}, {"silent": {}}, None, ""),
        ({"controlcore_b", "controlcore_c"}, {"stored": frozenset({"controlcore_c"})}, None, ""),
        ({"controlcore_remediation_open"}, {}, Severity.INFO, "not configured"),
        ({"controlcore:rate"}, {}, None, ""),
        ({"guide_name"}, {"guide": frozenset({"guide_name"})}, Severity.INFO, "not configured"),
        ({"up"}, {}, None, ""),
    ],
)
def test_rule_without_series_is_told_with_the_reason(
    names: set[str], known: dict[str, Any], severity: Severity | None, words: str
) -> None:
    found = find_series([Question("A", frozenset(names), is_absence=False)], replace(KNOWN, **known), "s")
    assert [each.severity for each in found] == ([] if severity is None else [severity])
    assert all(words in each.problem for each in found)


@pytest.mark.parametrize(("panels", "words"), [(1, "1 panel"), (2, "2 panels")])
def test_silent_panels_are_counted(panels: int, words: str) -> None:
    asked = [Question(f"Board / {number}", frozenset({"controlcore_b"}), is_absence=False) for number in range(panels)]
    (found,) = find_series(asked, KNOWN, "s")
    assert found.evidence == f"set door.url: {words}"


def test_rule_about_absence_needs_no_series() -> None:
    assert find_series([Question("A", frozenset({"controlcore_b"}), is_absence=True)], KNOWN, "s") == []


def test_panels_refused_and_empty() -> None:
    refused, empty, elsewhere = (PanelQuery("D", name, promql) for name, promql in (("r", "a"), ("e", "a"), ("x", "b")))
    warned, noted = find_panels({refused: "parse error", empty: 0, elsewhere: 0}, frozenset({"a"}), "d")
    assert (warned.severity, warned.evidence) == (Severity.WARNING, "D / r: parse error")
    assert (noted.severity, noted.evidence) == (Severity.INFO, "D / e")


def test_shipped_rules_and_dashboards_are_found() -> None:
    rules, queries = read_rules(), read_queries()
    assert {"ControlCoreDatabaseDown", "ControlCoreWatchdog"} <= {rule.name for rule in rules}
    assert all("$" not in query.promql for query in queries)
    assert len({query.dashboard for query in queries}) >= 6
