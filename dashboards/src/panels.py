"""Panels made of checked queries: an expression that names a metric nobody publishes breaks the build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, DatasourceVariable, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from tools.published import find_faults

DATASOURCE = model.DataSourceRef("prometheus", "${datasource}")
TAG = "controlcore"
REFRESH = "30s"
COLUMNS = 24
HEIGHT = 8


class Form(StrEnum):
    """How a panel shows its figures."""

    LINES = "timeseries"
    NUMBER = "stat"
    STATE = "state"
    """A number for each series that is 1 (up, green) or 0 (down, red)."""


class UnpublishedError(ValueError):
    """A panel asks for a metric or label that neither exporter nor remediator publishes."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its series are called."""

    expr: str
    legend: str


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


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard: the title, the fixed uid under which others link to it, and its panels in reading order."""

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]


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
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for number, (panel, place) in enumerate(zip(page.panels, _places(page.panels), strict=True), start=1):
        builder.with_panel(_build_panel(panel).id(number).grid_pos(place))
    return builder.build()


def _build_panel(panel: Panel) -> Timeseries | Stat:
    """The panel without its place; every query is checked first."""
    faults = [fault for query in panel.queries for fault in find_faults(query.expr)]
    if faults:
        raise UnpublishedError(f"panel {panel.title!r}: {'; '.join(faults)}")
    builder = _lines() if panel.form is Form.LINES else _number(is_state=panel.form is Form.STATE)
    builder.title(panel.title).description(panel.description).unit(panel.unit).datasource(DATASOURCE)
    for number, query in enumerate(panel.queries):
        target = Dataquery().ref_id(chr(ord("A") + number)).datasource(DATASOURCE)
        target.expr(query.expr).legend_format(query.legend)
        builder.with_target(target.range() if panel.form is Form.LINES else target.instant())
    return builder


def _lines() -> Timeseries:
    """Lines with a legend below; a gap stays a gap, because unknown is not zero."""
    return (
        Timeseries()
        .line_width(2)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .axis_soft_min(0)
        .legend(
            VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )


def _number(*, is_state: bool) -> Stat:
    """The value of now: the last one of a range would go on showing what has long become unknown."""
    builder = (
        Stat()
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND if is_state else common.BigValueColorMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if is_state else common.BigValueTextMode.AUTO)
        .no_value("unknown")
    )
    if is_state:
        texts = {"1": model.ValueMappingResult(text="up"), "0": model.ValueMappingResult(text="down")}
        steps = [model.Threshold(value=None, color="red"), model.Threshold(value=1.0, color="green")]
        builder.mappings([model.ValueMap(options=texts)])
        builder.thresholds(ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    return builder


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
