from __future__ import annotations

import pytest

from exporter.collectors.product_tables.logins import LoginsCollector, LoginsSettings
from tests.integration.exporter.collectors.watching import Watch, watching

INSERT = "INSERT INTO audit_logs (event_type, outcome) VALUES "
STRAY = "INSERT INTO audit_logs (id, event_type, outcome) VALUES (9223372036854775806, 'USER_LOGIN_FAILED', 'FAILURE')"
FAILED, WORKED = "('USER_LOGIN_FAILED', 'FAILURE')", "('USER_LOGIN', 'SUCCESS')"


class Logins(Watch):
    """The collector's counts."""

    def counts(self):
        return self.value("controlcore_login_failures_total"), self.value("controlcore_logins_total")


def watching_logins(product):
    return watching(product, LoginsCollector, LoginsSettings(), step_seconds=10.0, kind=Logins)


async def test_new_logins_are_counted_once_and_old_ones_never(product):
    product.run(f"{INSERT} {FAILED}, {FAILED}")
    async with watching_logins(product) as watch:
        assert watch.counts() == (0, 0)
        product.run(f"{INSERT} {FAILED}, {WORKED}, {FAILED}, ('USER_LOGOUT', 'SUCCESS')")
        await watch.collect(3)
    assert watch.counts() == (2, 1)


@pytest.mark.parametrize("is_there_before", [True, False])
async def test_row_with_an_id_near_the_end_of_bigint_hides_no_later_ones(product, is_there_before):
    """`id` is made bigint first, as a restore of a newer schema may have it."""
    product.run("ALTER TABLE audit_logs ALTER COLUMN id TYPE bigint")
    product.run(STRAY if is_there_before else INSERT + FAILED)
    async with watching_logins(product) as watch:
        product.run(INSERT + FAILED if is_there_before else STRAY)
        await watch.collect(3)
        product.run(f"{INSERT} {FAILED}, {WORKED}")
        await watch.collect(3)
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
    async with watching_logins(product) as watch:
        product.run(event)
        await watch.collect(3)
        assert watch.counts() == (0, 0)
        product.run(INSERT + FAILED)
        await watch.collect(2)
    assert watch.counts() == (1, 0)
