from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from chassis.errors import Reason
from chassis.redis.address import RedisAddress
from chassis.redis.session import RedisSession
from exporter.collectors.redis.redis import RedisCollector, RedisCollectorSettings
from tests.fakes.sources import expose, make_sources, samples, value
from tools.servers.ports import free_port
from tools.servers.redis import RedisServer
from tools.slowness import scaled

UP, FAILURES = "controlcore_redis_up", "controlcore_redis_connection_failures_total"
LIMIT = "controlcore_redis_memory_limit_bytes"


@asynccontextmanager
async def opened(url, **settings):
    address = RedisAddress.parse(url)
    session = RedisSession(address)
    try:
        sources = make_sources(redis=session, redis_address=address)
        async with RedisCollector.open(RedisCollectorSettings(**settings), sources) as collector:
            yield collector
    finally:
        await session.close()


async def test_running_redis_is_up_with_its_own_figures(redis_server, redis_url):
    redis_server.call("SET", "key", "value")
    redis_server.call("CONFIG", "RESETSTAT")
    for name in ("key", "key", "nobody"):
        redis_server.call("GET", name)
    async with opened(redis_url) as collector:
        result = await collector.collect()
    families = result.families
    assert value(families, UP) == 1
    assert value(families, "controlcore_redis_keyspace_hits_total") == 2
    assert value(families, "controlcore_redis_keyspace_requests_total") == 3
    assert value(families, "controlcore_redis_memory_used_bytes") > 100_000
    assert value(families, "controlcore_redis_connected_clients") >= 1
    assert LIMIT not in samples(families), "there is no limit"
    assert (result.components, result.failure) == ({"redis": True}, None)


async def test_memory_limit_and_evictions_are_seen(redis_server, redis_url):
    redis_server.call("CONFIG", "RESETSTAT")
    redis_server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    redis_server.call("CONFIG", "SET", "maxmemory", "3000000")
    try:
        for number in range(60):
            redis_server.call("SET", f"key-{number}", "x" * 100_000)
        async with opened(redis_url) as collector:
            families = (await collector.collect()).families
    finally:
        redis_server.call("CONFIG", "SET", "maxmemory", "0")
    assert value(families, LIMIT) == 3_000_000
    assert value(families, "controlcore_redis_evicted_keys_total") > 0


async def test_frozen_redis_is_down_and_then_up_again(redis_server, redis_url):
    async with opened(redis_url, probe_timeout_seconds=scaled(0.15)) as collector:
        await collector.collect()
        redis_server.freeze()
        try:
            down = await collector.collect()
        finally:
            redis_server.thaw()
        up = await collector.collect()
    assert (value(down.families, UP), value(down.families, FAILURES, "timeout")) == (0, 1)
    assert "controlcore_redis_memory_used_bytes" not in samples(down.families)
    assert down.components == {"redis": False}
    assert value(up.families, UP) == 1
    assert "controlcore_redis_memory_used_bytes" in samples(up.families)


async def test_port_without_a_server_is_refused():
    async with opened(f"redis://127.0.0.1:{free_port()}/0") as collector:
        result = await collector.collect()
    assert (value(result.families, UP), value(result.families, FAILURES, "refused")) == (0, 1)


@pytest.mark.parametrize(("user", "reason"), [("nobody:wrong", "auth")])
async def test_wrong_password_is_auth(redis_url, user, reason):
    async with opened(redis_url.replace("redis://", f"redis://{user}@")) as collector:
        result = await collector.collect()
    assert (value(result.families, UP), value(result.families, FAILURES, reason)) == (None, 1)


async def test_database_that_is_not_there_is_about_us_and_no_redis_that_is_down(redis_url):
    """P12."""
    async with opened(redis_url.rpartition("/")[0] + "/999") as collector:
        result = await collector.collect()
    assert (value(result.families, UP), value(result.families, FAILURES, "missing")) == (None, 1)
    assert result.components == {}


async def test_limit_of_clients_is_exhausted(redis_url):
    before = "controlcore_redis_ping_duration_seconds_count 0.0\n"
    async with opened(redis_url) as blocker, opened(redis_url) as collector:
        # Only the kept connection may still send commands, also to remove the limit again.
        await blocker._session._ask("CONFIG", "SET", "maxclients", "1", timeout_seconds=2)
        try:
            result = await collector.collect()
        finally:
            await blocker._session._ask("CONFIG", "SET", "maxclients", "10000", timeout_seconds=2)
    assert before in expose(result.families)
    assert (value(result.families, UP), value(result.families, FAILURES, "exhausted")) == (0, 1)


MEMORY, REFUSED = "controlcore_redis_memory_used_bytes", "controlcore_redis_ping_refused"


class Stale(RedisServer):
    """Answers PING with an error from the start, and is ready all the same."""

    def is_ready(self):
        try:
            return self.call("PING").startswith("-MASTERDOWN")
        except OSError:
            return False


async def refused_by(collector, error):
    """The first collection in which PING is answered with this error."""
    async with asyncio.timeout(scaled(20)):
        while True:
            result = await collector.collect()
            if value(result.families, REFUSED, error) == 1:
                return result
            await asyncio.sleep(0.05)


@pytest.mark.timeout(60)
async def test_redis_that_cannot_write_its_snapshot_is_up_and_says_why():
    """X8: MISCONF. It counted as down, and what INFO says of the failed snapshot was gone."""
    with RedisServer(settings={"save": "3600 100000", "dbfilename": "taken.rdb"}) as server:
        (server.folder / "taken.rdb").mkdir()  # a snapshot cannot take the place of a folder
        server.call("SET", "key", "value")
        server.call("BGSAVE")
        async with opened(server.url) as collector:
            result = await refused_by(collector, "misconf")
    assert (value(result.families, UP), result.components, result.failure) == (1, {"redis": True}, None)
    assert value(result.families, MEMORY) > 0
    assert value(result.families, "controlcore_redis_snapshot_last_successful") == 0


@pytest.mark.timeout(60)
async def test_replica_without_its_primary_is_up_and_says_why():
    """X8: MASTERDOWN."""
    settings = {"replicaof": f"127.0.0.1 {free_port()}", "replica-serve-stale-data": "no"}
    with Stale(settings=settings) as server:
        async with opened(server.url) as collector:
            result = await refused_by(collector, "masterdown")
    assert (value(result.families, UP), result.failure) == (1, None)
    assert value(result.families, "controlcore_redis_primary_link_up") == 0


@pytest.mark.timeout(60)
async def test_busy_redis_is_up_and_has_no_statistics():
    """X8: BUSY. A script that does not end lets nothing through, not even INFO."""
    with RedisServer(settings={"busy-reply-threshold": "50"}) as server:
        script = asyncio.create_task(
            asyncio.to_thread(server.call, "EVAL", "while true do end", "0", timeout_seconds=30), name="script"
        )
        async with opened(server.url, probe_timeout_seconds=scaled(0.5)) as collector:
            result = await refused_by(collector, "busy")
        server.call("SCRIPT", "KILL")
        await script
    assert value(result.families, UP) == 1
    assert (result.failure.reason, MEMORY in samples(result.families)) == (Reason.OVERLOADED, False)


@pytest.mark.timeout(60)
async def test_redis_that_wants_a_password_is_up_and_counts_as_a_refused_login():
    """X8: NOAUTH."""
    with RedisServer(password="secret") as server:
        async with opened(f"redis://127.0.0.1:{server.port}/0") as collector:
            result = await refused_by(collector, "noauth")
    assert (value(result.families, UP), value(result.families, FAILURES, "auth")) == (1, 1)
    assert result.failure.reason is Reason.AUTH
