from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.decisions import DecisionsCollector, DecisionsSettings, counts_sql
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

COLUMNS = ["id", "timestamp", "event_type", "outcome", "environment", "policy_name"]
DECISIONS, EVENTS = "controlcore_policy_decisions_total", "controlcore_audit_events_total"
GENERATION = "controlcore_schema_generation"
EVENT_OF = {"PERMIT": "ACCESS_GRANTED", "DENY": "ACCESS_DENIED"}
TABLE = {"oid": 16384, "file": 1, "is_replica": False, "columns": COLUMNS, "all_columns": COLUMNS}


def newest(environment, at, now=1_767_323_100.0, zone=0.0):
    """The newest row's time, written in a zone that is this many seconds ahead of the declared one, UTC."""
    written = None if at is None else at + zone
    return {"environment": environment, "as_utc": written, "last": written, "now": now}


class Log:
    """An audit log whose highest id and whose new rows are set by the test."""

    def __init__(self, highest=100, **settings) -> None:
        self.sql = FakeSql(
            {
                "AS zone": [{"zone": "Etc/UTC"}],
                "pg_class": [TABLE],
                "decision_requests": [{"is_there": True}],
                "max(id)": [{"highest": highest}],
                "count(*)": [],
                "extract": [newest("sandbox", 1_767_323_040.25)],
            }
        )
        self.clock = ManualClock()
        self.sources = make_sources(postgres=self.sql, clock=self.clock)
        self.settings = DecisionsSettings(**settings)
        self.reload()

    def reload(self):
        self.collector = DecisionsCollector(self.settings, self.sql, self.sources)

    def write(self, highest, *rows):
        self.sql.answers["max(id)"] = [{"highest": highest}]
        self.sql.answers["count(*)"] = [
            {
                "environment": environment,
                "event_type": EVENT_OF.get(outcome, "USER_LOGIN"),
                "outcome": outcome,
                "events": events,
                "without_canaries": events,
            }
            for environment, outcome, events in rows
        ]

    async def look(self, seconds=6.0):
        await self.clock.advance(seconds)
        return await self.collector.collect()

    def spans(self):
        return [arguments for sql, arguments in self.sql.asked if "count(*)" in sql]


async def test_counted_rows_give_the_golden_page():
    log = Log()
    await log.look()
    log.write(109, ("sandbox", "PERMIT", 5), ("sandbox", "DENY", 3), (None, "SUCCESS", 1))
    await log.look()
    result = await log.look()
    assert expose(result.families) == golden("decisions")
    assert log.spans() == [(100, 109)]


async def test_reload_loses_no_row_and_counts_none_twice():
    """P12: a new or removed bouncer restarts the collectors; the earlier newest events stay known."""
    log = Log()
    await log.look()
    log.write(109, ("sandbox", "PERMIT", 5), ("sandbox", "DENY", 3), (None, "SUCCESS", 1))
    for _ in range(3):
        log.reload()
        result = await log.look()
        log.sql.answers["extract"] = []
    assert expose(result.families) == golden("decisions")
    assert log.spans() == [(100, 109)]


async def test_counters_are_born_at_zero_and_the_old_rows_are_not_counted():
    log = Log(highest=5000)
    log.write(5000, ("sandbox", "PERMIT", 5000))
    for _ in range(3):
        result = await log.look()
    assert samples(result.families)[DECISIONS] == {
        ("production", "deny"): 0,
        ("production", "permit"): 0,
        ("sandbox", "deny"): 0,
        ("sandbox", "permit"): 0,
    }
    assert log.spans() == []


async def test_rows_wait_until_they_have_settled():
    log = Log()
    await log.look()
    log.write(103, ("sandbox", "PERMIT", 3))
    await log.look()
    assert log.spans() == []
    await log.look(4.9)
    assert log.spans() == []
    result = await log.look(0.1)
    assert log.spans() == [(100, 103)]
    assert value(result.families, DECISIONS, "sandbox", "permit") == 3


