"""Queries one view of PostgreSQL after the other; a view that refuses affects only its own values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chassis.errors import BackendError, Reason, TransientError
from exporter.items import age_of, amount_of, count_of, flag_of, number_of, only_of, past_of, read_each, text_of
from exporter.metrics import Family, Kind, Metric

Rows = Sequence[Mapping[str, Any]]


DENIED = Metric(
    "controlcore_postgres_view_denied",
    "Whether the server refuses this view, so that its values are absent.",
    labels=("view",),
)


LOCK_WAITERS = Metric("controlcore_postgres_lock_waiters", "Sessions of the database that wait for a lock.")


REPLICAS = Metric(
    "controlcore_postgres_replicas",
    "Replicas that stream from this server; clients that only receive WAL or a base backup do not count.",
)


LAG = Metric(
    "controlcore_postgres_replication_lag_seconds",
    "On a primary the slowest replica's lag, on a replica its own; absent where unknown, such as on a "
    "disconnected replica.",
    unit="seconds",
)


LINK_UP = Metric(
    "controlcore_postgres_primary_link_up",
    "Whether this replica streams from its primary and receives its messages; absent on a primary.",
)


ARCHIVED = Metric(
    "controlcore_postgres_wal_archived_total", "WAL segments archived; absent without archiving.", Kind.COUNTER
)


ARCHIVE_FAILURES = Metric(
    "controlcore_postgres_wal_archive_failures_total",
    "Failed attempts to archive a WAL segment; absent without archiving.",
    Kind.COUNTER,
)


LAST_ARCHIVED = Metric(
    "controlcore_postgres_wal_last_archived_timestamp_seconds",
    "Time of the last archived WAL segment.",
    unit="seconds",
)


LAST_ARCHIVE_FAILURE = Metric(
    "controlcore_postgres_wal_last_archive_failure_timestamp_seconds",
    "Time of the last failed attempt to archive.",
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


# pg_locks is open to every role; 9.1+. Sessions, not locks: one session waits for one lock at a time.
LOCKS = """
SELECT count(DISTINCT pid) AS waiters
  FROM pg_locks
 WHERE NOT granted AND (database IS NULL OR database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


# pg_stat_replication, PostgreSQL 10+. Every client of the replication protocol has a row. A replica replays, and says
# how far: pg_receivewal and pg_basebackup never have a replay_lsn, and the client of a logical slot is no copy of the
# server. replay_lag turns null once a replica has caught up and nothing is written, hence the comparison of positions.
# A replica may itself have replicas; only their number is known here. Without pg_monitor the columns are null.
REPLICATION = """
SELECT count(*) FILTER (WHERE state IS NULL) AS hidden, count(*) FILTER (WHERE is_replica) AS replicas,
       count(*) FILTER (WHERE is_replica AND lag IS NULL) AS unmeasured, max(lag) FILTER (WHERE is_replica) AS lag
  FROM (SELECT state, state IN ('catchup', 'streaming') AND replay_lsn IS NOT NULL
                      AND NOT EXISTS (SELECT FROM pg_replication_slots s
                                       WHERE s.active_pid = r.pid AND s.slot_type = 'logical') AS is_replica,
               CASE WHEN pg_is_in_recovery() THEN NULL
                    WHEN replay_lsn >= pg_current_wal_lsn() THEN 0
                    ELSE extract(epoch FROM replay_lag)::float8 END AS lag
          FROM pg_stat_replication r) AS clients
"""


# On a replica, PostgreSQL 10+. pg_stat_wal_receiver has no row without a connection to a primary, and its columns
# are null without pg_monitor. After half of wal_receiver_timeout without a message the receiver asks the primary to
# answer (0 switches that off), so that two thirds of it without one are silence. What a replica has replayed says
# nothing about a primary that it cannot hear. If everything received is replayed, there is no lag, however long nothing
# was written (a receiver that has just begun may even be behind what is replayed).
REPLAY = """
SELECT pg_is_in_recovery() AS is_replica, r.pid IS NOT NULL AND r.status IS NULL AS hidden,
       r.status = 'streaming'
         AND r.last_msg_receipt_time > now() - 2.0 / 3 * coalesce(nullif(t.timeout, interval '0'), interval '60 s')
         AS is_linked,
       pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() AS is_replayed,
       extract(epoch FROM pg_last_xact_replay_timestamp())::float8 AS replayed_at,
       extract(epoch FROM now())::float8 AS now
  FROM (SELECT current_setting('wal_receiver_timeout')::interval AS timeout) AS t
  LEFT JOIN pg_stat_wal_receiver r ON r.pid IS NOT NULL
"""


# pg_stat_archiver, 9.4+; its times have a zone. The counters are the server's own; a reset is an ordinary one. During
# recovery the archiver runs with archive_mode=always only, and its zeros mean nothing otherwise.
ARCHIVER = """
SELECT archived_count, failed_count, extract(epoch FROM last_archived_time)::float8 AS last_archived,
       extract(epoch FROM last_failed_time)::float8 AS last_failed, extract(epoch FROM now())::float8 AS now
  FROM pg_stat_archiver
 WHERE current_setting('archive_mode') = 'always'
    OR (current_setting('archive_mode') = 'on' AND NOT pg_is_in_recovery())
"""


# pg_stat_user_tables: estimates that cost nothing; pg_total_relation_size needs no right. The two
# tables that the product grows for ever. A replica has the table and not the primary's estimates: it counts from 0.
TABLES = """
SELECT relname::text AS "table", extract(epoch FROM now())::float8 AS now,
       CASE WHEN NOT pg_is_in_recovery() THEN n_dead_tup / nullif(n_live_tup + n_dead_tup, 0)::float8 END AS ratio,
       CASE WHEN NOT pg_is_in_recovery() THEN n_dead_tup::float8 END AS dead_rows,
       pg_total_relation_size(relid)::float8 AS bytes,
       extract(epoch FROM greatest(last_vacuum, last_autovacuum))::float8 AS last_vacuum
  FROM pg_stat_user_tables
 WHERE relid IN (to_regclass('audit_logs'), to_regclass('user_sessions'))
"""


# All databases: max_connections is one limit for the whole server. reserved_connections came with PostgreSQL 16.
# Without pg_monitor another role's row has a database but no backend_type.
CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0)
       - (SELECT count(*) FROM pg_stat_activity
           WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datname IS NOT NULL)) AS headroom
