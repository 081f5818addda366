from __future__ import annotations

import time

import pytest

from exporter.collectors.product_tables.policy_sync import PolicySyncCollector, PolicySyncSettings
from tests.fakes.sources import samples
from tests.integration.exporter.collectors.watching import watching

PRODUCTION = ("bouncer-production", "production")
SUCCESS = "controlcore_bouncer_policy_sync_last_success_timestamp_seconds"
ENDED, SYNCS = "controlcore_bouncer_policy_syncs_total", "controlcore_policy_syncs_total"
INSERT = "INSERT INTO bouncer_sync_history (bouncer_id, sync_type, status, duration_ms, commit_sha) VALUES "


def watching_syncs(product, **settings):
    return watching(product, PolicySyncCollector, PolicySyncSettings(**settings), step_seconds=15.0)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_both_kinds_of_times_hold_in_any_zone_of_the_server(product, zone):
    """The configuration's time is UTC, the history's is the server's."""
    product.run(f"ALTER DATABASE \"{product.name}\" SET timezone = '{zone}'")
    product.run("UPDATE bouncer_opal_configuration SET last_sync_time = (now() AT TIME ZONE 'UTC') - interval '1 h'")
    product.run("DELETE FROM bouncer_sync_history")
    async with watching_syncs(product) as watch:
        assert abs(watch.value(SUCCESS, *PRODUCTION) - (time.time() - 3600)) < 30
        product.run(f"{INSERT} ('bouncer-production', 'auto', 'success', 42, 'abc')")
        await watch.collect()
    assert abs(watch.value(SUCCESS, *PRODUCTION) - time.time()) < 30


async def test_state_of_a_synchronisation_follows_what_the_product_wrote(product):
    loaded, failed = "controlcore_bouncer_policies_loaded", "controlcore_bouncer_policy_sync_failed"
    async with watching_syncs(product) as watch:
        assert (watch.value(loaded, *PRODUCTION), watch.value(failed, *PRODUCTION)) == (3, 0)
        product.run(
            "UPDATE bouncer_opal_configuration SET last_sync_status = 'failed', policies_count = 0"
            " WHERE bouncer_id = 'bouncer-production'"
        )
        await watch.collect()
        assert (watch.value(loaded, *PRODUCTION), watch.value(failed, *PRODUCTION)) == (None, 1)
        assert watch.value(failed, "bouncer-sandbox", "sandbox") == 0


async def test_history_is_counted_once_and_the_past_never(product):
    async with watching_syncs(product) as watch:
        assert watch.value(ENDED, *PRODUCTION) == 0
        product.run(
            f"{INSERT} ('bouncer-production', 'auto', 'success', 42, 'b'), ('bouncer-production', 'auto', 'failed', 1,"
            " NULL), ('bouncer-production', 'manual', 'triggered', NULL, NULL)"
        )
        await watch.collect(3)
    assert watch.value(ENDED, *PRODUCTION) == 2
    assert watch.value("controlcore_bouncer_policy_sync_failures_total", *PRODUCTION) == 1
    assert watch.value(SYNCS, "manual", "triggered") == 1


async def test_purge_of_the_history_makes_no_increase(product):
    async with watching_syncs(product) as watch:
        product.run("DELETE FROM bouncer_sync_history")
        await watch.collect(2)
    assert sum(samples(watch.families)[SYNCS].values()) == 0


async def test_bouncers_at_different_revisions_are_seen(product):
    async with watching_syncs(product) as watch:
        product.run(
            "INSERT INTO peps (bouncer_id, name, environment) VALUES ('second', 'second', 'production');"
            "INSERT INTO bouncer_opal_configuration (bouncer_id, environment) VALUES ('second', 'production');"
        )
        product.run(f"{INSERT} ('second', 'auto', 'success', 10, 'another revision')")
        await watch.collect()
    assert watch.value("controlcore_bouncer_policy_revision_skew", "production") == 1
    assert watch.value("controlcore_bouncer_policy_revision_skew", "sandbox") == 0


async def test_bouncer_that_never_synchronised_has_no_state(product):
    product.run("UPDATE bouncer_opal_configuration SET last_sync_time = NULL, last_sync_status = NULL")
    product.run("DELETE FROM bouncer_sync_history")
    async with watching_syncs(product) as watch:
        assert SUCCESS not in samples(watch.families)
        assert "controlcore_bouncer_policy_sync_failed" not in samples(watch.families)


async def test_limit_bounds_the_series(product):
    async with watching_syncs(product, max_bouncers=1) as watch:
        assert len(samples(watch.families)[ENDED]) == 1
