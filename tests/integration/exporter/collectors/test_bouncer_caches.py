from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from chassis.http.call import Call
from chassis.http.client import HttpClient
from exporter.collectors.policy_engine.bouncer_caches import BouncerCachesCollector, BouncerCachesSettings
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.sources import make_sources, samples, value
from tools.standin.running import Options, running_standin

RUNNING, ENTRIES = "controlcore_bouncers_running", "controlcore_bouncer_decision_cache_entries"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


@asynccontextmanager
async def asking(standin, **replaced):
    bouncers = tuple(
        BouncerTarget(name=name, url=replaced.get(name, url), environment=name.removeprefix("bouncer-"))
        for name, url in (standin.bouncers | replaced).items()
    )
    async with HttpClient.opened() as http:
        sources = make_sources(ExporterSettings(bouncers=bouncers), http=http)
        async with BouncerCachesCollector.open(BouncerCachesSettings(), sources) as collector:
            yield collector, http


@pytest.mark.parametrize(("caches", "entries"), [(False, 0), (True, 1)])
async def test_decisions_of_a_bouncer_fill_its_cache_if_it_caches(product, redis_url, caches, entries):
    """The 2025-10 product caches no decision that /authorize makes, and never fills its cache of policies."""
    options = Options(traffic_interval_seconds=0, do_bouncers_cache_decisions=caches)
    with running_standin(product.url, redis_url, options) as standin:
        await check_entries(standin, entries)


async def check_entries(standin, entries):
    async with asking(standin) as (collector, http):
        before = await collector.collect()
        question = {"user": {"id": "ada"}, "resource": {"id": "orders", "type": "api"}, "action": {"name": "read"}}
        url = standin.bouncers["bouncer-production"]
        await http.send(Call(f"{url}/api/v1/authorize", 2.0, method="POST", json=question))
        after = await collector.collect()
    assert (before.failure, after.failure) == (None, None)
    assert value(before.families, ENTRIES, "bouncer-production") == 0
    assert value(after.families, ENTRIES, "bouncer-production") == entries
    assert value(after.families, "controlcore_bouncer_policy_cache_entries", "bouncer-production") == 0


async def test_bouncer_that_is_away_does_not_run(standin):
    async with asking(standin, **{"bouncer-production": NOBODY}) as (collector, _):
        result = await collector.collect()
    assert samples(result.families)[RUNNING] == {("sandbox",): 1, ("production",): 0}
    assert result.failure is None
