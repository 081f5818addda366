from __future__ import annotations

import time

import psycopg
import pytest

from chassis.errors import PermanentError, Reason
from exporter.collectors.product_tables.decisions import DecisionsCollector, DecisionsSettings
from tests.fakes.sources import samples, value
from tests.integration.exporter.collectors.watching import Watch, watching
from tools.standin.database import drop_tables

DECISIONS, LAST = "controlcore_policy_decisions_total", "controlcore_audit_last_event_timestamp_seconds"
EVENTS, GENERATION = "controlcore_audit_events_total", "controlcore_schema_generation"
INSERT = "INSERT INTO audit_logs (event_type, outcome, environment) VALUES "
PERMIT = "('ACCESS_GRANTED', 'PERMIT', 'production')"
DENY = "('ACCESS_DENIED', 'DENY', 'sandbox')"


class Decisions(Watch):
    """The collector's counts."""

    def count(self, environment, decision):
        return self.value(DECISIONS, environment, decision)

    def total(self):
        return sum(samples(self.families)[DECISIONS].values())


def watching_decisions(product, **settings):
    return watching(product, DecisionsCollector, DecisionsSettings(**settings), step_seconds=6.0, kind=Decisions)


async def test_new_decisions_are_counted_once_and_old_ones_never(product):
    async with watching_decisions(product) as watch:
        assert watch.total() == 0, "the rows of the past are not ours"
        product.run(f"{INSERT} {PERMIT}, {PERMIT}, {DENY}, ('USER_LOGIN', 'SUCCESS', 'sandbox')")
        await watch.collect(3)
    assert (watch.count("production", "permit"), watch.count("sandbox", "deny")) == (2, 1)
    assert watch.total() == 3


async def test_lower_id_that_commits_after_a_higher_one_is_counted(product):
    async with watching_decisions(product) as watch:
        with psycopg.connect(product.url) as slow:
            slow.execute(INSERT + DENY)
            product.run(INSERT + PERMIT)
            await watch.collect()
            slow.commit()
            await watch.collect(2)
    assert (watch.count("sandbox", "deny"), watch.count("production", "permit")) == (1, 1)


async def test_purge_of_every_row_makes_no_increase_and_loses_no_later_one(product):
    async with watching_decisions(product) as watch:
        product.run("DELETE FROM audit_logs")
        await watch.collect(2)
        assert watch.total() == 0
        product.run(INSERT + PERMIT)
        await watch.collect(2)
    assert watch.total() == 1


async def test_truncated_log_that_begins_anew_makes_no_false_increase(product):
    product.run(f"{INSERT} {', '.join([DENY] * 20)}")
    async with watching_decisions(product) as watch:
        product.run(f"TRUNCATE audit_logs RESTART IDENTITY; {INSERT} {PERMIT}, {PERMIT}")
        await watch.collect(2)
        assert watch.total() == 0
        product.run(INSERT + PERMIT)
        await watch.collect(2)
    assert watch.total() == 1


async def test_truncated_log_with_more_restored_rows_than_before_makes_no_false_increase(product):
    async with watching_decisions(product) as watch:
        product.run(f"TRUNCATE audit_logs RESTART IDENTITY; {INSERT} {', '.join([DENY] * 200)}")
        await watch.collect(3)
        assert watch.total() == 0
        product.run(INSERT + PERMIT)
        await watch.collect(2)
    assert watch.total() == 1


async def test_recreated_table_with_a_restored_backup_makes_no_false_increase(product):
    async with watching_decisions(product) as watch:
        drop_tables(product.url)
        with pytest.raises(PermanentError) as caught:
            await watch.collect()
        assert caught.value.reason is Reason.MISSING, "the grants were lost with the schema"
        product.grant()
        await watch.collect()
        product.run(f"{INSERT} {', '.join([DENY] * 500)}")
        await watch.collect(3)
        assert watch.total() == 0
        product.run(INSERT + PERMIT)
        await watch.collect(2)
    assert watch.total() == 1


async def test_missing_table_is_an_error_and_no_zero(product):
    product.run("DROP TABLE audit_logs")
    with pytest.raises(PermanentError) as caught:
        async with watching_decisions(product):
            pass
    assert caught.value.reason is Reason.MISSING


async def test_generation_without_environment_and_outcome_is_still_counted(product):
    product.run("ALTER TABLE audit_logs DROP COLUMN environment, DROP COLUMN outcome")
    async with watching_decisions(product) as watch:
        product.run("INSERT INTO audit_logs (event_type) VALUES ('ACCESS_GRANTED'), ('ACCESS_DENIED')")
        await watch.collect(2)
    assert (watch.count("other", "permit"), watch.count("other", "deny")) == (1, 1)


