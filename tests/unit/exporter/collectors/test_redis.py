from __future__ import annotations

import pytest

from chassis.errors import CONNECTION_REASONS, Reason, TransientError
from exporter.collectors import NotConfiguredError
from exporter.collectors.redis import RedisCollector, RedisCollectorSettings
from tests.fakes.sources import ADDRESS, expose, golden, make_sources, samples, value

INFO = {
    "redis_version": "7.0.15",
    "role": "slave",
    "master_link_status": "down",
    "connected_slaves": 1,
    "used_memory_rss": 3145728,
    "maxclients": 10000,
    "blocked_clients": 2,
    "uptime_in_seconds": 86400,
    "expired_keys": 8,
    "total_connections_received": 9,
    "total_commands_processed": 10,
    "total_net_input_bytes": 11,
    "total_net_output_bytes": 12,
    "rdb_last_save_time": 1_767_000_000,
    "rdb_last_bgsave_status": "err",
    "rdb_changes_since_last_save": 13,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "used_memory": 1048576,
    "maxmemory": 4194304,
    "connected_clients": 3,
    "evicted_keys": 4,
    "rejected_connections": 5,
    "keyspace_hits": 60,
    "keyspace_misses": 7,
}
UP = "controlcore_redis_up"


class Session:
    """A kept connection that answers INFO with what was laid down."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.asked = 0

    async def info(self, *, timeout_seconds):
        assert timeout_seconds > 0
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def answer_quickly(_address, _timeout_seconds):
    return 0.0007


async def refuse(_address, _timeout_seconds):
    raise TransientError(Reason.REFUSED, "down")


def make(session, probe=answer_quickly):
    return RedisCollector(RedisCollectorSettings(), ADDRESS, session, probe)


async def test_answering_redis_gives_the_golden_page():
    result = await make(Session(INFO)).collect()
    assert expose(result.families) == golden("redis")
    assert (result.components, result.failure) == ({"redis": True}, None)
    assert result.versions == {"redis": "7.0.15"}


async def test_redis_that_is_down_publishes_the_verdict_and_no_statistics():
    session = Session(INFO)
    result = await make(session, refuse).collect()
    assert value(result.families, UP) == 0
    assert set(samples(result.families)) == {UP, "controlcore_redis_connection_failures_total"}
    assert (result.components, result.failure) == ({"redis": False}, None)
    assert session.asked == 0, "a kept connection would only answer for the past"


async def test_every_failure_reason_is_born_at_zero():
    result = await make(Session(INFO), refuse).collect()
    counts = samples(result.families)["controlcore_redis_connection_failures_total"]
    assert counts == {(reason.value,): float(reason is Reason.REFUSED) for reason in CONNECTION_REASONS}


async def test_info_that_fails_alone_keeps_redis_up_and_fails_the_collection():
    result = await make(Session(TransientError(Reason.TIMEOUT, "slow"))).collect()
    assert value(result.families, UP) == 1
    assert "controlcore_redis_memory_used_bytes" not in samples(result.families)
    assert result.failure.reason is Reason.TIMEOUT


async def test_no_redis_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with RedisCollector.open(RedisCollectorSettings(), make_sources()):
            pass
