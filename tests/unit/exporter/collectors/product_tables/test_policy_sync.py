from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.policy_sync import PolicySyncCollector, PolicySyncSettings
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

COLUMNS = ["id", "bouncer_id", "sync_type", "status"]
CONFIGURATION = {
    "bouncer": "b-production",
    "environment": "production",
    "polling_interval": 30,
    "status": "success",
    "policies_count": 3,
    "last_sync": 1_767_323_000.0,
    "now": 1_767_323_060.0,
}
SILENT = dict.fromkeys(CONFIGURATION) | {"bouncer": "b-sandbox", "environment": "sandbox"}
NEWEST = {"bouncer": "b-production", "revision": "abc", "seconds": 0.042, "at": 1_767_323_030.0}
NEWEST |= {"as_utc": NEWEST["at"], "now": 1_767_323_060.0}
SYNCS, BOUNCER_SYNCS = "controlcore_policy_syncs_total", "controlcore_bouncer_policy_syncs_total"


class History:
    def __init__(self) -> None:
        table = {"oid": 1, "file": 1, "is_replica": False, "columns": COLUMNS, "all_columns": COLUMNS}
        self.sql = FakeSql(
            {
                "AS zone": [{"zone": "Etc/UTC"}],
                "pg_class": [table],
                "bouncer_opal_configuration": [CONFIGURATION, SILENT],
                "max(id)": [{"highest": 100}],
                "DISTINCT ON": [NEWEST],
            }
        )
        self.clock = ManualClock()
        self.sources = make_sources(postgres=self.sql, clock=self.clock)
        self.reload()

    def reload(self):
        self.collector = PolicySyncCollector(PolicySyncSettings(), self.sources, self.sql)

    def write(self, highest, *rows):
        self.sql.answers["max(id)"] = [{"highest": highest}]
        self.sql.answers["count(*)"] = [
            {"bouncer": bouncer, "type": kind, "status": status, "syncs": syncs}
            for bouncer, kind, status, syncs in rows
        ]

    async def look(self):
        await self.clock.advance(15.0)
        return (await self.collector.collect()).families


async def test_synchronisations_give_the_golden_page():
    history = History()
    await history.look()
    history.write(103, ("b-production", "auto", "success", 2), ("b-production", "auto", "failed", 1))
    await history.look()
    assert expose(await history.look()) == golden("policy_sync")


async def test_reload_loses_no_synchronisation_and_counts_none_twice():
    """P12: counts and findings from the history stay too, even if they are older than the first search."""
    history = History()
    await history.look()
    history.write(103, ("b-production", "auto", "success", 2), ("b-production", "auto", "failed", 1))
    for _ in range(3):
        history.reload()
        families = await history.look()
        history.sql.answers["DISTINCT ON"] = []
    assert expose(families) == golden("policy_sync")


async def test_nulls_are_absent_and_counters_are_there_with_zero():
    families = await History().look()
    silent = ("b-sandbox", "sandbox")
    shown = {name for name, found in samples(families).items() if silent in found}
    assert shown == {BOUNCER_SYNCS, "controlcore_bouncer_policy_sync_failures_total"}


async def test_later_of_state_and_history_is_the_last_success():
    history = History()
    history.sql.answers["DISTINCT ON"] = [NEWEST | {"at": 1.0, "as_utc": 1.0}]
    name = "controlcore_bouncer_policy_sync_last_success_timestamp_seconds"
    assert value(await history.look(), name, "b-production", "production") == 1_767_323_000.0


async def test_failed_query_is_asked_again_and_counts_once():
    history = History()
    await history.look()
    history.write(103, ("b-production", "manual", "success", 3))
    await history.look()
    rows, history.sql.answers["count(*)"] = history.sql.answers["count(*)"], TransientError(Reason.TIMEOUT, "frozen")
    with pytest.raises(TransientError):
        await history.look()
    history.sql.answers["count(*)"] = rows
    assert [value(await history.look(), SYNCS, "manual", "success") for _ in range(2)] == [3, 3]


async def test_empty_history_has_no_success():
    history = History()
    history.sql.answers["max(id)"] = [{"highest": None}]
    assert "controlcore_bouncer_policy_revision_skew" not in samples(await history.look())


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PolicySyncCollector.open(PolicySyncSettings(), make_sources()):
            pass
