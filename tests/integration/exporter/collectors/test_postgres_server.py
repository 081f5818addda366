from __future__ import annotations

import asyncio
import time
import uuid

import psycopg
import pytest

from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from exporter.collectors.postgres.postgres_maintenance import PostgresMaintenanceCollector, PostgresMaintenanceSettings
from exporter.collectors.postgres.postgres_server import PostgresServerCollector, PostgresServerSettings
from tests.fakes.sources import make_sources, samples, value
from tests.integration.exporter.standby import Standby
from tools.slowness import scaled

LOCKS, PRIMARY = "controlcore_postgres_locks", "controlcore_postgres_primary"
ROWS, SLOT = "controlcore_postgres_rows_total", "controlcore_postgres_replication_slot_retained_bytes"
LAG, REPLICAS = "controlcore_postgres_replication_lag_seconds", "controlcore_postgres_replicas"


async def collect_over(session):
    async with PostgresServerCollector.open(PostgresServerSettings(), make_sources(postgres=session)) as collector:
        return await collector.collect()


async def maintenance_over(session):
    sources = make_sources(postgres=session)
    async with PostgresMaintenanceCollector.open(PostgresMaintenanceSettings(), sources) as collector:
        return await collector.collect()


async def test_every_value_may_be_read_without_a_grant(product):
    """The plain role has no right beyond those of everybody."""
    async with product.session("plain") as session:
        result = await collect_over(session)
    assert (result.failure, set(result.versions)) == (None, {"database"})
    assert result.versions["database"][0].isdigit()
    assert value(result.families, PRIMARY) == 1
    assert 0 < time.time() - value(result.families, "controlcore_postgres_start_timestamp_seconds") < 24 * 3600
    assert SLOT not in samples(result.families), "there is none"


async def test_locks_of_other_sessions_are_counted_by_mode(product):
    async with product.session() as session:
        before = value((await collect_over(session)).families, LOCKS, "AccessExclusiveLock")
        with psycopg.connect(product.url) as holder:
            holder.execute("LOCK TABLE policies IN ACCESS EXCLUSIVE MODE")
            held = value((await collect_over(session)).families, LOCKS, "AccessExclusiveLock")
    assert (before, held) == (0, 1)


async def test_own_locks_are_not_the_products(product):
    """Whoever reads pg_locks holds one; it would never be seen at rest. Autovacuum may hold some for a moment."""
    async with product.session() as session, asyncio.timeout(scaled(5)):
        while True:
            if value((await collect_over(session)).families, LOCKS, "AccessShareLock") == 0:
                break
            await asyncio.sleep(0.05)


async def test_rows_are_counted_by_operation(product):
    async with product.session() as session:
        before = (await collect_over(session)).families
        product.run("INSERT INTO policies (name) VALUES ('a'), ('b'); DELETE FROM policies WHERE name = 'b'")
        after = (await collect_over(session)).families
    rises = {name: value(after, ROWS, name) - value(before, ROWS, name) for name in ("inserted", "deleted")}
    assert rises == {"inserted": 2, "deleted": 1}


@pytest.mark.timeout(60)
async def test_replica_and_its_slot_are_seen_from_both_sides(postgres_server):
    """An unread slot keeps WAL until the disk is full: the amount shows that."""
    slot = f"standby_{uuid.uuid4().hex[:8]}"
    here = PostgresSession(PostgresAddress.parse(postgres_server.dsn()))
    try:
        with Standby(postgres_server, slot) as replica:
            there = PostgresSession(PostgresAddress.parse(replica.dsn()))
            try:
                families = (await collect_over(there)).families
                upkeep = (await maintenance_over(there)).families
                assert (value(families, PRIMARY), value(upkeep, REPLICAS)) == (0, 0)
                # The replica serves before its receiver has connected; until then its lag is unknown.
                async with asyncio.timeout(scaled(20)):
                    while value(upkeep, LAG) is None:
                        await asyncio.sleep(0.05)
                        upkeep = (await maintenance_over(there)).families
            finally:
                await there.close()
            families = (await collect_over(here)).families
            # The replica serves before its receiver has connected.
            async with asyncio.timeout(scaled(20)):
                while value(families, "controlcore_postgres_replication_slot_active", slot) != 1:
                    await asyncio.sleep(0.05)
                    families = (await collect_over(here)).families
            assert value(families, PRIMARY) == 1
            async with asyncio.timeout(scaled(20)):
                upkeep = (await maintenance_over(here)).families
                while value(upkeep, REPLICAS) != 1:
                    await asyncio.sleep(0.05)
                    upkeep = (await maintenance_over(here)).families
        # While the replica lives its confirmations move the slot: what it keeps is known once it has gone.
        async with asyncio.timeout(scaled(20)):
            while value(families, "controlcore_postgres_replication_slot_active", slot) != 0:
                await asyncio.sleep(0.05)
                families = (await collect_over(here)).families
        kept = value(families, SLOT, slot)
        postgres_server.run_sql(
            "CREATE TABLE grows (t text); INSERT INTO grows SELECT repeat('x', 200000); DROP TABLE grows"
        )
        assert value((await collect_over(here)).families, SLOT, slot) > kept
    finally:
        postgres_server.run_sql(f"SELECT pg_drop_replication_slot('{slot}')")
        await here.close()
