from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from pydantic import SecretStr

from chassis.postgres.session import PostgresSession
from exporter.collectors.postgres.postgres_canary import PostgresCanaryCollector, PostgresCanarySettings
from tests.fakes.sources import expose, make_sources, value
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.ports import free_port
from tools.slowness import scaled

UP, EXHAUSTED = "controlcore_postgres_up", "controlcore_postgres_exhausted"
FAILURES, FAILED = "controlcore_postgres_connection_failures_total", "database_connections_failed"


GENEROUS_SECONDS = scaled(1.5)


async def try_once(address, timeout_seconds=GENEROUS_SECONDS):
    sources = make_sources(postgres=PostgresSession(address), postgres_address=address)
    settings = PostgresCanarySettings(probe_timeout_seconds=timeout_seconds)
    async with PostgresCanaryCollector.open(settings, sources) as collector:
        return await collector.collect(), sources.database_health


async def assert_down(address, reason, timeout_seconds=GENEROUS_SECONDS):
    result, health = await try_once(address, timeout_seconds)
    assert (value(result.families, UP), value(result.families, FAILURES, reason)) == (0, 1)
    assert (value(result.families, FAILED), value(result.families, EXHAUSTED)) == (1, None)
    assert (result.components, result.failure, health.is_ok) == ({"database": False}, None, False)


async def assert_unknown(address, reason):
    """P12: the server answered that only our access is wrong."""
    result, health = await try_once(address)
    assert (value(result.families, UP), value(result.families, EXHAUSTED)) == (None, None)
    assert (value(result.families, FAILURES, reason), value(result.families, FAILED)) == (1, 1)
    assert (result.components, result.failure, health.is_ok) == ({}, None, False)


async def test_running_server_is_up_and_its_time_is_measured(product):
    result, health = await try_once(product.address())
    assert (value(result.families, UP), value(result.families, EXHAUSTED)) == (1, 0)
    assert "controlcore_postgres_connect_duration_seconds_count 1.0\n" in expose(result.families)
    assert health.is_ok
    assert 0 < health.seconds < 3


async def test_port_without_a_server_is_refused(product):
    url = product.url.replace(f":{product.server.port}/", f":{free_port()}/")
    await assert_down(replace(product.address(), url=SecretStr(url)), "refused")


async def test_wrong_password_is_auth(product):
    await assert_unknown(product.address(password="wrong"), "auth")


async def test_role_that_may_not_log_in_is_auth(product):
    product.run("ALTER ROLE plain NOLOGIN")
    try:
        await assert_unknown(product.address("plain"), "auth")
    finally:
        product.run("ALTER ROLE plain LOGIN")


async def test_unknown_database_is_missing(product):
    await assert_unknown(replace(product.address(), url=SecretStr(product.server.dsn(database="nobody"))), "missing")


async def test_trust_in_another_authority_is_tls(product, tmp_path):
    stranger = make_serving_pair(tmp_path, "stranger").certificate_path
    for query in ("sslmode=require", f"sslmode=verify-full&sslrootcert={stranger}"):
        await assert_unknown(replace(product.address(), url=SecretStr(f"{product.url}?{query}")), "tls")


async def test_frozen_server_is_a_timeout(product):
    product.server.freeze()
    try:
        await assert_down(product.address(), "timeout", timeout_seconds=0.3)
    finally:
        product.server.thaw()
    result, _ = await try_once(product.address())
    assert value(result.families, UP) == 1


async def test_limit_of_our_own_role_is_a_quota_and_no_exhausted_server(product):
    product.run("ALTER ROLE plain CONNECTION LIMIT 1")
    try:
        with psycopg.connect(product.server.dsn("plain", product.name)):
            await assert_unknown(product.address("plain"), "quota")
    finally:
        product.run("ALTER ROLE plain CONNECTION LIMIT -1")


async def test_connections_of_the_database_used_up_are_exhausted_and_not_down(product):
    """The control plane's connections to this database are refused as well."""
    product.run(f"ALTER DATABASE {product.name} CONNECTION LIMIT 1")
    try:
        with psycopg.connect(product.server.dsn("plain", product.name)):
            result, health = await try_once(product.address("plain"))
    finally:
        product.run(f"ALTER DATABASE {product.name} CONNECTION LIMIT -1")
    assert (value(result.families, UP), value(result.families, EXHAUSTED)) == (1, 1)
    assert value(result.families, FAILURES, "exhausted") == 1
    assert (result.components, health.is_ok) == ({"database": True}, False)


@pytest.mark.parametrize("attempts", [2])
async def test_each_attempt_is_a_connection_of_its_own(product, attempts):
    count = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    sources = make_sources(postgres=PostgresSession(product.address()), postgres_address=product.address())
    async with PostgresCanaryCollector.open(PostgresCanarySettings(), sources) as collector:
        before = int(product.run(f"SELECT pg_stat_force_next_flush(); {count}")[-1][0])
        for _ in range(attempts):
            await collector.collect()
        after = int(product.run(count)[0][0])
    assert after - before >= attempts
