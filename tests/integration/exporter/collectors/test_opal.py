from __future__ import annotations

import asyncio

import pytest

from chassis.http.client import HttpClient
from exporter.collectors.policy_engine.opal import OpalCollector, OpalSettings
from tests.fakes.sources import make_sources, value
from tools.slowness import scaled
from tools.standin.running import Options, running_standin

pytestmark = pytest.mark.timeout(60)

UP, STATISTICS = "controlcore_opal_up", "controlcore_opal_statistics_enabled"
CLIENTS, BROADCASTER = "controlcore_opal_server_clients", "controlcore_opal_broadcaster_failing"
ONLINE, READY = "controlcore_opal_client_online", "controlcore_opal_client_ready"
CLIENT_UP = "controlcore_opal_client_up"


async def collect(standin):
    settings = OpalSettings(
        request_timeout_seconds=scaled(0.5),
        server_url=standin.opal_server_url,
        clients=({"name": "opal-client", "url": standin.opal_client_url},),
    )
    async with HttpClient.opened() as http, OpalCollector.open(settings, make_sources(http=http)) as collector:
        return await collector.collect()


async def test_stock_bridge_is_up_and_its_clients_are_not_counted(standin):
    result = await collect(standin)
    assert (value(result.families, UP), value(result.families, STATISTICS)) == (1, 0)
    assert value(result.families, CLIENTS) is None
    assert [value(result.families, name, "opal-client") for name in (CLIENT_UP, ONLINE, READY)] == [1, 1, 1]
    assert result.failure is None


async def test_bridge_with_statistics_counts_its_clients(product, redis_url):
    options = Options(traffic_interval_seconds=0, is_opal_statistics_enabled=True)
    with running_standin(product.url, redis_url, options) as standin:
        result = await collect(standin)
    assert (value(result.families, STATISTICS), value(result.families, CLIENTS)) == (1, 1)


async def test_broken_broadcaster_and_client_without_policies_are_seen(standin):
    standin.fault("opal-server", "engine_error")
    standin.fault("opal-client", "engine_error", path="/ready")
    result = await collect(standin)
    assert (value(result.families, UP), value(result.families, BROADCASTER)) == (0, 1)
    assert (value(result.families, CLIENT_UP, "opal-client"), value(result.families, READY, "opal-client")) == (1, 0)


@pytest.mark.parametrize("fault", ["hang", "refuse", "5xx", "wrong_answer"])
async def test_server_in_trouble_leaves_the_clients_known(standin, fault):
    standin.fault("opal-server", fault)
    expected = 1 if fault == "wrong_answer" else 0
    result = await collect(standin)
    async with asyncio.timeout(scaled(5)):
        # A listener that is being closed may still take one connection.
        while value(result.families, UP) != expected:
            result = await collect(standin)
    assert value(result.families, STATISTICS) is None
    assert value(result.families, CLIENT_UP, "opal-client") == 1
