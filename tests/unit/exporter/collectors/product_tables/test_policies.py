from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.policies import PoliciesCollector, PoliciesSettings, count_policies
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value


def row(environment, status, policies, sandbox=None, production=None):
    return {
        "environment": environment,
        "status": status,
        "sandbox_status": sandbox,
        "production_status": production,
        "policies": policies,
    }


ROWS = [
    row("sandbox", "enabled", 4, "enabled", "not-promoted"),
    row("production", "draft", 1),
    row("both", "enabled", 3, "enabled", "enabled"),
    row("both", "disabled", 1, "enabled", "enabled"),
    row(None, "odd", 2),
    row("staging", None, 1),
]


def answers(**more):
    return {
        "has_column_privilege": [{"may_read": False}],
        "IS DISTINCT FROM": [{"drifted": 1}],
        "GROUP BY": ROWS,
        "rego_code": [{"policies": 3}],
    } | more


async def collect(sql):
    async with PoliciesCollector.open(PoliciesSettings(), make_sources(postgres=sql)) as collector:
        return (await collector.collect()).families


async def test_counted_policies_give_the_golden_page():
    assert expose(await collect(FakeSql(answers()))) == golden("policies")


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        (row("both", "enabled", 1, "enabled", "enabled"), {("sandbox", "enabled"), ("production", "enabled")}),
        (row("both", "draft", 1, "enabled", "enabled"), {("sandbox", "enabled"), ("production", "enabled")}),
        (row("both", "enabled", 1, "disabled", "enabled"), {("sandbox", "disabled"), ("production", "enabled")}),
        (row("both", "disabled", 1, "enabled", "enabled"), {("sandbox", "disabled"), ("production", "disabled")}),
        (row("sandbox", "active", 1, "active", "not-promoted"), {("sandbox", "enabled")}),
        (row("sandbox", "draft", 1, "draft", "not-promoted"), {("sandbox", "draft")}),
        (row("sandbox", "odd", 1), {("sandbox", "other")}),
        (row("elsewhere", "enabled", 1), {("other", "enabled")}),
    ],
)
def test_policy_counts_in_each_environment_by_its_status_there(given, counted):
    """P5, P12: promoted, switched off as a whole by PUT, policies as code; parity reads the same function."""
    found = {labels for labels, count in count_policies([given]).items() if count}
    assert found == counted


async def test_texts_that_may_not_be_read_leave_their_number_absent():
    sql = FakeSql(answers())
    assert "controlcore_policies_enabled_without_rego" not in samples(await collect(sql))
    assert not [text for text, _ in sql.asked if "btrim" in text]


async def test_texts_that_may_be_read_are_counted_where_they_are_empty():
    sql = FakeSql(answers(has_column_privilege=[{"may_read": True}]))
    assert value(await collect(sql), "controlcore_policies_enabled_without_rego") == 3


async def test_no_policies_are_known_zeros():
    families = await collect(FakeSql(answers(**{"GROUP BY": []})))
    assert value(families, "controlcore_policies", "production", "enabled") == 0


async def test_database_without_an_answer_raises_instead_of_publishing():
    with pytest.raises(TransientError):
        await collect(FakeSql(answers(**{"GROUP BY": TransientError(Reason.TIMEOUT, "frozen")})))


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PoliciesCollector.open(PoliciesSettings(), make_sources()):
            pass
