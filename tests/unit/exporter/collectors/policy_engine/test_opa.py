from __future__ import annotations

import json

import pytest

from chassis.errors import Reason, TransientError
from chassis.http.call import Response
from exporter.collector import NotConfiguredError
from exporter.collectors.policy_engine.opa import OpaCollector, OpaSettings
from exporter.items import Loss, counting
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.sources import FakeHttp, expose, golden, make_sources, samples, value

OPA = "http://opa:8181"
UP, READY = "controlcore_opa_up", "controlcore_opa_policies_ready"
DECISIONS = "controlcore_opa_decisions_total"
ACTIVATION = "controlcore_opa_bundle_last_activation_timestamp_seconds"
PAGE = b"""# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{code="200",handler="v1/data",method="post",le="0.001"} 7
http_request_duration_seconds_bucket{code="200",handler="v1/data",method="post",le="0.01"} 9
http_request_duration_seconds_bucket{code="200",handler="v1/data",method="post",le="+Inf"} 10
http_request_duration_seconds_sum{code="200",handler="v1/data",method="post"} 0.75
# TYPE plugin_status_gauge gauge
plugin_status_gauge{name="status",status="OK"} 1
# TYPE last_success_bundle_activation gauge
last_success_bundle_activation{name="authz"} 1.7e+18
bundle_failed_load_counter{name="authz",code="a",message="b"} 2
"""


def say(body, status=200):
    return Response(status, body if isinstance(body, bytes) else json.dumps(body).encode(), 0.001)


def engine(health=None, metrics=None, ready=None):
    return FakeHttp(
        {
            f"{OPA}/health": health or say({}),
            f"{OPA}/metrics": metrics or say(PAGE),
            f"{OPA}/v1/data/system/opal/ready": ready or say({"result": True}),
        }
    )


async def collect(http):
    targets = (
        BouncerTarget(name="b-production", url="http://b:8080", opa_url=f"{OPA}/"),
        BouncerTarget(name="b-plain", url="http://c:8080"),
    )
    sources = make_sources(ExporterSettings(bouncers=targets), http=http)
    async with OpaCollector.open(OpaSettings(), sources) as collector:
        return await collector.collect()


async def test_working_engine_gives_the_golden_page():
    result = await collect(engine())
    assert expose(result.families) == golden("opa")
    assert result.failure is None


async def test_activation_in_the_future_is_unknown_and_counted():
    """X6: the clock of the engine's machine, or a forged page."""
    page = PAGE + b'last_success_bundle_activation{name="ahead"} 9.9e+18\n'
    with counting() as losses:
        result = await collect(engine(metrics=say(page)))
    assert {labels[1] for labels in samples(result.families)[ACTIVATION]} == {"authz"}
    assert losses.dropped == {Loss.FUTURE: 1}
    assert result.failure is None


async def test_engine_that_is_down_is_a_finding_and_its_page_unknown():
    result = await collect(engine(health=TransientError(Reason.REFUSED, "down")))
    assert samples(result.families) == {UP: {("b-production",): 0.0}}
    assert result.failure is None


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        (say(b"<html>"), Reason.MALFORMED),
        (say(b"", 500), Reason.HTTP_5XX),
        (TransientError(Reason.TIMEOUT, "no answer"), Reason.TIMEOUT),
    ],
)
async def test_page_that_cannot_be_read_is_absent_and_the_failure(metrics, reason):
    result = await collect(engine(metrics=metrics))
    assert value(result.families, UP, "b-production") == 1
    assert DECISIONS not in samples(result.families)
    assert result.failure.reason is reason


@pytest.mark.parametrize(
    ("answer", "expected"),
    [({"result": False}, 0), ({"result": True}, 1), ({}, None), ({"result": "yes"}, None), ([], None)],
)
async def test_readiness_is_what_opal_says_or_unknown(answer, expected):
    result = await collect(engine(ready=say(answer)))
    assert value(result.families, READY, "b-production") == expected
    assert result.failure is None


async def test_no_engine_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with OpaCollector.open(OpaSettings(), make_sources()):
            pass


async def test_health_has_a_deadline_of_its_own():
    http = engine()
    await collect(http)
    deadlines = {call.url.removeprefix(OPA): call.timeout_seconds for call in http.calls}
    assert deadlines["/health"] == OpaSettings().health_timeout_seconds
    assert deadlines["/metrics"] == OpaSettings().request_timeout_seconds
