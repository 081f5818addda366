"""Interprets the rows of pip_connections. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.collectors.labels import ENVIRONMENTS, environment_label, environments_of
from exporter.items import amount_of, count_of, member_of, number_of, read_each, text_of
from exporter.metrics import Family, Metric
from exporter.sources.product_zone import WrittenTime, ZoneMeter, written

HEALTHS = ("healthy", "unhealthy", "unknown")
HEALTH_WORDS = {"connected": "healthy", "error": "unhealthy"}
"""Other spellings that some of the product's connectors write."""
STATUSES = ("active", "pending", "error", "inactive")
CONNECTION = ("connection", "provider", "policy_environment")

HEALTHY = Metric(
    "controlcore_pip_connection_healthy",
    "Whether the product calls the connection healthy; absent while unknown, and for an inactive connection.",
    labels=CONNECTION,
)
LAST_SYNC = Metric(
    "controlcore_pip_last_sync_timestamp_seconds",
    "Time of the connection's last synchronisation; absent before the first, and for an inactive connection.",
    labels=CONNECTION,
    unit="seconds",
)
INTERVAL = Metric(
    "controlcore_pip_sync_interval_seconds",
    "Configured time between the connection's synchronisations; absent for an inactive connection.",
    labels=CONNECTION,
    unit="seconds",
)
TOKEN_EXPIRY = Metric(
    "controlcore_pip_oauth_token_expiry_timestamp_seconds",
    "Time at which the first of the connection's OAuth tokens expires; absent without one.",
    labels=CONNECTION,
    unit="seconds",
)
STATUS = Metric(
    "controlcore_pip_connection_status",
    "Always 1; the label is the connection's status. The 2025.10 product makes every connection pending and never sets"
    " active itself.",
    labels=(*CONNECTION, "status"),
)
CONNECTIONS = Metric(
    "controlcore_pip_connections",
    "Connections that are not inactive, by the health that the product last recorded.",
    labels=("policy_environment", "health"),
)
BY_STATUS = Metric(
    "controlcore_pip_connections_by_status", "Connections by their status.", labels=("policy_environment", "status")
)
OVERDUE = Metric(
    "controlcore_pip_sync_overdue",
    "Connections with synchronisation enabled whose last one is more than two intervals ago; inactive and "
    "never synchronised ones are not counted.",
    labels=("policy_environment",),
)
PIP_METRICS = (HEALTHY, LAST_SYNC, INTERVAL, TOKEN_EXPIRY, CONNECTIONS, OVERDUE, BY_STATUS, STATUS)

Rows = Sequence[Mapping[str, Any]]


class ContainerZone:
    """Learns the zone of the API's container from connections that have just synchronised."""

    def __init__(self) -> None:
        self._meter = ZoneMeter()
        self._seen: dict[object, WrittenTime] = {}
        self.correction_seconds = 0.0
        """Correction of a time that was read with the configured zone."""

    def learn(self, rows: Rows, window_seconds: float) -> None:
        """Records the times of one reading, `window_seconds` after the previous one."""

        def read(row: Mapping[str, Any]) -> tuple[object, WrittenTime | None]:
            time = written(row, "last_sync_as_utc", "last_sync")
            before = self._seen.get(row["id"])
            if time is not None and before is not None and time.as_utc != before.as_utc:
                self._meter.observe(time, row["now"], window_seconds)
                self.correction_seconds = self._meter.correction(time)
            return row["id"], time

        self._seen = {id_: time for id_, time in read_each(rows, read) if time is not None}

    def past(self, row: Mapping[str, Any]) -> float | None:
        """The row's last synchronisation; unknown when it lies in the future."""
        return self._meter.past(written(row, "last_sync_as_utc", "last_sync"), row["now"])


def read_connections(rows: Rows, zone: ContainerZone) -> tuple[Family, ...]:
    """The series of each connection; a null, or an infinite time, publishes nothing."""
    names = Counter(read_each(rows, name_of))
    samples: dict[Metric, dict[tuple[str, ...], float]] = {
        metric: {} for metric in (HEALTHY, LAST_SYNC, INTERVAL, TOKEN_EXPIRY, STATUS)
    }

    def read(row: Mapping[str, Any]) -> None:
        name = name_of(row)
        name = name if names[name] == 1 else f"{name}#{row['id']}"
        environment = environment_label(row["environment"], "pip_connections.environment")
        labels = (name, "" if row["provider"] is None else row["provider"], environment)
        status = member_of(row["status"], STATUSES, "pip_connections.status")
        samples[STATUS][(*labels, status)] = 1
        if status == "inactive":
            return
        expiry = number_of(row["token_expiry"])
        values = {
            HEALTHY: {"healthy": True, "unhealthy": False}.get(health_label(row["health"])),
            LAST_SYNC: zone.past(row),
            INTERVAL: amount_of(row["sync_frequency"]),
            TOKEN_EXPIRY: None if expiry is None else expiry + zone.correction_seconds,
        }
        for metric, value in values.items():
            if value is not None:
                samples[metric][labels] = value

    read_each(rows, read)
    return tuple(metric.family(values) for metric, values in samples.items())


def read_counts(rows: Rows) -> tuple[Family, Family]:
    """Connections by environment and health, and by environment and status; a state without connections is 0."""
    healths = {(environment, health): 0 for environment in ENVIRONMENTS for health in HEALTHS}
    statuses = {(environment, status): 0 for environment in ENVIRONMENTS for status in STATUSES}

    def read(row: Mapping[str, Any]) -> None:
        connections = count_of(row, "connections")
        status = member_of(row["status"], STATUSES, "pip_connections.status")
        health = health_label(row["health"])
        for environment in environments_of(row["environment"], "pip_connections.environment"):
            statuses[environment, status] = statuses.get((environment, status), 0) + connections
            if status != "inactive":
                healths[environment, health] = healths.get((environment, health), 0) + connections

    read_each(rows, read)
    return CONNECTIONS.family(healths), BY_STATUS.family(statuses)


def read_overdue(rows: Rows) -> Family:
    """Overdue connections by environment."""
    counts = {(environment,): 0 for environment in ENVIRONMENTS}

    def read(row: Mapping[str, Any]) -> None:
        overdue = count_of(row, "overdue")
        for environment in environments_of(row["environment"], "pip_connections.environment"):
            counts[environment,] = counts.get((environment,), 0) + overdue

    read_each(rows, read)
    return OVERDUE.family(counts)


def name_of(row: Mapping[str, Any]) -> str:
    """The connection's name, or its id when it has none."""
    return text_of(row, "name") if row["name"] else str(row["id"])


def health_label(health: object) -> str:
    """The health as a label value of a closed set; null is unknown."""
    word = HEALTH_WORDS.get(health, health) if isinstance(health, str) else health
    return "unknown" if word is None else member_of(word, HEALTHS, "pip_connections.health_status")
