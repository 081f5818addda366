from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.decision_latency import (
    DecisionLatencyCollector,
    DecisionLatencySettings,
    find_column,
)
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeSql, expose, golden, make_sources

COLUMNS = ["id", "event_type", "environment", "latency_ms"]
ROWS = [
    {"environment": "production", "bucket": 2, "decisions": 3, "seconds": 0.006},
    {"environment": None, "bucket": 12, "decisions": 1, "seconds": 4.0},
]


class Log:
    def __init__(self, columns) -> None:
        table = {"oid": 1, "file": 1, "is_replica": False, "columns": columns, "all_columns": columns}
        self.sql = FakeSql({"pg_class": [table], "max(id)": [{"highest": 100}], "unnest": ROWS})
        self.clock = ManualClock()
        self.sources = make_sources(postgres=self.sql, clock=self.clock)
        self.reload()

    def reload(self):
        self.collector = DecisionLatencyCollector(DecisionLatencySettings(), self.sources, self.sql)

    async def look(self):
        await self.clock.advance(10.0)
        return (await self.collector.collect()).families


async def test_durations_give_the_golden_page():
    log = Log(COLUMNS)
    await log.look()
    log.sql.answers["max(id)"] = [{"highest": 104}]
    await log.look()
    assert expose(await log.look()) == golden("decision_latency")


async def test_reload_loses_no_duration_and_counts_none_twice():
    """P12."""
    log = Log(COLUMNS)
    await log.look()
    log.sql.answers["max(id)"] = [{"highest": 104}]
    for _ in range(3):
        log.reload()
        families = await log.look()
    assert expose(families) == golden("decision_latency")


async def test_generation_without_durations_publishes_nothing_and_is_no_failure():
    log = Log(COLUMNS[:-1])
    for highest in (100, 110, 120):
        log.sql.answers["max(id)"] = [{"highest": highest}]
        assert expose(await log.look()) == expose(())
    assert not [sql for sql, _ in log.sql.asked if "unnest" in sql]


async def test_failed_query_is_asked_again_and_counts_once():
    log = Log(COLUMNS)
    await log.look()
    log.sql.answers["max(id)"] = [{"highest": 104}]
    await log.look()
    log.sql.answers["unnest"] = TransientError(Reason.TIMEOUT, "frozen")
    with pytest.raises(TransientError):
        await log.look()
    log.sql.answers["unnest"] = ROWS
    await log.look()
    assert expose(await log.look()) == golden("decision_latency")


@pytest.mark.parametrize(
    ("columns", "given", "found"),
    [
        ({"id", "latency_ms"}, {}, ("latency_ms", 0.001)),
        ({"id", "decision_duration_us"}, {}, ("decision_duration_us", 1e-6)),
        ({"id", "latency"}, {}, None),
        ({"id", "latency"}, {"column": "latency"}, ("latency", 0.001)),
        ({"id", "took"}, {"column": "took", "unit_seconds": 1.0}, ("took", 1.0)),
        ({"id", "latency_s"}, {"column": "latency_s"}, ("latency_s", 1.0)),
        ({"id"}, {"column": "latency_ms"}, None),
    ],
)
def test_column_is_found_only_with_a_known_unit(columns, given, found):
    assert find_column(columns, DecisionLatencySettings(**given)) == found


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with DecisionLatencyCollector.open(DecisionLatencySettings(), make_sources()):
            pass
