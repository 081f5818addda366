from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.logins import LoginsCollector, LoginsSettings
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeSql, expose, golden, make_sources, value

COLUMNS = ["id", "event_type"]
FAILURES = "controlcore_login_failures_total"


class Log:
    """An audit log whose highest id and whose new logins are set by the test."""

    def __init__(self) -> None:
        table = {"oid": 1, "file": 1, "is_replica": False, "columns": COLUMNS, "all_columns": COLUMNS}
        self.sql = FakeSql({"pg_class": [table], "max(id)": [{"highest": 100}]})
        self.clock = ManualClock()
        self.sources = make_sources(postgres=self.sql, clock=self.clock)
        self.reload()

    def reload(self):
        self.collector = LoginsCollector(LoginsSettings(), self.sources, self.sql)

    def write(self, highest, logins, failures):
        self.sql.answers["max(id)"] = [{"highest": highest}]
        self.sql.answers["FILTER"] = [{"logins": logins, "failures": failures}]

    async def look(self):
        await self.clock.advance(10.0)
        return (await self.collector.collect()).families


async def test_counted_logins_give_the_golden_page():
    log = Log()
    await log.look()
    log.write(110, 7, 3)
    await log.look()
    assert expose(await log.look()) == golden("logins")


async def test_both_counters_exist_before_anything_is_counted():
    assert value(await Log().look(), FAILURES) == 0


async def test_reload_loses_no_login_and_counts_none_twice():
    """P12: before and after each reading the collector restarts, as for a new or removed bouncer."""
    log = Log()
    await log.look()
    log.write(110, 2, 3)
    for _ in range(3):
        log.reload()
        families = await log.look()
    assert value(families, FAILURES) == 3


async def test_failed_query_is_asked_again_and_counts_once():
    log = Log()
    await log.look()
    log.write(110, 0, 3)
    await log.look()
    log.sql.answers["FILTER"] = TransientError(Reason.TIMEOUT, "frozen")
    with pytest.raises(TransientError):
        await log.look()
    log.write(110, 0, 3)
    assert [value(await log.look(), FAILURES) for _ in range(2)] == [3, 3]


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with LoginsCollector.open(LoginsSettings(), make_sources()):
            pass
