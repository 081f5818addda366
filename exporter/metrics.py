"""Declarations of metrics, and the values that collectors return: immutable, no I/O.

A collector declares its metrics once (`Metric`), and returns `Family` values that carry samples. Counters and
histograms keep their state between collections in `Counter` and `Histogram`. Each starts at 0 for every label set that
is named in advance, so that `increase()` sees the first increase.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from exporter.items import OTHER, as_number

LabelValues = tuple[str, ...]
L = TypeVar("L", bound=LabelValues)


class Kind(StrEnum):
    """Prometheus metric types that this exporter publishes."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Stability(StrEnum):
    """Guarantees for users: STABLE names change only with a major version."""

    STABLE = "stable"
    EXPERIMENTAL = "experimental"
    GUIDE = "guide"


@dataclass(frozen=True, slots=True)
class Metric:
    """The declaration of one metric: a catalogue entry. `name` carries its unit and, for counters, `_total`."""

    name: str
    help: str
    kind: Kind = Kind.GAUGE
    labels: tuple[str, ...] = ()
    unit: str = ""
    stability: Stability = Stability.STABLE
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram in ascending order, without +Inf."""

    def family(self, samples: Mapping[L, float] | Iterable[tuple[L, float]]) -> Family:
        """A family of plain samples; an empty one publishes nothing (unknown is not zero).

        A value that is not a number becomes NaN, which `limits` drops and counts.
        """
        items = samples.items() if isinstance(samples, Mapping) else samples
        return Family(self, tuple(Sample(labels, as_number(value)) for labels, value in items))

    def value(self, value: float | None) -> Family:
        """A family with one sample without labels, or none when the value is unknown."""
        return Family(self, () if value is None else (Sample((), as_number(value)),))


@dataclass(frozen=True, slots=True)
class Sample:
    """One number under one set of label values, in the order of `Metric.labels`."""

    labels: LabelValues
    value: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's state under one set of label values: cumulative counts per bound (+Inf last), and the sum."""

    labels: LabelValues
    cumulative: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its current samples."""

    metric: Metric
    samples: tuple[Sample, ...] = ()
    distributions: tuple[Distribution, ...] = ()


@dataclass(slots=True)
class Counter:
    """A counter that lives as long as the process. Label sets given to `initialise` exist from the start with 0."""

    metric: Metric
    values: dict[LabelValues, float] = field(default_factory=dict)
    """Changed by the methods below only."""
    _family: Family | None = field(default=None, init=False, repr=False, compare=False)
    """The counter's last family; None after a change."""

    def initialise(self, label_sets: Iterable[Sequence[str]]) -> Counter:
        """Itself, with these label sets at 0."""
        for labels in label_sets:
            self.values.setdefault(tuple(labels), 0.0)
        self._family = None
        return self

    def add(self, labels: Sequence[str] = (), amount: float = 1.0) -> None:
        """Adds a finite, non-negative amount; raises ValueError otherwise, and TypeError if it is not a number."""
        if not 0 <= amount < math.inf:
            raise ValueError(f"{self.metric.name} cannot fall")
        key = tuple(labels)
        if amount or key not in self.values:
            self.values[key] = self.values.get(key, 0.0) + amount
            self._family = None

    def forget(self, first: str) -> None:
        """Removes the label sets that begin with this value."""
        for labels in [labels for labels in self.values if labels[0] == first]:
            del self.values[labels]
        self._family = None

    def family(self) -> Family:
        """The counter's current family; the same object until it changes, and an unchanged one is not written again."""
        if self._family is None:
            self._family = self.metric.family(self.values)
        return self._family


@dataclass(slots=True)
class Histogram:
    """A histogram that lives as long as the process."""

    metric: Metric
    counts: dict[LabelValues, list[int]] = field(default_factory=dict)
    totals: dict[LabelValues, float] = field(default_factory=dict)

    def initialise(self, label_sets: Iterable[Sequence[str]]) -> Histogram:
        """Itself, with these label sets at 0."""
        for labels in label_sets:
            self._row(tuple(labels))
        return self

    def observe(self, value: float, labels: Sequence[str] = ()) -> None:
        """Counts one observation, in the metric's unit."""
        key = tuple(labels)
        self._row(key)[bisect_left(self.metric.buckets, value)] += 1
        self.totals[key] += value

    def add(self, bucket: int, count: int, total: float, labels: Sequence[str] = ()) -> None:
        """Counts many observations of one bucket at once: its index (the last is +Inf), how many, and their sum.

        Raises ValueError, TypeError or IndexError for impossible values, and then counts nothing.
        """
        if bucket < 0 or count < 0 or not 0 <= total < math.inf:
            raise ValueError(f"{self.metric.name} cannot fall")
        key = tuple(labels)
        self._row(key)[bucket] += count
        self.totals[key] += total

    def family(self) -> Family:
        """The histogram's current family."""
        rows = tuple(
            Distribution(labels, _running(counts), self.totals[labels]) for labels, counts in self.counts.items()
        )
        return Family(self.metric, (), rows)

    def _row(self, labels: LabelValues) -> list[int]:
        """The counts of one label set, made on first use."""
        self.totals.setdefault(labels, 0.0)
        return self.counts.setdefault(labels, [0] * (len(self.metric.buckets) + 1))


def _running(counts: Sequence[int]) -> tuple[int, ...]:
    """Cumulative counts from plain ones."""
    total = 0
    out = []
    for count in counts:
        total += count
        out.append(total)
    return tuple(out)


FAST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds between half a millisecond and 2.5 s: OPA decides in 1 to 10 ms, and a timeout is a few seconds."""


PLAIN_WORD = re.compile(r"[A-Za-z0-9._+-]{1,50}")
"""A mode or a version, from a column that any client may write."""


def plain_word(text: object) -> str:
    """A mode or version as a label value: empty when unknown, `other` if it is not a plain word."""
    if text is None or text == "":
        return ""
    return text if isinstance(text, str) and PLAIN_WORD.fullmatch(text) else OTHER
