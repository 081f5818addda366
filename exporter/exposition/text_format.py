"""Writes families as Prometheus text 0.0.4 and as OpenMetrics 1.0. No I/O; unchanged families are not rendered again.

The formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/. Sample lines are the same in both, so they are written once;
only the lines above them differ. Bounds of histograms are canonical floats (`1.0`), because Prometheus 2 stores `le` as
written and Prometheus 3 normalises it: both then store the same label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exporter.metrics import Distribution, Family, Kind, LabelValues, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OPENMETRICS_END = "# EOF\n"
TOTAL = "_total"
EXPONENT_FROM = 1e6
"""From this value on Go, and with it every client library that writes histogram bounds, writes a float with an
exponent.
"""
NUL = "\x00"
REPLACEMENT = "\ufffd"
Heads = dict[LabelValues, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Block:
    """One family as text, with the line beginnings that its next rendering can use again."""

    family: Family
    lines: str
    """The sample lines, the same in both formats; empty for a family without samples."""
    heads: Heads
    samples: int
    above: str
    above_openmetrics: str

    @property
    def text(self) -> str:
        """The family in format 0.0.4."""
        return self.above + self.lines if self.lines else ""

    @property
    def openmetrics(self) -> str:
        """The family in OpenMetrics 1.0."""
        return self.above_openmetrics + self.lines if self.lines else ""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page as blocks in the order of their names."""

    blocks: tuple[Block, ...] = ()

    @property
    def samples(self) -> int:
        """How many samples the page has."""
        return sum(block.samples for block in self.blocks)

    def text(self) -> bytes:
        """The page in format 0.0.4."""
        return "".join([part for block in self.blocks if block.lines for part in (block.above, block.lines)]).encode()

    def openmetrics(self) -> bytes:
        """The page in OpenMetrics 1.0, with its end marker."""
        parts = [part for block in self.blocks if block.lines for part in (block.above_openmetrics, block.lines)]
        return "".join([*parts, OPENMETRICS_END]).encode()


class Renderer:
    """Renders families and remembers each one's text until the family changes."""

    def __init__(self) -> None:
        self._blocks: dict[str, Block] = {}

    def page(self, families: Iterable[Family]) -> Page:
        """These families, sorted by name.

        A family without samples writes nothing. Families that are no longer given are dropped.
        """
        blocks: dict[str, Block] = {}
        for family in sorted(families, key=lambda item: item.metric.name):
            known = self._blocks.get(family.metric.name)
            is_same = known is not None and (known.family is family or known.family == family)
            blocks[family.metric.name] = known if is_same and known is not None else render(family, known)
        self._blocks = blocks
        return Page(tuple(blocks.values()))


def render(family: Family, before: Block | None = None) -> Block:
    """One family as text; line beginnings are reused from its rendering `before` if the label set existed."""
    metric = family.metric
    old = before.heads if before is not None and before.family.metric == metric else {}
    heads: Heads = {}
    lines: list[str] = []
    for sample in sorted(family.samples, key=lambda item: item.labels):
        head = old.get(sample.labels) or (f"{metric.name}{label_set(metric.labels, sample.labels)} ",)
        heads[sample.labels] = head
        lines.append(f"{head[0]}{format_value(sample.value)}\n")
    for row in sorted(family.distributions, key=lambda item: item.labels):
        head = old.get(row.labels) or _histogram_heads(metric, row.labels)
        heads[row.labels] = head
        lines += _histogram_lines(head, row)
    if before is not None and before.family.metric == metric:
        above, above_openmetrics = before.above, before.above_openmetrics
    else:
        above, above_openmetrics = preamble(metric), openmetrics_preamble(metric)
    return Block(family, "".join(lines), heads, len(lines), above, above_openmetrics)


def preamble(metric: Metric) -> str:
    """The HELP and TYPE lines."""
    kind = metric.kind.value
    return f"# HELP {metric.name} {escape_help(metric.help)}\n# TYPE {metric.name} {kind}\n"


def openmetrics_preamble(metric: Metric) -> str:
    """The TYPE, UNIT and HELP lines.

    A counter is named without `_total`; a name without that suffix cannot be a counter there.
    """
    name, kind = openmetrics_name(metric), metric.kind.value
    if metric.kind is Kind.COUNTER and not metric.name.endswith(TOTAL):
        kind = "unknown"
    unit = f"# UNIT {name} {metric.unit}\n" if metric.unit and name.endswith(f"_{metric.unit}") else ""
    return f"# TYPE {name} {kind}\n{unit}# HELP {name} {escape_label(metric.help)}\n"


def openmetrics_name(metric: Metric) -> str:
    """The family's name in OpenMetrics: for a counter without its suffix, which belongs to the sample."""
    return metric.name.removesuffix(TOTAL) if metric.kind is Kind.COUNTER else metric.name


def label_set(names: Iterable[str], values: Iterable[str], *more: tuple[str, str]) -> str:
    """`{name="value",…}`, or nothing without labels."""
    pairs = [f'{name}="{escape_label(value)}"' for name, value in (*zip(names, values, strict=True), *more)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def escape_label(value: str) -> str:
    """A label value as written between quotes. NUL, which stops Prometheus' parser, becomes U+FFFD."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace(NUL, REPLACEMENT)


def escape_help(text: str) -> str:
    """A help text as written on its line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace(NUL, REPLACEMENT)


def format_value(value: float) -> str:
    """The shortest text that reads back as the same number."""
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def format_bound(bound: float) -> str:
    """A histogram bound as every client library writes it: `0.005`, `1.0`, `1e+06`."""
    if not math.isfinite(bound) or bound < EXPONENT_FROM:
        return format_value(float(bound))
    _, digits, exponent = Decimal(repr(float(bound))).normalize().as_tuple()
    first, rest = str(digits[0]), "".join(str(digit) for digit in digits[1:])
    power = len(digits) - 1 + int(exponent)
    return f"{first}{'.' if rest else ''}{rest}e+{power:02d}"


def _histogram_heads(metric: Metric, labels: LabelValues) -> tuple[str, ...]:
    """The line beginnings of one histogram: a bucket for each bound, then +Inf, sum and count."""
    bounds = (*(format_bound(bound) for bound in metric.buckets), "+Inf")
    buckets = (f"{metric.name}_bucket{label_set(metric.labels, labels, ('le', bound))} " for bound in bounds)
    plain = label_set(metric.labels, labels)
    return (*buckets, f"{metric.name}_sum{plain} ", f"{metric.name}_count{plain} ")


def _histogram_lines(heads: tuple[str, ...], row: Distribution) -> list[str]:
    """One histogram's lines, in the order of its heads. Counts are written as floats, like everything else."""
    numbers = (*row.cumulative, row.total, row.cumulative[-1])
    return [f"{head}{format_value(float(number))}\n" for head, number in zip(heads, numbers, strict=True)]
