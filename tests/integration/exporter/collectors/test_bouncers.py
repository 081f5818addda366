from __future__ import annotations

import time

import pytest

from exporter.collectors.product_tables.bouncers import BouncersCollector, BouncersSettings
from tests.fakes.sources import make_sources, samples, value

CONNECTED, HEARTBEAT = "controlcore_bouncer_connected", "controlcore_bouncer_last_heartbeat_timestamp_seconds"
PAIRING, REGISTERED = "controlcore_resource_bouncers", "controlcore_bouncers_registered"
PRODUCTION = ("bouncer-production", "production")


async def collect(product, **settings):
    async with (
        product.session() as session,
        BouncersCollector.open(BouncersSettings(**settings), make_sources(postgres=session)) as collector,
    ):
        return (await collector.collect()).families


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_heartbeat_is_utc_whatever_the_zone_of_the_server(product, zone):
    product.run(f"ALTER DATABASE \"{product.name}\" SET timezone = '{zone}'")
    product.run("UPDATE peps SET last_heartbeat = (now() AT TIME ZONE 'UTC') - interval '60 s'")
    families = await collect(product)
    assert abs(value(families, HEARTBEAT, *PRODUCTION) - (time.time() - 60)) < 5
    assert value(families, CONNECTED, *PRODUCTION) == 1


async def test_silent_bouncer_is_not_connected_although_the_product_says_so(product):
    product.run("UPDATE peps SET last_heartbeat = (now() AT TIME ZONE 'UTC') - interval '91 s', is_connected = true")
    families = await collect(product)
    assert value(families, CONNECTED, *PRODUCTION) == 0
    assert value(families, "controlcore_bouncer_declared_connected", *PRODUCTION) == 1


async def test_bouncer_without_a_heartbeat_is_unknown(product):
    product.run("UPDATE peps SET last_heartbeat = NULL")
    families = samples(await collect(product))
    assert CONNECTED not in families
    assert HEARTBEAT not in families


@pytest.mark.parametrize(
    "update",
    [
        "UPDATE peps SET last_heartbeat = 'infinity'",
        "UPDATE peps SET last_heartbeat = (now() AT TIME ZONE 'UTC') + interval '1 h'",
    ],
)
async def test_heartbeat_from_the_future_is_no_connection(product, update):
    product.run(update)
    assert CONNECTED not in samples(await collect(product))


async def test_bouncer_that_the_product_made_without_an_id_is_named_by_its_row(product):
    """P1: POST /peps/ leaves bouncer_id null, and every bouncer's series were lost."""
    product.run("ALTER TABLE peps ALTER bouncer_id DROP NOT NULL")
    row = product.run("INSERT INTO peps (name, environment) VALUES ('made', 'sandbox') RETURNING id")[0][0]
    families = samples(await collect(product))
    assert families[CONNECTED][PRODUCTION] == 1
    assert (row, "sandbox", "", "") in families["controlcore_bouncer_info"]
    assert families[REGISTERED]["sandbox",] == 2


async def test_bouncer_of_both_environments_pairs_its_resource(product):
    """P5."""
    product.run("UPDATE peps SET environment = 'both' WHERE bouncer_id = 'bouncer-production'")
    found = samples(await collect(product))
    assert (found[PAIRING]["orders", "production"], found[REGISTERED]["production",]) == (1, 1)


async def test_flood_of_registrations_is_bounded_and_still_counted(product):
    product.run(
        "INSERT INTO peps (bouncer_id, name, environment)"
        " SELECT 'forged-' || n, 'forged', 'sandbox' FROM generate_series(1, 10000) n"
    )
    families = await collect(product, max_bouncers=10)
    assert len(samples(families)["controlcore_bouncer_info"]) == 10
    assert value(families, REGISTERED, "sandbox") == 10_001
    assert value(families, "controlcore_bouncers_omitted") == 9_992


async def test_resource_with_one_side_only_is_unpaired(product):
    families = await collect(product)
    assert samples(families)[PAIRING] == {
        ("invoices", "sandbox"): 1,
        ("invoices", "production"): 0,
        ("orders", "sandbox"): 1,
        ("orders", "production"): 1,
    }
    assert value(families, "controlcore_resources_unpaired") == 1


async def test_empty_tables_are_known_zeros(product):
    product.run("TRUNCATE peps, protected_resources CASCADE")
    families = await collect(product)
    assert value(families, REGISTERED, "production") == 0
    assert value(families, "controlcore_resources_unpaired") == 0
    assert HEARTBEAT not in samples(families)
