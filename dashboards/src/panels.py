"""Panels with checked queries: an expression with an unpublished metric breaks the build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import (
    ConstantVariable,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    Row,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from chassis.documents import asked_names
from dashboards.src.annotations import ALERTS, REMEDIATIONS, Mark
from dashboards.src.forms import FREE, AnyPanel, Form, Limit, Scale, State, colour_from, show_as_total, start_panel
from dashboards.src.needs import find_needs
from dashboards.src.scope import carries_environment, scope
from dashboards.src.tables import arrange_columns
from dashboards.src.variables import CLUSTER, DATASOURCE, ENVIRONMENT, JOB, NAMESPACE, Variable, build_variable
from tools.generate.links import read_links
from tools.rules.catalogue import find_faults

TAG = "controlcore"
ENTRY = "controlcore-overview"
"""The dashboard that every other one leads back to."""
REFRESH = "30s"
COLUMNS = 24
RUNBOOKS = read_links().runbook()
"""Value of the variable `runbooks`: where the pages are. The chart writes rules.runbookBase in front of it."""
HERE = "${__url_time_range}&${__all_variables}"
"""The parameters of a link: the time range and every choice."""
WINDOW = "$__rate_interval"
"""The only window of graphs: four scrapes, or the distance of two points and a scrape where that is more."""
TOTAL = "total (0: all well)"


class UnpublishedError(ValueError):
    """A panel uses a metric or label that neither exporter nor remediator publishes."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its series, or in a table its column, are called."""

    expr: str
    legend: str
    unit: str = "short"
    """Of a table's column."""
    state: State | None = None
    """Of a table's column: what 1 and 0 mean."""
    limit: Limit | None = None
    """Of a number, where it is not that of the panel."""
    is_total: bool = False
    """A thin line over the bars: it would double them if it were stacked with them."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, as a value."""

    title: str
    description: str
    unit: str
    """A unit id of Grafana: s, percentunit, ops, short, …"""
    queries: tuple[Query, ...]
    form: Form = Form.LINES
    width: int = 12
    """Of 24 columns."""
    runbooks: tuple[str, ...] = ()
    """Alerts about what is shown; the panel links to their pages."""
    repeat: str = ""
    """Name of a variable: the panel is there once for each of its values."""
    height: int = 8
    limits: tuple[Limit, ...] = ()
    """In rising order; mostly the thresholds of the alerts in `runbooks`."""
    scale: Scale = FREE
    state: State | None = None
    """Of form STATE: what 1 and 0 mean."""
    no_value: str = ""
    """Why there may be no figures although all is set up; the settings that the panel needs are added."""
    details: tuple[str, ...] = ()
    """Dashboards, by uid, that show more; the panel links to them."""
    is_as_printed: bool = False
    """Whether the expressions are the product guide's and stay as they are."""


@dataclass(frozen=True, slots=True)
class Section:
    """A row of the dashboard: its title, and the panels below it in reading order."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard: the title, the fixed uid under which others link to it, and its rows."""

    uid: str
    title: str
    description: str
    sections: tuple[Section, ...]
    variables: tuple[Variable, ...] = ()
    """Beside the data source, cluster, namespace, job and, where a series has it, environment."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The panels of all rows."""
        return tuple(panel for section in self.sections for panel in section.panels)


