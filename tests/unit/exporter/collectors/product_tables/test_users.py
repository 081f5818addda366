from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.users import UsersCollector, UsersSettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources


async def collect(sql: FakeSql):
    async with UsersCollector.open(UsersSettings(), make_sources(postgres=sql)) as collector:
        return await collector.collect()


async def test_counted_sessions_give_the_golden_page():
    result = await collect(FakeSql({"user_sessions": [{"sessions": 7, "users": 4}]}))
    assert expose(result.families) == golden("users")
    assert result.failure is None


async def test_nobody_signed_in_is_a_known_zero():
    result = await collect(FakeSql({"user_sessions": [{"sessions": 0, "users": 0}]}))
    assert "controlcore_users_active 0" in expose(result.families)


async def test_database_without_an_answer_raises_instead_of_publishing():
    with pytest.raises(TransientError):
        await collect(FakeSql({"user_sessions": TransientError(Reason.TIMEOUT, "frozen")}))


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with UsersCollector.open(UsersSettings(), make_sources()):
            pass
