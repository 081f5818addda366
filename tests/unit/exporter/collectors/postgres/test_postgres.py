from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.postgres.postgres import PostgresCollector, PostgresCollectorSettings
from exporter.settings import DatabaseSettings, ExporterSettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

STATES, AGES, LIMITS, DATABASE, SIZE = "GROUP BY 1", "pg_backend_pid", "max_connections", "xact_commit", "size_bytes"
FROZEN = "datfrozenxid"
NOW = 1_767_000_000.0
AGE = {"hidden": 0, "idle_since": NOW - 12.5, "open_since": NOW - 30, "now": NOW, "prepared": 0, "prepared_since": None}
LONGEST, IDLE = (
    "controlcore_postgres_longest_transaction_seconds",
    "controlcore_postgres_idle_in_transaction_seconds_max",
)
CONNECTIONS = "controlcore_postgres_connections"


def answers(**changes):
    rows = {
        STATES: [{"state": "active", "connections": 2}, {"state": "idle in transaction", "connections": 1}],
        AGES: [AGE],
        LIMITS: [{"connections_limit": 97}],
        DATABASE: [
            {
                "deadlocks": 1,
                "xact_commit": 2000,
                "xact_rollback": 3,
                "blks_hit": 40000,
                "blks_read": 500,
            }
        ],
        FROZEN: [{"xid_age": 600, "multixact_age": 7}],
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
            AGES: [AGE | {"hidden": 5}],
        }
    )
    result = await collect(sql)
    assert value(result.families, CONNECTIONS, "hidden") == 5
    assert "controlcore_postgres_longest_transaction_seconds" not in samples(result.families)
    assert result.failure.reason is Reason.PERMISSION
    assert "pg_monitor" in str(result.failure)


async def test_view_that_refuses_leaves_its_values_out_and_keeps_the_others():
    denied = PermanentError(Reason.PERMISSION, "managed service", code="42501")
    result = await collect(answers(**{LIMITS: denied}))
    names = samples(result.families)
    assert "controlcore_postgres_connections_limit" not in names
    assert "controlcore_postgres_deadlocks_total" in names
    assert result.failure.reason is Reason.PERMISSION


async def test_server_that_stops_answering_half_way_keeps_what_is_known():
    sql = answers(**{LIMITS: TransientError(Reason.TIMEOUT, "frozen")})
    result = await collect(sql)
    assert CONNECTIONS in samples(result.families)
    assert result.failure.reason is Reason.TIMEOUT
    assert len(sql.asked) == 3, "the views after the timeout are not queried"


@pytest.mark.parametrize(
    ("row", "longest", "idle"),
    [
        ({"prepared": 1, "prepared_since": NOW - 3600}, 3600, 12.5),
        ({"prepared": 1, "prepared_since": NOW - 3600, "open_since": None, "idle_since": None}, 3600, 0),
        ({"open_since": None, "idle_since": None}, 0, 0),
        ({"prepared": 1, "prepared_since": NOW + 3600}, 30, 12.5),
        ({"prepared": 1, "prepared_since": NOW + 3600, "open_since": None}, None, 12.5),
        ({"open_since": NOW + 0.5, "idle_since": NOW + 0.5}, 0, 0),
        ({"idle_since": NOW + 3600}, 30, None),
        ({"now": None}, None, None),
    ],
)
async def test_age_is_the_oldest_transactions_and_unknown_when_it_began_in_the_future(row, longest, idle):
    """X12: a prepared transaction has no session. A clock that was set back does not give an age of 0."""
    families = (await collect(answers(**{AGES: [AGE | row]}))).families
    assert (value(families, LONGEST), value(families, IDLE)) == (longest, idle)


async def test_wrong_password_is_tried_once():
    """X9: every further attempt counts as a failed login, and says nothing new."""
    sql = answers(**{STATES: PermanentError(Reason.AUTH, "password authentication failed")})
    with pytest.raises(PermanentError):
        await collect(sql)
    assert len(sql.asked) == 1


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
