"""The guide's switch of a Service's selector, in a real cluster."""

from __future__ import annotations

import pytest

from exporter.collectors.kubernetes.bluegreen import BluegreenCollector, BluegreenSettings
from tests.fakes.sources import value
from tests.integration.exporter.collectors.accounts import account_for, sources_of

API = "control-plane-api"
COLOUR, READY = "controlcore_service_active_colour", "controlcore_service_ready_pods"
SELECTED = "controlcore_service_selected_pods"


def service(namespace):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": API},
        "spec": {"selector": {"app": API}, "ports": [{"port": 8000}]},
    }


def deployment(namespace):
    labels = {"app": API, "version": "blue"}
    containers = [{"name": "api", "image": "registry.invalid/api:1"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": API},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


@pytest.fixture
def deployed(cluster, namespace):
    cluster.apply([service(namespace), deployment(namespace), *account_for(namespace, BluegreenCollector)])
    cluster.wait_rolled_out(namespace, API)
    return namespace


async def collect(cluster, namespace):
    async with (
        sources_of(cluster, namespace) as sources,
        BluegreenCollector.open(BluegreenSettings(), sources) as collector,
    ):
        return await collector.collect()


async def test_switch_to_a_colour_that_lives_elsewhere_sends_traffic_nowhere(cluster, deployed):
    path = f"/api/v1/namespaces/{deployed}/services/{API}"
    before = await collect(cluster, deployed)
    cluster.client.patch(path, {"spec": {"selector": {"version": "blue"}}})
    blue = await collect(cluster, deployed)
    cluster.client.patch(path, {"spec": {"selector": {"version": "green"}}})
    green = await collect(cluster, deployed)
    found = [
        (value(result.families, COLOUR, API, colour), value(result.families, READY, API))
        for result, colour in ((before, "none"), (blue, "blue"), (green, "green"))
    ]
    assert found == [(1, 2), (1, 2), (1, 0)]
    assert [value(result.families, SELECTED, API) for result in (before, blue, green)] == [2, 2, 0]
