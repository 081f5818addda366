from __future__ import annotations

import pytest

from chassis.errors import PermanentError
from chassis.http.call import Call
from chassis.http.client import HttpClient
from exporter.collectors.policy_engine.policy_parity import PolicyParityCollector, PolicyParitySettings
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.sources import make_sources, value
from tools.servers.opa import OpaServer
from tools.slowness import scaled

REGO = "package enabled.{name}\n\nallow := true\n"


@pytest.fixture
def opa():
    with OpaServer() as server:
        yield server


async def collect(product, opa):
    target = BouncerTarget(name="b", url="http://127.0.0.1:9", environment="production", opa_url=opa.url)
    async with product.session() as session, HttpClient.opened() as http:
        sources = make_sources(ExporterSettings(bouncers=(target,)), postgres=session, http=http)
        patient = PolicyParitySettings(request_timeout_seconds=scaled(5), query_timeout_seconds=scaled(3))
        async with PolicyParityCollector.open(patient, sources) as collector:
            result = await collector.collect()
    assert result.failure is None
    return {name: value(result.families, f"controlcore_{name}", "b") for name in NAMES}


NAMES = ("policy_parity", "policies_expected", "policies_present", "policies_missing", "policies_withdrawn_present")


async def test_engine_follows_what_is_put_into_it(product, opa):
    """The policies canary and orders-write are enabled in production; orders-delete is not."""
    assert list((await collect(product, opa)).values()) == [0, 2, 0, 2, 0]
    for name in ("canary", "orders-write"):
        opa.put_policy(f"enabled/{name}.rego", REGO.format(name=name.replace("-", "_")))
    assert list((await collect(product, opa)).values()) == [1, 2, 2, 0, 0]
    opa.put_policy("enabled/orders-delete.rego", REGO.format(name="orders_delete"))
    assert list((await collect(product, opa)).values()) == [0, 2, 3, 0, 1]


async def test_policy_switched_off_in_the_database_is_withdrawn(product, opa):
    for name in ("canary", "orders-write"):
        opa.put_policy(f"enabled/{name}.rego", REGO.format(name=name.replace("-", "_")))
    product.run("UPDATE policies SET production_status = 'disabled' WHERE name = 'canary'")
    assert (await collect(product, opa))["policies_withdrawn_present"] == 1


async def test_engine_with_nothing_but_opals_health_check_holds_no_policy(product, opa):
    """OPAL puts it there with OPAL_OPA_HEALTH_CHECK_POLICY_ENABLED, under this id."""
    opa.put_policy("engine/healthcheck/opal.rego", "package system.opal\n\ndefault ready := false\n")
    assert list((await collect(product, opa)).values()) == [0, 2, 0, 2, 0]


async def test_policy_that_was_deleted_is_still_held(product, opa):
    """DELETE /policies/{id} of the 2025.10 product deletes the row and leaves the file policy_ID.rego."""
    for number in enabled_ids(product):
        opa.put_policy(f"policies/o/production/enabled/policy_{number}.rego", REGO.format(name=f"policy_{number}"))
    assert list((await collect(product, opa)).values()) == [1, 2, 2, 0, 0]
    product.run("DELETE FROM policies WHERE name = 'canary'")
    assert list((await collect(product, opa)).values()) == [0, 1, 2, 0, 1]


async def test_policy_for_the_resource_of_another_bouncer_is_not_expected(product, opa):
    """The product filters each bouncer's policies by the name of its own resource."""
    product.run("INSERT INTO peps (name, bouncer_id, environment) VALUES ('b', 'b', 'production')")
    product.run(
        "INSERT INTO protected_resources (name, url, bouncer_id) SELECT 'orders', '', id FROM peps WHERE name = 'b'"
    )
    assert (await collect(product, opa))["policies_expected"] == 2
    product.run(
        "UPDATE protected_resources SET name = 'bills' WHERE bouncer_id IN (SELECT id FROM peps WHERE name = 'b')"
    )
    assert list((await collect(product, opa)).values()) == [1, 0, 0, 0, 0]
    product.run("REVOKE SELECT (resource_id) ON policies FROM cc_exporter")
    assert (await collect(product, opa))["policies_expected"] == 2


def enabled_ids(product):
    return [row[0] for row in product.run("SELECT id FROM policies WHERE production_status = 'enabled'")]


async def test_large_and_deep_policies_of_an_engine_are_read(product, opa):
    """R10: more than 4 MiB of syntax trees, one of them nested deeper than 64 levels."""
    rules = "".join(f'r{number} := "x"\n' for number in range(1_500))
    for number in range(16):
        opa.put_policy(f"lib/large{number}.rego", f"package lib.large{number}\n\n{rules}")
    opa.put_policy("lib/deep.rego", f"package lib.deep\n\nx := {'[' * 60}{']' * 60}\n")
    for name in ("canary", "orders-write"):
        opa.put_policy(f"enabled/{name}.rego", REGO.format(name=name.replace("-", "_")))
    async with HttpClient.opened() as http:
        with pytest.raises(PermanentError, match="larger than 4194304 bytes"):
            await http.send(Call(f"{opa.url}/v1/policies", scaled(5.0)))
    assert list((await collect(product, opa)).values()) == [1, 2, 19, 0, 0]
