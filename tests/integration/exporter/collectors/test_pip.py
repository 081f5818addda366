from __future__ import annotations

import time

import pytest

from chassis.errors import PermanentError, Reason
from chassis.http.client import HttpClient
from exporter.collectors.control_plane.pip import PipCollector, PipSettings
from exporter.settings import ApiSettings, ExporterSettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.sources import make_sources, samples, value

DIRECTORY = ("staff-directory", "okta", "production")
LAST_SYNC = "controlcore_pip_last_sync_timestamp_seconds"
EXPIRY = "controlcore_pip_oauth_token_expiry_timestamp_seconds"
EXPIRING = "UPDATE oauth_tokens SET expires_at = (now() AT TIME ZONE '$1') + interval '1 hour'"
UPDATE = "UPDATE pip_connections SET last_sync = now() AT TIME ZONE '$1'"


async def collect(product, **settings):
    async with (
        product.session() as session,
        PipCollector.open(PipSettings(**settings), make_sources(postgres=session)) as collector,
    ):
        return (await collector.collect()).families


async def test_active_connections_are_read(product):
    families = await collect(product)
    assert samples(families)["controlcore_pip_connection_healthy"] == {DIRECTORY: 1}
    assert value(families, "controlcore_pip_connections", "production", "healthy") == 1
    assert value(families, "controlcore_pip_connections", "sandbox", "unknown") == 1
    assert value(families, "controlcore_pip_connections", "sandbox", "unhealthy") == 0, "inactive ones do not count"
    assert value(families, LAST_SYNC, "orders-database", "postgresql", "sandbox") is None


@pytest.mark.parametrize("server_zone", ["UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("api_zone", ["UTC", "America/Los_Angeles"])
async def test_times_of_the_api_hold_whatever_the_zone_of_the_server(product, server_zone, api_zone):
    """X17: the product writes both in its container's time (datetime.now())."""
    product.run(f"ALTER DATABASE \"{product.name}\" SET timezone = '{server_zone}'")
    product.run(UPDATE.replace("$1", api_zone))
    product.run(EXPIRING.replace("$1", api_zone))
    families = await collect(product, api_time_zone=api_zone)
    assert abs(value(families, LAST_SYNC, *DIRECTORY) - time.time()) < 30
    assert abs(value(families, EXPIRY, *DIRECTORY) - (time.time() + 3600)) < 60


async def test_time_zone_that_does_not_exist_is_named(product):
    with pytest.raises(PermanentError, match="Mars/Olympus"):
        await collect(product, api_time_zone="Mars/Olympus")


async def test_connection_two_intervals_late_is_overdue(product):
    product.run("UPDATE pip_connections SET last_sync = (now() AT TIME ZONE 'UTC') - interval '601 s' WHERE id = 1")
    assert value(await collect(product), "controlcore_pip_sync_overdue", "production") == 1
    product.run("UPDATE pip_connections SET sync_enabled = false")
    assert value(await collect(product), "controlcore_pip_sync_overdue", "production") == 0


async def test_limit_bounds_the_series_and_not_the_count(product):
    product.run(
        "INSERT INTO pip_connections (name, connection_type, status, environment, health_status)"
        " SELECT 'c' || n, 'API', 'ACTIVE', 'production', 'unhealthy' FROM generate_series(1, 500) n"
    )
    families = await collect(product, max_connections=20)
    assert len(samples(families)["controlcore_pip_sync_interval_seconds"]) == 20
    assert value(families, "controlcore_pip_connections", "production", "unhealthy") == 500


async def test_scheduler_of_the_product_never_runs(product, standin):
    settings = ExporterSettings(api=ApiSettings(url=standin.api_url))
    health = DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=1000.0)
    async with product.session() as session, HttpClient.opened() as http:
        sources = make_sources(settings, postgres=session, http=http, database_health=health)
        async with PipCollector.open(PipSettings(), sources) as collector:
            result = await collector.collect()
    assert result.failure is None
    assert value(result.families, "controlcore_pip_scheduler_running") == 0


@pytest.mark.parametrize(
    "query", ["SELECT credentials FROM pip_connections", "SELECT access_token, refresh_token FROM oauth_tokens"]
)
async def test_credentials_are_out_of_reach_of_the_role(product, query):
    async with product.session() as session:
        with pytest.raises(PermanentError) as caught:
            await session.fetch(query, timeout_seconds=3)
    assert caught.value.reason is Reason.PERMISSION
