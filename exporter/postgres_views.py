"""PostgreSQL's views about its own upkeep: the queries, and what their rows mean. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.catalogue import Family, Kind, Metric

Rows = Sequence[Mapping[str, Any]]

DENIED = Metric(
    "controlcore_postgres_view_denied",
    "Whether the server refuses this view, so that its values are absent.",
    labels=("view",),
)
LOCK_WAITERS = Metric("controlcore_postgres_lock_waiters", "Sessions of the database that wait for a lock.")
REPLICAS = Metric("controlcore_postgres_replicas", "Replicas that stream from this server.")
LAG = Metric(
    "controlcore_postgres_replication_lag_seconds",
    "On a primary the slowest replica's lag, on a replica its own; absent where none is measured.",
    unit="seconds",
)
ARCHIVED = Metric(
    "controlcore_postgres_wal_archived_total", "WAL segments archived; absent without archiving.", Kind.COUNTER
)
ARCHIVE_FAILURES = Metric(
    "controlcore_postgres_wal_archive_failures_total",
    "Attempts to archive a WAL segment that failed; absent without archiving.",
    Kind.COUNTER,
)
LAST_ARCHIVED = Metric(
    "controlcore_postgres_wal_last_archived_timestamp_seconds",
    "Time of the last archived WAL segment.",
    unit="seconds",
)
LAST_ARCHIVE_FAILURE = Metric(
    "controlcore_postgres_wal_last_archive_failure_timestamp_seconds",
    "Time of the last attempt to archive that failed.",
    unit="seconds",
)
DEAD_RATIO = Metric(
    "controlcore_postgres_dead_rows_ratio",
    "Dead rows among all rows of the table, by the server's estimate; absent for an empty table.",
    labels=("table",),
    unit="ratio",
)
DEAD_ROWS = Metric(
    "controlcore_postgres_dead_rows", "Dead rows of the table, by the server's estimate.", labels=("table",)
)
TABLE_BYTES = Metric(
    "controlcore_postgres_table_bytes",
    "Size of the table on disk with its indexes.",
    labels=("table",),
    unit="bytes",
)
LAST_VACUUM = Metric(
    "controlcore_postgres_table_last_vacuum_timestamp_seconds",
    "Time of the table's last vacuum, by hand or by the server.",
    labels=("table",),
    unit="seconds",
)
HEADROOM = Metric(
    "controlcore_postgres_connections_headroom", "Connections that the server would still grant to ordinary roles."
)
APPLICATIONS = Metric(
    "controlcore_postgres_application_connections",
    "Client connections of the whole server by application and state.",
    labels=("application", "state"),
)
STATES = ("active", "idle", "idle in transaction", "idle in transaction (aborted)")
CONTROL_PLANE, OTHER, HIDDEN = "control_plane", "other", "hidden"

# pg_locks is open to everyone; 9.1+. Sessions, not locks: one session waits for one lock at a time.
LOCKS = """
SELECT count(DISTINCT pid) AS waiters
  FROM pg_locks
 WHERE NOT granted AND (database IS NULL OR database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

# pg_stat_replication, PostgreSQL 10+. replay_lag turns null once a replica has caught up and nothing is written, hence
# the comparison of positions. Without pg_monitor the columns are null, and so is the lag.
REPLICATION = """
SELECT count(*) AS replicas,
       max(CASE WHEN replay_lsn >= pg_current_wal_lsn() THEN 0 ELSE extract(epoch FROM replay_lag) END)::float8 AS lag
  FROM pg_stat_replication
 WHERE NOT pg_is_in_recovery()
"""

# On a replica, PostgreSQL 10+. Everything received is replayed: no lag, however long the primary has written nothing.
REPLAY = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 END AS lag
"""

# pg_stat_archiver, 9.4+; its times have a zone. The counters are the server's own; a reset is an ordinary one.
ARCHIVER = """
SELECT archived_count, failed_count, extract(epoch FROM last_archived_time)::float8 AS last_archived,
       extract(epoch FROM last_failed_time)::float8 AS last_failed
  FROM pg_stat_archiver
 WHERE current_setting('archive_mode') <> 'off'
"""

# pg_stat_user_tables: estimates that cost nothing; pg_total_relation_size needs no right. The two
# tables that the product grows for ever.
TABLES = """
SELECT relname::text AS "table", n_dead_tup / nullif(n_live_tup + n_dead_tup, 0)::float8 AS ratio,
       n_dead_tup::float8 AS dead_rows, pg_total_relation_size(relid)::float8 AS bytes,
       extract(epoch FROM greatest(last_vacuum, last_autovacuum))::float8 AS last_vacuum
  FROM pg_stat_user_tables
 WHERE relid IN (to_regclass('audit_logs'), to_regclass('user_sessions'))
"""

# All databases: max_connections is one limit for the whole server. reserved_connections came with PostgreSQL 16.
# Without pg_monitor another role's row has no backend_type, and still a database.
CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0)
       - (SELECT count(*) FROM pg_stat_activity
           WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datname IS NOT NULL)) AS headroom
"""

# $1 are the application names that are told apart, $2 the control plane's role or ''. The names are whatever a client
# says, so that all others are one.
BY_APPLICATION = """
SELECT CASE WHEN application_name = ANY($1::text[]) THEN application_name
            WHEN $2::text <> '' AND usename = $2::text THEN 'control_plane'
            ELSE 'other' END AS application,
       CASE WHEN backend_type IS NULL THEN 'hidden' ELSE coalesce(state, 'other') END AS state,
       count(*) AS connections
  FROM pg_stat_activity
 WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datname IS NOT NULL)
 GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class View:
    """A view with its query and what reads its rows."""

    name: str
    sql: str
    read: Callable[[Rows], list[Family]]


def read_locks(rows: Rows) -> list[Family]:
    """Waiting sessions from LOCKS' row."""
    return [LOCK_WAITERS.value(rows[0]["waiters"])]


def read_replication(rows: Rows) -> list[Family]:
    """Replicas and their lag from REPLICATION's row; the lag only where there is a replica."""
    row = rows[0]
    return [REPLICAS.value(row["replicas"]), *([LAG.value(row["lag"])] if row["replicas"] else [])]


def read_replay(rows: Rows) -> list[Family]:
    """A replica's own lag from REPLAY's row; nothing on a primary."""
    return [] if rows[0]["lag"] is None else [LAG.value(rows[0]["lag"])]


def read_archiver(rows: Rows) -> list[Family]:
    """Archiving from ARCHIVER's row; there is none without archiving."""
    if not rows:
        return []
    row = rows[0]
    return [
        ARCHIVED.value(row["archived_count"]),
        ARCHIVE_FAILURES.value(row["failed_count"]),
        LAST_ARCHIVED.value(row["last_archived"]),
        LAST_ARCHIVE_FAILURE.value(row["last_failed"]),
    ]


def read_tables(rows: Rows) -> list[Family]:
    """Dead rows, sizes and the last vacuum from TABLES' rows; a null is absent."""
    return [
        metric.family([((row["table"],), row[name]) for row in rows if row[name] is not None])
        for metric, name in (
            (DEAD_RATIO, "ratio"),
            (DEAD_ROWS, "dead_rows"),
            (TABLE_BYTES, "bytes"),
            (LAST_VACUUM, "last_vacuum"),
        )
    ]


def read_connections(rows: Rows) -> list[Family]:
    """The headroom from CONNECTIONS' row; below 0 superusers hold more than their share."""
    return [HEADROOM.value(max(0, rows[0]["headroom"]))]


def read_applications(rows: Rows) -> list[Family]:
    """Connections by application and state from BY_APPLICATION's rows."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        state = row["state"] if row["state"] in (*STATES, HIDDEN) else OTHER
        labels = (row["application"], state.replace(" (", "_").replace(")", "").replace(" ", "_"))
        counts[labels] = counts.get(labels, 0) + row["connections"]
    return [APPLICATIONS.family(counts)]


VIEWS = (
    View("pg_locks", LOCKS, read_locks),
    View("pg_stat_replication", REPLICATION, read_replication),
    View("pg_last_wal_replay_lsn", REPLAY, read_replay),
    View("pg_stat_archiver", ARCHIVER, read_archiver),
    View("pg_stat_user_tables", TABLES, read_tables),
    View("pg_stat_activity", BY_APPLICATION, read_applications),
    View("max_connections", CONNECTIONS, read_connections),
)
VIEW_METRICS = (
    LOCK_WAITERS,
    REPLICAS,
    LAG,
    ARCHIVED,
    ARCHIVE_FAILURES,
    LAST_ARCHIVED,
    LAST_ARCHIVE_FAILURE,
    DEAD_RATIO,
    DEAD_ROWS,
    TABLE_BYTES,
    LAST_VACUUM,
    HEADROOM,
    APPLICATIONS,
)
