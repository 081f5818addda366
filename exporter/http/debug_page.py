"""The last results of each collector, as people and programs read them. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chassis.clock import format_timestamp

if TYPE_CHECKING:
    from exporter.results.record import CollectorRecord, PastResult

HINT = "Newest first; times are UTC. As JSON: /debug/collectors?format=json\n"
Records = Mapping[str, "tuple[CollectorRecord, ...]"]
"""The collectors of each deployment by its name; the deployment at /metrics has the name `""`."""


def as_json(records: Records, now_monotonic: float) -> str:
    """Every collector with its last results, newest first."""
    deployments = [
        {"deployment": name or None, "collectors": [_describe(record, now_monotonic) for record in found]}
        for name, found in records.items()
    ]
    return json.dumps({"deployments": deployments}, indent=1)


def as_text(records: Records, now_monotonic: float) -> str:
    """The same for a terminal."""
    parts = [HINT]
    for name, found in records.items():
        if name:
            parts.append(f"\ndeployment {name}\n")
        for record in found:
            parts.append(_heading(record, now_monotonic))
            parts += [_line(past) for past in reversed(record.history)]
    return "".join(parts)


def _describe(record: CollectorRecord, now_monotonic: float) -> dict[str, Any]:
    """One collector as JSON."""
    return {
        "collector": record.spec.name,
        "scope": record.spec.scope.value,
        "state": record.state.value,
        "is_stale": record.is_stale(now_monotonic),
        "is_running": record.running_since is not None,
        "interval_seconds": record.interval_seconds,
        "timeout_seconds": record.timeout_seconds,
        "failures_in_a_row": record.failures,
        "results": [
            {
                "began": format_timestamp(past.began),
                "began_timestamp_seconds": past.began,
                "duration_seconds": round(past.duration_seconds, 6),
                "is_success": past.reason is None,
                "reason": None if past.reason is None else past.reason.value,
                "message": past.message,
                "series": past.series,
            }
            for past in reversed(record.history)
        ],
    }


def _heading(record: CollectorRecord, now_monotonic: float) -> str:
    """The line above a collector's results."""
    stale = ", stale" if record.is_stale(now_monotonic) else ""
    pace = f"every {record.interval_seconds:g} s, deadline {record.timeout_seconds:g} s"
    return f"\n{record.spec.name} ({record.state.value}{stale}; {pace})\n"


def _line(past: PastResult) -> str:
    """One result."""
    series = "" if past.series is None else f"{past.series} series"
    verdict = "ok" if past.reason is None else f"{past.reason.value}: {past.message}"
    return f"  {format_timestamp(past.began)}  {past.duration_seconds:9.4f} s  {series:>12}  {verdict}\n"
