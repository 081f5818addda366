"""What holds over all dashboards: choices, first row, units, limits, legends, mappings, texts without data, links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from chassis.documents import asked_names, duration_seconds
from dashboards.src.build import PAGES, render_page
from dashboards.src.forms import CRITICAL, OK, WARNING, Form
from dashboards.src.pages.first_row import FIRST_ROW
from dashboards.src.panels import ENTRY, WINDOW, Page, Panel
from dashboards.src.scope import TARGET, carries_environment
from tools.rules.catalogue import PROMETHEUS_OWN, asked_labels

RULES = Path(__file__).parents[3] / "rules"
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
GRAPHS = {Form.LINES, Form.STACK, Form.BARS}
OF_THE_GUIDE = {"API Response Time", "Policy Evaluations", "Active Users"}
NOT_THE_FIELDS = re.compile(
    r"way in|known|found|questions?|who|somebody|nobody|may it|takes?|goes|answers\b|sign of|asked|tells?\b",
    re.IGNORECASE,
)
METRIC = re.compile(r"\bcontrolcore_\w+")


def _load(page: Page) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(render_page(page))
    return loaded


def _panels(page: Page) -> list[dict[str, Any]]:
    return [panel for panel in _load(page)["panels"] if panel["type"] != "row"]


def _all() -> Iterator[tuple[Panel, dict[str, Any]]]:
    """Every panel of every page, as a value and as JSON."""
    for page in PAGES:
        yield from zip(page.panels, _panels(page), strict=True)


def _alert_limits() -> dict[str, set[float]]:
    """The figures that each shipped alert compares with; products such as `14.4 * 0.01` are worked out."""
    found: dict[str, set[float]] = {}
    for path in RULES.glob("controlcore-*.yml"):
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                pairs = re.findall(r"[<>]=?\s*([\d.e]+)(?:\s*\*\s*([\d.e]+))?", rule["expr"])
                figures = {round(float(one) * float(other or 1), 9) for one, other in pairs}
                found[rule.get("alert", "")] = figures
    return found


@EVERY_PAGE
def test_cluster_namespace_and_job_are_chosen_beside_the_data_source(page: Page) -> None:
    variables = {item["name"]: item for item in _load(page)["templating"]["list"]}
    assert list(variables)[:4] == ["datasource", *TARGET]
    asked = {name for panel in page.panels for query in panel.queries for name in asked_names(query.expr)}
    assert ("environment" in variables) == any(carries_environment(name) for name in asked)
    for name in set(variables) & {*TARGET, "environment"}:
        choice = variables[name]
        assert (choice["multi"], choice["includeAll"], choice["allValue"], choice["refresh"]) == (True, True, ".*", 2)
        assert choice["current"]["value"] == "$__all"


@EVERY_PAGE
def test_every_selector_follows_the_choices(page: Page) -> None:
    """`.*` matches a series that lacks the label, so "All" loses nothing."""
    for panel, found in zip(page.panels, _panels(page), strict=True):
        for target in found["targets"]:
            if panel.is_as_printed:
                assert panel.title in OF_THE_GUIDE
                continue
            labels = asked_labels(target["expr"])
            for name in asked_names(target["expr"]):
                wanted = {"cluster", "namespace"} if name in PROMETHEUS_OWN else set(TARGET)
                wanted |= {"policy_environment"} if carries_environment(name) else set()
                assert wanted <= labels.get(name, frozenset()), target["expr"]


@EVERY_PAGE
def test_the_first_row_says_what_is_up_what_fires_what_is_open_and_what_is_paused(page: Page) -> None:
    assert page.sections[0] == FIRST_ROW
    row, *found = _load(page)["panels"][:5]
    assert row["type"] == "row"
    assert [panel["title"] for panel in found] == [
        "Control Core",
        "Firing alerts",
        "Open remediations",
        "Remediation paused",
    ]
    down, well = found[0]["targets"]
    assert (down["legendFormat"], well["legendFormat"]) == ("{{cluster}} {{instance}}", "Control Core")
    assert [panel["gridPos"] for panel in found] == [{"h": 4, "w": 6, "x": x, "y": 1} for x in (0, 6, 12, 18)]


def test_one_critical_alert_is_red_and_another_is_orange() -> None:
    firing = next(found for panel, found in _all() if panel.title == "Firing alerts")
    (override,) = firing["fieldConfig"]["overrides"]
    (thresholds,) = override["properties"]
    critical = [(step["value"], step["color"]) for step in thresholds["value"]["steps"]]
    other = [(step["value"], step["color"]) for step in firing["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert override["matcher"]["options"] == "critical"
    assert (critical, other) == ([(None, "green"), (1, "red")], [(None, "green"), (1, "orange")])


@EVERY_PAGE
def test_every_panel_is_below_a_row(page: Page) -> None:
    panels = _load(page)["panels"]
    rows = [panel for panel in panels if panel["type"] == "row"]
    assert panels[0] in rows
    assert [row["title"] for row in rows] == [section.title for section in page.sections]
    assert len(rows) >= 3
    assert all(not row["collapsed"] for row in rows)


@EVERY_PAGE
def test_titles_are_in_the_fields_terms_and_name_one_thing(page: Page) -> None:
    titles = [panel.title for panel in page.panels]
    assert len(set(titles)) == len(titles)
    for title in titles:
        assert NOT_THE_FIELDS.search(title) is None, title


def test_the_fields_terms_are_used() -> None:
    titles = " ".join(panel.title for page in PAGES for panel in page.panels).lower()
    for term in (
        "latency to connect",
        "staleness",
        "buffer cache hit ratio",
        "keyspace hit ratio",
        "canary probe",
        "waiting backends",
        "paused",
    ):
        assert term in titles


def test_a_ratio_has_an_axis_from_zero_to_the_whole() -> None:
    ratios = [(panel, found) for panel, found in _all() if panel.unit == "percentunit"]
    assert len(ratios) > 5
    for panel, found in ratios:
        defaults = found["fieldConfig"]["defaults"]
        assert defaults["min"] == 0, panel.title
        assert defaults.get("max") == 1 or defaults["custom"]["axisSoftMax"] > 0, panel.title


def test_graphs_start_at_zero_and_have_a_table_with_last_and_maximum_beside_them() -> None:
    graphs = [found for panel, found in _all() if panel.form in GRAPHS]
    assert graphs
    for found in graphs:
        legend = found["options"]["legend"]
        assert (legend["displayMode"], legend["placement"]) == ("table", "right")
        assert legend["calcs"] == ["lastNotNull", "max"]
        assert found["fieldConfig"]["defaults"]["min"] == 0


def test_limits_are_dashed_lines_at_the_figures_of_the_alerts() -> None:
    figures = _alert_limits()
    limited = [(panel, found) for panel, found in _all() if panel.limits and panel.runbooks]
    assert len(limited) > 10
    for panel, found in limited:
        known = {figure for alert in panel.runbooks for figure in figures[alert]}
        # Events are counted: an alert at `> 0` is a line at 1.
        known |= {1.0} if 0.0 in known else set()
        assert {limit.value for limit in panel.limits} <= known, (panel.title, known)
        defaults = found["fieldConfig"]["defaults"]
        steps = defaults["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, *(limit.value for limit in panel.limits)]
        if panel.form in GRAPHS:
            assert defaults["custom"]["thresholdsStyle"]["mode"] == "dashed"


def test_a_metric_has_the_same_words_everywhere() -> None:
    words: dict[str, set[str]] = {}
    for panel, found in _all():
        overrides = {item["matcher"]["options"]: item["properties"] for item in found["fieldConfig"]["overrides"]}
        for query in panel.queries:
            state = panel.state if panel.form is Form.STATE else query.state
            if state is None:
                continue
            (metric,) = METRIC.findall(query.expr)
            mappings = found["fieldConfig"]["defaults"].get("mappings", [])
            for item in overrides.get(query.legend, ()):
                mappings = item["value"] if item["id"] == "mappings" else mappings
            assert mappings == json.loads(json.dumps(state.mappings, cls=JSONEncoder))
            words.setdefault(metric, set()).add(state)
    assert len(words) > 10
    assert {metric: len(states) for metric, states in words.items() if len(states) > 1} == {}
    assert words["controlcore_remediation_paused"] == {"paused"}


def test_what_is_unknown_has_the_colour_of_no_state_and_of_no_limit() -> None:
    """Grafana gives no value the colour of 0."""
    coloured = 0
    for panel, found in _all():
        columns = [item["properties"] for item in found["fieldConfig"]["overrides"] if panel.form is Form.TABLE]
        shown = [found["fieldConfig"]["defaults"].get("mappings", [])] if found["type"] == "stat" else []
        shown += [each["value"] for column in columns for each in column if each["id"] == "mappings"]
        for mappings in shown:
            coloured += 1
            (unknown,) = [each["options"] for each in mappings if each["type"] == "special"]
            assert unknown["match"] == "null+nan"
            assert unknown["result"]["color"] not in {OK, WARNING, CRITICAL}
            assert "text" not in unknown["result"]
    assert coloured > 30


def test_a_text_without_data_is_large_enough_to_be_read() -> None:
    """A number's text shrinks until it fits: 11 characters a column are drawn some 11 pixels high."""
    for panel, found in _all():
        text = found["fieldConfig"]["defaults"]["noValue"]
        assert found["type"] != "stat" or len(text) <= 11 * panel.width, (panel.title, text)


