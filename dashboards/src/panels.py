"""Panels made of checked queries: an expression that names a metric nobody publishes breaks the build."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    ConstantVariable,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.src.forms import AnyPanel, Form, arrange_columns, start_panel
from tools.catalogue import find_faults

DATASOURCE = model.DataSourceRef("prometheus", "${datasource}")
TAG = "controlcore"
REFRESH = "30s"
COLUMNS = 24
HEIGHT = 8
RUNBOOKS = "docs/runbooks"
"""Value of the variable `runbooks`: where the pages are. The chart writes rules.runbookBase in front of it."""
ALERTS = 'ALERTS{alertstate="firing", alertname=~"ControlCore.*"}'
REPAIRS = 'sum by (remediation, action) (increase(controlcore_remediation_actions_total{outcome="written"}[1m])) > 0'


class UnpublishedError(ValueError):
    """A panel asks for a metric or label that neither exporter nor remediator publishes."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its series, or in a table its column, are called."""

    expr: str
    legend: str
    unit: str = "short"
    """Of a table's column."""
    is_state: bool = False
    """Of a table's column: 1 is yes and green, 0 no and red."""


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


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice among the values of a label of a metric; all of them at first."""

    name: str
    label: str
    metric: str


BOUNCER = Variable("bouncer", "Bouncer", "controlcore_policy_probe_results_total")


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard: the title, the fixed uid under which others link to it, and its panels in reading order."""

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()


def build_page(page: Page) -> model.Dashboard:
    """The dashboard in Grafana's model; raises UnpublishedError naming the panel."""
    builder = (
        Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags([TAG])
        .readonly()
        .refresh(REFRESH)
        .time("now-3h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_sibling_link())
        .annotation(_mark("Alerts", ALERTS, "red"))
        .annotation(_mark("Repairs", _checked(REPAIRS, "Repairs"), "blue"))
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    if any(panel.runbooks for panel in page.panels):
        builder.with_variable(ConstantVariable("runbooks").label("Runbooks").value(RUNBOOKS))
    for variable in page.variables:
        builder.with_variable(_choice(variable))
    for number, (panel, place) in enumerate(zip(page.panels, _places(page.panels), strict=True), start=1):
        builder.with_panel(_build_panel(panel).id(number).grid_pos(place))
    return builder.build()


def _build_panel(panel: Panel) -> AnyPanel:
    """The panel without its place; every query is checked first."""
    builder = start_panel(panel.form, panel.unit)
    builder.title(panel.title).description(panel.description).unit(panel.unit).datasource(DATASOURCE)
    for number, query in enumerate(panel.queries):
        target = Dataquery().ref_id(chr(ord("A") + number)).datasource(DATASOURCE)
        target.expr(_checked(query.expr, panel.title)).legend_format(query.legend)
        if panel.form is Form.TABLE:
            target.format(PromQueryFormat.TABLE)
        elif panel.form is Form.HEATMAP:
            target.format(PromQueryFormat.HEATMAP)
        builder.with_target(target.instant() if panel.form.is_instant else target.range())
    if isinstance(builder, Table):
        arrange_columns(builder, [(query.legend, query.unit, query.is_state) for query in panel.queries])
    if panel.runbooks:
        builder.links(_runbook_links(panel.runbooks))
    if panel.repeat:
        builder.repeat(panel.repeat).repeat_direction("h").max_per_row(2)
    return builder


def _checked(promql: str, title: str) -> str:
    """The expression, if somebody publishes what it asks for; raises UnpublishedError."""
    faults = find_faults(promql)
    if faults:
        raise UnpublishedError(f"panel {title!r}: {'; '.join(faults)}")
    return promql


def _choice(variable: Variable) -> QueryVariable:
    """The variable: several values may be chosen, and the list follows the time range."""
    _checked(f'{variable.metric}{{{variable.name}=""}}', variable.label)
    return (
        QueryVariable(variable.name)
        .label(variable.label)
        .datasource(DATASOURCE)
        .query(f"label_values({variable.metric}, {variable.name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def _runbook_links(alerts: Iterable[str]) -> list[Builder[model.DashboardLink]]:
    """A link to the page of each alert."""
    return [
        DashboardLink(f"Runbook: {alert}")
        .type(model.DashboardLinkType.LINK)
        .url(f"${{runbooks}}/{alert}.md")
        .target_blank(True)
        for alert in alerts
    ]


def _mark(name: str, promql: str, colour: str) -> AnnotationQuery:
    """A line across every panel at the times where the expression has a series."""
    return AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(colour).expr(promql)


def _places(panels: Sequence[Panel]) -> list[model.GridPos]:
    """Left to right, a new row when the next panel does not fit."""
    places: list[model.GridPos] = []
    column = row = 0
    for panel in panels:
        if column + panel.width > COLUMNS:
            column, row = 0, row + HEIGHT
        places.append(model.GridPos(h=HEIGHT, w=panel.width, x=column, y=row))
        column += panel.width
    return places


def _sibling_link() -> DashboardLink:
    """A menu with the other dashboards of this family."""
    return (
        DashboardLink("Control Core")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(True)
    )
