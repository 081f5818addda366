from __future__ import annotations

import asyncio
import json

import pytest

from chassis.errors import Reason, TransientError
from chassis.http.call import Response
from exporter.collector import NotConfiguredError
from exporter.collectors.policy_engine.bouncer_caches import BouncerCachesCollector, BouncerCachesSettings, read_sizes
from exporter.items import Loss, counting
from exporter.settings import BouncerTarget, ExporterSettings, KubernetesSettings
from tests.fakes.sources import FakeHttp, FakeKubernetes, expose, golden, make_sources, samples, value

SANDBOX, PRODUCTION = "http://sandbox:8080/api/v1/metrics", "http://production:8080/api/v1/metrics"
PODS = "/api/v1/namespaces/controlcore/pods"
RUNNING, ENTRIES = "controlcore_bouncers_running", "controlcore_bouncer_decision_cache_entries"
SETTINGS = ExporterSettings(
    bouncers=(
        BouncerTarget(name="b-sandbox", url="http://sandbox:8080", environment="sandbox"),
        BouncerTarget(name="b-production", url="http://production:8080/"),
    ),
    kubernetes=KubernetesSettings(),
)
BODY = {
    "policy_cache": {"size": 3, "max_size": 1000, "ttl": "5m0s", "total_access": 9, "expired_count": 1},
    "decision_cache": {"size": 60_000},
    "bouncer": {"uptime": "53ns"},
}
DOWN = TransientError(Reason.REFUSED, "down")


def answer(body=BODY, status=200):
    return Response(status, json.dumps(body).encode(), 0.01)


async def collect(sandbox=None, production=None, settings=None, **parts):
    http = FakeHttp({SANDBOX: sandbox or answer(), PRODUCTION: production or answer()})
    sources = make_sources(SETTINGS, http=http, **parts)
    async with BouncerCachesCollector.open(settings or BouncerCachesSettings(), sources) as collector:
        return await collector.collect(), http


async def test_caches_give_the_golden_page():
    result, _ = await collect()
    assert expose(result.families) == golden("bouncer_caches")
    assert result.failure is None


async def test_bouncer_that_is_down_is_no_failure_and_not_running():
    result, _ = await collect(production=DOWN)
    assert result.failure is None
    assert samples(result.families)[RUNNING] == {("sandbox",): 1, ("production",): 0}
    assert value(result.families, ENTRIES, "b-production") is None


async def test_build_without_the_endpoint_runs_and_has_no_caches():
    result, _ = await collect(production=answer(status=404))
    assert result.failure is None
    assert value(result.families, RUNNING, "production") == 1
    assert value(result.families, ENTRIES, "b-production") is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (answer(status=401), Reason.AUTH),
        (answer([1]), Reason.MALFORMED),
        (answer({"decision_cache": {"size": "many"}}), Reason.MALFORMED),
        (Response(200, b"<html>", 0.01), Reason.MALFORMED),
    ],
)
async def test_answer_that_says_nothing_of_caches_fails_and_the_bouncer_runs(given, reason):
    result, _ = await collect(production=given)
    assert result.failure.reason is reason
    assert value(result.families, RUNNING, "production") == 1
    assert value(result.families, ENTRIES, "b-sandbox") == 60_000


@pytest.mark.parametrize("size", [-1, True, 1.5, None, "3", [], {}])
def test_size_that_is_no_count_is_left_out_alone(size):
    """P1."""
    with counting() as losses:
        found = read_sizes(answer(BODY | {"decision_cache": {"size": size}}))
    assert len(found) == 2
    assert losses.dropped == {Loss.MALFORMED: 1}


async def test_key_goes_to_its_own_bouncer_only(tmp_path):
    file = tmp_path / "key"
    file.write_text("made-up\n")
    _, http = await collect(settings=BouncerCachesSettings(key_files={"b-production": file}))
    assert {call.url: dict(call.headers) for call in http.calls} == {
        SANDBOX: {},
        PRODUCTION: {"Authorization": "Bearer made-up"},
    }


async def test_key_that_cannot_be_read_is_a_failure_and_nothing_is_sent(tmp_path):
    settings = BouncerCachesSettings(key_files={"b-production": tmp_path / "missing"})
    result, http = await collect(settings=settings)
    assert result.failure.reason is Reason.AUTH
    assert [call.url for call in http.calls] == [SANDBOX]
    assert samples(result.families)[RUNNING] == {("sandbox",): 1}, "nobody knows of the other"


async def test_pods_are_counted_where_a_selector_is_configured():
    pods = [
        {"metadata": {}, "status": {"phase": "Running"}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}},
        {"metadata": {}, "status": {"phase": "Pending"}},
        {"metadata": {}},
    ]
    kubernetes = FakeKubernetes({PODS: pods})
    settings = BouncerCachesSettings(pod_selectors={"production": "app=bouncer"})
    result, _ = await collect(production=DOWN, settings=settings, kubernetes=kubernetes)
    assert samples(result.families)[RUNNING] == {("sandbox",): 1, ("production",): 1}
    assert kubernetes.selectors == {PODS: "app=bouncer"}


async def test_pods_that_cannot_be_listed_leave_their_number_absent():
    settings = BouncerCachesSettings(pod_selectors={"production": "app=bouncer"})
    result, _ = await collect(settings=settings, kubernetes=FakeKubernetes({}))
    assert result.failure.reason is Reason.MISSING
    assert samples(result.families)[RUNNING] == {("sandbox",): 1}


async def test_bouncer_not_asked_in_time_is_unknown():
    class Hanging(FakeHttp):
        async def send(self, call):
            if call.url == PRODUCTION:
                await asyncio.Event().wait()
            return await super().send(call)

    sources = make_sources(SETTINGS, http=Hanging({SANDBOX: answer()}))
    async with BouncerCachesCollector.open(BouncerCachesSettings(timeout_seconds=1.01), sources) as collector:
        result = await collector.collect()
    assert result.failure.reason is Reason.TIMEOUT
    assert samples(result.families)[RUNNING] == {("sandbox",): 1}
    assert value(result.families, ENTRIES, "b-sandbox") == 60_000


async def test_no_bouncer_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with BouncerCachesCollector.open(BouncerCachesSettings(), make_sources()):
            pass
