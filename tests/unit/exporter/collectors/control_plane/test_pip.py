from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from chassis.errors import Reason, TransientError
from chassis.http.call import Response
from exporter.collector import NotConfiguredError
from exporter.collectors.control_plane.api_gate import ANSWERING
from exporter.collectors.control_plane.pip import PipCollector, PipSettings
from exporter.settings import ApiSettings, ExporterSettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.sources import FakeHttp, FakeSql, expose, golden, make_sources, samples, value

URL = "http://api:8000/pip/sync/scheduler-stats"
ROW = {
    "id": 1,
    "name": "directory",
    "provider": "okta",
    "environment": "production",
    "status": "pending",
    "health": "healthy",
    "sync_frequency": 300,
    "last_sync_as_utc": 1_767_323_000.0,
    "last_sync": 1_767_323_000.0,
    "now": 1_767_323_060.0,
    "token_expiry": 1_767_330_000.0,
}
RUNNING = "controlcore_pip_scheduler_running"
QUICK = DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=1000.0)


def answer(status=200, **body):
    return Response(status, json.dumps(body).encode(), 0.01)


async def collect(http=None, database_health=QUICK, api="http://api:8000", **settings):
    sql = FakeSql(
        {
            ANSWERING: [{"answering": 1}],
            "oauth_tokens": [ROW],
            "overdue": [{"environment": "production", "overdue": 1}],
            "count(*)": [{"environment": "production", "status": "pending", "health": "healthy", "connections": 1}],
        }
    )
    given = http or FakeHttp({URL: answer(running=False)})
    sources = make_sources(
        ExporterSettings(api=ApiSettings(url=api)), postgres=sql, http=given, database_health=database_health
    )
    async with PipCollector.open(PipSettings(**settings), sources) as collector:
        return await collector.collect(), given


async def test_connections_give_the_golden_page():
    result, _ = await collect()
    assert expose(result.families) == golden("pip")
    assert result.failure is None


@pytest.mark.parametrize(
    "health",
    [
        DatabaseHealth(),
        DatabaseHealth(is_ok=False, checked_monotonic=1000.0),
        DatabaseHealth(is_ok=True, seconds=2.0, checked_monotonic=1000.0),
        DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=900.0),
    ],
)
async def test_api_is_not_asked_unless_the_database_is_known_to_be_quick(health):
    result, http = await collect(database_health=health)
    assert http.calls == []
    assert RUNNING not in samples(result.families)
    assert result.failure is None


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_build_that_does_not_let_us_ask_leaves_it_absent(status):
    result, _ = await collect(FakeHttp({URL: answer(status)}))
    assert RUNNING not in samples(result.families)
    assert result.failure is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (answer(running="no"), Reason.MALFORMED),
        (Response(200, b"<html>", 0.01), Reason.MALFORMED),
        (answer(500), Reason.HTTP_5XX),
        (TransientError(Reason.TIMEOUT, "frozen"), Reason.TIMEOUT),
    ],
)
async def test_silent_or_garbled_api_fails_and_the_tables_are_still_read(given, reason):
    result, _ = await collect(FakeHttp({URL: given}))
    assert result.failure.reason is reason
    assert RUNNING not in samples(result.families)
    assert value(result.families, "controlcore_pip_connections", "production", "healthy") == 1


async def test_no_api_leaves_the_scheduler_absent():
    result, http = await collect(api=None)
    assert (http.calls, result.failure) == ([], None)


def test_time_zone_that_is_no_name_is_refused():
    with pytest.raises(ValidationError, match="api_time_zone"):
        PipSettings(api_time_zone="UTC'; DROP TABLE users")


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PipCollector.open(PipSettings(), make_sources()):
            pass
