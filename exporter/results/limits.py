"""Decides which of a collector's series may be published.

No I/O. A series must be declared, well formed, within the collector's budget and not too long; dropped series are
counted. A sample whose label is null or not text, or whose value is not a finite number, is a bad item from the
backend: only it is dropped and counted (exporter/items.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from exporter.collector import CollectorSpec
from exporter.items import Loss, note
from exporter.metrics import Distribution, Family, LabelValues, Metric, Sample, Stability

ELLIPSIS = "…"
MAX_COUNT = 2**63
"""Largest plausible bucket count, which can still be written as a float."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one collector may publish."""

    max_series: int = 5000
    """A histogram counts one for each bucket, and two for its sum and count."""
    max_label_length: int = 128
    """Characters of a label value; a longer one is cut and ends in an ellipsis."""
    guide_names: bool = True
    """Whether metrics of Stability.GUIDE are published."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The publishable families, and the losses."""

    families: tuple[Family, ...]
    dropped: int = 0
    """Dropped series: over budget, undeclared, wrong number of labels, or a duplicate label set."""
    truncated: int = 0
    """Label values cut to the limit."""


class SeriesBudget:
    """The budget that all collectors of one page share."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    def share(self, name: str, budget: Budget) -> Budget:
        """The collector's own budget, or the rest of the shared one if that is less."""
        others = sum(series for other, series in self._taken.items() if other != name)
        return replace(budget, max_series=min(budget.max_series, max(0, self._most - others)))

    def note(self, name: str, admitted: Admitted) -> None:
        """Records the number of series that the collector publishes from now on."""
        self._taken[name] = sum(series_in(family) for family in admitted.families)


def admit(spec: CollectorSpec, families: Iterable[Family], budget: Budget) -> Admitted:
    """Checks every series against the collector's declarations and the budget, in the order of declaration."""
    declared = {metric.name: metric for metric in spec.metrics}
    offered: dict[str, list[Sample | Distribution]] = {name: [] for name in declared}
    dropped = 0
    for family in families:
        if family.metric.name in declared:
            offered[family.metric.name] += [*family.samples, *family.distributions]
        else:
            dropped += series_in(family)
    gate = _SeriesGate(budget)
    for name, metric in declared.items():
        if metric.stability is not Stability.GUIDE or budget.guide_names:
            gate.pass_family(metric, offered[name])
    return Admitted(tuple(gate.families), dropped + gate.dropped, gate.truncated)


class _SeriesGate:
    """Accepts series until the budget is used up, and counts the rest."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._left = budget.max_series
        self.families: list[Family] = []
        self.dropped = 0
        self.truncated = 0

    def pass_family(self, metric: Metric, offered: list[Sample | Distribution]) -> None:
        """Adds the metric's family with every series that may pass; nothing when there is none."""
        width = _series_width(metric)
        seen: set[LabelValues] = set()
        passed: list[Sample | Distribution] = []
        for series in offered:
            if not all(isinstance(value, str) for value in series.labels):
                note(Loss.LABEL)
                continue
            if isinstance(series, Sample) and not math.isfinite(series.value):
                note(Loss.NUMBER)
                continue
            labels = self._shorten(series.labels)
            if labels in seen or width > self._left or not _fits(metric, series):
                self.dropped += width
                continue
            seen.add(labels)
            self._left -= width
            passed.append(series if labels == series.labels else replace(series, labels=labels))
        if passed:
            samples = tuple(item for item in passed if isinstance(item, Sample))
            self.families.append(
                Family(metric, samples, tuple(item for item in passed if isinstance(item, Distribution)))
            )

    def _shorten(self, labels: LabelValues) -> LabelValues:
        """The publishable label values: cut to the limit, and without text that UTF-8 cannot encode."""
        limit = self._budget.max_label_length
        if all(value.isascii() and len(value) <= limit for value in labels):
            return tuple(labels)
        cleaned = tuple(value.encode("utf-8", "replace").decode() for value in labels)
        if all(len(value) <= limit for value in cleaned):
            return cleaned
        self.truncated += sum(len(value) > limit for value in cleaned)
        return tuple(value if len(value) <= limit else value[: limit - 1] + ELLIPSIS for value in cleaned)


def _fits(metric: Metric, series: Sample | Distribution) -> bool:
    """Whether a series has its metric's declared shape and a plausible number."""
    if len(series.labels) != len(metric.labels):
        return False
    if isinstance(series, Distribution):
        counts = series.cumulative
        is_whole = len(counts) == len(metric.buckets) + 1 and bool(metric.buckets)
        return is_whole and all(0 <= low <= high < MAX_COUNT for low, high in pairwise((0, *counts)))
    return not metric.buckets


def _series_width(metric: Metric) -> int:
    """How many series one label set of this metric makes."""
    return len(metric.buckets) + 3 if metric.buckets else 1


def series_in(family: Family) -> int:
    """How many series a family makes."""
    return len(family.samples) + len(family.distributions) * _series_width(family.metric)
