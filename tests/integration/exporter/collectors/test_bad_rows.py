"""Whatever the product's database contains, each of its collectors has values or a reason, and affects no other."""

from __future__ import annotations

import math
import re
import uuid

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chassis.errors import BackendError, Reason
from chassis.http.call import Response
from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from exporter.collection.schedule import reason_of
from exporter.collectors import discover
from exporter.results.limits import Budget, admit
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.clock import ManualClock
from tests.fakes.sources import expose, make_sources, samples
from tests.integration.exporter.standby import Standby

pytestmark = pytest.mark.timeout(90)
SELECT = re.compile(r"GRANT SELECT \((?P<columns>[^)]*)\) ON (?P<table>\w+) TO")
READING = {
    spec.name: spec for spec in discover() if spec.grants or spec.name in {"postgres", "postgres_server"}
}  # postgres_canary is among them: it opens its own connections, and is left out below
READING.pop("postgres_canary")
LOSS = {Reason.MISSING, Reason.PERMISSION}


class EmptyEngine:
    """An OPA without a policy."""

    async def send(self, _call):
        return Response(200, b'{"result": []}', 0.001)

    async def read_items(self, _call, take, _form):
        await take([])


async def look(spec, session, times=2):
    """The families of the last of some collections, a minute apart, or the BackendError that one raised or had."""
    clock = ManualClock()
    target = BouncerTarget(name="bouncer-production", url="http://127.0.0.1:9", opa_url="http://127.0.0.1:9")
    settings = ExporterSettings(bouncers=(target,))
    sources = make_sources(settings, postgres=session, http=EmptyEngine(), clock=clock)
    try:
        async with spec.open(spec.settings(), sources) as collector:
            for _ in range(times):
                result = await collector.collect()
                if result.failure is not None:
                    return result.failure
                await clock.advance(61.0)
    except BackendError as error:
        return error
    admitted = admit(spec, result.families, Budget())
    assert admitted.dropped == 0 or admitted.truncated, (spec.name, admitted)
    return admitted.families


def columns_of(spec):
    """The product's columns that a collector may read, as (table, column)."""
    found = []
    for statement in spec.grants:
        match = SELECT.search(statement)
        if match is not None:
            found += [(match["table"], name.strip().strip('"')) for name in match["columns"].split(",")]
    return found


@pytest.mark.parametrize("name", [name for name, spec in READING.items() if columns_of(spec)])
async def test_column_that_is_gone_is_a_reason_and_comes_back(product, name):
    """The next generation of the schema may lack any of them."""
    spec, tolerated = READING[name], []
    async with product.session() as session:
        for table, column in columns_of(spec):
            with psycopg.connect(product.url, autocommit=True) as admin:
                admin.execute(f'ALTER TABLE {table} RENAME "{column}" TO gone')
                found = await look(spec, session)
                admin.execute(f'ALTER TABLE {table} RENAME gone TO "{column}"')
            if isinstance(found, tuple):
                tolerated.append(column)
            else:
                assert reason_of(found) in LOSS, (table, column, found)
        assert isinstance(await look(spec, session), tuple), "it comes back with its column"
    # These follow the generations of the audit log, and do without most of its columns; the parity does without the
    # policies' resources.
    assert not tolerated or name in {"audit", "decisions", "decision_latency", "policy_parity"}, tolerated


async def test_other_collectors_do_not_notice_a_column_that_is_gone(product):
    product.run("ALTER TABLE policies DROP COLUMN environment")
    async with product.session() as session:
        found = {name: await look(spec, session) for name, spec in READING.items()}
    failed = {name: reason_of(each) for name, each in found.items() if isinstance(each, Exception)}
    assert failed == {"policies": Reason.MISSING, "policy_parity": Reason.MISSING}


KINDS = {
    "text": ["NULL", r"E'a\nb\\\"c\u2028\u0001'", "repeat('x', 10000)", "''"],
    "integer": ["NULL", "2147483647", "-2147483648", "0"],
    "double precision": ["NULL", "'NaN'", "'Infinity'", "1e308"],
    "boolean": ["NULL", "true", "false", "NULL"],
    "timestamp without time zone": ["NULL", "'infinity'", "'-infinity'", "'294276-12-31'"],
}


def damage(url, number):
    """Puts the value of that number into every column of every table, as far as its constraints let it."""
    with psycopg.connect(url, autocommit=True) as admin:
        columns = admin.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns c"
            " WHERE table_schema = 'public' AND column_name <> 'id'"
        ).fetchall()
        for table, column, kind in columns:
            plain = "text" if kind == "character varying" else kind
            if plain not in KINDS:
                continue
            if plain != kind:
                try:
                    admin.execute(f'ALTER TABLE {table} ALTER "{column}" TYPE text')
                except psycopg.errors.DatabaseError:
                    continue  # a foreign key holds it
            try:
                admin.execute(f'UPDATE {table} SET "{column}" = {KINDS[plain][number]}')  # noqa: S608 - ours
            except psycopg.errors.DatabaseError:
                continue  # NOT NULL, unique, or a foreign key: the product cannot have it either


@pytest.mark.parametrize("number", range(4), ids=["null", "hostile", "extreme", "odd"])
async def test_any_value_that_a_row_can_hold_leaves_every_page_true(product, number):
    damage(product.url, number)
    async with product.session() as session:
        for name, spec in READING.items():
            families = await look(spec, session)
            assert isinstance(families, tuple), (name, families)
            page = expose(families)
            found = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
            lines = [line for line in page.split("\n") if line and not line.startswith("#")]
            assert len(found) == len(lines), name
            assert all(math.isfinite(sample.value) for sample in found), name
            assert max((len(value) for sample in found for value in sample.labels.values()), default=0) <= 128


async def test_database_that_takes_no_writes_is_read_as_ever(product):
    """A replica that took over reading, or a primary that was set read-only because its disk is full."""
    product.run(f'ALTER DATABASE "{product.name}" SET default_transaction_read_only = on')
    slot = f"standby_{uuid.uuid4().hex[:8]}"
    try:
        with Standby(product.server, slot) as replica:
            for url in (product.server.dsn("cc_exporter", product.name), replica.dsn("cc_exporter", product.name)):
                session = PostgresSession(PostgresAddress.parse(url))
                try:
                    found = {name: samples(await look(spec, session)) for name, spec in READING.items()}
                finally:
                    await session.close()
                assert not any(found["postgres_maintenance"]["controlcore_postgres_view_denied"].values())
                names = {name for name, values in found.items() if values}
                assert names == set(READING) - {"decision_latency"}, "2025.10 has no durations"
    finally:
        product.server.run_sql(f"SELECT pg_drop_replication_slot('{slot}')")