def test_every_panel_says_why_it_is_empty() -> None:
    for panel, found in _all():
        text = found["fieldConfig"]["defaults"]["noValue"]
        assert text, panel.title
        assert "no data" not in text.lower() or "needs" in text, panel.title


def test_a_panel_of_errors_shows_zero_when_all_is_well() -> None:
    """A filter such as `> 0` alone would leave a grey "No data" both when all is well and when nothing is known."""
    filtered = [panel for panel, _ in _all() if any(query.expr.endswith("> 0") for query in panel.queries)]
    assert len(filtered) > 8
    for panel in filtered:
        totals = [query for query in panel.queries if query.is_total]
        assert totals, panel.title
        assert not any(query.expr.endswith("> 0") for query in totals)


def test_totals_are_not_stacked_with_their_parts() -> None:
    totals = 0
    for panel, found in _all():
        overrides = {item["matcher"]["options"]: item["properties"] for item in found["fieldConfig"]["overrides"]}
        for query in panel.queries:
            if query.is_total:
                totals += 1
                properties = {item["id"]: item["value"] for item in overrides[query.legend]}
                assert properties["custom.stacking"]["mode"] == "none"
                assert properties["custom.drawStyle"] == "line"
    assert totals > 8


def test_graphs_have_no_window_but_that_of_the_interval() -> None:
    """A fixed window misses events between two points that are further apart."""
    for panel, _ in _all():
        windows = {window for query in panel.queries for window in re.findall(r"\[([^\]]*)\]", query.expr)}
        if panel.title in OF_THE_GUIDE:
            continue
        assert windows <= ({WINDOW} if not panel.form.is_instant else {"$__range"}), panel.title


