"""The committed dashboards: as their sources say, and asking for what is published."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.src.build import FOLDER, PAGES, find_drift, main, render_page, write_pages
from dashboards.src.panels import Page, Query, Section, UnpublishedError, build_page
from dashboards.src.variables import BOUNCER
from tools.generate.links import read_links

ROOT = Path(__file__).parents[3]
RULES = ROOT / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
WIDTH = 1500
"""Pixels of a dashboard in an ordinary window."""
LABELS_OF = {
    "All bouncers": ["Bouncer"],
    "Collectors": ["Collector"],
    "Firing alerts by name": ["Cluster", "Alert", "Severity", "Component", "Bouncer"],
}
GUIDE = {
    "API Response Time": (
        "timeseries",
        "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))",
        "95th percentile",
    ),
    "Policy Evaluations": ("timeseries", "rate(policy_evaluations_total[5m])", "Evaluations/sec"),
    "Active Users": ("stat", "active_users_total", "Active Users"),
}


def _load(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _panels(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(render_page(page))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def test_committed_files_are_what_their_sources_build() -> None:
    assert find_drift(FOLDER) == [], "run `make generate`"


def test_a_file_that_was_edited_or_has_no_source_is_drift(tmp_path: Path) -> None:
    first, second, *_ = write_pages(tmp_path)
    stray = tmp_path / "stray.json"
    stray.write_text("{}", encoding="utf-8")
    first.write_text(first.read_text("utf-8").replace("now-3h", "now-6h"), encoding="utf-8")
    second.unlink()
    assert find_drift(tmp_path) == [first, second, stray]


def test_the_check_passes_on_the_committed_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_the_overview_has_the_guides_three_panels_as_printed() -> None:
    found = {
        panel["title"]: (panel["type"], target["expr"], target["legendFormat"])
        for panel in _load("controlcore-overview")["panels"]
        for target in panel.get("targets", ())
        if panel["title"] in GUIDE
    }
    assert found == GUIDE
    assert _load("controlcore-overview")["title"] == "Control Core Overview"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
@pytest.mark.parametrize("expr", ["rate(controlcore_renamed_total[5m])", 'controlcore_component_up{compnent="api"}'])
def test_an_unpublished_name_or_label_breaks_the_build(page: Page, expr: str) -> None:
    broken = replace(page.panels[0], queries=(Query(expr, ""),))
    with pytest.raises(UnpublishedError, match=broken.title):
        build_page(replace(page, sections=(Section("Row", (broken,)),)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_a_page_can_be_loaded_anywhere_and_changed_there(page: Page) -> None:
    dashboard = json.loads(render_page(page))
    variable = dashboard["templating"]["list"][0]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert dashboard["uid"] == page.uid
    assert dashboard["editable"] is True
    assert dashboard["schemaVersion"] >= 39
    assert [panel["id"] for panel in dashboard["panels"]] == list(range(1, len(dashboard["panels"]) + 1))
    for panel in _panels(page):
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["type"] in {"timeseries", "stat", "heatmap", "table"}
        places = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
        assert places == {"${datasource}"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_panels_do_not_overlap(page: Page) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in json.loads(render_page(page))["panels"]:
        place = panel["gridPos"]
        mine = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & mine
        cells |= mine


def test_numbers_show_now_and_not_the_last_that_was_known() -> None:
    targets = [
        target
        for page in PAGES
        for panel in _panels(page)
        for target in panel["targets"]
        if panel["type"] in {"stat", "table"}
    ]
    assert targets
    assert all(target["instant"] and not target["range"] for target in targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_every_variable_that_is_used_is_there(page: Page) -> None:
    dashboard = json.loads(render_page(page))
    text = json.dumps([dashboard["panels"], dashboard["annotations"]])
    variables = dashboard["templating"]["list"]
    used = set(re.findall(r"\$\{?([a-z]\w*)", text + json.dumps([item["query"] for item in variables])))
    assert used == {variable["name"] for variable in variables}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_a_choice_among_labels_that_nobody_publishes_breaks_the_build(page: Page) -> None:
    with pytest.raises(UnpublishedError, match="Bouncer"):
        build_page(replace(page, variables=(replace(BOUNCER, label_name="bouncr"),)))


def test_runbook_links_lead_to_pages_that_exist() -> None:
    links = [link["url"] for page in PAGES for panel in _panels(page) for link in panel.get("links", ())]
    links = [link for link in links if not link.startswith("/d/")]
    assert len(links) > 20
    for link in links:
        assert (RUNBOOKS / link.removeprefix("${runbooks}/")).is_file(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_counters_are_shown_as_what_happened_in_a_time(page: Page) -> None:
    """The value of a counter means nothing. `active_users_total` is the guide's name of a gauge."""
    for panel in _panels(page):
        for target in panel["targets"]:
            for name in re.findall(r"\b\w+_(?:total|bucket)\b", target["expr"]):
                if name != "active_users_total":
                    assert re.search(rf"(?:rate|increase)\({name}\b", target["expr"]), target["expr"]


def test_a_table_names_every_column_and_gives_it_its_unit() -> None:
    """An empty cell would otherwise show the panel's text for no data."""
    tables = [panel for page in PAGES for panel in _panels(page) if panel["type"] == "table"]
    assert len(tables) == 4
    for table in tables:
        (organize,) = [item for item in table["transformations"] if item["id"] == "organize"]
        titles = [target["legendFormat"] for target in table["targets"]]
        names, order = organize["options"]["renameByName"], organize["options"]["indexByName"]
        assert names.keys() == order.keys()
        in_order = [names[name] for name in sorted(order, key=order.__getitem__)]
        found = {
            item["matcher"]["options"]: {each["id"]: each["value"] for each in item["properties"]}
            for item in table["fieldConfig"]["overrides"]
        }
        assert in_order == list(found) == [*LABELS_OF[table["title"]], *titles]
        assert all(found[title]["unit"] and found[title]["noValue"] == "unknown" for title in titles)
        assert all(found[label]["noValue"] == "-" for label in LABELS_OF[table["title"]])
        assert (
            table["fieldConfig"]["defaults"]["custom"]["minWidth"] * len(in_order) < WIDTH * table["gridPos"]["w"] / 24
        )
        assert table["options"]["sortBy"] == [{"displayName": titles[0], "desc": False}]
        assert {target["format"] for target in table["targets"]} == {"table"}


def test_a_heatmap_takes_its_buckets_as_they_are() -> None:
    (heatmap,) = [panel for page in PAGES for panel in _panels(page) if panel["type"] == "heatmap"]
    assert heatmap["options"]["calculate"] is False
    assert (heatmap["options"]["yAxis"]["unit"], heatmap["options"]["cellValues"]["unit"]) == ("s", "short")
    assert [target["format"] for target in heatmap["targets"]] == ["heatmap"]


def test_every_dashboard_that_an_alert_links_to_exists() -> None:
    linked = {
        rule["annotations"]["dashboard_url"]
        for path in RULES.glob("controlcore-*.yml")
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert linked <= {read_links().dashboard(page.uid) for page in PAGES}