async def test_query_that_fails_is_asked_again_and_counts_once():
    log = Log()
    await log.look()
    log.write(103, ("sandbox", "PERMIT", 3))
    await log.look()
    rows = log.sql.answers["count(*)"]
    log.sql.answers["count(*)"] = TransientError(Reason.TIMEOUT, "frozen")
    with pytest.raises(TransientError):
        await log.look()
    log.sql.answers["count(*)"] = rows
    assert value((await log.look()).families, DECISIONS, "sandbox", "permit") == 3
    assert value((await log.look()).families, DECISIONS, "sandbox", "permit") == 3


async def test_last_event_is_read_from_the_newest_rows_and_then_from_new_ones_only():
    log = Log(highest=50_000)
    await log.look()
    log.write(50_010)
    await log.look()
    asked = [arguments for sql, arguments in log.sql.asked if "extract" in sql]
    assert asked == [(40_000, 50_000, "Etc/UTC"), (50_000, 50_010, "Etc/UTC")]


async def test_time_of_a_product_in_another_zone_is_unknown_until_new_rows_measured_it():
    """X17: nine hours ahead; an event in the future let no alert of silence fire."""
    log, found = Log(), []
    for number in range(4):
        at = 1_767_323_040.0 + 6 * number
        log.write(100 + number)
        log.sql.answers["extract"] = [newest("sandbox", at - 2, now=at, zone=9 * 3600.0)]
        families = (await log.look()).families
        found.append(value(families, "controlcore_audit_last_event_timestamp_seconds", "sandbox"))
    assert found == [None, None, at - 8, at - 2]


async def test_log_without_a_readable_time_is_a_failure_and_the_counts_are_there():
    """P12: the time was absent with success 1."""
    log = Log()
    log.sql.answers["pg_class"] = [TABLE | {"columns": [name for name in COLUMNS if name != "timestamp"]}]
    result = await log.look()
    assert result.failure.reason is Reason.PERMISSION
    assert DECISIONS in samples(result.families)


async def test_environment_without_a_recent_row_has_no_last_event():
    result = await Log().look()
    assert samples(result.families)["controlcore_audit_last_event_timestamp_seconds"] == {
        ("sandbox",): 1_767_323_040.25
    }


async def test_empty_log_publishes_zero_counts_and_no_last_event():
    result = await Log(highest=None).look()
    assert set(samples(result.families)) == {DECISIONS, EVENTS, GENERATION, "policy_evaluations_total"}


async def test_rows_of_any_kind_are_events_and_only_access_rows_are_decisions():
    log = Log()
    await log.look()
    log.write(104, ("sandbox", "SUCCESS", 4))
    await log.look()
    result = await log.look()
    assert value(result.families, EVENTS, "sandbox", "user_login", "success") == 4
    assert sum(samples(result.families)[DECISIONS].values()) == 0


async def test_generation_follows_the_columns_that_are_there():
    log = Log()
    assert value((await log.look()).families, GENERATION, "2025.10") == 1
    log.sql.answers["pg_class"] = [TABLE | {"all_columns": [*COLUMNS, "latency_ms"]}]
    assert samples((await log.look()).families)[GENERATION] == {("2026.04+",): 1}


def test_schema_without_outcome_and_environment_is_read_by_event_type():
    sql, _ = counts_sql(frozenset({"id", "event_type"}), DecisionsSettings())
    assert "NULL::text AS environment, event_type::text AS event_type, NULL::text AS outcome" in sql


def test_canaries_are_left_out_only_by_columns_that_may_be_read():
    settings = DecisionsSettings(canary_policies=("canary",))
    sql, arguments = counts_sql(frozenset(COLUMNS), settings)
    assert ('"user"' in sql, arguments) == (False, (["canary"],))
    sql, arguments = counts_sql(frozenset({*COLUMNS, "user"}), settings)
    assert '"user"::text <> ALL($3::text[])' in sql
    assert "policy_name::text <> ALL($4::text[])" in sql
    assert arguments == (["canary-allow", "canary-deny"], ["canary"])


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with DecisionsCollector.open(DecisionsSettings(), make_sources()):
            pass
