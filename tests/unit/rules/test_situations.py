"""Part 4 of the promise: what every alert says in four situations is written down, for each alert there is.

The cases themselves run in tests/integration/rules/test_situations.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from chassis.documents import asked_names
from tools.rules.situations import SITUATIONS, STALE, TABLE, alerts, collectors_of, rules_by_file, table

RULES = [
    pytest.param(rule, id=rule["alert"]) for rules in rules_by_file().values() for rule in rules if "alert" in rule
]
ALERTS = {parameters.values[0]["alert"] for parameters in RULES}
SILENT, EVENTS = "silent: ", "events: "


@pytest.mark.parametrize("rule", RULES)
def test_every_alert_has_a_stated_outcome_for_each_situation(rule: dict[str, Any]) -> None:
    """P4, P6, P8: a new alert says what becomes of it when its subject, its collector or its fault is gone."""
    assert rule["alert"] in table()["alerts"], f"say in {TABLE} what {rule['alert']} does in each situation"
    entry = table()["alerts"][rule["alert"]]
    assert set(SITUATIONS) <= entry.keys()
    assert entry.get("fault") or rule["expr"] == "vector(1)"
    assert entry["gone"] in ALERTS or len(entry["gone"].removeprefix(SILENT)) < len(entry["gone"])
    assert entry["failed"] == STALE or entry["failed"].startswith(SILENT)
    assert entry["over"] == "silent" or entry["over"].startswith(EVENTS)


def test_the_table_speaks_of_no_other_alert() -> None:
    assert table()["alerts"].keys() == ALERTS


@pytest.mark.parametrize("rule", RULES)
def test_the_fresh_page_has_a_value_for_everything_an_alert_looks_at(rule: dict[str, Any]) -> None:
    """P8, P10: else "nothing fires on a healthy, small, fresh installation" would be true for want of series."""
    page = {selector.partition("{")[0] for selector in table()["healthy"]}
    missing = asked_names(alerts()[rule["alert"]].expr) - page
    assert not missing, f"say under `healthy` in {TABLE} what a healthy, small, fresh installation shows: {missing}"


@pytest.mark.parametrize("rule", RULES)
def test_an_alert_on_collected_values_is_told_as_stale(rule: dict[str, Any]) -> None:
    """One alert reports a failed collector, and only alerts without a collector are exempt."""
    found = alerts()[rule["alert"]]
    assert bool(collectors_of(found)) == (found.outcome["failed"] == STALE)
