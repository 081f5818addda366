from __future__ import annotations

from pathlib import Path

import pytest

from chassis.http.client import HttpClient
from exporter.collectors.policy_engine.opa import OpaCollector, OpaSettings
from exporter.metrics import Distribution
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.sources import make_sources, samples, value
from tools.servers.opa import OpaServer
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(60)

POLICY = Path(__file__).parents[4] / "tools" / "standin" / "policy" / "policy.rego"
OPAL_READY = "package system.opal\n\nready := true\n"
UP, READY = "controlcore_opa_up", "controlcore_opa_policies_ready"
DECISIONS, DURATION = "controlcore_opa_decisions_total", "controlcore_opa_decision_duration_seconds"


@pytest.fixture(scope="module")
def opa():
    with OpaServer({"enabled": POLICY.read_text(encoding="utf-8")}) as server:
        yield server


async def collect(opa):
    settings = ExporterSettings(bouncers=(BouncerTarget(name="b", url="http://127.0.0.1:9", opa_url=opa.url),))
    async with (
        HttpClient.opened() as http,
        OpaCollector.open(
            OpaSettings(request_timeout_seconds=scaled(0.5)), make_sources(settings, http=http)
        ) as collector,
    ):
        return await collector.collect()


def distribution(families) -> Distribution:
    return next(family.distributions[0] for family in families if family.metric.name == DURATION)


async def test_each_decision_of_a_real_engine_is_counted_once(opa):
    before = await collect(opa)
    for _ in range(5):
        opa.evaluate("enabled", {"user": {"id": "canary-allow"}})
    after = await collect(opa)
    assert value(after.families, UP, "b") == 1
    assert value(after.families, DECISIONS, "b", "2xx") - value(before.families, DECISIONS, "b", "2xx") == 5
    first, last = distribution(before.families), distribution(after.families)
    assert last.cumulative[-1] - first.cumulative[-1] == 5
    assert 0 < last.total - first.total < 10
    assert list(last.cumulative) == sorted(last.cumulative)


async def test_readiness_comes_from_opals_own_policy_in_the_engine(opa):
    assert READY not in samples((await collect(opa)).families)
    opa.put_policy("opal", OPAL_READY)
    assert value((await collect(opa)).families, READY, "b") == 1
    opa.delete_policy("opal")


async def test_frozen_engine_is_down_within_its_deadline(opa):
    opa.freeze()
    try:
        result = await collect(opa)
    finally:
        opa.thaw()
    assert samples(result.families) == {UP: {("b",): 0.0}}
    assert value((await collect(opa)).families, UP, "b") == 1
