from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.operations.tuning import TuningCollector, TuningSettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

ROWS = [
    {"name": "shared_buffers", "setting": "32768", "unit": "8kB"},
    {"name": "work_mem", "setting": "8192", "unit": "kB"},
    {"name": "random_page_cost", "setting": "1.1", "unit": ""},
]
DRIFT, UNREADABLE = "controlcore_tuning_drift", "controlcore_tuning_unreadable"
DOWN = TransientError(Reason.REFUSED, "down")


class FakeRedis:
    """A RedisSession over settings; None forbids CONFIG."""

    def __init__(self, config, info=None) -> None:
        self.config = config
        self.fields = info or {}

    async def config_get(self, name, *, timeout_seconds):
        assert timeout_seconds > 0
        if isinstance(self.config, Exception):
            raise self.config
        return None if self.config is None else self.config.get(name)

    async def info(self, *sections, timeout_seconds):
        assert (sections, timeout_seconds > 0) == (("memory",), True)
        return self.fields


REDIS = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "tcp-keepalive": "60",
    "timeout": "300",
    "tcp-backlog": "511",
}


async def collect(rows=ROWS, redis=None, wanted=None, **settings):
    settings |= {} if wanted is None else {"redis": wanted}
    given = FakeRedis(REDIS) if redis is None else redis
    sources = make_sources(postgres=FakeSql({"pg_settings": rows}), redis=given)
    async with TuningCollector.open(TuningSettings(**settings), sources) as collector:
        return await collector.collect()


async def test_compared_settings_give_the_golden_page():
    result = await collect()
    assert expose(result.families) == golden("tuning")
    assert result.failure is None


async def test_forbidden_config_falls_back_on_what_info_tells_and_says_what_is_missing():
    redis = FakeRedis(None, {"maxmemory": 2_147_483_648, "maxmemory_policy": "allkeys-lru", "used_memory": 1})
    families = (await collect(redis=redis)).families
    shown = {labels[1]: drift for labels, drift in samples(families)[DRIFT].items() if labels[0] == "redis"}
    assert shown == {"maxmemory": 0, "maxmemory-policy": 0}
    assert value(families, UNREADABLE, "redis", "forbidden") == 3
    assert value(families, UNREADABLE, "redis", "unknown") == 0


async def test_field_that_info_lacks_and_setting_that_is_not_compared_add_nothing():
    redis = FakeRedis(None, {"maxmemory": 1})
    families = (await collect(redis=redis, wanted={"maxmemory-policy": "noeviction"})).families
    assert value(families, DRIFT, "redis", "maxmemory") is None
    assert value(families, UNREADABLE, "redis", "forbidden") == 1


async def test_setting_that_the_server_does_not_know_is_counted_and_absent():
    families = (await collect(redis=FakeRedis(REDIS | {"tcp-backlog": None}))).families
    assert value(families, DRIFT, "redis", "tcp-backlog") is None
    assert value(families, UNREADABLE, "redis", "unknown") == 1


async def test_own_recommendations_replace_the_guides():
    families = (await collect([ROWS[1]], postgres={"work_mem": "8MB"})).families
    assert value(families, DRIFT, "postgres", "work_mem") == 0


@pytest.mark.parametrize(
    ("row", "recommended", "is_off"),
    [
        ({"name": "work_mem", "setting": "4096", "unit": "kB"}, "4096", 0),
        ({"name": "work_mem", "setting": "4096", "unit": "kB"}, "'4MB'", 0),
        ({"name": "work_mem", "setting": "4096", "unit": "kB"}, "4", 1),
        ({"name": "autovacuum_work_mem", "setting": "-1", "unit": "kB"}, "-1", 0),
        ({"name": "jit", "setting": "off", "unit": ""}, "false", 0),
        ({"name": "jit", "setting": "on", "unit": ""}, "1", 0),
        ({"name": "jit", "setting": "on", "unit": ""}, "No", 1),
    ],
)
async def test_recommendation_is_read_as_postgresql_conf_would_be(row, recommended, is_off):
    """X19's kind: a bare number was bytes, so a server with the very value that was recommended drifted."""
    families = (await collect([row], postgres={row["name"]: recommended})).families
    assert value(families, DRIFT, "postgres", row["name"]) == is_off


async def test_setting_without_a_value_is_unreadable_and_the_others_are_there():
    families = (await collect([*ROWS, {"name": "wal_buffers", "setting": None, "unit": "8kB"}])).families
    assert value(families, DRIFT, "postgres", "random_page_cost") == 0
    assert (value(families, DRIFT, "postgres", "wal_buffers"), value(families, UNREADABLE, "postgres", "unknown")) == (
        None,
        8,
    )


@pytest.mark.parametrize(("rows", "redis", "left"), [(DOWN, None, "redis"), (ROWS, FakeRedis(DOWN), "postgres")])
async def test_one_that_does_not_answer_is_absent_and_the_other_is_there(rows, redis, left):
    result = await collect(rows, redis)
    assert result.failure is DOWN
    assert {labels[0] for labels in samples(result.families)[DRIFT]} == {left}


async def test_nothing_that_answers_raises():
    with pytest.raises(TransientError):
        await collect(DOWN, FakeRedis(DOWN))


async def test_neither_source_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with TuningCollector.open(TuningSettings(), make_sources()):
            pass
