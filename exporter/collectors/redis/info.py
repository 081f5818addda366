"""INFO of Redis or Valkey: which of its fields are published, and under which names. No I/O.

A field that is missing, of the wrong type or negative is absent; the others remain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from exporter.items import amount_of, member_of, number_of, past_of
from exporter.metrics import Family, Kind, Metric, plain_word

Fields = Mapping[str, str | int | float]

MEMORY_USED = Metric("controlcore_redis_memory_used_bytes", "Memory that Redis allocated.", unit="bytes")
MEMORY_RESIDENT = Metric(
    "controlcore_redis_memory_resident_bytes",
    "Resident memory of Redis; far above the allocated memory means fragmentation, far below means swapping.",
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
    "Keys evicted because memory was full; the security audit trail may be among them.",
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
REPLICAS = Metric(
    "controlcore_redis_connected_replicas",
    "Replicas that follow this Redis now, without those that still load the data and tools that copy it.",
)
SERVER = Metric(
    "controlcore_redis_server_info",
    "Always 1; the labels name the server program and its version.",
    labels=("server", "version"),
)
LINK_UP = Metric(
    "controlcore_redis_primary_link_up", "Whether this replica is connected to its primary; absent on a primary."
)
SNAPSHOT_TIME = Metric(
    "controlcore_redis_snapshot_last_success_timestamp_seconds",
    "Unix time of the last snapshot on disk (RDB). Without a snapshot since the start: the start time before "
    "Redis 7, else absent.",
    unit="seconds",
)
SNAPSHOT_SUCCESS = Metric(
    "controlcore_redis_snapshot_last_successful",
    "Whether the last attempt to write a snapshot (RDB) succeeded; absent before the first one since the start.",
)
UNSAVED = Metric("controlcore_redis_changes_since_snapshot", "Changes since the last snapshot (RDB): lost in a crash.")
LOG_ENABLED = Metric(
    "controlcore_redis_append_log_enabled", "Whether every change is written to the append-only file (AOF)."
)
LOG_SUCCESS = Metric(
    "controlcore_redis_append_log_last_write_successful",
    "Whether the last write to the append-only file succeeded; absent where it is off.",
)

# Fields of INFO (https://redis.io/docs/latest/commands/info/), in its default sections; unchanged since 2.8
# (maxclients: since 5). The counters are the server's own: a restart or CONFIG RESETSTAT sets them to 0, an ordinary
# reset.
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
    "rdb_changes_since_last_save": UNSAVED,
    "aof_enabled": LOG_ENABLED,
}
WORDS: dict[str, tuple[Metric, dict[str, bool]]] = {
    "role": (IS_PRIMARY, {"master": True, "slave": False, "replica": False}),
    "master_link_status": (LINK_UP, {"up": True, "down": False}),
}
"""Fields that are words, and what each means; any other word is unknown."""
OUTCOMES = {"ok": True, "err": False}
VERSIONS = {"valkey": "valkey_version", "dragonfly": "dragonfly_version", "redis": "redis_version"}
"""Program → the field with its own version, the first that is there. Valkey (8+) and Dragonfly also report a
redis_version: the Redis version with which they are compatible (Valkey's src/server.c, genValkeyInfoString).
"""
OTHER = "other"
REPLICA = re.compile(r"slave[0-9]+")
REPLICA_STATE = re.compile(r"(?:^|,)state=online(?:,|$)")
NO_PORT = re.compile(r"(?:^|,)port=0(?:,|$)")
"""A replica reports the port on which it serves; `redis-cli --replica` and similar tools have none."""
INFO_METRICS = (
    *NUMBERS.values(),
    *(metric for metric, _ in WORDS.values()),
    SERVER,
    REPLICAS,
    SNAPSHOT_TIME,
    SNAPSHOT_SUCCESS,
    LOG_SUCCESS,
    REQUESTS,
    MEMORY_LIMIT,
)


def read_info(fields: Fields, now: float) -> tuple[Family, ...]:
    """INFO's fields as families; `now` is our own clock, for a server that does not report its time.

    A maxmemory of 0 means no limit.
    """
    families = [metric.value(_number(fields, name)) for name, metric in NUMBERS.items()]
    families += [metric.value(_verdict(fields, name, words)) for name, (metric, words) in WORDS.items()]
    hits, misses = _number(fields, "keyspace_hits"), _number(fields, "keyspace_misses")
    families.append(REQUESTS.value(None if hits is None or misses is None else hits + misses))
    families.append(MEMORY_LIMIT.value(_number(fields, "maxmemory") or None))
    is_logged = _number(fields, "aof_enabled") == 1
    families.append(LOG_SUCCESS.value(_verdict(fields, "aof_last_write_status", OUTCOMES) if is_logged else None))
    families.append(REPLICAS.value(_count_replicas(fields)))
    families += _read_snapshots(fields, now)
    server, version = read_server(fields)
    families.append(SERVER.family({} if version is None else {(server, plain_word(version)): 1}))
    return tuple(families)


def read_server(fields: Fields) -> tuple[str, str | None]:
    """The server program and its version; None when it reports none."""
    server = next((name for name, field in VERSIONS.items() if field in fields), OTHER)
    version = fields.get(VERSIONS.get(server, ""))
    told = fields.get("server_name", server)
    return server if told == server else OTHER, None if version is None else str(version)


def _read_snapshots(fields: Fields, now: float) -> tuple[Family, Family]:
    """Time and outcome of the last snapshot.

    Before the first snapshot since the start (rdb_saves, Redis 7+), Redis reports its start time and `ok`, which are
    ignored.
    """
    microseconds = _number(fields, "server_time_usec")
    saved = past_of(_finite(fields, "rdb_last_save_time"), now if microseconds is None else microseconds / 1e6)
    outcome = _verdict(fields, "rdb_last_bgsave_status", OUTCOMES)
    is_first_due = _number(fields, "rdb_saves") == 0
    return (
        SNAPSHOT_TIME.value(None if is_first_due else saved),
        SNAPSHOT_SUCCESS.value(None if is_first_due and outcome else outcome),
    )


def _count_replicas(fields: Fields) -> float | None:
    """Replicas that are online, one line each; only the count if a service hides the lines."""
    connected = _number(fields, "connected_slaves")
    lines = [str(value) for name, value in fields.items() if REPLICA.fullmatch(name)]
    if connected is None or not lines:
        return connected
    return sum(bool(REPLICA_STATE.search(line)) and not NO_PORT.search(line) for line in lines)


def _finite(fields: Fields, name: str) -> float | None:
    """The field's number; None when it is missing; None and counted when it is not a number."""
    return number_of(fields.get(name))


def _number(fields: Fields, name: str) -> float | None:
    """The same for a count or measure: a negative number is unknown."""
    return amount_of(fields.get(name))


def _verdict(fields: Fields, name: str, words: Mapping[str, bool]) -> bool | None:
    """The meaning of the field's word; None when it is missing; None and counted when the word is unknown."""
    value = fields.get(name)
    if value is None:
        return None
    word = member_of(value, words, name, "")
    return words.get(word)
