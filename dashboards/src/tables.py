"""Tables: a column for each label and each query, the rows that need attention first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.models import dashboard as model

from dashboards.src.forms import State

UNKNOWN = "unknown"
"""In the place of a figure that a row lacks. Without it each such cell would hold the panel's own text for no data."""
NO_LABEL = "-"
LABELS = {
    "alertname": "Alert",
    "bouncer": "Bouncer",
    "cluster": "Cluster",
    "collector": "Collector",
    "component": "Component",
    "severity": "Severity",
}
"""Titles of the label columns."""
WIDTHS = {"alertname": 290, "bouncer": 150}
"""In pixels, where equal widths would cut the text off."""
MIN_WIDTH = 80
"""In pixels. With Grafana's 150 the bouncers' twelve columns do not fit."""
_GROUPING = re.compile(r"\bby \(([^)]*)\)")


def arrange_columns(table: Table, promql: str, columns: Sequence[tuple[str, str, State | None]]) -> None:
    """Gives each label of the expression and each query a column: (title, unit, what 1 and 0 mean), in this order.

    Rows are in rising order of the first query: 0, that is down or failing, and the newest alert come first.
    """
    labels = _labels(promql)
    values = {f"Value #{chr(ord('A') + number)}": title for number, (title, _, _) in enumerate(columns)}
    if len(columns) == 1:
        values = {"Value": columns[0][0]}
    names = {**{label: LABELS[label] for label in labels}, **values}
    order = {name: number for number, name in enumerate(names)}
    options: dict[str, object] = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    table.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    table.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))
    table.sort_by([TableSortByFieldState().display_name(columns[0][0]).desc(False)])
    table.min_width(MIN_WIDTH)
    for label in labels:
        properties: dict[str, object] = {"noValue": NO_LABEL}
        if label in WIDTHS:
            properties["custom.width"] = WIDTHS[label]
        _override(table, LABELS[label], properties)
    for title, unit, state in columns:
        properties = {"unit": unit, "noValue": UNKNOWN}
        if state is not None:
            properties["mappings"] = state.mappings
            properties["custom.cellOptions"] = {"type": "color-text"}
        _override(table, title, properties)


def _labels(promql: str) -> list[str]:
    """The labels by which the expression is grouped, in their order."""
    found = _GROUPING.search(promql)
    return [label.strip() for label in found[1].split(",")] if found else []


def _override(table: Table, title: str, properties: dict[str, object]) -> None:
    """Sets properties of one column."""
    table.override_by_name(
        title, [model.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()]
    )
