"""INFO of Redis: which of its fields are published, and under which names. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.catalogue import Family, Kind, Metric

Fields = Mapping[str, str | int | float]

MEMORY_USED = Metric("controlcore_redis_memory_used_bytes", "Memory that Redis allocated.", unit="bytes")
MEMORY_RESIDENT = Metric(
    "controlcore_redis_memory_resident_bytes",
    "Memory that the system gave to Redis; far above the allocated is fragmentation, far below it is swapping.",
    unit="bytes",
)
MEMORY_LIMIT = Metric(
    "controlcore_redis_memory_limit_bytes", "Configured maxmemory; absent without a limit.", unit="bytes"
)
CLIENTS = Metric("controlcore_redis_connected_clients", "Connected clients, replicas not counted.")
CLIENTS_LIMIT = Metric("controlcore_redis_clients_limit", "Clients that Redis accepts at once (maxclients).")
BLOCKED = Metric("controlcore_redis_blocked_clients", "Clients that wait in a blocking command.")
UPTIME = Metric("controlcore_redis_uptime_seconds", "Time since Redis started.", unit="seconds")
EVICTED = Metric(
    "controlcore_redis_evicted_keys_total",
    "Keys evicted for want of memory; the security audit trail may be among them.",
    Kind.COUNTER,
)
EXPIRED = Metric("controlcore_redis_expired_keys_total", "Keys removed because their time was up.", Kind.COUNTER)
REJECTED = Metric(
    "controlcore_redis_rejected_connections_total", "Connections refused at the limit of clients.", Kind.COUNTER
)
RECEIVED = Metric("controlcore_redis_connections_received_total", "Connections accepted.", Kind.COUNTER)
COMMANDS = Metric("controlcore_redis_commands_processed_total", "Commands processed.", Kind.COUNTER)
HITS = Metric("controlcore_redis_keyspace_hits_total", "Key look-ups that found their key.", Kind.COUNTER)
REQUESTS = Metric("controlcore_redis_keyspace_requests_total", "Key look-ups, found or not.", Kind.COUNTER)
NETWORK_INPUT = Metric(
    "controlcore_redis_network_input_bytes_total", "Bytes read from clients.", Kind.COUNTER, unit="bytes"
)
NETWORK_OUTPUT = Metric(
    "controlcore_redis_network_output_bytes_total", "Bytes written to clients.", Kind.COUNTER, unit="bytes"
)
IS_PRIMARY = Metric("controlcore_redis_primary", "Whether this Redis is the primary (1) or a replica (0).")
REPLICAS = Metric("controlcore_redis_connected_replicas", "Replicas that are connected to this Redis.")
LINK_UP = Metric(
    "controlcore_redis_primary_link_up", "Whether this replica is connected to its primary; absent on a primary."
)
SNAPSHOT_TIME = Metric(
    "controlcore_redis_snapshot_last_success_timestamp_seconds",
    "Unix time of the last snapshot on disk (RDB), or of the start where there was none since.",
    unit="seconds",
)
SNAPSHOT_SUCCESS = Metric(
    "controlcore_redis_snapshot_last_successful", "Whether the last attempt to write a snapshot (RDB) succeeded."
)
UNSAVED = Metric("controlcore_redis_changes_since_snapshot", "Changes since the last snapshot (RDB): lost in a crash.")
LOG_ENABLED = Metric(
    "controlcore_redis_append_log_enabled", "Whether every change is written to the append-only file (AOF)."
)
LOG_SUCCESS = Metric(
    "controlcore_redis_append_log_last_write_successful",
    "Whether the last write to the append-only file succeeded; absent where it is off.",
)

# Fields of INFO (https://redis.io/docs/latest/commands/info/), in its default sections; the same since 2.8, maxclients
# since 5. The counters are the server's own: a restart or CONFIG RESETSTAT sets them to 0, an ordinary reset.
NUMBERS = {
    "used_memory": MEMORY_USED,
    "used_memory_rss": MEMORY_RESIDENT,
    "connected_clients": CLIENTS,
    "maxclients": CLIENTS_LIMIT,
    "blocked_clients": BLOCKED,
    "uptime_in_seconds": UPTIME,
    "evicted_keys": EVICTED,
    "expired_keys": EXPIRED,
    "rejected_connections": REJECTED,
    "total_connections_received": RECEIVED,
    "total_commands_processed": COMMANDS,
    "keyspace_hits": HITS,
    "total_net_input_bytes": NETWORK_INPUT,
    "total_net_output_bytes": NETWORK_OUTPUT,
    "connected_slaves": REPLICAS,
    "rdb_last_save_time": SNAPSHOT_TIME,
    "rdb_changes_since_last_save": UNSAVED,
    "aof_enabled": LOG_ENABLED,
}
WORDS: dict[str, tuple[Metric, Callable[[str], bool]]] = {
    "role": (IS_PRIMARY, lambda word: word == "master"),
    "master_link_status": (LINK_UP, lambda word: word == "up"),
    "rdb_last_bgsave_status": (SNAPSHOT_SUCCESS, lambda word: word == "ok"),
}
"""Fields that are words, and when they mean 1."""
INFO_METRICS = (
    *NUMBERS.values(),
    *(metric for metric, _ in WORDS.values()),
    LOG_SUCCESS,
    REQUESTS,
    MEMORY_LIMIT,
)


def read_info(fields: Fields) -> tuple[Family, ...]:
    """INFO's fields as families; one that is missing or no number is absent, and so is a maxmemory of 0 (no limit)."""
    families = [metric.value(_number(fields, name)) for name, metric in NUMBERS.items()]
    families += [metric.value(_verdict(fields, name, holds)) for name, (metric, holds) in WORDS.items()]
    hits, misses = _number(fields, "keyspace_hits"), _number(fields, "keyspace_misses")
    families.append(REQUESTS.value(None if hits is None or misses is None else hits + misses))
    families.append(MEMORY_LIMIT.value(_number(fields, "maxmemory") or None))
    is_logged = _number(fields, "aof_enabled") == 1
    families.append(LOG_SUCCESS.value(_verdict(fields, "aof_last_write_status", _is_ok) if is_logged else None))
    return tuple(families)


def read_version(fields: Fields) -> str | None:
    """The version that Redis says it has."""
    version = fields.get("redis_version")
    return None if version is None else str(version)


def _number(fields: Fields, name: str) -> float | None:
    """The field's number; None when the server does not tell it."""
    value = fields.get(name)
    return None if value is None or isinstance(value, str) else float(value)


def _verdict(fields: Fields, name: str, holds: Callable[[str], bool]) -> bool | None:
    """What the field's word means; None when the server does not tell it."""
    value = fields.get(name)
    return holds(value) if isinstance(value, str) else None


def _is_ok(word: str) -> bool:
    """How Redis says that something went well."""
    return word == "ok"
