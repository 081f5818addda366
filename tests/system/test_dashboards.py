"""Every query of every dashboard has data on an installation in which everything is configured.

A query of events (`… > 0`) may be empty, because there may be none: then the panel's own total, whose legend says that
0 is good, must have data. There is no other exception. `make pictures` runs this test and draws docs/images/dashboards
from the same Prometheus.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.src.build import PAGES, render_page
from dashboards.src.panels import TOTAL
from exporter.commands.doctor.shipped import fill_variables
from tests.system.full_installation import SCRAPE_SECONDS, Installation, opened_installation, play_faults, play_repair
from tools.pictures.__main__ import draw_all

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster
    from tools.servers.kubernetes.metrics_api import MetricsApi
    from tools.servers.prometheus import PrometheusServer

pytestmark = pytest.mark.timeout(180)
WRITE_VARIABLE = "CONTROLCORE_WRITE_PICTURES"
FURTHER_REPAIRS = 1
"""Of a picture, so that its graphs have a past."""
STEP_SECONDS = 1.0
COMPARED = "count(controlcore_remediation_journal_writable offset 60s)"
"""Something once the remediator has been scraped for a minute: the annotation compares with a minute before."""
RATE_INTERVAL = f"{math.ceil(4 * SCRAPE_SECONDS)}s"
"""As Grafana chooses it: four scrapes."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A query as a dashboard sends it, and where."""

    place: str
    expr: str
    legend: str
    panel: str


def shown_queries(dashboard: dict[str, Any]) -> Iterator[Shown]:
    """The queries of all panels and annotations."""
    uid = dashboard["uid"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            place = f"{uid}: {panel['title']}: {target['legendFormat']}"
            yield Shown(place, target["expr"], target["legendFormat"], panel["title"])
    for mark in dashboard["annotations"]["list"]:
        yield Shown(f"{uid}: annotation {mark['name']}", mark["expr"], "", "")


def without_data(prometheus: PrometheusServer, began: float, choices: dict[str, str] | None = None) -> list[str]:
    """The queries of all dashboards that had no value at any time since `began`."""
    empty = []
    for page in PAGES:
        shown = list(shown_queries(json.loads(render_page(page))))
        filled = {each: has_data(prometheus, each.expr, began, choices or {}) for each in shown}
        are_well = {each.panel for each, is_there in filled.items() if is_there and each.legend == TOTAL}
        for each, is_there in filled.items():
            is_allowed = each.expr.endswith("> 0") and each.panel in are_well
            if not is_there and not is_allowed:
                empty.append(f"{each.place}\n    {each.expr}")
    return empty


def has_data(prometheus: PrometheusServer, expr: str, began: float, choices: dict[str, str]) -> bool:
    """Whether the query has a number at some time since `began`."""
    now = time.time()
    query = fill_variables(expr, rate_interval=RATE_INTERVAL, time_range=f"{math.ceil(now - began)}s", choices=choices)
    data = prometheus.read("query_range", query=query, start=began, end=now, step=STEP_SECONDS)
    return any(value != "NaN" for series in data["result"] for _, value in series["values"])


def offered(prometheus: PrometheusServer) -> dict[str, list[str]]:
    """The values of each dashboard variable, by its own query with everything else at "All"."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for variable in json.loads(render_page(page))["templating"]["list"]:
            if variable["type"] != "query":
                continue
            selector, _, label = variable["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
            query = fill_variables(selector, rate_interval=RATE_INTERVAL, time_range="1m")
            samples = prometheus.query(f"count by ({label}) ({query})")
            found[variable["name"]] = sorted({sample.labels.get(label, "") for sample in samples} - {""})
    return found


def test_every_query_has_data_where_everything_is_configured(
    cluster: Cluster, namespace: str, metrics_api: MetricsApi, tmp_path: Path
) -> None:
    began = time.time()
    with opened_installation(cluster, namespace, metrics_api, tmp_path) as installation:
        play_faults(installation)
        installation.await_value(COMPARED, 90)
        if os.environ.get(WRITE_VARIABLE):
            for _ in range(FURTHER_REPAIRS):
                play_repair(installation)
            draw_all(installation.prometheus.url, began)
        check_queries(installation, began)


def check_queries(installation: Installation, began: float) -> None:
    """With every choice at "All", and with every offered value chosen one by one."""
    prometheus = installation.prometheus
    values = offered(prometheus)
    assert all(values.values()), values
    assert (values["cluster"], values["namespace"]) == (["demo"], [installation.namespace])
    empty = without_data(prometheus, began)
    assert not empty, "\n".join(empty)
    chosen = {name: f"({'|'.join(each)})" for name, each in values.items()}
    empty = without_data(prometheus, began, chosen)
    assert not empty, f"chosen: {chosen}\n" + "\n".join(empty)
