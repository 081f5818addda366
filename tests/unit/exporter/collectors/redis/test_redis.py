from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from chassis.errors import CONNECTION_REASONS, Reason, TransientError
from chassis.redis.refusals import REFUSALS
from exporter.collector import NotConfiguredError
from exporter.collectors.redis.redis import RedisCollector, RedisCollectorSettings
from tests.fakes.clock import ManualClock
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
UP, REFUSED = "controlcore_redis_up", "controlcore_redis_ping_refused"
FAILURES = "controlcore_redis_connection_failures_total"


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
    return RedisCollector(RedisCollectorSettings(), ADDRESS, session, probe, clock=ManualClock())


async def test_answering_redis_gives_the_golden_page():
    result = await make(Session(INFO)).collect()
    assert expose(result.families) == golden("redis")
    assert (result.components, result.failure) == ({"redis": True}, None)
    assert result.versions == {"redis": "7.0.15"}


async def test_redis_that_is_down_publishes_the_verdict_and_no_statistics():
    session = Session(INFO)
    result = await make(session, refuse).collect()
    assert value(result.families, UP) == 0
    assert set(samples(result.families)) == {UP, FAILURES}
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


def refusing(code, reason):
    async def probe(_address, _timeout_seconds):
        raise TransientError(reason, "an error of Redis", code=code)

    return probe


@pytest.mark.parametrize("code", REFUSALS)
async def test_redis_that_answers_with_an_error_is_up_and_tells_which(code):
    """X8: it counted as down, and INFO, which says why, was not read."""
    session, reason = Session(INFO), REFUSALS[code][1]
    collector = make(session, refusing(code, reason))
    result = await collector.collect()
    assert (value(result.families, UP), result.components, result.failure) == (1, {"redis": True}, None)
    assert {labels[0] for labels, state in samples(result.families)[REFUSED].items() if state} == {code.lower()}
    assert value(result.families, "controlcore_redis_memory_used_bytes") == 1048576
    is_ours = reason in {Reason.AUTH, Reason.PERMISSION}
    assert sum(samples(result.families)[FAILURES].values()) == is_ours
    collector._probe = answer_quickly
    assert not any(samples((await collector.collect()).families)[REFUSED].values())


@pytest.mark.parametrize("reason", [Reason.AUTH, Reason.MISSING, Reason.TLS])
async def test_redis_that_refuses_only_our_access_is_not_called_down(reason):
    """P12: a database that is not there, or an authority that we do not trust, is about us."""
    result = await make(Session(INFO), refusing("", reason)).collect()
    assert (value(result.families, UP), value(result.families, FAILURES, reason.value)) == (None, 1)
    assert (result.components, result.failure) == ({}, None)
    assert result.refused["redis"].reason is reason


async def test_error_that_answers_ping_is_logged_once():
    """X8: the log did not name it."""
    collector = make(Session(INFO), refusing("MISCONF", Reason.PROTOCOL))
    with capture_logs() as lines:
        for _ in range(3):
            await collector.collect()
    assert [(line["event"], line["error"]) for line in lines] == [("redis.ping_refused", "misconf")]


async def test_no_redis_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with RedisCollector.open(RedisCollectorSettings(), make_sources()):
            pass
