"""Reads what other PostgreSQL exporters also publish: start, role, rows, temporary files, locks, slots."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.postgres.views import Rows, ViewQuery, ask_views
from exporter.items import amount_of, count_of, flag_of, only_of, past_of, read_each, text_of, word_of
from exporter.metrics import Family, Kind, Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from typing import Any

    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

COMPONENT = "database"
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
    "SIReadLock",
)
"""Every mode of pg_locks (PostgreSQL documentation, 13.3 Explicit Locking)."""
OTHER_MODE = "other"
LOST = "lost"
"""pg_replication_slots.wal_status of a slot that cannot be used any more."""
OPERATIONS = {
    "tup_fetched": "fetched",
    "tup_inserted": "inserted",
    "tup_updated": "updated",
    "tup_deleted": "deleted",
}

START = Metric("controlcore_postgres_start_timestamp_seconds", "Unix time at which the server started.", unit="seconds")
IS_PRIMARY = Metric("controlcore_postgres_primary", "Whether the server takes writes (1) or is a replica (0).")
ROWS = Metric(
    "controlcore_postgres_rows_total",
    "Rows of the database that were fetched, inserted, updated or deleted.",
    Kind.COUNTER,
    labels=("operation",),
)
TEMPORARY_FILES = Metric(
    "controlcore_postgres_temporary_files_total",
    "Files that queries wrote because work_mem was too small.",
    Kind.COUNTER,
)
TEMPORARY_BYTES = Metric(
    "controlcore_postgres_temporary_bytes_total",
    "Bytes in files that queries wrote because work_mem was too small.",
    Kind.COUNTER,
    unit="bytes",
)
CONFLICTS = Metric(
    "controlcore_postgres_conflicts_total",
    "Queries cancelled because they conflicted with recovery; on a replica only.",
    Kind.COUNTER,
)
LOCKS = Metric("controlcore_postgres_locks", "Locks in the database, held or waited for, by mode.", labels=("mode",))
SLOT_ACTIVE = Metric(
    "controlcore_postgres_replication_slot_active", "Whether a client reads the replication slot.", labels=("slot",)
)
SLOT_RETAINED = Metric(
    "controlcore_postgres_replication_slot_retained_bytes",
    "WAL kept for the replication slot; an unread slot fills the disk. 0 for a lost slot.",
    labels=("slot",),
    unit="bytes",
)
SLOT_LOST = Metric(
    "controlcore_postgres_replication_slot_lost",
    "Whether the server has removed WAL that the replication slot needed, so that it cannot be used any more; absent"
    " where the server does not say (before PostgreSQL 13).",
    labels=("slot",),
)

# Open to every role; 10+.
SERVER = """
SELECT extract(epoch FROM pg_postmaster_start_time())::float8 AS started, extract(epoch FROM now())::float8 AS now,
       NOT pg_is_in_recovery() AS is_primary,
       split_part(current_setting('server_version'), ' ', 1) AS version
"""

# pg_stat_database, open to every role; 9.2+. The counters are the server's own; a reset is an ordinary one.
DATABASE = """
SELECT tup_fetched, tup_inserted, tup_updated, tup_deleted, temp_files, temp_bytes, conflicts
  FROM pg_stat_database
 WHERE datname = current_database()
"""

# pg_locks is open to every role; our own session's locks are not the product's.
HELD = """
SELECT mode, count(*) AS locks
  FROM pg_locks
 WHERE pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY 1
"""

# pg_replication_slots is open to every role; 10+. On a replica there is no current position, so the received or
# replayed one is used (after a restart without its primary it has received nothing). wal_status came with PostgreSQL
# 13, hence the way over JSON; a lost slot has no restart_lsn and keeps nothing any more. $1 bounds the rows: every role
# with REPLICATION makes slots.
SLOTS = """
SELECT slot_name::text AS slot, active, wal_status,
       CASE WHEN wal_status = 'lost' THEN 0
            WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - restart_lsn
            ELSE pg_current_wal_lsn() - restart_lsn END::float8 AS retained
  FROM (SELECT slot_name, active, restart_lsn, to_jsonb(s) ->> 'wal_status' AS wal_status
          FROM pg_replication_slots s) AS slots
 ORDER BY wal_status = 'lost' DESC NULLS LAST, restart_lsn NULLS LAST, slot_name
 LIMIT $1
