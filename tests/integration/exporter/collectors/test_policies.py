from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason
from exporter.collectors.product_tables.policies import PoliciesCollector, PoliciesSettings
from tests.fakes.sources import make_sources, samples, value

POLICIES, WITHOUT_REGO = "controlcore_policies", "controlcore_policies_enabled_without_rego"


async def collect(product):
    async with (
        product.session() as session,
        PoliciesCollector.open(PoliciesSettings(), make_sources(postgres=session)) as collector,
    ):
        return (await collector.collect()).families


async def test_policies_are_counted_by_environment_and_status(product):
    families = await collect(product)
    assert {labels: count for labels, count in samples(families)[POLICIES].items() if count} == {
        ("production", "enabled"): 2,
        ("sandbox", "disabled"): 1,
        ("sandbox", "draft"): 1,
        ("sandbox", "enabled"): 3,
    }
    assert value(families, "controlcore_policies_promotion_drift") == 0


async def test_promoted_policy_counts_in_both_environments(product):
    """P5: the product writes environment 'both', and production was 0 for ever."""
    product.run("UPDATE policies SET environment = 'both' WHERE name IN ('canary', 'orders-write')")
    families = await collect(product)
    assert value(families, POLICIES, "production", "enabled") == 2
    assert value(families, POLICIES, "sandbox", "enabled") == 3
    assert not any(count for (environment, _), count in samples(families)[POLICIES].items() if environment == "other")


async def test_promoted_policy_that_is_off_in_production_drifts(product):
    product.run("UPDATE policies SET production_status = 'disabled' WHERE name = 'canary'")
    assert value(await collect(product), "controlcore_policies_promotion_drift") == 1


async def test_enabled_policies_without_text_are_counted_once_the_text_may_be_read(product):
    product.run("UPDATE policies SET rego_code = ' ' WHERE name = 'canary'")
    assert value(await collect(product), WITHOUT_REGO) is None
    product.run("GRANT SELECT (rego_code) ON policies TO cc_exporter")
    assert value(await collect(product), WITHOUT_REGO) == 1


async def test_text_of_policies_is_out_of_reach_of_the_role(product):
    async with product.session() as session:
        with pytest.raises(PermanentError) as caught:
            await session.fetch("SELECT rego_code FROM policies", timeout_seconds=3)
    assert caught.value.reason is Reason.PERMISSION
