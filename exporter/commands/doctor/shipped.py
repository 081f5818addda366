"""The rules and dashboards that belong to this version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.documents import COMMENT, STRING, load_yaml, parse_json

INSTALLED = Path(__file__).parents[2] / "shipped"
"""Where the wheel has them (pyproject.toml)."""
CHECKOUT = Path(__file__).parents[3]
GUIDE_FILE = "guide.yml"
"""The guide's own rules: not loaded where the guide's own file is."""
RATE_INTERVAL, TIME_RANGE = "5m", "1h"
ANYTHING = ".*"
_EMPTY = re.compile(rf"({STRING.pattern})|{COMMENT.pattern}|\s+")
"""Insignificant text; group 1 is a string, which stays unchanged."""
_VARIABLE = re.compile(r"\$(\w+)")


@dataclass(frozen=True, slots=True)
class Rule:
    """The compared parts of an alert or recording rule."""

    name: str
    expr: str
    for_text: str
    labels: Mapping[str, str]
    is_alert: bool
    file: str


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of a dashboard, with every variable set to "All"."""

    dashboard: str
    panel: str
    promql: str


def folder(kind: str) -> Path:
    """Where the files of a kind (`rules` or `dashboards`) are."""
    return INSTALLED / kind if (INSTALLED / kind).is_dir() else CHECKOUT / kind


def read_rules() -> tuple[Rule, ...]:
    """Every shipped rule; blocks on the disk."""
    return tuple(
        _rule(rule, path.name)
        for path in sorted(folder("rules").glob("*.yml"))
        for group in load_yaml(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    )


def read_queries() -> tuple[PanelQuery, ...]:
    """Every query of the shipped dashboards; blocks on the disk."""
    found = []
    for path in sorted(folder("dashboards").glob("*.json")):
        document = parse_json(path.read_bytes())
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                promql = fill_variables(target["expr"], rate_interval=RATE_INTERVAL, time_range=TIME_RANGE)
                found.append(PanelQuery(document["title"], panel["title"], promql))
    return tuple(found)


def _rule(rule: Mapping[str, Any], file: str) -> Rule:
    """A rule from its file."""
    name = rule.get("alert") or rule["record"]
    return Rule(
        name, str(rule["expr"]), str(rule.get("for", "0s")), rule.get("labels", {}), is_alert="alert" in rule, file=file
    )


def squeeze(promql: str) -> str:
    """The expression without comments and white space outside of strings: equal texts mean the same."""
    return _EMPTY.sub(lambda found: found[1] or "", promql)


def fill_variables(
    promql: str, *, rate_interval: str, time_range: str, choices: Mapping[str, str] | None = None
) -> str:
    """The query as Grafana sends it; a variable without a value is "All". Raises ValueError for an unknown variable."""
    values = {
        "__rate_interval": rate_interval,
        "__range": time_range,
        **dict.fromkeys(("cluster", "namespace", "job", "environment"), ANYTHING),
        "bouncer": ".+",
        **(choices or {}),
    }
    filled = _VARIABLE.sub(lambda found: values.get(found[1], found[0]), promql)
    if "$" in filled:
        raise ValueError(f"a variable without a value: {filled}")
    return filled