async def test_generation_with_an_enum_of_event_types_is_still_counted(product):
    product.run(
        "CREATE TYPE kind AS ENUM ('ACCESS_GRANTED', 'AI_TRAFFIC_LOG');"
        "ALTER TABLE audit_logs ALTER event_type DROP DEFAULT, ALTER event_type TYPE kind USING NULL"
    )
    async with watching_decisions(product) as watch:
        product.run(f"{INSERT} {PERMIT}, ('AI_TRAFFIC_LOG', 'PERMIT', 'sandbox')")
        await watch.collect(2)
    assert watch.total() == 1


async def test_canary_is_left_out_once_its_column_may_be_read(product):
    rows = """INSERT INTO audit_logs (event_type, outcome, environment, "user", policy_name) VALUES
        ('ACCESS_GRANTED', 'PERMIT', 'sandbox', 'canary-allow', 'canary'),
        ('ACCESS_GRANTED', 'PERMIT', 'sandbox', 'ada', 'orders-read'),
        ('ACCESS_GRANTED', 'PERMIT', 'sandbox', NULL, NULL)"""
    async with (
        watching_decisions(product) as watch,
        watching_decisions(product, canary_policies=("canary",)) as by_policy,
    ):
        product.run(rows)
        await watch.collect(2)
        await by_policy.collect(2)
        assert watch.total() == 3, "without the column nobody can be told"
        assert by_policy.total() == 2
        product.run('GRANT SELECT ("user") ON audit_logs TO cc_exporter')
        product.run(rows)
        await watch.collect(2)
    assert watch.total() == 5


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_time_of_the_last_event_holds_in_any_time_zone_of_the_server(product, zone):
    product.run(f"ALTER DATABASE \"{product.name}\" SET timezone = '{zone}'")
    before = time.time()
    product.run(INSERT + PERMIT)
    async with watching_decisions(product) as watch:
        last = value(watch.families, LAST, "production")
    assert before - 1 <= last <= time.time() + 1


async def test_restart_with_the_schema_in_place_begins_at_zero(product):
    for _ in range(2):
        async with watching_decisions(product) as watch:
            assert watch.total() == 0
            product.run(INSERT + PERMIT)
            await watch.collect(2)
            assert watch.total() == 1


async def test_empty_log_is_followed_from_its_first_look(product):
    drop_tables(product.url)
    product.grant()
    async with watching_decisions(product) as watch:
        product.run(INSERT + PERMIT)
        await watch.collect()
        product.run(INSERT + PERMIT)
        await watch.collect(2)
    assert watch.total() == 2


async def test_log_that_is_restored_into_an_empty_table_is_not_counted(product):
    drop_tables(product.url)
    product.grant()
    async with watching_decisions(product) as watch:
        product.run(INSERT + ", ".join([PERMIT] * 101))
        await watch.collect(2)
        product.run(INSERT + PERMIT)
        await watch.collect(2)
    assert watch.total() == 1


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
@pytest.mark.parametrize("is_declared", [True, False])
async def test_time_of_the_last_event_holds_in_a_zone_of_the_products_own_role(product, zone, is_declared):
    """X17: the role's setting tells it; what a driver sets (PGTZ) is measured from rows that have just appeared."""
    owner = product.run("SELECT relowner::regrole FROM pg_class WHERE oid = 'audit_logs'::regclass")[0][0]
    session = f"SET timezone = '{zone}'; "
    product.run(f"ALTER ROLE {owner} IN DATABASE \"{product.name}\" SET timezone = '{zone if is_declared else 'UTC'}'")
    product.run("ALTER ROLE cc_exporter SET timezone = 'Asia/Kathmandu'")
    try:
        async with watching_decisions(product) as watch:
            for _ in range(3):
                product.run(session + INSERT + PERMIT)
                await watch.collect()
            last = value(watch.families, LAST, "production")
        assert abs(last - time.time()) < 60
    finally:
        product.run("ALTER ROLE cc_exporter RESET timezone")


async def test_events_of_every_kind_are_counted_by_type_and_outcome(product):
    async with watching_decisions(product) as watch:
        product.run(f"{INSERT} {PERMIT}, ('SETTINGS_UPDATED', 'SUCCESS', NULL), ('SETTINGS_UPDATED', 'odd', NULL)")
        await watch.collect(2)
    assert value(watch.families, EVENTS, "production", "access_granted", "permit") == 1
    assert value(watch.families, EVENTS, "other", "settings_updated", "success") == 1
    assert value(watch.families, EVENTS, "other", "settings_updated", "other") == 1


async def test_later_generation_is_recognised_by_columns_that_nobody_may_read(product):
    async with watching_decisions(product) as watch:
        assert samples(watch.families)[GENERATION] == {("2025.10",): 1}
        product.run("ALTER TABLE audit_logs ADD latency_ms float8, ADD decision_source text")
        product.run(INSERT + PERMIT)
        await watch.collect(2)
        assert samples(watch.families)[GENERATION] == {("2026.04+",): 1}
    assert watch.total() == 1


async def test_later_generation_is_recognised_by_the_table_that_is_gone(product):
    product.run("DROP TABLE decision_requests")
    async with watching_decisions(product) as watch:
        assert samples(watch.families)[GENERATION] == {("2026.04+",): 1}
