"""Writes families as Prometheus text, format 0.0.4. No I/O; what did not change is not written again.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/. Bounds of histograms are canonical floats
(`1.0`), because Prometheus 2 stores `le` as written and Prometheus 3 normalises it: both then store the same label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exporter.catalogue import Distribution, Family, LabelValues, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXPONENT_FROM = 1e6
"""From here on Go writes a float with an exponent, and with it every client library that names histogram bounds."""
NUL = "\x00"
REPLACEMENT = "\ufffd"
Heads = dict[LabelValues, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Block:
    """One family as text, with the line beginnings that its next rendering can use again."""

    family: Family
    text: str
    heads: Heads
    samples: int


class Renderer:
    """Renders families and remembers each one's text until the family changes."""

    def __init__(self) -> None:
        self._blocks: dict[str, Block] = {}

    def page(self, families: Iterable[Family]) -> tuple[str, int]:
        """The text of these families, sorted by name, and the number of samples in it.

        A family without samples writes nothing. Families that are not given any more are forgotten.
        """
        blocks: dict[str, Block] = {}
        for family in sorted(families, key=lambda item: item.metric.name):
            known = self._blocks.get(family.metric.name)
            is_same = known is not None and (known.family is family or known.family == family)
            blocks[family.metric.name] = known if is_same and known is not None else render(family, known)
        self._blocks = blocks
        return "".join(block.text for block in blocks.values()), sum(block.samples for block in blocks.values())


def render(family: Family, before: Block | None = None) -> Block:
    """One family as text; line beginnings are taken from its rendering `before` where the label set was there."""
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
    text = preamble(metric) + "".join(lines) if lines else ""
    return Block(family, text, heads, len(lines))


def preamble(metric: Metric) -> str:
    """The HELP and TYPE lines."""
    kind = metric.kind.value
    return f"# HELP {metric.name} {escape_help(metric.help)}\n# TYPE {metric.name} {kind}\n"


def label_set(names: Iterable[str], values: Iterable[str], *more: tuple[str, str]) -> str:
    """`{name="value",…}`, or nothing without labels."""
    pairs = [f'{name}="{escape_label(value)}"' for name, value in (*zip(names, values, strict=True), *more)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def escape_label(value: str) -> str:
    """A label value as it stands between quotes. NUL, which ends Prometheus' parser, becomes U+FFFD."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace(NUL, REPLACEMENT)


def escape_help(text: str) -> str:
    """A help text as it stands on its line."""
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


__all__ = [
    "CONTENT_TYPE",
    "Block",
    "Renderer",
    "escape_help",
    "escape_label",
    "format_bound",
    "format_value",
    "label_set",
    "preamble",
    "render",
]
