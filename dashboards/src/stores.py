"""PostgreSQL, Redis and the backups: utilisation, saturation and errors of each."""

from __future__ import annotations

from dashboards.src.forms import Form
from dashboards.src.panels import Page, Panel, Query

PG = "controlcore_postgres"
RD = "controlcore_redis"

_STATES = (
    Panel(
        "Up",
        "Whether the last fresh connection was served.",
        "none",
        (Query(f"max({PG}_up)", "PostgreSQL"), Query(f"max({RD}_up)", "Redis")),
        Form.STATE,
        8,
        runbooks=("ControlCoreDatabaseDown", "ControlCoreRedisDown"),
    ),
    Panel(
        "Age of the last good backup",
        "By kind; a daily one is missing after 26 hours.",
        "s",
        (Query("time() - max by (kind) (controlcore_backup_last_success_timestamp_seconds)", "{{kind}}"),),
        Form.NUMBER,
        8,
        runbooks=("ControlCoreBackupMissing",),
    ),
    Panel(
        "Settings that differ from the guide's",
        "How many of the recommended settings are set otherwise, by component.",
        "short",
        (Query("sum by (component) (max by (component, setting) (controlcore_tuning_drift))", "{{component}}"),),
        Form.NUMBER,
        8,
    ),
)
_POSTGRES = (
    Panel(
        "PostgreSQL, utilisation: connections",
        "Share of the connections open to ordinary roles that is taken.",
        "percentunit",
        (Query(f"max(sum without (state) ({PG}_connections)) / max({PG}_connections_limit)", "taken"),),
        runbooks=("ControlCorePostgresConnectionsHigh", "ControlCoreDatabaseConnectionsExhausted"),
    ),
    Panel(
        "PostgreSQL, utilisation: size",
        "The product's database, and the audit log in it.",
        "bytes",
        (
            Query(f"max({PG}_database_size_bytes)", "database"),
            Query("max(controlcore_audit_log_bytes)", "audit log"),
        ),
        runbooks=("ControlCoreDatabaseGrowth",),
    ),
    Panel(
        "PostgreSQL, saturation: who waits",
        "Sessions that wait for a lock, and connections that are left.",
        "short",
        (
            Query(f"max({PG}_lock_waiters)", "waiting for a lock"),
            Query(f"min({PG}_connections_headroom)", "connections left"),
        ),
    ),
    Panel(
        "PostgreSQL, saturation: long transactions",
        "The oldest open one, and the one that has been idle for longest.",
        "s",
        (
            Query(f"max({PG}_longest_transaction_seconds)", "open"),
            Query(f"max({PG}_idle_in_transaction_seconds_max)", "idle in transaction"),
            Query(f"max({PG}_replication_lag_seconds)", "replication lag"),
        ),
        runbooks=("ControlCorePostgresLongTransaction", "ControlCorePostgresIdleInTransaction"),
    ),
    Panel(
        "PostgreSQL, saturation: dead rows",
        "Share of a table's rows that vacuum has still to remove.",
        "percentunit",
        (Query(f"max by (table) ({PG}_dead_rows_ratio)", "{{table}}"),),
        runbooks=("ControlCorePostgresBloat",),
    ),
    Panel(
        "PostgreSQL, errors",
        "Per second: refused connections, rollbacks, deadlocks, WAL segments that could not be archived.",
        "ops",
        (
            Query(f"sum(rate({PG}_connection_failures_total[$__rate_interval]))", "connections failed"),
            Query(f"max(rate({PG}_transactions_rolled_back_total[$__rate_interval]))", "rolled back"),
            Query(f"max(rate({PG}_deadlocks_total[$__rate_interval]))", "deadlocks"),
            Query(f"max(rate({PG}_wal_archive_failures_total[$__rate_interval]))", "WAL not archived"),
        ),
        runbooks=(
            "ControlCoreDatabaseConnectionFailures",
            "ControlCorePostgresDeadlocks",
            "ControlCoreWALArchiveFailing",
        ),
    ),
    Panel(
        "PostgreSQL: transactions",
        "Committed per second.",
        "ops",
        (Query(f"max(rate({PG}_transactions_committed_total[$__rate_interval]))", "committed"),),
    ),
    Panel(
        "PostgreSQL: blocks found in memory",
        "Share of the blocks that were asked for; below 99 % the working set does not fit.",
        "percentunit",
        (
            Query(
                f"max(rate({PG}_blocks_hit_total[$__rate_interval]))"
                f" / (max(rate({PG}_blocks_hit_total[$__rate_interval]))"
                f" + max(rate({PG}_blocks_read_total[$__rate_interval])))",
                "hits",
            ),
        ),
    ),
)
_REDIS = (
    Panel(
        "Redis, utilisation: memory",
        "Share of maxmemory; absent without a limit.",
        "percentunit",
        (Query(f"max({RD}_memory_used_bytes) / max({RD}_memory_limit_bytes)", "used"),),
        runbooks=("ControlCoreRedisMemoryHigh",),
    ),
    Panel(
        "Redis, saturation and errors",
        "Per second: keys evicted for want of memory, clients refused at the limit, probes that failed.",
        "ops",
        (
            Query(f"max(rate({RD}_evicted_keys_total[$__rate_interval]))", "evicted"),
            Query(f"max(rate({RD}_rejected_connections_total[$__rate_interval]))", "refused"),
            Query(f"sum(rate({RD}_connection_failures_total[$__rate_interval]))", "probes failed"),
        ),
        runbooks=("ControlCoreRedisEvicting",),
    ),
    Panel(
        "Redis: keys found",
        "Share of look-ups that found their key.",
        "percentunit",
        (
            Query(
                f"max(rate({RD}_keyspace_hits_total[$__rate_interval]))"
                f" / max(rate({RD}_keyspace_requests_total[$__rate_interval]))",
                "hits",
            ),
        ),
    ),
    Panel(
        "A new client's way in, 95th percentile",
        "Connect, authenticate and ask, on a connection of its own.",
        "s",
        tuple(
            Query(f"histogram_quantile(0.95, sum by (le) (rate({metric}_bucket[$__rate_interval])))", name)
            for metric, name in (
                (f"{PG}_connect_duration_seconds", "PostgreSQL"),
                (f"{RD}_ping_duration_seconds", "Redis"),
            )
        ),
    ),
)

STORES = Page(
    uid="controlcore-stores",
    title="Control Core Data Stores",
    description="PostgreSQL, Redis and the backups: what is used, who waits, what fails.",
    panels=(*_STATES, *_POSTGRES, *_REDIS),
)
