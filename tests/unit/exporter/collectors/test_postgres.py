from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collectors import NotConfiguredError
from exporter.collectors.postgres import PostgresCollector, PostgresCollectorSettings
from exporter.settings import DatabaseSettings, ExporterSettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

STATES, AGES, LIMITS, DATABASE, SIZE = "GROUP BY 1", "pg_backend_pid", "max_connections", "xact_commit", "size_bytes"
CONNECTIONS = "controlcore_postgres_connections"


def answers(**changes):
    rows = {
        STATES: [{"state": "active", "connections": 2}, {"state": "idle in transaction", "connections": 1}],
        AGES: [{"hidden": 0, "idle_in_transaction": 12.5, "longest_transaction": 30.0}],
        LIMITS: [{"connections_limit": 97}],
        DATABASE: [
            {
                "deadlocks": 1,
                "xact_commit": 2000,
                "xact_rollback": 3,
                "blks_hit": 40000,
                "blks_read": 500,
                "xid_age": 600,
            }
        ],
        SIZE: [{"size_bytes": 7340032}],
    }
    return FakeSql(rows | changes)


async def collect(sql, settings=None):
    sources = make_sources(settings, postgres=sql)
    async with PostgresCollector.open(PostgresCollectorSettings(), sources) as collector:
        return await collector.collect()


async def test_full_answers_give_the_golden_page():
    result = await collect(answers())
    assert expose(result.families) == golden("postgres")
    assert result.failure is None


async def test_state_that_nobody_is_in_is_a_known_zero():
    assert value((await collect(answers())).families, CONNECTIONS, "idle") == 0


async def test_state_of_a_later_version_is_other():
    sql = answers(**{STATES: [{"state": "starting", "connections": 2}]})
    assert value((await collect(sql)).families, CONNECTIONS, "other") == 2


async def test_hidden_sessions_are_counted_and_named_as_a_missing_grant():
    sql = answers(
        **{
            STATES: [{"state": "hidden", "connections": 5}],
            AGES: [{"hidden": 5, "idle_in_transaction": 0.0, "longest_transaction": 0.0}],
        }
    )
    result = await collect(sql)
    assert value(result.families, CONNECTIONS, "hidden") == 5
    assert "controlcore_postgres_longest_transaction_seconds" not in samples(result.families)
    assert result.failure.reason is Reason.PERMISSION
    assert "pg_monitor" in str(result.failure)


async def test_view_that_refuses_leaves_its_values_out_and_keeps_the_others():
    result = await collect(answers(**{SIZE: PermanentError(Reason.PERMISSION, "managed service")}))
    names = samples(result.families)
    assert "controlcore_postgres_database_size_bytes" not in names
    assert "controlcore_postgres_deadlocks_total" in names
    assert result.failure.reason is Reason.PERMISSION


async def test_server_that_stops_answering_half_way_keeps_what_is_known():
    sql = answers(**{LIMITS: TransientError(Reason.TIMEOUT, "frozen")})
    result = await collect(sql)
    assert CONNECTIONS in samples(result.families)
    assert result.failure.reason is Reason.TIMEOUT
    assert len(sql.asked) == 3, "the views after the timeout are not asked"


async def test_server_without_any_answer_raises():
    with pytest.raises(TransientError):
        await collect(answers(**{STATES: TransientError(Reason.REFUSED, "down")}))


async def test_configured_role_narrows_the_ages():
    sql = answers()
    await collect(sql, ExporterSettings(database=DatabaseSettings(role="control_plane")))
    assert [arguments for text, arguments in sql.asked if AGES in text] == [("control_plane",)]


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PostgresCollector.open(PostgresCollectorSettings(), make_sources()):
            pass
