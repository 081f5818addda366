from __future__ import annotations

import time

import pytest

from chassis.errors import PermanentError, Reason
from exporter.collectors.product_tables.repository import RepositoryCollector, RepositorySettings
from tests.fakes.sources import make_sources, samples, value


async def collect(product):
    async with (
        product.session() as session,
        RepositoryCollector.open(RepositorySettings(), make_sources(postgres=session)) as collector,
    ):
        return (await collector.collect()).families


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_last_synchronisation_is_utc_whatever_the_zone_of_the_server(product, zone):
    product.run(f"ALTER DATABASE \"{product.name}\" SET timezone = '{zone}'")
    product.run("UPDATE github_configuration SET last_sync_time = now() AT TIME ZONE 'UTC'")
    last = value(await collect(product), "controlcore_policy_repo_last_sync_timestamp_seconds")
    assert abs(last - time.time()) < 5


async def test_interval_is_given_in_seconds(product):
    families = await collect(product)
    assert value(families, "controlcore_policy_repo_sync_interval_seconds") == 900
    assert value(families, "controlcore_policy_repo_connected") == 1


async def test_configuration_that_was_changed_last_counts(product):
    product.run(
        "INSERT INTO github_configuration (connection_status, updated_at) VALUES ('error', now() + interval '1 h')"
    )
    assert value(await collect(product), "controlcore_policy_repo_connected") == 0


async def test_no_configuration_publishes_nothing(product):
    product.run("DELETE FROM github_configuration")
    assert samples(await collect(product)) == {}


async def test_token_is_out_of_reach_of_the_role(product):
    async with product.session() as session:
        with pytest.raises(PermanentError) as caught:
            await session.fetch("SELECT access_token FROM github_configuration", timeout_seconds=3)
    assert caught.value.reason is Reason.PERMISSION
