"""How figures are shown: one builder of the SDK for each form, before it gets its title, place and queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import CellValues, HeatmapColorOptions, YAxisConfig
from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model

AnyPanel = Timeseries | Stat | Heatmap | Table
OK, WARNING, CRITICAL, UNKNOWN = "green", "orange", "red", "#707070"
CALCULATIONS = ["lastNotNull", "max"]
"""Columns of the legend's table for each line."""
COUNT_INTERVAL = "3m"
"""The least distance of two points that count events: three scrapes where Prometheus scrapes once a minute. Windows of
points that are nearer overlap by more than the scrape that joins them, and show one event in several."""
LIMIT_MARGIN = 1.2
"""The axis ends at this multiple of the first limit, so that the distance to it is visible."""


class Form(StrEnum):
    """How a panel shows its figures."""

    LINES = "timeseries"
    STACK = "stack"
    """Lines on top of each other: parts of a whole."""
    BARS = "bars"
    """One bar for each interval: how many events there were in it."""
    NUMBER = "stat"
    STATE = "state"
    """A coloured word for each series, by the panel's state."""
    HEATMAP = "heatmap"
    """Buckets of a histogram by `le`, darker where more observations are."""
    TABLE = "table"
    """One row for each label set that the queries have in common, one column for each query."""

    @property
    def is_instant(self) -> bool:
        """Whether only current figures are shown: the last value of a range might be unknown now."""
        return self in {Form.NUMBER, Form.STATE, Form.TABLE}


class State(StrEnum):
    """What 1 and 0 mean; one mapping for all dashboards."""

    UP = "up"
    YES = "yes"
    VALID = "valid"
    WRITABLE = "writable"
    PAUSED = "paused"
    BREAKER = "breaker"

    @property
    def mappings(self) -> list[model.ValueMapping]:
        """Text and colour by value; unknown has its own colour, and the text of the panel or column."""
        words = {
            value: model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(_WORDS[self].items())
        }
        return [model.ValueMap(options=words), unknown_mapping()]


_WORDS = {
    State.UP: {"1": ("up", OK), "0": ("down", CRITICAL)},
    State.YES: {"1": ("yes", OK), "0": ("no", CRITICAL)},
    State.VALID: {"1": ("valid", OK), "0": ("invalid", CRITICAL)},
    State.WRITABLE: {"1": ("writable", OK), "0": ("not writable", CRITICAL)},
    State.PAUSED: {"1": ("yes", WARNING), "0": ("no", OK)},
    State.BREAKER: {"1": ("open", WARNING), "0": ("closed", OK)},
}


def unknown_mapping() -> model.SpecialValueMap:
    """Without it Grafana gives no value the colour of 0: down, or all is well."""
    result = model.ValueMappingResult(color=UNKNOWN, index=len(State))
    return model.SpecialValueMap(
        options=model.DashboardSpecialValueMapOptions(match=model.SpecialValueMatch.NULL_AND_NAN, result=result)
    )


@dataclass(frozen=True, slots=True)
class Limit:
    """A line across the graph; from this value on a number has this colour."""

    value: float
    colour: str = CRITICAL


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis' ends; None leaves them to the figures."""

    top: float | None = None
    is_top_soft: bool = False
    """Whether larger figures stretch the axis."""


FREE = Scale()
RATIO = Scale(1.0)
"""A share of a whole."""


def start_panel(form: Form, unit: str, scale: Scale, limits: Sequence[Limit], state: State | None) -> AnyPanel:
    """A panel of that form."""
    if form is Form.HEATMAP:
        return _heatmap(unit)
    if form is Form.TABLE:
        return Table().show_header(True)
    if form in {Form.NUMBER, Form.STATE}:
        return _number(limits, state)
    return _lines(form, unit, scale, limits)


def _lines(form: Form, unit: str, scale: Scale, limits: Sequence[Limit]) -> Timeseries:
    """Lines with a table of last and maximum; a gap stays a gap, because unknown is not zero."""
    builder = (
        Timeseries()
        .line_width(2)
        .fill_opacity({Form.STACK: 40, Form.BARS: 80}.get(form, 8))
        .draw_style(common.GraphDrawStyle.BARS if form is Form.BARS else common.GraphDrawStyle.LINE)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .min(0)
        .legend(
            VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.RIGHT)
            .calcs(CALCULATIONS)
        )
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )
    if scale.top is not None and not scale.is_top_soft:
        builder.max(scale.top)
    else:
        builder.axis_soft_max(_soft_top(unit, scale, limits))
    if limits:
        builder.thresholds(_thresholds(limits, base="transparent"))
        builder.thresholds_style(GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if form is Form.LINES:
        return builder
    if form is Form.BARS:
        builder.interval(COUNT_INTERVAL).decimals(0)
    return builder.stacking(StackingConfig().mode(common.StackingMode.NORMAL))


def _soft_top(unit: str, scale: Scale, limits: Sequence[Limit]) -> float:
    """How far the axis reaches at least: past the first limit, and to 1 rather than Grafana's 100 over zeros."""
    if scale.top is not None:
        return scale.top
    if limits:
        return LIMIT_MARGIN * limits[0].value
    return 0.1 if unit == "s" else 1.0


def _number(limits: Sequence[Limit], state: State | None) -> Stat:
    """The value of now."""
    is_coloured = state is not None or bool(limits)
    builder = (
        Stat()
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND if is_coloured else common.BigValueColorMode.NONE)
        .text_mode(common.BigValueTextMode.AUTO)
        .color_scheme(FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    )
    builder.mappings(state.mappings if state else [unknown_mapping()])
    if state is None:
        return builder.thresholds(_thresholds(limits, base=OK))
    colours = _WORDS[state]
    return builder.thresholds(_thresholds([Limit(1.0, colours["1"][1])], base=colours["0"][1]))


def _thresholds(limits: Sequence[Limit], base: str) -> ThresholdsConfig:
    """The limits over a base colour, in rising order."""
    steps = [model.Threshold(value=None, color=base)]
    steps += [model.Threshold(value=limit.value, color=limit.colour) for limit in limits]
    return ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _heatmap(unit: str) -> Heatmap:
    """Buckets as they come from Prometheus, the bounds in the unit; a cell is a number of observations."""
    colours = (
        HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").exponent(0.5).steps(64)
    )
    cells = CellValues().unit("short").decimals(0)
    builder = Heatmap().interval(COUNT_INTERVAL).calculate(False).color(colours)
    return builder.cell_values(cells).y_axis(YAxisConfig().unit(unit))


def show_as_total(graph: Timeseries, name: str) -> None:
    """Shows one series as a grey line that is not stacked with the others."""
    properties: dict[str, object] = {
        "custom.drawStyle": "line",
        "custom.lineWidth": 1,
        "custom.fillOpacity": 0,
        "custom.stacking": {"mode": "none", "group": "A"},
        "color": {"mode": "fixed", "fixedColor": "text"},
    }
    graph.override_by_name(
        name, [model.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()]
    )


def colour_from(panel: Stat, name: str, limit: Limit) -> None:
    """Gives one number of the panel its own limit."""
    steps = [{"color": OK, "value": None}, {"color": limit.colour, "value": limit.value}]
    thresholds: dict[str, object] = {"mode": "absolute", "steps": steps}
    panel.override_by_name(name, [model.DynamicConfigValue(id_val="thresholds", value=thresholds)])
