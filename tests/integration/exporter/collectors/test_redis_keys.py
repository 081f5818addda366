from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from chassis.errors import PermanentError, Reason
from chassis.redis.address import RedisAddress
from chassis.redis.session import RedisSession
from exporter.collectors.redis.redis_keys import RedisKeysCollector, RedisKeysSettings
from tests.fakes.sources import make_sources, samples, value

KEYS, ALL, SAMPLED = "controlcore_redis_keys", "controlcore_redis_database_keys", "controlcore_redis_keys_sampled"
FILL = "for i = 1, ARGV[2] do redis.call('SET', ARGV[1] .. i, 'secret') end"


@asynccontextmanager
async def opened(url, **settings):
    session = RedisSession(RedisAddress.parse(url))
    try:
        async with RedisKeysCollector.open(RedisKeysSettings(**settings), make_sources(redis=session)) as collector:
            yield collector
    finally:
        await session.close()


async def test_few_keys_are_counted_by_class(redis_server, redis_url):
    for beginning, count in (("pip:conn:1:attr:", 30), ("rate_limit:ip:", 20), ("audit:security:1:", 10), ("x:", 5)):
        redis_server.call("EVAL", FILL, "0", beginning, str(count))
    async with opened(redis_url) as collector:
        families = (await collector.collect()).families
    expected = {("pip",): 30, ("rate_limit",): 20, ("security_audit",): 10, ("other",): 5}
    assert samples(families)[KEYS] == expected
    assert (value(families, ALL), value(families, SAMPLED)) == (65, 65)


async def test_many_keys_are_estimated_from_a_sample(redis_server, redis_url):
    redis_server.call("EVAL", FILL, "0", "pip:conn:", "15000")
    redis_server.call("EVAL", FILL, "0", "audit:security:", "5000")
    async with opened(redis_url, sample_keys=2000) as collector:
        for _ in range(3):
            families = (await collector.collect()).families
            assert value(families, ALL) == 20_000
            assert 2000 <= value(families, SAMPLED) < 2400
            # Three quarters: a sample of 2000 is off by less than 0.06 in more than 99.9999 % of cases.
            assert value(families, KEYS, "pip") == pytest.approx(15_000, abs=1200)
            assert value(families, KEYS, "pip") + value(families, KEYS, "security_audit") == pytest.approx(
                20_000, abs=1
            )
            assert ("rate_limit",) not in samples(families)[KEYS], "none in a sample does not mean none at all"


async def test_account_that_may_not_look_is_a_permission_failure(redis_server, redis_url):
    redis_server.call("ACL", "SETUSER", "blind", "on", ">word", "~*", "+dbsize", "+ping")
    try:
        async with opened(redis_url.replace("redis://", "redis://blind:word@")) as collector:
            with pytest.raises(PermanentError) as refused:
                await collector.collect()
    finally:
        redis_server.call("ACL", "DELUSER", "blind")
    assert refused.value.reason is Reason.PERMISSION
