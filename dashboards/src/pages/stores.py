"""PostgreSQL, Redis and the backups: utilisation, saturation and errors of each."""

from __future__ import annotations

from dashboards.src.forms import CRITICAL, RATIO, WARNING, Form, Limit, State
from dashboards.src.pages.first_row import FIRST_ROW
from dashboards.src.panels import Page, Panel, Query, Section, each, lowest, quantile, together

PG = "controlcore_postgres"
RD = "controlcore_redis"
_CONNECTIONS = f"sum without (state) ({PG}_connections)"

_STATES = (
    Panel(
        "Servers",
        "Whether the last fresh connection was served. Of several clusters the worst counts.",
        "none",
        (Query(lowest(f"{PG}_up"), "PostgreSQL"), Query(lowest(f"{RD}_up"), "Redis")),
        Form.STATE,
        8,
        runbooks=("ControlCoreDatabaseDown", "ControlCoreRedisDown"),
        state=State.UP,
    ),
    Panel(
        "Age of the last good backup",
        "By kind. A daily backup is overdue after 26 hours.",
        "s",
        (Query(f"time() - {lowest('controlcore_backup_last_success_timestamp_seconds', 'kind')}", "{{kind}}"),),
        Form.NUMBER,
        8,
        runbooks=("ControlCoreBackupMissing",),
        limits=(Limit(93600),),
    ),
    Panel(
        "Tuning drift",
        "Settings that differ from the product guide's recommendation, by component.",
        "short",
        (Query("sum by (component) (max by (component, setting) (controlcore_tuning_drift))", "{{component}}"),),
        Form.NUMBER,
        8,
    ),
    Panel(
        "Latency to connect, p95",
        "95th percentile of connect, authenticate and query, on a new connection.",
        "s",
        tuple(
            Query(quantile(0.95, metric), name)
            for metric, name in (
                (f"{PG}_connect_duration_seconds", "PostgreSQL"),
                (f"{RD}_ping_duration_seconds", "Redis"),
            )
        ),
        width=24,
        runbooks=("ControlCoreDatabaseConnectionFailures",),
    ),
)
_POSTGRES = (
    Panel(
        "Connection utilisation",
        "Open connections over the most that ordinary roles may open.",
        "percentunit",
        (Query(f"max({each(_CONNECTIONS)} / {each(f'{PG}_connections_limit')})", "used"),),
        runbooks=("ControlCorePostgresConnectionsHigh", "ControlCoreDatabaseConnectionsExhausted"),
        limits=(Limit(0.8, WARNING), Limit(0.9, CRITICAL)),
        scale=RATIO,
    ),
    Panel(
        "Database size",
        "The product's database, and the audit log in it.",
        "bytes",
        (
            Query(f"max({PG}_database_size_bytes)", "database"),
            Query("max(controlcore_audit_log_bytes)", "audit log"),
        ),
        runbooks=("ControlCoreDatabaseGrowth",),
    ),
    Panel(
        "Waiting backends",
        "Sessions that wait for a lock, and connections that ordinary roles can still open.",
        "short",
        (
            Query(f"max({PG}_lock_waiters)", "waiting for a lock"),
            Query(f"min({PG}_connections_headroom)", "free connections"),
        ),
        runbooks=("ControlCoreDatabaseConnectionsExhausted",),
    ),
    Panel(
        "Longest transactions and replication lag",
        "The oldest open transaction, the one idle for longest, and the replicas' lag where there are replicas.",
        "s",
        (
            Query(f"max({PG}_longest_transaction_seconds)", "open"),
            Query(f"max({PG}_idle_in_transaction_seconds_max)", "idle in transaction"),
            Query(f"max({PG}_replication_lag_seconds)", "replication lag"),
        ),
        runbooks=("ControlCorePostgresLongTransaction", "ControlCorePostgresIdleInTransaction"),
        limits=(Limit(300, WARNING), Limit(1800)),
    ),
    Panel(
        "Dead row ratio",
        "Rows of each table that vacuum has still to remove, over all rows.",
        "percentunit",
        (Query(f"max by (table) ({PG}_dead_rows_ratio)", "{{table}}"),),
        runbooks=("ControlCorePostgresBloat",),
        limits=(Limit(0.2, WARNING),),
        scale=RATIO,
    ),
    Panel(
        "PostgreSQL errors",
        "Per second: failed connections, rollbacks, deadlocks, and WAL archive failures where archiving is on.",
        "ops",
        (
            Query(f"sum(rate({PG}_connection_failures_total[$__rate_interval]))", "failed connections"),
            Query(together(f"rate({PG}_transactions_rolled_back_total[$__rate_interval])"), "rollbacks"),
            Query(together(f"rate({PG}_deadlocks_total[$__rate_interval])"), "deadlocks"),
            Query(together(f"rate({PG}_wal_archive_failures_total[$__rate_interval])"), "WAL archive failures"),
        ),
        runbooks=(
            "ControlCoreDatabaseConnectionFailures",
            "ControlCorePostgresDeadlocks",
            "ControlCoreWALArchiveFailing",
        ),
    ),
    Panel(
        "Transactions",
        "Commits per second.",
        "ops",
        (Query(together(f"rate({PG}_transactions_committed_total[$__rate_interval])"), "commits"),),
    ),
    Panel(
        "Buffer cache hit ratio",
        "Blocks found in shared buffers over all blocks read. Below 99 % the working set does not fit.",
        "percentunit",
        (
            Query(
                f"min(rate({PG}_blocks_hit_total[$__rate_interval])"
                f" / (rate({PG}_blocks_hit_total[$__rate_interval])"
                f" + rate({PG}_blocks_read_total[$__rate_interval])))",
                "hits",
            ),
        ),
        scale=RATIO,
    ),
)
_REDIS = (
    Panel(
        "Memory",
        "Used and resident bytes, and maxmemory where one is set.",
        "bytes",
        (
            Query(f"max({RD}_memory_used_bytes)", "used"),
            Query(f"max({RD}_memory_resident_bytes)", "resident"),
            Query(f"max({RD}_memory_limit_bytes)", "maxmemory"),
        ),
        runbooks=("ControlCoreRedisMemoryHigh",),
    ),
    Panel(
        "Memory utilisation",
        "Used bytes over maxmemory.",
        "percentunit",
        (Query(f"max({each(f'{RD}_memory_used_bytes')} / {each(f'{RD}_memory_limit_bytes')})", "used"),),
        runbooks=("ControlCoreRedisMemoryHigh",),
        limits=(Limit(0.9),),
        scale=RATIO,
        no_value="no maxmemory is set: see Memory",
    ),
    Panel(
        "Redis errors",
        "Per second: keys evicted at maxmemory, connections rejected at maxclients, failed probes.",
        "ops",
        (
            Query(together(f"rate({RD}_evicted_keys_total[$__rate_interval])"), "evicted keys"),
            Query(together(f"rate({RD}_rejected_connections_total[$__rate_interval])"), "rejected connections"),
            Query(f"sum(rate({RD}_connection_failures_total[$__rate_interval]))", "failed probes"),
        ),
        runbooks=("ControlCoreRedisEvicting",),
    ),
    Panel(
        "Keyspace hit ratio",
        "Look-ups that found their key over all look-ups.",
        "percentunit",
        (
            Query(
                f"min(rate({RD}_keyspace_hits_total[$__rate_interval])"
                f" / rate({RD}_keyspace_requests_total[$__rate_interval]))",
                "hits",
            ),
        ),
        scale=RATIO,
        no_value="no look-up in this time range",
    ),
)

STORES = Page(
    uid="controlcore-stores",
    title="Control Core Data Stores",
    description="PostgreSQL, Redis and the backups: utilisation, saturation and errors.",
    sections=(
        FIRST_ROW,
        Section("Servers and backups", _STATES),
        Section("PostgreSQL", _POSTGRES),
        Section("Redis", _REDIS),
    ),
)
