from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.kubernetes.bluegreen import BluegreenCollector, BluegreenSettings
from exporter.settings import ExporterSettings, KubernetesSettings
from tests.fakes.sources import FakeKubernetes, expose, golden, make_sources, samples, value

SERVICES, PODS = "/api/v1/namespaces/controlcore/services", "/api/v1/namespaces/controlcore/pods"
COLOUR, READY = "controlcore_service_active_colour", "controlcore_service_ready_pods"
SELECTED = "controlcore_service_selected_pods"


def service(**selector):
    return {"spec": {"selector": selector}}


def pod(status="True", **metadata):
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": status}]}}


async def collect(objects, **settings):
    client = FakeKubernetes({PODS: [pod(), pod("False"), pod(deletionTimestamp="now"), {}], **objects})
    sources = make_sources(ExporterSettings(kubernetes=KubernetesSettings()), kubernetes=client)
    async with BluegreenCollector.open(BluegreenSettings(**settings), sources) as collector:
        return await collector.collect(), client


async def test_green_service_gives_the_golden_page():
    result, client = await collect({f"{SERVICES}/control-plane-api": service(version="green", app="api")})
    assert expose(result.families) == golden("bluegreen")
    assert client.selectors[PODS] == "app=api,version=green"


@pytest.mark.parametrize(
    ("selector", "colour"),
    [({"app": "api"}, "none"), ({"version": "blue"}, "blue"), ({"version": "v2"}, "other"), ({}, "none")],
)
async def test_colour_is_of_a_closed_set(selector, colour):
    result, _ = await collect({f"{SERVICES}/control-plane-api": service(**selector)})
    assert value(result.families, COLOUR, "control-plane-api", colour) == 1
    assert sum(samples(result.families)[COLOUR].values()) == 1


async def test_service_whose_endpoints_are_kept_by_hand_has_no_count_of_pods():
    result, _ = await collect({f"{SERVICES}/control-plane-api": {"spec": {}}})
    assert READY not in samples(result.families)


async def test_service_that_does_not_exist_is_absent_and_no_failure():
    result, _ = await collect({f"{SERVICES}/api": service(app="api")}, services=("api", "typo"))
    assert {name for name, _ in samples(result.families)[COLOUR]} == {"api"}
    assert result.failure is None


async def test_service_that_may_not_be_read_is_a_failure_and_the_other_is_known():
    objects = {f"{SERVICES}/api": service(app="api"), f"{SERVICES}/ui": PermanentError(Reason.PERMISSION, "403")}
    result, _ = await collect(objects, services=("api", "ui"))
    assert {name for name, _ in samples(result.families)[COLOUR]} == {"api"}
    assert result.failure.reason is Reason.PERMISSION


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
async def test_pod_that_is_over_is_not_selected(phase):
    """R8: a leftover evicted pod kept the alert of a Service that selects nothing silent."""
    over = {"metadata": {}, "status": {"phase": phase, "reason": "Evicted"}}
    result, _ = await collect({f"{SERVICES}/control-plane-api": service(app="api"), PODS: [over, over]})
    assert value(result.families, SELECTED, "control-plane-api") == 0
    result, _ = await collect({f"{SERVICES}/control-plane-api": service(app="api"), PODS: [over, {"status": [1]}]})
    assert value(result.families, SELECTED, "control-plane-api") == 1, "an unreadable pod may be selected"


async def test_pods_that_cannot_be_listed_leave_the_colour_known():
    result, _ = await collect(
        {f"{SERVICES}/control-plane-api": service(app="api"), PODS: TransientError(Reason.TIMEOUT, "no answer")}
    )
    assert (COLOUR in samples(result.families), READY in samples(result.families)) == (True, False)
    assert result.failure.reason is Reason.TIMEOUT


async def test_cluster_without_an_answer_raises():
    with pytest.raises(TransientError):
        await collect({f"{SERVICES}/control-plane-api": TransientError(Reason.REFUSED, "down")})


async def test_no_cluster_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with BluegreenCollector.open(BluegreenSettings(), make_sources()):
            pass


async def test_service_that_cannot_be_read_is_dropped_and_the_other_is_known():
    """P1: each form costs itself only."""
    for bad in ({"spec": [1]}, {"spec": {"selector": [1]}}, {"spec": {"selector": {"app": None}}}, {"spec": "x"}):
        result, _ = await collect(
            {f"{SERVICES}/api": service(app="api"), f"{SERVICES}/ui": bad}, services=("api", "ui")
        )
        assert {name for name, _ in samples(result.families)[COLOUR]} == {"api"}


async def test_pods_of_which_none_can_be_read_are_not_called_none_ready():
    result, _ = await collect({f"{SERVICES}/api": service(app="api"), PODS: [{"status": 7}]}, services=("api",))
    assert READY not in samples(result.families)
    result, _ = await collect({f"{SERVICES}/api": service(app="api"), PODS: [{"status": 7}, pod()]}, services=("api",))
    assert value(result.families, READY, "api") == 1
