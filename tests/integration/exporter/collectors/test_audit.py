from __future__ import annotations

import time
from contextlib import asynccontextmanager

import pytest

from exporter.collectors.product_tables.audit import AuditCollector, AuditSettings
from tests.fakes.sources import make_sources, value

OLDEST, ROWS = "controlcore_audit_oldest_event_timestamp_seconds", "controlcore_audit_rows"
UNPARSEABLE = "controlcore_audit_unparseable_rows"
MANY = """
INSERT INTO audit_logs (event_type, outcome)
SELECT CASE WHEN n % 100 = 0 THEN 'SETTINGS_UPDATED' ELSE 'USER_LOGIN' END, 'SUCCESS' FROM generate_series(1, 5000) n
"""


@asynccontextmanager
async def examining(product, **settings):
    async with (
        product.session() as session,
        AuditCollector.open(AuditSettings(**settings), make_sources(postgres=session)) as collector,
    ):
        yield collector


async def examine(product, times=1, **settings):
    async with examining(product, **settings) as collector:
        for _ in range(times):
            families = (await collector.collect()).families
    return families


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_oldest_event_holds_in_any_zone_of_the_server(product, zone):
    product.run(f"ALTER DATABASE \"{product.name}\" SET timezone = '{zone}'")
    product.run("UPDATE audit_logs SET \"timestamp\" = now() - interval '2 days' WHERE id = 1")
    assert abs(value(await examine(product), OLDEST) - (time.time() - 2 * 86400)) < 30


async def test_rows_that_break_the_products_own_reader_are_counted(product):
    assert value(await examine(product), UNPARSEABLE) == 0
    product.run(
        "INSERT INTO audit_logs (event_type, outcome) VALUES"
        " ('CONFIG_CHANGE', 'SUCCESS'), ('USER_LOGIN', 'PARTIAL'), (NULL, NULL)"
    )
    assert value(await examine(product), UNPARSEABLE) == 2


async def test_log_is_read_in_chunks_until_all_is_known(product):
    product.run(MANY)
    async with examining(product, chunk_rows=500, chunks_per_collection=3) as collector:
        found = [value((await collector.collect()).families, UNPARSEABLE) for _ in range(7)]
    assert found == sorted(found)
    assert found[0] < 50
    assert found[-1] == 50


async def test_purged_rows_leave_the_count(product):
    product.run(MANY)
    async with examining(product, chunk_rows=500, chunks_per_collection=20) as collector:
        assert value((await collector.collect()).families, UNPARSEABLE) == 50
        product.run("DELETE FROM audit_logs WHERE id <= 2500")
        assert value((await collector.collect()).families, UNPARSEABLE) == 26


async def test_estimate_is_absent_until_the_table_was_analysed(product):
    assert value(await examine(product), ROWS) is None
    product.run("INSERT INTO audit_logs (event_type) SELECT 'USER_LOGIN' FROM generate_series(1, 997)")
    product.run("ANALYZE audit_logs")
    families = await examine(product)
    assert value(families, ROWS) == 1000
    assert value(families, "controlcore_audit_log_bytes") > 8192


async def test_no_query_reads_the_whole_log(product):
    product.run(MANY + "; ANALYZE audit_logs")
    before = product.run("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'audit_logs'")
    await examine(product, times=3, chunk_rows=500)
    assert product.run("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'audit_logs'") == before
