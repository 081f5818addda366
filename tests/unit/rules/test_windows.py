"""The transform behind demo and fault runs: windows shrink, nothing else moves."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools.rules.time_scale import (
    WindowError,
    divide_duration,
    divide_expression,
    divide_folder,
    divide_rules,
    map_windows,
)

RULES = Path(__file__).parents[3] / "rules"
FILES = sorted(RULES.glob("*.yml"))


@pytest.mark.parametrize(
    ("duration", "factor", "expected"),
    [
        ("5m", 10, "30s"),
        ("2m", 60, "2s"),
        ("1m", 7, "8s571ms"),
        ("1h30m", 3, "30m"),
        ("1d", 1, "24h"),
        ("15s", 100_000, "1ms"),
        ("0s", 10, "0s"),
        ("0", 10, "0"),
    ],
)
def test_duration_divides_to_whole_milliseconds(duration: str, factor: float, expected: str) -> None:
    assert expected == divide_duration(duration, factor)


@pytest.mark.parametrize("duration", ["", "5", "five", "5 m", "5m+1s", "-5m", "$__rate_interval"])
def test_what_is_no_plain_duration_is_refused(duration: str) -> None:
    with pytest.raises(WindowError):
        divide_duration(duration, 2)


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("rate(x[5m])", "rate(x[30s])"),
        ("rate(x[ 5m ])", "rate(x[ 30s ])"),
        ("max_over_time(rate(x[5m])[30m:1m])", "max_over_time(rate(x[30s])[3m:6s])"),
        ("avg_over_time(x[10m:])", "avg_over_time(x[1m:])"),
        ("x offset 10m", "x offset 1m"),
        ("x OFFSET -10m > 300", "x OFFSET -1m > 300"),
        ("(x offset 10m) + y", "(x offset 1m) + y"),
        ("x{a=\"[5m]\", b='offset 5m'} + y[5m]", "x{a=\"[5m]\", b='offset 5m'} + y[30s]"),
        ('x{a="\\"[5m]"}', 'x{a="\\"[5m]"}'),
        ("x # rate(x[5m])\n + y[5m]", "x # rate(x[5m])\n + y[30s]"),
        ('sum by (offset) (x) + y{offset="5m"}', 'sum by (offset) (x) + y{offset="5m"}'),
        ("time() - x > 300", "time() - x > 300"),
    ],
)
def test_only_windows_of_an_expression_change(promql: str, expected: str) -> None:
    assert expected == divide_expression(promql, 10)


def test_a_range_in_bare_seconds_is_refused_rather_than_left() -> None:
    with pytest.raises(WindowError):
        divide_expression("rate(x[300])", 10)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("factor", [1, 7.5, 60])
def test_shipped_rules_differ_in_their_windows_only(path: Path, factor: float) -> None:
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    after = yaml.safe_load(divide_rules(path.read_text(encoding="utf-8"), factor))
    assert _without_windows(before) == _without_windows(after)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_window_of_the_shipped_rules_is_divided(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    before = _windows(yaml.safe_load(text))
    after = _windows(yaml.safe_load(divide_rules(text, 10)))
    assert [divide_duration(window, 10) for window in before] == after


def test_a_folder_is_copied_with_its_rule_files_only(tmp_path: Path) -> None:
    written = divide_folder(RULES, tmp_path, 10)
    assert [path.name for path in FILES] == [path.name for path in written]
    assert sorted(written) == sorted(tmp_path.rglob("*.*"))


def test_group_windows_are_divided_and_other_group_fields_kept() -> None:
    text = "groups: [{name: a, interval: 1m, limit: 10, rules: [{record: b, expr: 1}]}]"
    (group,) = yaml.safe_load(divide_rules(text, 10))["groups"]
    expected = {"name": "a", "interval": "6s", "limit": 10, "rules": [{"record": "b", "expr": "1"}]}
    assert expected == group


def _without_windows(document: dict) -> dict:
    """The document with every window masked."""
    for group in document["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            for name in ("for", "keep_firing_for"):
                if name in rule:
                    rule[name] = "W"
            rule["expr"] = map_windows(rule["expr"], lambda _: "W")
    return document


def _windows(document: dict) -> list[str]:
    """Every window, in order."""
    found: list[str] = []

    def note(window: str) -> str:
        found.append(window)
        return window

    for group in document["groups"]:
        for rule in group["rules"]:
            found += [rule[name] for name in ("for", "keep_firing_for") if name in rule]
            map_windows(rule["expr"], note)
    return found