"""


# $1 are the application names with their own series, $2 the control plane's role or ''. A client can use any name, so
# all other names are counted together.
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
    return [LOCK_WAITERS.value(amount_of(only_of(rows).get("waiters")))]


def read_replication(rows: Rows) -> list[Family]:
    """Replicas and the slowest one's lag from REPLICATION's row.

    Nothing while clients are hidden from us, and no lag while any replica's is unknown: it may be the slowest.
    """
    row = only_of(rows)
    if amount_of(row.get("hidden")) != 0:
        return []
    replicas = amount_of(row.get("replicas"))
    is_measured = bool(replicas) and amount_of(row.get("unmeasured")) == 0
    return [REPLICAS.value(replicas), *([LAG.value(amount_of(row.get("lag")))] if is_measured else [])]


def read_replay(rows: Rows) -> list[Family]:
    """A replica's link and its own lag from REPLAY's row; no lag without a link, and nothing on a primary."""
    row = only_of(rows)
    if flag_of(row.get("is_replica")) is not True or flag_of(row.get("hidden")) is not False:
        return []
    is_linked = flag_of(row.get("is_linked")) is True
    if not is_linked:
        return [LINK_UP.value(0)]
    is_replayed = flag_of(row.get("is_replayed")) is True
    lag = 0.0 if is_replayed else age_of(row.get("replayed_at"), row.get("now"))
    return [LINK_UP.value(1), *([] if lag is None else [LAG.value(lag)])]


def read_archiver(rows: Rows) -> list[Family]:
    """Archiving from ARCHIVER's row; no families without archiving."""
    if not rows:
        return []
    row, now = rows[0], rows[0].get("now")
    return [
        ARCHIVED.value(amount_of(row.get("archived_count"))),
        ARCHIVE_FAILURES.value(amount_of(row.get("failed_count"))),
        LAST_ARCHIVED.value(past_of(row.get("last_archived"), now)),
        LAST_ARCHIVE_FAILURE.value(past_of(row.get("last_failed"), now)),
    ]


