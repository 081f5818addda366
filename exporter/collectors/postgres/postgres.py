"""Reads PostgreSQL's own statistics over the one kept connection; `postgres_canary` tests new connections."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError, PermanentError, Reason
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.postgres.views import Rows, ViewQuery, ask_views
from exporter.items import age_of, amount_of, count_of, only_of, read_each
from exporter.metrics import Kind, Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.metrics import Family
    from exporter.sources.sources import Sources


STATES = {
    "active": "active",
    "idle": "idle",
    "idle in transaction": "idle_in_transaction",
    "idle in transaction (aborted)": "idle_in_transaction_aborted",
    "fastpath function call": "fastpath_function_call",
    "disabled": "disabled",
}
"""pg_stat_activity.state as a label value; a state of a later version is `other`, a hidden one is `hidden`."""
OTHER_STATE = "other"
HIDDEN_STATE = "hidden"

CONNECTIONS = Metric(
    "controlcore_postgres_connections", "Client connections of the whole server, by state.", labels=("state",)
)
LIMIT = Metric("controlcore_postgres_connections_limit", "Client connections that the server grants to ordinary roles.")
IDLE_IN_TRANSACTION = Metric(
    "controlcore_postgres_idle_in_transaction_seconds_max",
    "Longest time that a session of the product's database has been idle inside a transaction; 0 when none is.",
    unit="seconds",
)
LONGEST_TRANSACTION = Metric(
    "controlcore_postgres_longest_transaction_seconds",
    "Age of the oldest open transaction in the product's database, including prepared ones; 0 when none is open.",
    unit="seconds",
)
PREPARED = Metric(
    "controlcore_postgres_prepared_transactions",
    "Prepared transactions of the product's database; each holds locks and dead rows until it is committed "
    "or rolled back.",
)
DEADLOCKS = Metric("controlcore_postgres_deadlocks_total", "Deadlocks found in the database.", Kind.COUNTER)
COMMITTED = Metric("controlcore_postgres_transactions_committed_total", "Transactions committed.", Kind.COUNTER)
ROLLED_BACK = Metric("controlcore_postgres_transactions_rolled_back_total", "Transactions rolled back.", Kind.COUNTER)
BLOCKS_HIT = Metric("controlcore_postgres_blocks_hit_total", "Blocks found in the buffer cache.", Kind.COUNTER)
BLOCKS_READ = Metric("controlcore_postgres_blocks_read_total", "Blocks read from outside the cache.", Kind.COUNTER)
SIZE = Metric("controlcore_postgres_database_size_bytes", "Size of the product's database on disk.", unit="bytes")
XID_AGE = Metric(
    "controlcore_postgres_xid_age_transactions",
    "Transactions since the oldest unfrozen row of any database; the server stops writing near 2 billion.",
)
MULTIXACT_AGE = Metric(
    "controlcore_postgres_multixact_age",
    "Multixacts since the oldest one in use in any database; the server stops writing near 2 billion.",
)

# pg_stat_activity, PostgreSQL 10+ (backend_type). All databases: max_connections is one limit for the whole server.
# Without pg_monitor another role's row has no state and no backend_type; it is counted, and called hidden.
ACTIVITY = """
SELECT CASE WHEN backend_type IS NULL THEN 'hidden' ELSE coalesce(state, 'other') END AS state, count(*) AS connections
  FROM pg_stat_activity
 WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datname IS NOT NULL)
 GROUP BY 1
"""

# pg_stat_activity, PostgreSQL 10+. Only this database and, when $1 names one, only this role: sessions of another
# product on a shared server do not concern us. `hidden` counts sessions whose ages we may not see.
AGES = """
SELECT count(*) FILTER (WHERE backend_type IS NULL) AS hidden,
       extract(epoch FROM min(state_change) FILTER (WHERE state LIKE 'idle in transaction%'))::float8 AS idle_since,
       extract(epoch FROM min(xact_start))::float8 AS open_since, extract(epoch FROM now())::float8 AS now,
       (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()) AS prepared,
       (SELECT extract(epoch FROM min(prepared))::float8 FROM pg_prepared_xacts
         WHERE database = current_database()) AS prepared_since
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND ($1::text = '' OR usename = $1::text)
   AND (backend_type = 'client backend' OR backend_type IS NULL)
"""

# Settings every role may read. reserved_connections came with PostgreSQL 16; before, current_setting(.., true) is null.
LIMITS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections_limit
"""

# pg_stat_database (9.2+ for deadlocks). The counters are the server's own: pg_stat_reset() or a crash sets them to 0,
# which Prometheus takes for an ordinary reset.
DATABASE = """
SELECT deadlocks, xact_commit, xact_rollback, blks_hit, blks_read
  FROM pg_stat_database
 WHERE datname = current_database()
"""

# pg_database, 9.5+ (mxid_age), open to every role. The oldest database decides for the whole server (documentation,
# 25.1.5 Preventing Transaction ID Wraparound Failures); one that allows no connections counts as well.
FROZEN = "SELECT max(age(datfrozenxid)) AS xid_age, max(mxid_age(datminmxid)) AS multixact_age FROM pg_database"

# pg_database_size() checks every file of the database: milliseconds for the product's some forty tables. It needs
# CONNECT on the database, which the exporter has because it is connected.
DATABASE_SIZE = "SELECT pg_database_size(current_database()) AS size_bytes"


