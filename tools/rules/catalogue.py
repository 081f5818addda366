"""The series that the two programs publish and those that a PromQL expression uses, to check rules and dashboards."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from prometheus_client.metrics_core import Metric as RemediatorMetric

from chassis.documents import asked_names, without_texts
from exporter import self_metrics
from exporter.collectors import discover
from exporter.metrics import Kind, Metric
from remediations.metrics import Telemetry

RULES = Path(__file__).parents[2] / "rules"
PROMETHEUS_OWN = ("ALERTS", "ALERTS_FOR_STATE")
"""What Prometheus itself writes about the rules it evaluates; the labels are those of the alerts."""
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")


@functools.cache
def published_labels() -> Mapping[str, frozenset[str] | None]:
    """Every series name of exporter and remediator, histograms' three included, with the labels it may carry.

    The exporter's come from its registrations and `exporter.self_metrics`. The remediator's come from a registry made
    for this: a family without a first series does not show its labels, so they are None, as are those of the series
    that the shipped rules record.
    """
    found: dict[str, frozenset[str] | None] = {}
    declared = [metric for spec in discover() for metric in spec.metrics] + list(self_metrics.METRICS)
    for metric in declared:
        found.update(_series(metric.name, metric.labels, is_histogram=metric.kind is Kind.HISTOGRAM))
    for family in Telemetry().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.update(_series(name, _labels(family), is_histogram=family.type == "histogram"))
    return {**found, **dict.fromkeys((*recorded_names(), *PROMETHEUS_OWN))}


def recorded_names() -> frozenset[str]:
    """The series that the shipped rules record."""
    groups = [group for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    return frozenset(rule["record"] for group in groups for rule in group["rules"] if "record" in rule)


def find_metric(name: str) -> Metric:
    """The exporter's declaration of that name; raises KeyError when no collector declares it."""
    for metric in [metric for spec in discover() for metric in spec.metrics] + list(self_metrics.METRICS):
        if metric.name == name:
            return metric
    raise KeyError(name)


def asked_labels(promql: str) -> Mapping[str, frozenset[str]]:
    """For each series name with a selector in braces, the labels that the selector names."""
    bare = without_texts(promql)
    found: dict[str, frozenset[str]] = {}
    for name, inside in _SELECTOR.findall(bare):
        found[name] = found.get(name, frozenset()) | frozenset(_LABEL.findall(inside))
    return found


def find_faults(promql: str) -> tuple[str, ...]:
    """One sentence for every name that neither program publishes and every label that the series never carries."""
    published = published_labels()
    faults = [f"{name} is published by neither program" for name in sorted(asked_names(promql) - published.keys())]
    for name, labels in asked_labels(promql).items():
        carried = published.get(name)
        if carried is not None:
            faults += [f"{name} has no label {label}" for label in sorted(labels - carried)]
    return tuple(faults)


def _series(name: str, labels: Iterable[str] | None, *, is_histogram: bool) -> dict[str, frozenset[str] | None]:
    carried = None if labels is None else frozenset(labels)
    if not is_histogram:
        return {name: carried}
    bounds = None if carried is None else carried | {"le"}
    return {f"{name}_count": carried, f"{name}_sum": carried, f"{name}_bucket": bounds}


def _labels(family: RemediatorMetric) -> set[str] | None:
    """The labels of a remediator's family; None while it has no series."""
    if not family.samples:
        return None
    return {label for sample in family.samples for label in sample.labels if label != "le"}
