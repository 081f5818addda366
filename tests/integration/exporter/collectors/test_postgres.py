from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pytest

from chassis.errors import Reason, TransientError
from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from exporter.collectors.postgres.postgres import PostgresCollector, PostgresCollectorSettings
from exporter.settings import DatabaseSettings, ExporterSettings
from tests.fakes.sources import make_sources, samples, value
from tools.servers.postgres import PostgresServer

CONNECTIONS = "controlcore_postgres_connections"
IDLE, LONGEST = (
    "controlcore_postgres_idle_in_transaction_seconds_max",
    "controlcore_postgres_longest_transaction_seconds",
)


async def collect(product, role="cc_exporter", watched="", **settings):
    sources_settings = ExporterSettings(database=DatabaseSettings(role=watched))
    async with (
        product.session(role) as session,
        PostgresCollector.open(
            PostgresCollectorSettings(**settings), make_sources(sources_settings, postgres=session)
        ) as collector,
    ):
        return await collector.collect()


async def test_every_declared_metric_is_published_with_the_declared_grants(product):
    result = await collect(product)
    assert result.failure is None
    assert set(samples(result.families)) == {metric.name for metric in PostgresCollector.collector_spec.metrics}


async def test_values_are_the_servers_own(product):
    families = (await collect(product)).families
    size = float(product.run("SELECT pg_database_size(current_database())")[0][0])
    assert value(families, "controlcore_postgres_connections_limit") == 97
    assert value(families, "controlcore_postgres_database_size_bytes") == pytest.approx(size, rel=0.05)
    assert value(families, "controlcore_postgres_transactions_committed_total") > 0
    assert value(families, "controlcore_postgres_blocks_hit_total") > 0
    assert value(families, "controlcore_postgres_xid_age_transactions") > 0
    assert value(families, CONNECTIONS, "active") >= 1


async def test_session_idle_in_a_transaction_is_seen_with_its_age(product):
    before = (await collect(product)).families
    assert (value(before, IDLE), value(before, LONGEST)) == (0, 0)
    with psycopg.connect(product.url) as connection:
        connection.execute("SELECT 1")
        product.run("SELECT pg_sleep(0.2)")
        families = (await collect(product)).families
    assert value(families, CONNECTIONS, "idle_in_transaction") == 1
    assert 0.2 <= value(families, IDLE) < 10
    assert 0.2 <= value(families, LONGEST) < 10


async def test_session_of_another_database_counts_towards_the_limit_and_not_the_ages(product):
    elsewhere = product.server.dsn()
    assert urlsplit(elsewhere).path != f"/{product.name}"
    with psycopg.connect(elsewhere) as connection:
        connection.execute("SELECT 1")
        families = (await collect(product)).families
    assert value(families, CONNECTIONS, "idle_in_transaction") == 1
    assert (value(families, IDLE), value(families, LONGEST)) == (0, 0)


@pytest.mark.timeout(60)
async def test_oldest_database_of_the_server_decides():
    """X5: the product's own database may be young while another one stops the whole server."""
    with PostgresServer() as server:
        server.create_database("young")
        server.run_sql("CREATE TABLE t (id int); INSERT INTO t VALUES (1)", "young")
        server.run_sql("BEGIN; SELECT * FROM t FOR UPDATE; SAVEPOINT s; COMMIT", "young")
        for _ in range(100):
            server.run_sql("SELECT txid_current()")
        server.run_sql("VACUUM (FREEZE)", "young")
        session = PostgresSession(PostgresAddress.parse(server.dsn(database="young")))
        try:
            async with PostgresCollector.open(PostgresCollectorSettings(), make_sources(postgres=session)) as collector:
                families = (await collector.collect()).families
        finally:
            await session.close()
        own = float(server.run_sql("SELECT age(datfrozenxid) FROM pg_database WHERE datname = 'young'")[0][0])
        oldest = server.run_sql("SELECT max(age(datfrozenxid)), max(mxid_age(datminmxid)) FROM pg_database")[0]
    assert value(families, "controlcore_postgres_xid_age_transactions") == pytest.approx(float(oldest[0]), abs=20)
    assert value(families, "controlcore_postgres_xid_age_transactions") > own + 50
    assert value(families, "controlcore_postgres_multixact_age") == float(oldest[1])


@pytest.mark.timeout(60)
async def test_prepared_transaction_is_the_longest_one():
    """X12: no session holds it, and it blocks vacuum and other sessions' locks."""
    with PostgresServer(settings={"max_prepared_transactions": "5"}) as server:
        server.create_database("other")
        for name in ("postgres", "other"):
            server.run_sql(
                f"BEGIN; CREATE TABLE held (id int); PREPARE TRANSACTION 'of_{name}'; SELECT pg_sleep(0.2)", name
            )
        session = PostgresSession(PostgresAddress.parse(server.dsn()))
        try:
            async with PostgresCollector.open(PostgresCollectorSettings(), make_sources(postgres=session)) as collector:
                held = (await collector.collect()).families
                server.run_sql("ROLLBACK PREPARED 'of_postgres'")
                ended = (await collector.collect()).families
        finally:
            await session.close()
    assert value(held, LONGEST) >= 0.2
    assert value(held, "controlcore_postgres_prepared_transactions") == 1
    assert (value(ended, LONGEST), value(ended, "controlcore_postgres_prepared_transactions")) == (0, 0)


async def test_session_of_another_role_does_not_count_as_the_control_planes(product):
    with psycopg.connect(product.url) as connection:
        connection.execute("SELECT 1")
        watched = (await collect(product, watched="plain")).families
        everybody = (await collect(product)).families
    assert value(watched, IDLE) == 0
    assert value(everybody, IDLE) > 0


async def test_role_without_pg_monitor_publishes_no_age_and_says_what_is_missing(product):
    with psycopg.connect(product.url):
        result = await collect(product, role="plain")
    assert value(result.families, CONNECTIONS, "hidden") >= 1
    assert not {IDLE, LONGEST} & set(samples(result.families))
    assert value(result.families, "controlcore_postgres_connections_limit") == 97
    assert result.failure.reason is Reason.PERMISSION


async def test_frozen_server_raises_within_the_deadline(product):
    product.server.freeze()
    try:
        with pytest.raises(TransientError) as caught:
            await collect(product, query_timeout_seconds=0.3)
    finally:
        product.server.thaw()
    assert caught.value.reason is Reason.TIMEOUT