class PostgresCollectorSettings(CollectorSettings):
    """How often the statistics are read."""

    interval_seconds: float = Field(default=15.0, gt=0)
    """Seconds between two readings. Smaller keeps the connection busy for numbers that change slowly; larger than a
    minute misses short connection storms."""
    timeout_seconds: float = 10.0
    """Deadline of one collection, over all its queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a loaded server, too large keeps the shared connection busy."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PostgresCollectorSettings,
    metrics=(
        CONNECTIONS,
        LIMIT,
        IDLE_IN_TRANSACTION,
        LONGEST_TRANSACTION,
        DEADLOCKS,
        COMMITTED,
        ROLLED_BACK,
        BLOCKS_HIT,
        BLOCKS_READ,
        SIZE,
        XID_AGE,
        MULTIXACT_AGE,
        PREPARED,
    ),
    grants=("GRANT pg_monitor TO cc_exporter",),
)
class PostgresCollector:
    """Reads connections, transactions, cache and size. Hidden values (managed service, missing grant) are absent."""

    def __init__(self, settings: PostgresCollectorSettings, postgres: PostgresSession, role: str) -> None:
        self._settings = settings
        self._postgres = postgres
        self._role = role

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PostgresCollectorSettings, sources: Sources) -> AsyncIterator[PostgresCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres, sources.settings.database.role)

    async def collect(self) -> Result:
        """Queries each view in turn; the values of a view that refuses are absent, and the failure names it.

        After a TransientError the other views are skipped: they would not answer. Raises when nothing is known.
        """
        families, failure = await ask_views(self._postgres, self._questions(), self._settings.query_timeout_seconds)
        return Result(tuple(families), failure=failure or _hidden(families))

    def _questions(self) -> tuple[ViewQuery, ...]:
        """Each view and what reads its rows."""
        return (
            ViewQuery(ACTIVITY, read_connections),
            ViewQuery(AGES, read_ages, (self._role,)),
            ViewQuery(LIMITS, read_limit),
            ViewQuery(DATABASE, read_database),
            ViewQuery(FROZEN, read_frozen),
            ViewQuery(DATABASE_SIZE, read_size),
        )


def read_connections(rows: Rows) -> list[Family]:
    """Connections by state from ACTIVITY's rows; a state without connections is a known 0."""
    counts = dict.fromkeys(STATES.values(), 0)
    for state, connections in read_each(rows, lambda row: (row["state"], count_of(row, "connections"))):
        label = HIDDEN_STATE if state == HIDDEN_STATE else STATES.get(str(state), OTHER_STATE)
        counts[label] = counts.get(label, 0) + connections
    return [CONNECTIONS.family({(state,): count for state, count in counts.items()})]


def read_ages(rows: Rows) -> list[Family]:
    """The two ages from AGES' row; absent while any session is hidden, since the maximum could be there.

    So is an age whose beginning lies in the future, which a prepared transaction can have after a clock step.
    """
    row, now = only_of(rows), only_of(rows).get("now")
    families = [PREPARED.value(amount_of(row.get("prepared")))]
    if amount_of(row.get("hidden")) != 0:
        return families
    begun = [age_of(row.get(name), now) for name in ("open_since", "prepared_since") if row.get(name) is not None]
    idle = 0.0 if row.get("idle_since") is None else age_of(row.get("idle_since"), now)
    known = [age for age in begun if age is not None]
    longest = max(known) if known else (None if begun else 0.0)
    return [*families, IDLE_IN_TRANSACTION.value(idle), LONGEST_TRANSACTION.value(longest)]


def read_limit(rows: Rows) -> list[Family]:
    """The limit from LIMITS' row."""
    return [LIMIT.value(amount_of(only_of(rows).get("connections_limit")))]


def read_database(rows: Rows) -> list[Family]:
    """The database's counters from DATABASE's row."""
    row = only_of(rows)
    return [
        DEADLOCKS.value(amount_of(row.get("deadlocks"))),
        COMMITTED.value(amount_of(row.get("xact_commit"))),
        ROLLED_BACK.value(amount_of(row.get("xact_rollback"))),
        BLOCKS_HIT.value(amount_of(row.get("blks_hit"))),
        BLOCKS_READ.value(amount_of(row.get("blks_read"))),
    ]


def read_frozen(rows: Rows) -> list[Family]:
    """The server's ages from FROZEN's row."""
    row = only_of(rows)
    return [XID_AGE.value(amount_of(row.get("xid_age"))), MULTIXACT_AGE.value(amount_of(row.get("multixact_age")))]


def read_size(rows: Rows) -> list[Family]:
    """The size from DATABASE_SIZE's row."""
    return [SIZE.value(amount_of(only_of(rows).get("size_bytes")))]


def _hidden(families: Sequence[Family]) -> BackendError | None:
    """The failure to publish when other roles' sessions are hidden from us, or None."""
    labels = {sample.labels for family in families if family.metric is CONNECTIONS for sample in family.samples}
    if (HIDDEN_STATE,) not in labels:
        return None
    return PermanentError(
        Reason.PERMISSION, "other roles' sessions are hidden: GRANT pg_monitor TO the exporter's role"
    )
