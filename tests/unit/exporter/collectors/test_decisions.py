from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collectors import NotConfiguredError
from exporter.collectors.decisions import (
    AuditTable,
    DecisionsCollector,
    DecisionsSettings,
    Watermark,
    label_values,
    read_table,
)
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

COLUMNS = ["id", "timestamp", "event_type", "outcome", "environment", "policy_name"]
TABLE = AuditTable(16384, is_replica=False, columns=frozenset(COLUMNS))
DECISIONS = "controlcore_policy_decisions_total"


class Log:
    """An audit log whose highest id and whose new rows are set by the test."""

    def __init__(self, highest=100, **settings) -> None:
        self.sql = FakeSql(
            {
                "pg_class": [{"oid": 16384, "is_replica": False, "columns": COLUMNS}],
                "max(id)": [{"highest": highest}],
                "count(*)": [],
                "extract": [{"environment": "sandbox", "last": 1_767_323_040.25}],
            }
        )
        self.clock = ManualClock()
        self.collector = DecisionsCollector(DecisionsSettings(**settings), self.sql, self.clock)

    def write(self, highest, *rows):
        self.sql.answers["max(id)"] = [{"highest": highest}]
        self.sql.answers["count(*)"] = [
            {"environment": environment, "decision": decision, "events": events}
            for environment, decision, events in rows
        ]

    async def look(self, seconds=6.0):
        await self.clock.advance(seconds)
        return await self.collector.collect()

    def spans(self):
        return [arguments for sql, arguments in self.sql.asked if "count(*)" in sql]


async def test_counted_rows_give_the_golden_page():
    log = Log()
    await log.look()
    log.write(109, ("sandbox", "PERMIT", 5), ("sandbox", "DENY", 3), ("production", "SUCCESS", 1))
    await log.look()
    result = await log.look()
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
    assert asked == [(40_000, 50_000), (50_000, 50_010)]


async def test_environment_without_a_recent_row_has_no_last_event():
    result = await Log().look()
    assert samples(result.families)["controlcore_audit_last_event_timestamp_seconds"] == {
        ("sandbox",): 1_767_323_040.25
    }


async def test_empty_log_publishes_zero_counts_and_no_last_event():
    result = await Log(highest=None).look()
    assert set(samples(result.families)) == {DECISIONS, "policy_evaluations_total"}


@pytest.mark.parametrize(
    ("environment", "decision", "labels"),
    [
        ("sandbox", "PERMIT", ("sandbox", "permit")),
        ("production", "DENY", ("production", "deny")),
        ("production", "ACCESS_DENIED", ("production", "deny")),
        (None, "PERMIT", ("other", "permit")),
        ("staging", "WARNING", ("other", "other")),
        ("sandbox", None, ("sandbox", "other")),
    ],
)
def test_rows_fall_into_a_closed_set_of_labels(environment, decision, labels):
    assert label_values(environment, decision) == labels


def test_schema_without_outcome_and_environment_is_read_by_event_type():
    sql, _ = AuditTable(1, is_replica=False, columns=frozenset({"id", "event_type"})).counts_sql(DecisionsSettings())
    assert "NULL::text AS environment, event_type::text AS decision" in sql
    assert "outcome" not in sql


def test_canaries_are_left_out_only_by_columns_that_may_be_read():
    settings = DecisionsSettings(canary_policies=("canary",))
    sql, arguments = TABLE.counts_sql(settings)
    assert ('"user"' in sql, arguments) == (False, (["canary"],))
    with_user = AuditTable(1, is_replica=False, columns=TABLE.columns | {"user"})
    sql, arguments = with_user.counts_sql(settings)
    assert '"user"::text <> ALL($3::text[])' in sql
    assert "policy_name::text <> ALL($4::text[])" in sql
    assert arguments == (["canary-allow", "canary-deny"], ["canary"])


def test_missing_table_is_named():
    with pytest.raises(PermanentError, match="audit_logs") as caught:
        read_table([])
    assert caught.value.reason is Reason.MISSING


def test_unreadable_column_is_named():
    with pytest.raises(PermanentError, match="event_type"):
        read_table([{"oid": 1, "is_replica": False, "columns": ["id"]}])


class TestWatermark:
    def test_first_look_counts_nothing(self):
        watermark = Watermark(5.0)
        assert watermark.advance(TABLE, 100, 0.0) is None
        assert watermark.advance(TABLE, 100, 1000.0) is None

    def test_lower_id_that_commits_late_is_in_the_span(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        assert watermark.advance(TABLE, 102, 1.0) is None
        assert watermark.advance(TABLE, 104, 6.0) == (100, 102)
        watermark.confirm(102)
        assert watermark.advance(TABLE, 104, 11.0) == (102, 104)

    def test_purge_of_old_rows_changes_nothing(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        watermark.advance(TABLE, None, 10.0)
        watermark.advance(TABLE, 101, 20.0)
        assert watermark.advance(TABLE, 101, 30.0) == (100, 101)

    def test_replaced_table_is_not_counted_even_when_it_holds_more_rows(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        restored = AuditTable(20000, is_replica=False, columns=TABLE.columns)
        assert watermark.advance(restored, None, 10.0) is None
        assert watermark.advance(restored, 900, 20.0) is None
        assert watermark.advance(restored, 900, 30.0) is None
        watermark.advance(restored, 901, 40.0)
        assert watermark.advance(restored, 901, 50.0) == (900, 901)

    def test_ids_that_begin_anew_are_counted_from_where_they_are_seen(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        assert watermark.advance(TABLE, 3, 10.0) is None
        watermark.advance(TABLE, 5, 20.0)
        assert watermark.advance(TABLE, 5, 30.0) == (3, 5)

    def test_replica_that_falls_behind_and_catches_up_counts_nothing_twice(self):
        replica = AuditTable(16384, is_replica=True, columns=TABLE.columns)
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        assert watermark.advance(replica, 90, 10.0) is None
        assert watermark.advance(replica, 100, 20.0) is None
        assert watermark.advance(replica, 100, 30.0) is None

    @given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 50)), st.floats(0, 20), st.booleans()), max_size=40))
    def test_no_id_is_ever_counted_twice_while_ids_only_grow(self, looks):
        watermark, now, highest = Watermark(5.0), 0.0, 0
        start: int | None = None
        counted: list[int] = []
        for step, seconds, is_answered in looks:
            now += seconds
            highest += step or 0
            start = highest if start is None else start
            span = watermark.advance(TABLE, highest, now)
            if span is not None and is_answered:
                counted += range(span[0] + 1, span[1] + 1)
                watermark.confirm(span[1])
        assert counted == list(range((start or 0) + 1, (start or 0) + 1 + len(counted)))

    def test_memory_does_not_grow_while_nothing_happens(self):
        watermark = Watermark(5.0)
        for second in range(1000):
            watermark.advance(TABLE, 100, float(second))
        assert len(watermark._seen) == 0


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with DecisionsCollector.open(DecisionsSettings(), make_sources()):
            pass
