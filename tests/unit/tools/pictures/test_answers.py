"""A dashboard with its answers: repeated panels, marks, and the queries as Grafana fills them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from dashboards.src.build import PAGES, render_page
from tools.pictures.answers import Span, answer

CONFIGURATION = "global:\n  scrape_interval: 1s250ms\n  evaluation_interval: 15s\n"
BOUNCERS = ("bouncer-a", "bouncer-b", "bouncer-c")
FIRST, STEPS = 1000.0, 240


@dataclass(frozen=True, slots=True)
class Fake(Span):
    """A Prometheus that has the same line for every query; `alerts` are the times of every annotation."""

    asked: list[str] = field(default_factory=list)
    alerts: tuple[float, ...] = ()

    def _read(self, path: str, **parameters: str | float) -> Any:
        if path == "status/config":
            return {"yaml": CONFIGURATION}
        query = str(parameters["query"])
        self.asked.append(query)
        if query.startswith("count by (bouncer)"):
            return {"result": [{"metric": {"bouncer": name}, "value": [FIRST, "1"]} for name in BOUNCERS]}
        if query.startswith("ALERTS{"):
            return {"result": [{"metric": {}, "values": [[at, "1"] for at in self.alerts]}]}
        return {"result": []}


def _fake(alerts: tuple[float, ...] = ()) -> Fake:
    return Fake("http://prometheus.invalid", FIRST, FIRST + STEPS, alerts=alerts)


def _page(uid: str) -> dict[str, Any]:
    (page,) = [page for page in PAGES if page.uid == uid]
    loaded: dict[str, Any] = json.loads(render_page(page))
    return loaded


@pytest.mark.parametrize("uid", [page.uid for page in PAGES])
def test_nothing_is_left_to_fill_and_panels_do_not_overlap(uid: str) -> None:
    fake = _fake()
    shown = answer(_page(uid), fake)
    assert fake.asked
    assert not any("$" in query for query in fake.asked)
    cells = [
        (place["x"] + dx, place["y"] + dy)
        for place in (panel["gridPos"] for panel in shown["panels"])
        for dx in range(place["w"])
        for dy in range(place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(y for _, y in cells) < shown["rows"]


def test_a_panel_for_each_bouncer_asks_for_that_bouncer_alone() -> None:
    fake = _fake()
    shown = answer(_page("controlcore-bouncers"), fake)
    titles = [panel["title"] for panel in shown["panels"] if panel.get("repeat")]
    assert titles == [f"{name}: {what}" for what in ("canary probe results", "caches") for name in BOUNCERS]
    for name in BOUNCERS:
        assert any(f'bouncer=~"{name}"' in query for query in fake.asked)


def test_the_rate_interval_is_four_scrapes() -> None:
    assert _fake().fill("rate(x[$__rate_interval])", 1.0) == "rate(x[5000ms])"
    assert _fake().fill("rate(x[$__rate_interval])", 15.0) == "rate(x[16250ms])"


def test_the_least_interval_of_a_panel_is_as_many_scrapes_as_printed() -> None:
    fake = _fake()
    shown = answer(_page("controlcore-operations"), fake)
    steps = {panel["title"]: panel["step"] for panel in shown["panels"] if panel["type"] == "timeseries"}
    assert (steps["Decisions"], steps["Webhook requests"]) == (15.0, 1.0)
    assert any("_decisions_total" in query and query.endswith("[16250ms])) > 0") for query in fake.asked)


def test_a_mark_stands_where_something_begins_and_not_where_it_goes_on() -> None:
    shown = answer(_page("controlcore-overview"), _fake((1010.0, 1011.0, 1012.0, 1100.0, 1101.0)))
    assert [(mark["at"], mark["colour"]) for mark in shown["marks"]] == [(1010.0, "red"), (1100.0, "red")]