"""


class PostgresServerSettings(CollectorSettings):
    """How often the views are read."""

    interval_seconds: float = Field(default=30.0, gt=0)
    """Seconds between two readings. Smaller keeps the shared connection busy for figures that are rarely used."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    """Deadline of one collection, over all its queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a loaded server, too large keeps the shared connection busy."""
    max_slots: int = Field(default=50, ge=1, le=1000)
    """Replication slots with their own series; those that retain most WAL come first."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PostgresServerSettings,
    metrics=(
        START,
        IS_PRIMARY,
        ROWS,
        TEMPORARY_FILES,
        TEMPORARY_BYTES,
        CONFLICTS,
        LOCKS,
        SLOT_ACTIVE,
        SLOT_RETAINED,
        SLOT_LOST,
    ),
)
class PostgresServerCollector:
    """Reads the server's start and role, rows, temporary files, locks and replication slots; needs no grant."""

    def __init__(self, settings: PostgresServerSettings, postgres: PostgresSession) -> None:
        self._settings = settings
        self._postgres = postgres

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PostgresServerSettings, sources: Sources) -> AsyncIterator[PostgresServerCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres)

    async def collect(self) -> Result:
        """Queries one view after the other; a view that refuses is the failure, and a TransientError skips the rest.

        Raises BackendError when nothing is known.
        """
        versions: dict[str, str] = {}

        def read_start(rows: Rows) -> list[Family]:
            families = read_server(rows)
            versions[COMPONENT] = text_of(rows[0], "version")
            return families

        questions = (
            ViewQuery(SERVER, read_start),
            ViewQuery(DATABASE, read_database),
            ViewQuery(HELD, read_locks),
            ViewQuery(SLOTS, read_slots, (self._settings.max_slots,)),
        )
        families, failure = await ask_views(self._postgres, questions, self._settings.query_timeout_seconds)
        return Result(tuple(families), failure=failure, versions=versions)


def read_server(rows: Rows) -> list[Family]:
    """Start and role from SERVER's row."""
    row = only_of(rows)
    return [
        START.value(past_of(row.get("started"), row.get("now"))),
        IS_PRIMARY.value(flag_of(row.get("is_primary"))),
    ]


def read_database(rows: Rows) -> list[Family]:
    """The database's counters from DATABASE's row."""
    row = only_of(rows)
    counts = {(operation,): amount_of(row.get(column)) for column, operation in OPERATIONS.items()}
    return [
        ROWS.family({labels: count for labels, count in counts.items() if count is not None}),
        TEMPORARY_FILES.value(amount_of(row.get("temp_files"))),
        TEMPORARY_BYTES.value(amount_of(row.get("temp_bytes"))),
        CONFLICTS.value(amount_of(row.get("conflicts"))),
    ]


def read_locks(rows: Rows) -> list[Family]:
    """Locks by mode from HELD's rows; a mode without locks is a known 0."""
    counts = dict.fromkeys(MODES, 0)
    for mode, locks in read_each(rows, lambda row: (text_of(row, "mode"), count_of(row, "locks"))):
        label = mode if mode in MODES else OTHER_MODE
        counts[label] = counts.get(label, 0) + locks
    return [LOCKS.family({(mode,): count for mode, count in counts.items()})]


def read_slots(rows: Rows) -> list[Family]:
    """Replication slots from SLOTS' rows; one that reserves no WAL yet has no amount."""
    slots = read_each(rows, _read_slot)
    return [
        metric.family([((slot,), value) for slot, values in slots if (value := values[place]) is not None])
        for place, metric in enumerate((SLOT_ACTIVE, SLOT_RETAINED, SLOT_LOST))
    ]


def _read_slot(row: Mapping[str, Any]) -> tuple[str, tuple[float | None, ...]]:
    """One of SLOTS' rows: its name, and the values in the order of the metrics."""
    status = word_of(row.get("wal_status"))
    is_lost = None if status is None else status == LOST
    return text_of(row, "slot"), (flag_of(row.get("active")), amount_of(row.get("retained")), is_lost)
