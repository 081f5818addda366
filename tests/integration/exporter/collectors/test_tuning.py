from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from chassis.redis.address import RedisAddress
from chassis.redis.session import RedisSession
from exporter.collectors.operations.tuning import TuningCollector, TuningSettings
from tests.fakes.sources import make_sources, samples, value

DRIFT, VALUE = "controlcore_tuning_drift", "controlcore_tuning_setting_value"
UNREADABLE = "controlcore_tuning_unreadable"


@asynccontextmanager
async def tuned(product, redis_url, **settings):
    redis = RedisSession(RedisAddress.parse(SecretStr(redis_url)))
    try:
        async with product.session() as session:
            sources = make_sources(postgres=session, redis=redis)
            async with TuningCollector.open(TuningSettings(**settings), sources) as collector:
                yield collector
    finally:
        await redis.close()


async def test_settings_of_real_servers_are_compared(product, redis_url):
    """The test server has shared_buffers of 32 MB; work_mem and wal targets are PostgreSQL's own."""
    async with tuned(product, redis_url) as collector:
        result = await collector.collect()
    assert result.failure is None
    assert value(result.families, VALUE, "postgres", "shared_buffers") == 32 * 1024 * 1024
    assert value(result.families, DRIFT, "postgres", "shared_buffers") == 1
    assert value(result.families, DRIFT, "postgres", "work_mem") == 0
    assert value(result.families, DRIFT, "postgres", "max_wal_size") == 1
    assert value(result.families, VALUE, "postgres", "max_wal_size") == 1024**3
    assert value(result.families, DRIFT, "redis", "tcp-backlog") == 0
    assert value(result.families, UNREADABLE, "postgres", "unknown") == 0
    assert len(samples(result.families)[DRIFT]) == 16


async def test_setting_put_right_no_longer_drifts(product, redis_server, redis_url):
    async with tuned(product, redis_url) as collector:
        before = (await collector.collect()).families
        redis_server.call("CONFIG", "SET", "timeout", "300")
        try:
            after = (await collector.collect()).families
        finally:
            redis_server.call("CONFIG", "SET", "timeout", "0")
    assert (value(before, DRIFT, "redis", "timeout"), value(after, DRIFT, "redis", "timeout")) == (1, 0)


async def test_service_that_forbids_config_still_tells_its_memory(product, redis_server, redis_url):
    redis_server.call("ACL", "SETUSER", "managed", "on", ">made-up", "+@all", "-config", "~*")
    try:
        url = redis_url.replace("redis://", "redis://managed:made-up@")
        async with tuned(product, url) as collector:
            result = await collector.collect()
    finally:
        redis_server.call("ACL", "DELUSER", "managed")
    assert result.failure is None
    assert {labels[1] for labels in samples(result.families)[DRIFT] if labels[0] == "redis"} == {
        "maxmemory",
        "maxmemory-policy",
    }
    assert value(result.families, UNREADABLE, "redis", "forbidden") == 3


@pytest.mark.parametrize("name", ["no_such_setting"])
async def test_setting_of_another_version_is_counted(product, redis_url, name):
    async with tuned(product, redis_url, postgres={name: "1", "work_mem": "4MB"}) as collector:
        families = (await collector.collect()).families
    assert value(families, UNREADABLE, "postgres", "unknown") == 1
    assert value(families, DRIFT, "postgres", name) is None
