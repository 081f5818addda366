from __future__ import annotations

import pytest
from pydantic import ValidationError

from chassis.errors import CONNECTION_REASONS, PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.postgres.postgres_canary import PostgresCanaryCollector, PostgresCanarySettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.clock import ManualClock
from tests.fakes.sources import ADDRESS, expose, golden, make_sources, samples, value

UP = "controlcore_postgres_up"
EXHAUSTED = "controlcore_postgres_exhausted"
FAILURES = "controlcore_postgres_connection_failures_total"
FAILED = "database_connections_failed"


class Database:
    """A probe whose next outcome is set."""

    def __init__(self) -> None:
        self.outcome: float | Exception = 0.004
        self.clock = ManualClock()
        self.health = DatabaseHealth()
        self.collector = PostgresCanaryCollector(PostgresCanarySettings(), ADDRESS, self.clock, self.health, self.probe)

    async def probe(self, address, timeout_seconds):
        assert (address, timeout_seconds) == (ADDRESS, 1.8)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def test_answering_database_gives_the_golden_page():
    database = Database()
    result = await database.collector.collect()
    assert expose(result.families) == golden("postgres_canary")
    assert (result.components, result.failure) == ({"database": True}, None)


async def test_every_failure_reason_is_born_at_zero():
    result = await Database().collector.collect()
    assert samples(result.families)[FAILURES] == {(reason.value,): 0.0 for reason in CONNECTION_REASONS}


@pytest.mark.parametrize(
    "reason", [Reason.REFUSED, Reason.TIMEOUT, Reason.CLOSED, Reason.STARTING, Reason.UNREACHABLE, Reason.DNS]
)
async def test_server_that_does_not_serve_is_down_and_counted(reason):
    database = Database()
    database.outcome = TransientError(reason, "no")
    result = await database.collector.collect()
    assert value(result.families, UP) == 0
    assert value(result.families, EXHAUSTED) is None, "without a server nobody knows whether it is full"
    assert value(result.families, FAILURES, reason.value) == 1
    assert result.components == {"database": False}


@pytest.mark.parametrize("reason", [Reason.AUTH, Reason.PERMISSION, Reason.QUOTA, Reason.MISSING, Reason.TLS])
async def test_server_that_refuses_only_our_access_is_not_called_down_or_full(reason):
    """P12: that is about us; whether it serves others is unknown."""
    database = Database()
    database.outcome = PermanentError(reason, "no")
    result = await database.collector.collect()
    assert (value(result.families, UP), value(result.families, EXHAUSTED)) == (None, None)
    assert value(result.families, FAILURES, reason.value) == 1
    assert result.components == {}
    setting = "database.password_file" if reason is Reason.AUTH else "database.url"
    refused = result.refused["database"]
    assert (refused.reason, str(refused)) == (reason, f"no; our setting {setting}")
    assert database.health.is_ok is False


async def test_down_is_a_finding_so_that_its_freshness_can_be_relied_on():
    database = Database()
    database.outcome = TransientError(Reason.REFUSED, "no")
    assert (await database.collector.collect()).failure is None


async def test_all_connections_in_use_is_exhausted_and_not_down():
    database = Database()
    database.outcome = TransientError(Reason.EXHAUSTED, "too many clients")
    result = await database.collector.collect()
    assert (value(result.families, UP), value(result.families, EXHAUSTED)) == (1, 1)
    assert (value(result.families, FAILURES, "exhausted"), value(result.families, FAILED)) == (1, 1)
    assert result.components == {"database": True}
    assert database.health.is_ok is False, "a full database must not get deep probes"


async def test_recovered_database_is_no_longer_exhausted():
    database = Database()
    database.outcome = TransientError(Reason.EXHAUSTED, "too many clients")
    await database.collector.collect()
    database.outcome = 0.002
    assert value((await database.collector.collect()).families, EXHAUSTED) == 0


async def test_failures_older_than_five_minutes_leave_the_guides_gauge_but_not_the_counter():
    database = Database()
    database.outcome = PermanentError(Reason.AUTH, "no")
    for _ in range(3):
        await database.collector.collect()
        await database.clock.advance(100)
    database.outcome = 0.002
    result = await database.collector.collect()
    assert value(result.families, FAILED) == 2
    assert value(result.families, FAILURES, "auth") == 3


async def test_dead_database_passes_the_guides_threshold_within_a_minute():
    database = Database()
    database.outcome = TransientError(Reason.REFUSED, "no")
    interval = PostgresCanarySettings().interval_seconds
    elapsed = 0.0
    while (value((await database.collector.collect()).families, FAILED) or 0) <= 5:
        await database.clock.advance(interval)
        elapsed += interval
    assert elapsed <= 60


async def test_success_tells_the_others_how_quick_the_database_was():
    database = Database()
    await database.collector.collect()
    health = database.health
    assert (health.is_ok, health.seconds, health.checked_monotonic) == (True, 0.004, database.clock.monotonic())


async def test_failure_tells_the_others_to_leave_the_database_alone():
    database = Database()
    await database.collector.collect()
    database.outcome = TransientError(Reason.TIMEOUT, "frozen")
    await database.collector.collect()
    assert not database.health.may_probe(database.clock.monotonic(), slow_seconds=10, max_age_seconds=1000)


def test_frozen_server_is_told_within_an_interval_and_two_seconds():
    """The rest of the two seconds is for publishing the page."""
    assert PostgresCanarySettings().probe_timeout_seconds <= 1.9


def test_interval_above_fifteen_seconds_is_refused():
    with pytest.raises(ValidationError):
        PostgresCanarySettings(interval_seconds=16)


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PostgresCanaryCollector.open(PostgresCanarySettings(), make_sources()):
            pass
