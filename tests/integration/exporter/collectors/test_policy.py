from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chassis.clock import SystemClock
from chassis.http.client import HttpClient
from exporter.collectors.policy_engine.policy import PolicyCollector, PolicySettings
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.sources import make_sources, samples, value
from tools.servers.opa import OpaServer
from tools.slowness import scaled
from tools.standin.running import Options, running_standin

pytestmark = pytest.mark.timeout(60)

PRODUCTION = "bouncer-production"
UP, ENGINE = "controlcore_bouncer_up", "controlcore_policy_engine_up"
SUCCESS, RESULTS = "controlcore_policy_probe_success", "controlcore_policy_probe_results_total"
POLICY = Path(__file__).parents[4] / "tools" / "standin" / "policy" / "policy.rego"
STAGES = "controlcore_policy_probe_stage_seconds_total"
STAGE_ANSWERS = "controlcore_policy_probe_stage_answers_total"
MISMATCHES, GUIDE = "controlcore_policy_probe_mismatches_total", "policy_evaluation_duration_seconds"


@asynccontextmanager
async def opened(standin, opa_url=None):
    targets = tuple(
        BouncerTarget(name=name, url=url, environment=name.removeprefix("bouncer-"), opa_url=opa_url)
        for name, url in standin.bouncers.items()
    )
    async with HttpClient.opened() as http:
        sources = make_sources(ExporterSettings(bouncers=targets), http=http, clock=SystemClock())
        settings = PolicySettings(question_timeout_seconds=0.7 + scaled(0.25), health_timeout_seconds=scaled(0.5))
        async with PolicyCollector.open(settings, sources) as collector:
            yield collector


async def collect(standin, change=None):
    """One round; with a change a round before it and one after."""
    async with opened(standin) as collector:
        if change is not None:
            await collector.collect()
            change()
        return await collector.collect()


async def test_deciding_bouncers_answer_every_question_as_expected(standin):
    result = await collect(standin)
    assert samples(result.families)[SUCCESS] == {(PRODUCTION,): 1, ("bouncer-sandbox",): 1}
    for name in (PRODUCTION, "bouncer-sandbox"):
        assert value(result.families, RESULTS, name, "allow") == 1
        assert value(result.families, RESULTS, name, "deny") == 1
    assert 0 < value(result.families, GUIDE) < scaled(0.5)
    assert (result.components, result.failure) == ({"policy_engine": True}, None)


@pytest.mark.parametrize(
    ("fault", "label", "engine"),
    [("engine_error", "engine_error", 0), ("undefined", "undefined", 0), ("5xx", "malformed", None)],
)
async def test_fault_of_the_engine_is_told_by_its_own_name(standin, fault, label, engine):
    result = await collect(standin, lambda: standin.fault(PRODUCTION, fault, path="/api/v1/authorize"))
    assert value(result.families, RESULTS, PRODUCTION, label) == 2
    assert (value(result.families, ENGINE, PRODUCTION), value(result.families, SUCCESS, PRODUCTION)) == (engine, 0)
    assert value(result.families, UP, PRODUCTION, "production") == 1
    assert value(result.families, MISMATCHES, PRODUCTION) == 0
    assert value(result.families, ENGINE, "bouncer-sandbox") == 1


async def test_wrong_answers_are_mismatches_of_a_working_engine(standin):
    result = await collect(standin, lambda: standin.fault(PRODUCTION, "wrong_answer", path="/api/v1/authorize"))
    assert value(result.families, MISMATCHES, PRODUCTION) == 2
    assert (value(result.families, ENGINE, PRODUCTION), value(result.families, SUCCESS, PRODUCTION)) == (1, 0)
    assert result.components == {"policy_engine": True}


async def test_slow_engine_passes_the_guides_threshold_and_is_then_down(standin):
    standin.fault(PRODUCTION, "slow", delay_seconds=5, path="/api/v1/authorize")
    result = await collect(standin)
    assert value(result.families, RESULTS, PRODUCTION, "timeout") == 2
    assert value(result.families, GUIDE) == pytest.approx(0.7 + scaled(0.25)), "as long as the question was waited for"
    assert value(result.families, ENGINE, PRODUCTION) == 0
    assert result.components == {"policy_engine": False}


async def test_hanging_bouncer_leaves_its_engine_unknown(standin):
    standin.fault(PRODUCTION, "hang")
    result = await collect(standin)
    assert value(result.families, UP, PRODUCTION, "production") == 0
    assert value(result.families, ENGINE, PRODUCTION) is None
    assert result.components == {}


async def test_bouncer_that_ends_between_two_rounds_is_unreachable_and_comes_back(standin):
    async with opened(standin) as collector:
        await collector.collect()
        standin.programs[PRODUCTION].end()
        down = await collector.collect()
        standin.restart(PRODUCTION)
        up = await collector.collect()
    assert value(down.families, UP, PRODUCTION, "production") == 0
    assert value(down.families, RESULTS, PRODUCTION, "unreachable") == 2
    assert value(down.families, ENGINE, PRODUCTION) is None
    assert value(up.families, SUCCESS, PRODUCTION) == 1


async def test_real_engine_behind_the_bouncers_decides_and_tells_its_stages(product, redis_url):
    with (
        OpaServer() as opa,
        running_standin(product.url, redis_url, Options(traffic_interval_seconds=0, opa_url=opa.url)) as standin,
    ):
        opa.put_policy("enabled", POLICY.read_text(encoding="utf-8"))
        async with opened(standin, opa.url) as collector:
            first = await collector.collect()
            second = await collector.collect()
            opa.delete_policy("enabled")
            undefined = await collector.collect()
    assert samples(first.families)[SUCCESS] == {(PRODUCTION,): 1, ("bouncer-sandbox",): 1}
    assert value(second.families, STAGE_ANSWERS, PRODUCTION) == 2
    evaluation, whole = (
        value(second.families, STAGES, PRODUCTION, stage) for stage in ("query_eval", "server_handler")
    )
    assert 0 < evaluation < whole < 5
    assert value(undefined.families, RESULTS, PRODUCTION, "undefined") == 2
    assert value(undefined.families, ENGINE, PRODUCTION) == 0


async def test_canaries_write_no_row_into_the_audit_log(standin, product):
    before = product.run("SELECT count(*) FROM audit_logs")
    await collect(standin)
    assert product.run("SELECT count(*) FROM audit_logs") == before