def test_a_graph_that_counts_shows_each_event_in_one_interval() -> None:
    """A window is four scrapes or longer. Where it is an interval and a scrape, the next begins with its last sample.

    With a shorter interval an event would be in several windows.
    """
    counting = 0
    for panel, found in _all():
        if panel.form.is_instant or not any("increase(" in query.expr for query in panel.queries):
            assert panel.form not in {Form.BARS, Form.HEATMAP}, panel.title
            assert "interval" not in found, panel.title
            continue
        counting += 1
        assert all("increase(" in query.expr for query in panel.queries), panel.title
        least = duration_seconds(found["interval"])
        for scrape in (5, 15, 30, 60):
            assert max(4 * scrape, least + scrape) == least + scrape, (panel.title, scrape)
    assert counting > 10


@EVERY_PAGE
def test_links_lead_to_the_overview_and_to_every_other_dashboard_with_the_choices(page: Page) -> None:
    links = _load(page)["links"]
    assert links[-1]["type"] == "dashboards"
    assert links[-1]["tags"] == ["controlcore"]
    assert ([link["url"] for link in links[:-1]] == [f"/d/{ENTRY}"]) == (page.uid != ENTRY)
    assert all(link["keepTime"] and link["includeVars"] for link in links)


def test_panels_lead_to_details_in_both_directions() -> None:
    """Every dashboard can be reached from the overview's panels, and passes on time and choices."""
    leads: dict[str, set[str]] = {}
    for page in PAGES:
        for found in _panels(page):
            for link in found.get("links", ()):
                if link["url"].startswith("/d/"):
                    uid, _, passed = link["url"].removeprefix("/d/").partition("?")
                    assert passed == "${__url_time_range}&${__all_variables}"
                    leads.setdefault(page.uid, set()).add(uid)
    assert leads[ENTRY] == {page.uid for page in PAGES} - {ENTRY}
    assert "controlcore-bouncers" in leads["controlcore-policy"]
    assert "controlcore-policy" in leads["controlcore-bouncers"]


@EVERY_PAGE
def test_alerts_and_remediations_are_marked_over_the_graphs(page: Page) -> None:
    marks = {mark["name"]: mark for mark in _load(page)["annotations"]["list"]}
    assert list(marks) == ["Alerts", "Remediations"]
    assert all(mark["enable"] and mark["titleFormat"] and mark["step"] == "60s" for mark in marks.values())
    assert "controlcore_remediation_actions_total{" in marks["Remediations"]["expr"]
    assert marks["Remediations"]["titleFormat"] == "{{remediation}}: {{outcome}}"


def test_the_axis_reaches_the_first_limit_and_not_100_over_zeros() -> None:
    for panel, found in _all():
        if panel.form not in GRAPHS:
            continue
        defaults = found["fieldConfig"]["defaults"]
        top = defaults.get("max", defaults["custom"].get("axisSoftMax"))
        assert top is not None, panel.title
        assert all(limit.value <= top for limit in panel.limits[:1]), panel.title


@EVERY_PAGE
def test_panels_fill_their_lines(page: Page) -> None:
    lines: dict[int, int] = {}
    for found in _load(page)["panels"]:
        lines[found["gridPos"]["y"]] = lines.get(found["gridPos"]["y"], 0) + found["gridPos"]["w"]
    assert set(lines.values()) == {24}
