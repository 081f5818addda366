"""The committed dashboards: as their sources say, and asking for what is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.src.build import FOLDER, PAGES, find_drift, main, render_page, write_pages
from dashboards.src.panels import Page, Query, UnpublishedError, build_page

RULES = Path(__file__).parents[3] / "rules"
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


def test_committed_files_are_what_their_sources_build() -> None:
    assert find_drift(FOLDER) == []


def test_a_file_that_was_edited_or_has_no_source_is_drift(tmp_path: Path) -> None:
    first, second = write_pages(tmp_path)
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
        for target in panel["targets"]
    }
    assert found == GUIDE
    assert _load("controlcore-overview")["title"] == "Control Core Overview"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
@pytest.mark.parametrize("expr", ["rate(controlcore_renamed_total[5m])", 'controlcore_component_up{compnent="api"}'])
def test_an_unpublished_name_or_label_breaks_the_build(page: Page, expr: str) -> None:
    broken = replace(page.panels[0], queries=(Query(expr, ""),))
    with pytest.raises(UnpublishedError, match=broken.title):
        build_page(replace(page, panels=(broken,)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_a_page_can_be_loaded_anywhere_and_read_by_anybody(page: Page) -> None:
    dashboard = json.loads(render_page(page))
    (variable,) = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert dashboard["uid"] == page.uid
    assert dashboard["editable"] is False
    assert dashboard["schemaVersion"] >= 39
    assert [panel["id"] for panel in dashboard["panels"]] == list(range(1, len(page.panels) + 1))
    for panel in dashboard["panels"]:
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["type"] in {"timeseries", "stat"}
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
        for panel in json.loads(render_page(page))["panels"]
        for target in panel["targets"]
        if panel["type"] == "stat"
    ]
    assert targets
    assert all(target["instant"] and not target["range"] for target in targets)


def test_every_dashboard_that_an_alert_links_to_exists() -> None:
    linked = {
        rule["annotations"]["dashboard_url"]
        for path in RULES.glob("controlcore-*.yml")
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert linked <= {f"/d/{page.uid}" for page in PAGES}
