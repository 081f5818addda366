from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.repository import RepositoryCollector, RepositorySettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

ROW = {"connection_status": "connected", "auto_sync": True, "interval_seconds": 900, "last_sync": 1_767_323_000.0}
ROW["now"] = 1_767_323_060.0
CONNECTED = "controlcore_policy_repo_connected"


async def collect(*rows):
    sql = FakeSql({"github_configuration": list(rows)})
    async with RepositoryCollector.open(RepositorySettings(), make_sources(postgres=sql)) as collector:
        return (await collector.collect()).families


async def test_connected_repository_gives_the_golden_page():
    assert expose(await collect(ROW)) == golden("repository")


@pytest.mark.parametrize("status", ["disconnected", "error"])
async def test_any_other_status_is_not_connected(status):
    assert value(await collect(ROW | {"connection_status": status}), CONNECTED) == 0


async def test_no_configuration_publishes_nothing():
    assert samples(await collect()) == {}


async def test_nulls_are_absent_and_not_zero():
    assert samples(await collect(dict.fromkeys(ROW) | {"now": 1_767_323_060.0})) == {}


async def test_time_in_the_future_and_status_of_no_set_are_unknown():
    """X17, P5."""
    families = await collect(ROW | {"last_sync": 1_767_423_000.0, "connection_status": "odd"})
    assert set(samples(families)) == {
        "controlcore_policy_repo_auto_sync",
        "controlcore_policy_repo_sync_interval_seconds",
    }


async def test_database_without_an_answer_raises_instead_of_publishing():
    sql = FakeSql({"github_configuration": TransientError(Reason.TIMEOUT, "frozen")})
    async with RepositoryCollector.open(RepositorySettings(), make_sources(postgres=sql)) as collector:
        with pytest.raises(TransientError):
            await collector.collect()


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with RepositoryCollector.open(RepositorySettings(), make_sources()):
            pass
