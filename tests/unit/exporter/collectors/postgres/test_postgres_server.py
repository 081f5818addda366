from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.postgres.postgres_server import PostgresServerCollector, PostgresServerSettings, read_locks
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

LOCKS, SLOT = "controlcore_postgres_locks", "controlcore_postgres_replication_slot_retained_bytes"
ROW = {
    "tup_fetched": 1,
    "tup_inserted": 2,
    "tup_updated": 3,
    "tup_deleted": 4,
    "temp_files": 5,
    "temp_bytes": 6,
    "conflicts": 0,
}
ANSWERS = {
    "pg_postmaster_start_time": [
        {"started": 1_767_000_000.5, "now": 1_767_000_060.5, "is_primary": True, "version": "15.18"}
    ],
    "pg_stat_database": [ROW],
    "pg_locks": [{"mode": "AccessShareLock", "locks": 7}, {"mode": "LockOfALaterVersion", "locks": 1}],
    "pg_replication_slots": [
        {"slot": "standby", "active": True, "retained": 0.0, "wal_status": "reserved"},
        {"slot": "left", "active": False, "retained": 16777216.0, "wal_status": "extended"},
        {"slot": "gone", "active": False, "retained": 0.0, "wal_status": "lost"},
        {"slot": "new", "active": False, "retained": None, "wal_status": None},
    ],
}


async def collect(answers):
    sources = make_sources(postgres=FakeSql(answers))
    async with PostgresServerCollector.open(PostgresServerSettings(), sources) as collector:
        return await collector.collect()


async def test_full_answers_give_the_golden_page():
    result = await collect(ANSWERS)
    assert expose(result.families) == golden("postgres_server")
    assert (result.failure, result.versions) == (None, {"database": "15.18"})


def test_mode_that_nobody_holds_is_a_known_zero():
    assert value(read_locks([]), LOCKS, "AccessExclusiveLock") == 0
    assert ("other",) not in samples(read_locks([]))[LOCKS]


async def test_view_that_refuses_is_the_failure_and_the_others_are_there():
    result = await collect(ANSWERS | {"pg_locks": PermanentError(Reason.PERMISSION, "no", code="42501")})
    assert result.failure.reason is Reason.PERMISSION
    assert LOCKS not in samples(result.families)
    assert value(result.families, SLOT, "left") == 16777216


async def test_silent_server_is_not_asked_on():
    sql = ANSWERS | {"pg_stat_database": TransientError(Reason.TIMEOUT, "frozen")}
    result = await collect(sql)
    assert result.failure.reason is Reason.TIMEOUT
    assert LOCKS not in samples(result.families)


async def test_server_without_any_answer_raises():
    with pytest.raises(TransientError):
        await collect({"pg_postmaster_start_time": TransientError(Reason.TIMEOUT, "frozen")})


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PostgresServerCollector.open(PostgresServerSettings(), make_sources()):
            pass
