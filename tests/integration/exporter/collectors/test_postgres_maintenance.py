from __future__ import annotations

import asyncio
import threading
import time

import psycopg
import pytest

from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from exporter.collectors.postgres.postgres_maintenance import PostgresMaintenanceCollector, PostgresMaintenanceSettings
from exporter.settings import DatabaseSettings, ExporterSettings
from tests.fakes.sources import make_sources, samples, value
from tools.servers.postgres import PostgresServer
from tools.slowness import scaled

DENIED, WAITERS = "controlcore_postgres_view_denied", "controlcore_postgres_lock_waiters"
APPLICATIONS, HEADROOM = "controlcore_postgres_application_connections", "controlcore_postgres_connections_headroom"
RATIO, VACUUMED = "controlcore_postgres_dead_rows_ratio", "controlcore_postgres_table_last_vacuum_timestamp_seconds"
ARCHIVE_FAILURES = "controlcore_postgres_wal_archive_failures_total"


async def collect(product, watched=""):
    settings = ExporterSettings(database=DatabaseSettings(role=watched))
    async with product.session() as session:
        return await collect_over(session, settings)


async def collect_over(session, settings=None):
    sources = make_sources(settings, postgres=session)
    async with PostgresMaintenanceCollector.open(PostgresMaintenanceSettings(), sources) as collector:
        return await collector.collect()


async def collect_until(ask, holds, seconds=20):
    """The families of the first collection of which it holds; the server's statistics come a moment late."""
    async with asyncio.timeout(scaled(seconds)):
        while True:
            families = (await ask()).families
            if holds(families):
                return families
            await asyncio.sleep(0.05)


async def test_every_view_may_be_read_with_the_declared_grants(product):
    result = await collect(product)
    assert result.failure is None
    assert not any(samples(result.families)[DENIED].values())
    assert value(result.families, WAITERS) == 0
    assert "controlcore_postgres_wal_archived_total" not in samples(result.families), "archiving is off"
    assert "controlcore_postgres_replication_lag_seconds" not in samples(result.families), "there is no replica"


async def test_session_that_waits_for_a_lock_is_seen(product):
    with psycopg.connect(product.url) as holder:
        holder.execute("LOCK TABLE policies IN ACCESS EXCLUSIVE MODE")
        waiter = threading.Thread(target=product.run, args=("SELECT count(*) FROM policies",))
        waiter.start()
        await collect_until(lambda: collect(product), lambda families: value(families, WAITERS) == 1)
        holder.rollback()
    waiter.join()
    assert value((await collect(product)).families, WAITERS) == 0


async def test_connections_are_told_apart_by_application(product):
    before = (await collect(product, watched="postgres")).families
    with psycopg.connect(product.url) as connection:
        connection.execute("SELECT 1")
        after = (await collect(product, watched="postgres")).families
    assert value(after, APPLICATIONS, "controlcore-exporter", "active") == 1
    assert value(after, APPLICATIONS, "control_plane", "idle_in_transaction") == 1
    assert value(after, HEADROOM) == value(before, HEADROOM) - 1


@pytest.mark.timeout(60)
async def test_dead_rows_are_a_share_of_all(product):
    """P8: the share alone says nothing of a small table, so the number and the size are there too."""
    product.run("ALTER TABLE audit_logs SET (autovacuum_enabled = false)")
    product.run("INSERT INTO audit_logs (event_type) SELECT 'USER_LOGIN' FROM generate_series(1, 997)")
    product.run("VACUUM (ANALYZE) audit_logs; DELETE FROM audit_logs WHERE id % 2 = 0")
    families = await collect_until(
        lambda: collect(product), lambda families: (value(families, RATIO, "audit_logs") or 0) > 0.4
    )
    assert value(families, RATIO, "audit_logs") == pytest.approx(0.5, abs=0.01)
    assert value(families, "controlcore_postgres_dead_rows", "audit_logs") == pytest.approx(499, abs=10)
    assert value(families, "controlcore_postgres_table_bytes", "audit_logs") >= 65536
    assert abs(value(families, VACUUMED, "audit_logs") - time.time()) < 30


async def test_forbidden_view_is_named(product):
    product.run("REVOKE SELECT ON pg_stat_archiver, pg_locks FROM PUBLIC")
    result = await collect(product)
    assert result.failure is None
    assert {labels[0] for labels, state in samples(result.families)[DENIED].items() if state} == {
        "pg_locks",
        "pg_stat_archiver",
    }
    assert WAITERS not in samples(result.families)


@pytest.mark.timeout(60)
async def test_archiving_that_fails_is_counted():
    settings = {"archive_mode": "on", "archive_command": "false", "wal_level": "replica"}
    with PostgresServer(settings=settings) as server:
        server.run_sql("CREATE TABLE some_work (id int); SELECT pg_switch_wal()")
        session = PostgresSession(PostgresAddress.parse(server.dsn()))
        try:
            families = await collect_until(
                lambda: collect_over(session), lambda families: bool(value(families, ARCHIVE_FAILURES)), seconds=30
            )
        finally:
            await session.close()
    failed = value(families, "controlcore_postgres_wal_last_archive_failure_timestamp_seconds")
    assert abs(failed - time.time()) < 60
    assert value(families, "controlcore_postgres_wal_archived_total") == 0
    assert value(families, "controlcore_postgres_wal_last_archived_timestamp_seconds") is None
