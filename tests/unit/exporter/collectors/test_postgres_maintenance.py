from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collectors import NotConfiguredError
from exporter.collectors.postgres_maintenance import PostgresMaintenanceCollector, PostgresMaintenanceSettings
from exporter.settings import DatabaseSettings, ExporterSettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

DENIED = "controlcore_postgres_view_denied"
ANSWERS = {
    "pg_locks": [{"waiters": 2}],
    "pg_stat_replication": [{"replicas": 1, "lag": 0.25}],
    "pg_last_wal_replay_lsn": [{"lag": None}],
    "pg_stat_archiver": [
        {"archived_count": 7, "failed_count": 3, "last_archived": 1_767_000_000.0, "last_failed": None}
    ],
    "pg_stat_user_tables": [
        {"table": "audit_logs", "ratio": 0.25, "dead_rows": 4, "bytes": 65536, "last_vacuum": 1_767_000_001.0}
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
    denied = PermanentError(Reason.PERMISSION, "permission denied for view pg_stat_archiver")
    result = await collect(FakeSql(ANSWERS | {"pg_stat_archiver": denied}))
    assert result.failure is None
    assert {labels[0] for labels, state in samples(result.families)[DENIED].items() if state} == {"pg_stat_archiver"}
    assert "controlcore_postgres_wal_archived_total" not in samples(result.families)
    assert value(result.families, "controlcore_postgres_connections_headroom") == 85


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
