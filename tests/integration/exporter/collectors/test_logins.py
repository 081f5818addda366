from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from exporter.collectors.product_tables.logins import LoginsCollector, LoginsSettings
from tests.fakes.clock import ManualClock
from tests.fakes.sources import make_sources, value

INSERT = "INSERT INTO audit_logs (event_type, outcome) VALUES "
STRAY = "INSERT INTO audit_logs (id, event_type, outcome) VALUES (9223372036854775806, 'USER_LOGIN_FAILED', 'FAILURE')"
FAILED, WORKED = "('USER_LOGIN_FAILED', 'FAILURE')", "('USER_LOGIN', 'SUCCESS')"


class Watch:
    def __init__(self, collector, clock) -> None:
        self._collector = collector
        self._clock = clock
        self.families = ()

    async def look(self, times=1):
        for _ in range(times):
            await self._clock.advance(10.0)
            self.families = (await self._collector.collect()).families

    def counts(self):
        return (
            value(self.families, "controlcore_login_failures_total"),
            value(self.families, "controlcore_logins_total"),
        )


@asynccontextmanager
async def watching(product):
    clock = ManualClock()
    async with (
        product.session() as session,
        LoginsCollector.open(LoginsSettings(), make_sources(postgres=session, clock=clock)) as collector,
    ):
        watch = Watch(collector, clock)
        await watch.look()
        yield watch


async def test_new_logins_are_counted_once_and_old_ones_never(product):
    product.run(f"{INSERT} {FAILED}, {FAILED}")
    async with watching(product) as watch:
        assert watch.counts() == (0, 0)
        product.run(f"{INSERT} {FAILED}, {WORKED}, {FAILED}, ('USER_LOGOUT', 'SUCCESS')")
        await watch.look(3)
    assert watch.counts() == (2, 1)


@pytest.mark.parametrize("is_there_before", [True, False])
async def test_row_with_an_id_near_the_end_of_bigint_hides_no_later_ones(product, is_there_before):
    """`id` is made bigint first, as a restore of a newer schema may have it."""
    product.run("ALTER TABLE audit_logs ALTER COLUMN id TYPE bigint")
    product.run(STRAY if is_there_before else INSERT + FAILED)
    async with watching(product) as watch:
        product.run(INSERT + FAILED if is_there_before else STRAY)
        await watch.look(3)
        product.run(f"{INSERT} {FAILED}, {WORKED}")
        await watch.look(3)
    assert watch.counts() == (1 + is_there_before, 1)


@pytest.mark.parametrize(
    "event",
    [
        "DELETE FROM audit_logs",
        f"TRUNCATE audit_logs RESTART IDENTITY; {INSERT} {FAILED}",
        "CREATE TABLE other AS TABLE audit_logs; TRUNCATE audit_logs; INSERT INTO audit_logs SELECT * FROM other",
    ],
)
async def test_purge_truncation_and_restored_rows_make_no_increase(product, event):
    product.run(f"{INSERT} {', '.join([FAILED] * 20)}")
    async with watching(product) as watch:
        product.run(event)
        await watch.look(3)
        assert watch.counts() == (0, 0)
        product.run(INSERT + FAILED)
        await watch.look(2)
    assert watch.counts() == (1, 0)