def read_tables(rows: Rows) -> list[Family]:
    """Dead rows, sizes and the last vacuum from TABLES' rows; a null is absent."""
    metrics = (DEAD_RATIO, DEAD_ROWS, TABLE_BYTES, LAST_VACUUM)
    tables = read_each(rows, _read_table)
    return [
        metric.family([((table,), value) for table, numbers in tables if (value := numbers[place]) is not None])
        for place, metric in enumerate(metrics)
    ]


def _read_table(row: Mapping[str, Any]) -> tuple[str, tuple[float | None, ...]]:
    """One of TABLES' rows: its table, and the values in the order of the metrics."""
    amounts = [amount_of(row.get(name)) for name in ("ratio", "dead_rows", "bytes")]
    return text_of(row, "table"), (*amounts, past_of(row.get("last_vacuum"), row.get("now")))


def read_connections(rows: Rows) -> list[Family]:
    """The headroom from CONNECTIONS' row; below 0 superusers hold more than their share."""
    headroom = number_of(only_of(rows).get("headroom"))
    return [HEADROOM.value(None if headroom is None else max(0.0, headroom))]


def read_applications(rows: Rows) -> list[Family]:
    """Connections by application and state from BY_APPLICATION's rows."""
    counts: dict[tuple[str, str], int] = {}
    for application, state, connections in read_each(rows, _read_application):
        counts[application, state] = counts.get((application, state), 0) + connections
    return [APPLICATIONS.family(counts)]


def _read_application(row: Mapping[str, Any]) -> tuple[str, str, int]:
    """One of BY_APPLICATION's rows, with a state of the closed set."""
    state = row["state"] if row["state"] in (*STATES, HIDDEN) else OTHER
    label = state.replace(" (", "_").replace(")", "").replace(" ", "_")
    return text_of(row, "application"), label, count_of(row, "connections")


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
    LINK_UP,
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


if TYPE_CHECKING:
    from chassis.postgres.session import PostgresSession
    from exporter.metrics import Family


@dataclass(frozen=True, slots=True)
class ViewQuery:
    """A query, its arguments, and what its rows mean."""

    sql: str
    read: Callable[[Rows], list[Family]]
    arguments: tuple[object, ...] = ()


PASSING_CLASS = "40"
"""Class of SQLSTATE: the transaction was rolled back (40001 serialization failure, also a conflict with recovery on a
standby; 40P01 deadlock). The same query may succeed at once (PostgreSQL documentation, appendix A)."""


async def ask(postgres: PostgresSession, question: ViewQuery, timeout_seconds: float) -> list[Family]:
    """The families of one query; a query that was rolled back by chance is sent once more. Raises BackendError.

    Rows that cannot be read at all are counted as malformed, and give no value.
    """
    try:
        rows = await postgres.fetch(question.sql, *question.arguments, timeout_seconds=timeout_seconds)
    except BackendError as error:
        if not is_passing(error):
            raise
        rows = await postgres.fetch(question.sql, *question.arguments, timeout_seconds=timeout_seconds)
    return [family for families in read_each((rows,), question.read) for family in families]


def is_passing(error: BackendError) -> bool:
    """Whether the query was rolled back by chance."""
    return error.code[:2] == PASSING_CLASS


def is_final(error: BackendError) -> bool:
    """Whether the other views would fail in the same way: no connection, no login, no answer in time."""
    if is_passing(error):
        return False
    return not error.code or isinstance(error, TransientError) or error.reason in {Reason.AUTH, Reason.PROTOCOL}


async def ask_views(
    postgres: PostgresSession, questions: Iterable[ViewQuery], timeout_seconds: float
) -> tuple[list[Family], BackendError | None]:
    """The families of all views that answered, and the first failure.

    After a failure of the connection the others are skipped: they would not answer either, and each wrong password may
    count towards an account lock. Raises BackendError when nothing is known.
    """
    families: list[Family] = []
    failure: BackendError | None = None
    for question in questions:
        try:
            families += await ask(postgres, question, timeout_seconds)
        except BackendError as error:
            failure = failure or error
            if is_final(error):
                break
    if failure is not None and not families:
        raise failure
    return families, failure
