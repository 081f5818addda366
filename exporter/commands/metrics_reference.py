"""Writes the catalogue of metrics as Markdown: the text of docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterable

from exporter import self_metrics
from exporter.collector import CollectorSpec
from exporter.metrics import Metric, Stability

HEAD = """# Metrics

Written by `make generate` from the declarations in the code; do not edit.

An absent metric is unknown: the exporter never publishes zero for unknown. Values older than three intervals of
their collector (at least 60 s) are dropped; those marked *always* are not. Metrics of stability `guide` carry the names
of the product's DevOps guide and are published while `guide_names` is on. `stable` names change with a major version
only.
"""


def write(specs: Iterable[CollectorSpec]) -> str:
    """The page: the exporter's own metrics, then each collector's, by name."""
    sections = [
        HEAD,
        _section(
            "The exporter itself", "", self_metrics.METRICS, frozenset(metric.name for metric in self_metrics.METRICS)
        ),
    ]
    for spec in sorted(specs, key=lambda item: item.name):
        defaults = spec.settings()
        pace = f"every {defaults.interval_seconds:g} s, deadline {defaults.timeout_seconds:g} s"
        about = f"{spec.doc.partition(chr(10))[0]} Scope `{spec.scope.value}`, {pace}."
        sections.append(_section(f"Collector `{spec.name}`", about, spec.metrics, frozenset(spec.always)))
    return "\n".join(sections)


def _section(title: str, about: str, metrics: Iterable[Metric], always: frozenset[str]) -> str:
    """One table with its heading."""
    lines = [f"## {title}", ""]
    if about:
        lines += [about, ""]
    lines += ["| metric | type | labels | stability | meaning |", "|---|---|---|---|---|"]
    lines += [_row(metric, is_always=metric.name in always) for metric in sorted(metrics, key=lambda item: item.name)]
    return "\n".join([*lines, ""])


def _row(metric: Metric, *, is_always: bool) -> str:
    """One metric as a table row."""
    stability = metric.stability.value + (", always" if is_always and metric.stability is not Stability.GUIDE else "")
    meaning = metric.help.replace("|", "\\|")
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {stability} | {meaning} |"
