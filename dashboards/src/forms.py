"""How figures are shown: one builder of the SDK for each form, before it gets its title, place and queries."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions, YAxisConfig
from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model

AnyPanel = Timeseries | Stat | Heatmap | Table
UP_DOWN = [
    model.ValueMap(options={"1": model.ValueMappingResult(text="up"), "0": model.ValueMappingResult(text="down")})
]
YES_NO = {"1": {"text": "yes", "color": "green"}, "0": {"text": "no", "color": "red"}}


class Form(StrEnum):
    """How a panel shows its figures."""

    LINES = "timeseries"
    STACK = "stack"
    """Lines on top of each other: parts of a whole."""
    NUMBER = "stat"
    STATE = "state"
    """A number for each series that is 1 (up, green) or 0 (down, red)."""
    HEATMAP = "heatmap"
    """Buckets of a histogram by `le`, darker where more observations are."""
    TABLE = "table"
    """One row for each label set that the queries have in common, one column for each query."""

    @property
    def is_instant(self) -> bool:
        """Whether the figures of now are shown: the last of a range would go on showing what has become unknown."""
        return self in {Form.NUMBER, Form.STATE, Form.TABLE}


def start_panel(form: Form, unit: str) -> AnyPanel:
    """A panel of that form."""
    if form is Form.HEATMAP:
        return _heatmap(unit)
    if form is Form.TABLE:
        return Table().show_header(True).no_value("unknown")
    if form in {Form.NUMBER, Form.STATE}:
        return _number(is_state=form is Form.STATE)
    return _lines(is_stacked=form is Form.STACK)


def _lines(*, is_stacked: bool) -> Timeseries:
    """Lines with a legend below; a gap stays a gap, because unknown is not zero."""
    builder = (
        Timeseries()
        .line_width(2)
        .fill_opacity(40 if is_stacked else 8)
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
    return builder.stacking(StackingConfig().mode(common.StackingMode.NORMAL)) if is_stacked else builder


def _number(*, is_state: bool) -> Stat:
    """The value of now."""
    builder = (
        Stat()
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND if is_state else common.BigValueColorMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if is_state else common.BigValueTextMode.AUTO)
        .no_value("unknown")
    )
    if is_state:
        steps = [model.Threshold(value=None, color="red"), model.Threshold(value=1.0, color="green")]
        builder.mappings(list(UP_DOWN))
        builder.thresholds(ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    return builder


def _heatmap(unit: str) -> Heatmap:
    """Buckets as they come from Prometheus: nothing is computed from the figures again."""
    colours = (
        HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").exponent(0.5).steps(64)
    )
    return Heatmap().calculate(False).color(colours).y_axis(YAxisConfig().unit(unit))


def arrange_columns(table: Table, columns: Sequence[tuple[str, str, bool]]) -> None:
    """Gives each query its column: (title, unit, whether 1 is good and 0 bad), in the order of the queries."""
    names = {f"Value #{chr(ord('A') + number)}": title for number, (title, _, _) in enumerate(columns)}
    table.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    options: dict[str, object] = {"excludeByName": {"Time": True}, "renameByName": names}
    table.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))
    for title, unit, is_state in columns:
        found = [model.DynamicConfigValue(id_val="unit", value=unit)]
        if is_state:
            mapping = {"type": "value", "options": YES_NO}
            found.append(model.DynamicConfigValue(id_val="mappings", value=[mapping]))
            found.append(model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
        table.override_by_name(title, found)
