from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.postgres.postgres_maintenance import PostgresMaintenanceCollector, PostgresMaintenanceSettings
from exporter.settings import DatabaseSettings, ExporterSettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

DENIED = "controlcore_postgres_view_denied"
NOW = 1_767_000_060.0
ANSWERS = {
    "pg_locks": [{"waiters": 2}],
    "pg_stat_replication": [{"hidden": 0, "replicas": 1, "unmeasured": 0, "lag": 0.25}],
    "pg_last_wal_replay_lsn": [{"is_replica": False, "hidden": False}],
    "pg_stat_archiver": [
        {"archived_count": 7, "failed_count": 3, "last_archived": 1_767_000_000.0, "last_failed": None, "now": NOW}
    ],
    "pg_stat_user_tables": [
        {
            "table": "audit_logs",
            "ratio": 0.25,
            "dead_rows": 4,
            "bytes": 65536,
            "last_vacuum": 1_767_000_001.0,
            "now": NOW,
        }
    ],
    "AS application": [{"application": "control_plane", "state": "idle in transaction", "connections": 4}],
    "headroom": [{"headroom": 85}],
}


async def collect(sql):
    sources = make_sources(ExporterSettings(database=DatabaseSettings(role="api")), postgres=sql)
    async with PostgresMaintenanceCollector.open(PostgresMaintenanceSettings(), sources) as collector:
        return await collector.collect()


async def test_views_give_the_golden_page():
    sql = FakeSql(ANSWERS)
    result = await collect(sql)
    assert expose(result.families) == golden("postgres_maintenance")
    assert result.failure is None
    asked = next(arguments for text, arguments in sql.asked if "AS application" in text)
    assert asked == (["controlcore-exporter", "controlcore-remediator"], "api")


async def test_forbidden_view_is_named_and_the_others_are_there():
    denied = PermanentError(Reason.PERMISSION, "permission denied for view pg_stat_archiver", code="42501")
    result = await collect(FakeSql(ANSWERS | {"pg_stat_archiver": denied}))
    assert result.failure is None
    assert {labels[0] for labels, state in samples(result.families)[DENIED].items() if state} == {"pg_stat_archiver"}
    assert "controlcore_postgres_wal_archived_total" not in samples(result.families)
    assert value(result.families, "controlcore_postgres_connections_headroom") == 85


@pytest.mark.parametrize("code", ["42501", "42P01", "42883", "0A000"])
async def test_refusal_of_one_view_is_a_denial(code):
    result = await collect(FakeSql(ANSWERS | {"pg_stat_archiver": PermanentError(Reason.MISSING, "no", code=code)}))
    assert (result.failure, value(result.families, DENIED, "pg_stat_archiver")) == (None, 1)


@pytest.mark.parametrize(
    ("reason", "code"),
    [(Reason.AUTH, ""), (Reason.TLS, ""), (Reason.PERMISSION, ""), (Reason.PROTOCOL, ""), (Reason.AUTH, "28P01")],
)
async def test_login_that_fails_denies_no_view(reason, code):
    """X9: a wrong password is the collector's failure, not a denial of seven views."""
    with pytest.raises(PermanentError) as caught:
        await collect(FakeSql(dict.fromkeys(ANSWERS, PermanentError(reason, "refused", code=code))))
    assert caught.value.reason is reason


@pytest.mark.parametrize("code", ["XX000", "42703", "22012", "58030"])
async def test_error_of_another_kind_is_a_failure_and_costs_its_view_only(code):
    """X9: a fault of ours or of the server is not the server's refusal of a view."""
    result = await collect(FakeSql(ANSWERS | {"pg_stat_archiver": PermanentError(Reason.INTERNAL, "no", code=code)}))
    assert result.failure.code == code
    assert ("pg_stat_archiver",) not in samples(result.families)[DENIED]
    assert value(result.families, "controlcore_postgres_connections_headroom") == 85


@pytest.mark.parametrize("code", ["40001", "40P01"])
async def test_query_that_was_rolled_back_by_chance_is_asked_again(code):
    """X9: a conflict with recovery passes; if it lasts, only that view is unknown, and none is denied."""
    error = TransientError(Reason.CONFLICT, "conflict with recovery", code=code)
    once = FakeSql(ANSWERS)
    once.fetch = failing_once(once.fetch, "pg_stat_archiver", error)
    result = await collect(once)
    assert (result.failure, value(result.families, DENIED, "pg_stat_archiver")) == (None, 0)
    lasting = await collect(FakeSql(ANSWERS | {"pg_stat_archiver": error}))
    assert lasting.failure is error
    assert ("pg_stat_archiver",) not in samples(lasting.families)[DENIED]
    assert value(lasting.families, "controlcore_postgres_connections_headroom") == 85


def failing_once(fetch, part, error):
    """The same port, that raises the error at the first statement with this part."""
    left = [error]

    async def answer(sql, *arguments, timeout_seconds):
        if part in sql and left:
            raise left.pop()
        return await fetch(sql, *arguments, timeout_seconds=timeout_seconds)

    return answer


async def test_silent_server_is_not_asked_on_and_denies_nothing():
    result = await collect(FakeSql(ANSWERS | {"pg_stat_replication": TransientError(Reason.TIMEOUT, "frozen")}))
    assert result.failure.reason is Reason.TIMEOUT
    assert samples(result.families)[DENIED] == {("pg_locks",): 0}


async def test_server_without_any_answer_raises():
    with pytest.raises(TransientError):
        await collect(FakeSql({"pg_locks": TransientError(Reason.TIMEOUT, "frozen")}))


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PostgresMaintenanceCollector.open(PostgresMaintenanceSettings(), make_sources()):
            pass
