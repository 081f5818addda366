"""What the rows of pip_connections mean. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.audit_labels import ENVIRONMENTS, OTHER, environment_label
from exporter.catalogue import Family, Metric

HEALTHS = ("healthy", "unhealthy", "unknown")
CONNECTION = ("connection", "provider", "policy_environment")

HEALTHY = Metric(
    "controlcore_pip_connection_healthy",
    "Whether the product calls the active connection healthy; absent while it does not know.",
    labels=CONNECTION,
)
LAST_SYNC = Metric(
    "controlcore_pip_last_sync_timestamp_seconds",
    "Time of the active connection's last synchronisation; absent before the first.",
    labels=CONNECTION,
    unit="seconds",
)
INTERVAL = Metric(
    "controlcore_pip_sync_interval_seconds",
    "Configured time between the active connection's synchronisations.",
    labels=CONNECTION,
    unit="seconds",
)
TOKEN_EXPIRY = Metric(
    "controlcore_pip_oauth_token_expiry_timestamp_seconds",
    "Time at which the first of the connection's OAuth tokens expires; absent without one.",
    labels=CONNECTION,
    unit="seconds",
)
CONNECTIONS = Metric(
    "controlcore_pip_connections",
    "Active connections by the health that the product last noted.",
    labels=("policy_environment", "health"),
)
OVERDUE = Metric(
    "controlcore_pip_sync_overdue",
    "Active, enabled connections whose last synchronisation is more than two intervals ago.",
    labels=("policy_environment",),
)
PIP_METRICS = (HEALTHY, LAST_SYNC, INTERVAL, TOKEN_EXPIRY, CONNECTIONS, OVERDUE)

Rows = Sequence[Mapping[str, Any]]


def read_connections(rows: Rows) -> tuple[Family, ...]:
    """The series of each connection; a null, or an infinite time, publishes nothing."""
    names = Counter(row["name"] for row in rows)
    samples: dict[Metric, dict[tuple[str, ...], float]] = {
        metric: {} for metric in (HEALTHY, LAST_SYNC, INTERVAL, TOKEN_EXPIRY)
    }
    for row in rows:
        name = row["name"] if names[row["name"]] == 1 else f"{row['name']}#{row['id']}"
        labels = (name, row["provider"] or "", environment_label(row["environment"]))
        values = {
            HEALTHY: {"healthy": True, "unhealthy": False}.get(row["health"]),
            LAST_SYNC: row["last_sync"],
            INTERVAL: row["sync_frequency"],
            TOKEN_EXPIRY: row["token_expiry"],
        }
        for metric, value in values.items():
            if value is not None and math.isfinite(value):
                samples[metric][labels] = value
    return tuple(metric.family(values) for metric, values in samples.items())


def read_counts(rows: Rows) -> Family:
    """Active connections by environment and health; nobody in a known state is a known 0."""
    counts = {(environment, health): 0 for environment in ENVIRONMENTS for health in HEALTHS}
    for row in rows:
        health = row["health"] or "unknown"
        labels = (environment_label(row["environment"]), health if health in HEALTHS else OTHER)
        counts[labels] = counts.get(labels, 0) + row["connections"]
    return CONNECTIONS.family(counts)


def read_overdue(rows: Rows) -> Family:
    """Overdue connections by environment."""
    counts = {(environment,): 0 for environment in ENVIRONMENTS}
    for row in rows:
        labels = (environment_label(row["environment"]),)
        counts[labels] = counts.get(labels, 0) + row["overdue"]
    return OVERDUE.family(counts)