def build_page(page: Page) -> model.Dashboard:
    """The dashboard in Grafana's model; raises UnpublishedError naming the panel."""
    builder = (
        Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags([TAG])
        .editable()
        .refresh(REFRESH)
        .time("now-3h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .annotation(Mark("Alerts", _checked(ALERTS, "Alerts"), "red", "{{alertname}}", "{{component}} {{severity}}"))
        .annotation(
            Mark(
                "Remediations",
                _checked(REMEDIATIONS, "Remediations"),
                "blue",
                "{{remediation}}: {{outcome}}",
                "{{action}}",
            )
        )
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for link in _links(page):
        builder.link(link)
    for variable in _variables(page):
        if variable.metric:
            _checked(f'{variable.metric}{{{variable.label_name}=""}}', variable.label)
        builder.with_variable(build_variable(variable))
    if any(panel.runbooks for panel in page.panels):
        builder.with_variable(ConstantVariable("runbooks").label("Runbooks").value(RUNBOOKS))
    for number, (item, place) in enumerate(_places(page.sections), start=1):
        if isinstance(item, Section):
            builder.with_row(Row(item.title).id(number).grid_pos(place))
        else:
            builder.with_panel(_build_panel(item).id(number).grid_pos(place))
    return builder.build()


def describe(panel: Panel) -> str:
    """The panel's description, with the settings that it needs."""
    needs = _list_needs(panel, "`")
    return f"{panel.description} Needs {needs}." if needs else panel.description


def explain_no_value(panel: Panel) -> str:
    """The text that a panel shows when it has no data."""
    if needs := _list_needs(panel):
        return f"{panel.no_value}; needs {needs}" if panel.no_value else f"no data: needs {needs}"
    is_remediators = any(name.startswith("controlcore_remediat") for name in _asked(panel))
    return panel.no_value or f"unknown: the {'remediator' if is_remediators else 'exporter'} is not scraped"


def _list_needs(panel: Panel, quote: str = "") -> str:
    """The settings without which the panel is empty, as a part of a sentence; empty for none."""
    needs = find_needs(query.expr for query in panel.queries)
    texts = [" or ".join(f"{quote}{setting}{quote}" for setting in need) for need in needs]
    return (", and " if any(len(need) > 1 for need in needs) else " and ").join(texts)


def _asked(panel: Panel) -> set[str]:
    """The series that the panel uses."""
    return {name for query in panel.queries for name in asked_names(query.expr)}


def _build_panel(panel: Panel) -> AnyPanel:
    """The panel without its place; every query is checked first."""
    builder = start_panel(panel.form, panel.unit, panel.scale, panel.limits, panel.state)
    builder.title(panel.title).description(describe(panel)).unit(panel.unit).datasource(DATASOURCE)
    builder.no_value(explain_no_value(panel))
    for number, query in enumerate(panel.queries):
        target = Dataquery().ref_id(chr(ord("A") + number)).datasource(DATASOURCE)
        expr = _checked(query.expr, panel.title)
        target.expr(expr if panel.is_as_printed else scope(expr)).legend_format(query.legend)
        if panel.form is Form.TABLE:
            target.format(PromQueryFormat.TABLE)
        elif panel.form is Form.HEATMAP:
            target.format(PromQueryFormat.HEATMAP)
        builder.with_target(target.instant() if panel.form.is_instant else target.range())
    for query in panel.queries:
        if query.limit is not None and isinstance(builder, Stat):
            colour_from(builder, query.legend, query.limit)
        if query.is_total and isinstance(builder, Timeseries):
            show_as_total(builder, query.legend)
    if isinstance(builder, Table):
        columns = [(query.legend, query.unit, query.state) for query in panel.queries]
        arrange_columns(builder, panel.queries[0].expr, columns)
    if panel.details or panel.runbooks:
        builder.links([*_detail_links(panel.details), *_runbook_links(panel.runbooks)])
    if panel.repeat:
        builder.repeat(panel.repeat).repeat_direction("h").max_per_row(2)
    return builder


def _checked(promql: str, title: str) -> str:
    """The expression, if a program publishes its series; raises UnpublishedError."""
    faults = find_faults(promql)
    if faults:
        raise UnpublishedError(f"panel {title!r}: {'; '.join(faults)}")
    return promql


def _variables(page: Page) -> Iterator[Variable]:
    """The choices of the page; the environment only where some series of the page has one."""
    yield from (CLUSTER, NAMESPACE, JOB)
    asked = {name for panel in page.panels for name in _asked(panel)} | {item.metric for item in page.variables}
    if any(carries_environment(name) for name in asked):
        yield ENVIRONMENT
    yield from page.variables


def _detail_links(uids: Iterable[str]) -> list[Builder[model.DashboardLink]]:
    """A link to each dashboard that shows more."""
    return [
        DashboardLink(f"Details: {uid.removeprefix(TAG + '-')}")
        .type(model.DashboardLinkType.LINK)
        .url(f"/d/{uid}?{HERE}")
        for uid in uids
    ]


def _runbook_links(alerts: Iterable[str]) -> list[Builder[model.DashboardLink]]:
    """A link to the page of each alert."""
    return [
        DashboardLink(f"Runbook: {alert}")
        .type(model.DashboardLinkType.LINK)
        .url(f"${{runbooks}}/{alert}.md")
        .target_blank(True)
        for alert in alerts
    ]


def _places(sections: Sequence[Section]) -> Iterator[tuple[Section | Panel, model.GridPos]]:
    """Rows one below the other; in each the panels left to right, on a new line when the next one does not fit."""
    y = 0
    for section in sections:
        yield section, model.GridPos(h=1, w=COLUMNS, x=0, y=y)
        y, x, tallest = y + 1, 0, 0
        for panel in section.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            yield panel, model.GridPos(h=panel.height, w=panel.width, x=x, y=y)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _links(page: Page) -> Iterator[DashboardLink]:
    """The way back to the overview, and a menu with all dashboards of this family."""
    if page.uid != ENTRY:
        back = DashboardLink("Overview").type(model.DashboardLinkType.LINK).url(f"/d/{ENTRY}").icon("dashboard")
        yield back.keep_time(True).include_vars(True)
    menu = DashboardLink("Control Core").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    yield menu.as_dropdown(True).keep_time(True).include_vars(True)


def each(series: str) -> str:
    """One series for each installation: of an exporter's replicas the highest value counts, as in the alerts."""
    return f"max without (instance, pod) ({series})"


def lowest(metric: str, by: str = "") -> str:
    """The lowest over the chosen installations: a cluster that is down is not hidden by one that is up."""
    return f"min by ({by}) ({each(metric)})" if by else f"min({each(metric)})"


def together(series: str, by: str = "") -> str:
    """The sum over the chosen installations; the replicas of one exporter count once."""
    return f"sum by ({by}) ({each(series)})" if by else f"sum({each(series)})"


def quantile(share: float, histogram: str, by: str = "", matchers: str = "") -> str:
    """A quantile of a histogram, one line for each value of the labels in `by`."""
    labels = f"{by}, le" if by else "le"
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{chosen}[{WINDOW}])))"


def events(counter: str, by: str = "") -> str:
    """How many events there were in each interval, for the forms with COUNT_INTERVAL."""
    return f"sum{f' by ({by}) ' if by else ''}(increase({counter}[{WINDOW}]))"


def failures(counter: str, by: str, alive: str = "") -> tuple[Query, Query]:
    """Events of each interval by reason, and their total: 0 shows that all is well, no line that nothing is known.

    `alive` is a series of the same program for counters that have no series before their first event.
    """
    total = events(counter) + (f" or 0 * max({alive})" if alive else "")
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"{events(counter, by)} > 0", legend), Query(total, TOTAL, is_total=True)
