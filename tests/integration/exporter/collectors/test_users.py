from __future__ import annotations

import pytest

from exporter.collectors.product_tables.users import UsersCollector, UsersSettings
from tests.fakes.sources import make_sources, value


async def count(product):
    async with (
        product.session() as session,
        UsersCollector.open(UsersSettings(), make_sources(postgres=session)) as collector,
    ):
        families = (await collector.collect()).families
    return value(families, "controlcore_user_sessions_active"), value(families, "controlcore_users_active")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_sessions_are_counted_in_any_time_zone_of_the_server(product, zone):
    """The table holds two sessions of one user, one of another, a revoked and an expired one."""
    product.run(f"ALTER DATABASE \"{product.name}\" SET timezone = '{zone}'")
    assert await count(product) == (3, 2)


async def test_revoked_session_leaves_the_count(product):
    product.run("UPDATE user_sessions SET revoked = true WHERE jti = 'seed-3'")
    assert await count(product) == (2, 1)


async def test_nobody_signed_in_is_zero(product):
    product.run("DELETE FROM user_sessions")
    assert await count(product) == (0, 0)
