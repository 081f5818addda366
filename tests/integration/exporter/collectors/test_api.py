from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from chassis.clock import SystemClock
from chassis.http.client import HttpClient
from chassis.postgres.session import PostgresSession
from exporter.collectors.control_plane.api import ApiCollector, ApiCollectorSettings
from exporter.collectors.postgres.postgres_canary import PostgresCanaryCollector, PostgresCanarySettings
from exporter.settings import ApiSettings, ExporterSettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.sources import make_sources, samples, value
from tools.servers.redis import RedisServer
from tools.slowness import scaled
from tools.standin.running import Options, running_standin

pytestmark = pytest.mark.timeout(60)

REACHABLE, DURATION = "controlcore_api_reachable", "controlcore_api_health_duration_seconds"
SUCCESS, SUSPENDED = "controlcore_api_deep_probe_success", "controlcore_api_deep_probe_suspended"
REDIS = "controlcore_api_redis_path_success"
FAILURES = "controlcore_api_probe_failures_total"


@asynccontextmanager
async def opened(standin, product):
    """The API's collector and the canary that it listens to."""
    async with HttpClient.opened() as http, AsyncExitStack() as stack:
        session = PostgresSession(product.address())
        stack.push_async_callback(session.close)
        sources = make_sources(
            ExporterSettings(api=ApiSettings(url=standin.api_url)),
            http=http,
            clock=SystemClock(),
            postgres=session,
            postgres_address=product.address(),
            database_health=DatabaseHealth(),
        )
        settings = ApiCollectorSettings(health_timeout_seconds=scaled(0.75), deep_timeout_seconds=scaled(0.75))
        canary_settings = PostgresCanarySettings(probe_timeout_seconds=scaled(0.25))
        async with (
            ApiCollector.open(settings, sources) as api,
            PostgresCanaryCollector.open(canary_settings, sources) as canary,
        ):
            yield api, canary


async def test_healthy_api_answers_both_probes(standin, product):
    async with opened(standin, product) as (api, canary):
        before = await api.collect()
        await canary.collect()
        result = await api.collect()
    assert (value(before.families, SUSPENDED), value(before.families, SUCCESS)) == (1, None), "no canary yet"
    assert (value(result.families, SUSPENDED), value(result.families, SUCCESS)) == (0, 1)
    assert 0 < value(result.families, DURATION) < scaled(0.75)
    assert result.components == {"api": True}


async def test_redis_that_went_away_shows_in_the_apis_statistics(product):
    with (
        RedisServer() as redis,
        running_standin(product.url, redis.url, Options(traffic_interval_seconds=0)) as standin,
    ):
        async with opened(standin, product) as (api, _):
            before = await api.collect()
        redis.stop()
        async with opened(standin, product) as (api, _):
            after = await api.collect()
    assert (value(before.families, REDIS), value(after.families, REDIS)) == (1, 0)
    assert after.components == {"api": True}


async def test_hanging_api_is_down_and_still_reachable(standin, product):
    standin.fault("api", "hang")
    async with opened(standin, product) as (api, _):
        result = await api.collect()
    assert (value(result.families, REACHABLE), result.components) == (1, {"api": False})
    assert value(result.families, FAILURES, "health", "timeout") == 1
    assert DURATION not in samples(result.families)


async def test_refusing_api_is_unreachable(standin, product):
    async with opened(standin, product) as (api, _):
        await api.collect()
        standin.programs["api"].end()
        result = await api.collect()
    assert (value(result.families, REACHABLE), result.components) == (0, {"api": False})
    assert value(result.families, FAILURES, "health", "refused") == 1


async def test_slow_event_loop_shows_in_the_latency_of_health(standin, product):
    standin.fault("api", "slow", delay_seconds=0.4)
    async with opened(standin, product) as (api, _):
        result = await api.collect()
    assert 0.4 <= value(result.families, DURATION) < scaled(0.75)
    assert result.components == {"api": True}


async def test_failing_handler_behind_a_healthy_database_fails_the_deep_probe_alone(standin, product):
    standin.fault("api", "5xx", path="/opal/bouncer-pairs")
    async with opened(standin, product) as (api, canary):
        await canary.collect()
        result = await api.collect()
    assert (value(result.families, SUCCESS), result.components) == (0, {"api": True})


async def test_frozen_database_gets_no_deep_probe_and_the_apis_loop_stays_free(standin, product):
    """The deep endpoint would block the API's event loop until the database answers: /health shows that it did not."""
    async with opened(standin, product) as (api, canary):
        await canary.collect()
        await api.collect()
        product.server.freeze()
        try:
            just_frozen = await api.collect()  # the canary still says well
            await canary.collect()
            rounds = [just_frozen, *[await api.collect() for _ in range(2)]]
        finally:
            product.server.thaw()
        for _ in range(10):  # a busy machine may find the thawed database slow for a moment
            await canary.collect()
            after = await api.collect()
            if value(after.families, SUSPENDED) == 0:
                break
    for result in rounds:
        assert (value(result.families, SUSPENDED), value(result.families, SUCCESS)) == (1, None)
        assert result.components == {"api": True}
    assert (value(after.families, SUSPENDED), value(after.families, SUCCESS)) == (0, 1)
