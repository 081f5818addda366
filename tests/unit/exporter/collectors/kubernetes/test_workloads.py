from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.kubernetes.workloads import WorkloadsCollector, WorkloadsSettings
from exporter.items import Loss, counting
from exporter.settings import ExporterSettings, KubernetesSettings
from exporter.sources.kept_state import KeptState
from tests.fakes.sources import FakeKubernetes, expose, golden, make_sources, samples, value

APPS = "/apis/apps/v1/namespaces/controlcore/deployments"
HPAS = "/apis/autoscaling/v2/namespaces/controlcore/horizontalpodautoscalers"
PODS = "/api/v1/namespaces/controlcore/pods"
USAGE = "/apis/metrics.k8s.io/v1beta1/namespaces/controlcore/pods"
CPU, DESIRED = "cpu_usage_percent", "controlcore_deployment_replicas_desired"


def deployment(name, replicas):
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}},
        "status": {
            "observedGeneration": 1,
            "availableReplicas": replicas,
            "readyReplicas": replicas,
            "updatedReplicas": replicas,
        },
    }


def cluster(**changes):
    limits = {"resources": {"limits": {"cpu": "500m"}}}
    return FakeKubernetes(
        {
            f"{APPS}/control-plane-api": deployment("control-plane-api", 2),
            f"{APPS}/control-plane-ui": deployment("control-plane-ui", 1),
            HPAS: [
                {
                    "metadata": {"name": "api-hpa"},
                    "spec": {
                        "scaleTargetRef": {"kind": "Deployment", "name": "control-plane-api"},
                        "minReplicas": 2,
                        "maxReplicas": 3,
                    },
                    "status": {
                        "currentReplicas": 2,
                        "desiredReplicas": 3,
                        "conditions": [
                            {"type": "ScalingActive", "status": "True"},
                            {"type": "ScalingLimited", "status": "False"},
                        ],
                    },
                }
            ],
            PODS: [{"metadata": {"name": name}, "spec": {"containers": [limits]}} for name in ("api-1", "api-2")],
            USAGE: [
                {"metadata": {"name": name}, "containers": [{"usage": {"cpu": cpu}}]}
                for name, cpu in (("api-1", "100m"), ("api-2", "450000000n"), ("another", "8"))
            ],
        }
        | changes
    )


async def collect(client, *workloads, kept=None, **settings):
    place = KubernetesSettings(workloads=workloads or ("control-plane-api",))
    sources = make_sources(ExporterSettings(kubernetes=place), kubernetes=client, kept=kept or KeptState())
    async with WorkloadsCollector.open(WorkloadsSettings(**settings), sources) as collector:
        return await collector.collect()


async def test_busy_workload_gives_the_golden_page():
    client = cluster()
    result = await collect(client)
    assert expose(result.families) == golden("workloads")
    assert result.failure is None
    assert client.selectors[PODS] == "app=control-plane-api"


async def test_restart_of_a_container_during_a_reload_is_counted():
    """P12."""
    kept = KeptState()
    for restarts in (3, 5):
        statuses = [{"name": "api", "restartCount": restarts}]
        pods = [{"metadata": {"name": "api-1", "uid": "u"}, "status": {"containerStatuses": statuses}}]
        result = await collect(cluster(**{PODS: pods}), kept=kept)
    assert value(result.families, "controlcore_container_restarts_total", "control-plane-api") == 2


async def test_guides_gauge_is_the_api_whatever_else_is_watched():
    result = await collect(cluster(), "control-plane-ui", "control-plane-api", api_workload="control-plane-api")
    assert value(result.families, CPU) == 90
    elsewhere = await collect(cluster(), "control-plane-api", api_workload="control-plane-ui")
    assert value(elsewhere.families, CPU) is None


async def test_cluster_without_a_metrics_server_has_no_usage_and_no_failure():
    result = await collect(cluster(**{USAGE: PermanentError(Reason.MISSING, "404")}))
    names = samples(result.families)
    assert not {CPU, "controlcore_workload_cpu_usage_cores", "controlcore_workload_cpu_usage_ratio"} & set(names)
    assert result.failure is None


async def test_metrics_server_that_is_down_is_a_failure_and_the_rest_is_known():
    result = await collect(cluster(**{USAGE: TransientError(Reason.HTTP_5XX, "503")}))
    assert DESIRED in samples(result.families)
    assert CPU not in samples(result.families)
    assert result.failure.reason is Reason.HTTP_5XX


async def test_missing_deployment_is_absent_and_named_as_the_failure():
    result = await collect(cluster(), "control-plane-api", "typo")
    assert samples(result.families)[DESIRED] == {("control-plane-api",): 2.0}
    assert result.failure.reason is Reason.MISSING


async def test_workload_without_an_autoscaler_has_no_autoscaler_values():
    result = await collect(cluster(), "control-plane-ui")
    assert "controlcore_hpa_replicas_max" not in samples(result.families)


async def test_autoscalers_that_may_not_be_listed_are_unknown():
    result = await collect(cluster(**{HPAS: PermanentError(Reason.PERMISSION, "403")}))
    assert "controlcore_hpa_at_max" not in samples(result.families)
    assert result.failure.reason is Reason.PERMISSION


async def test_cluster_without_any_answer_raises():
    down = TransientError(Reason.REFUSED, "down")
    client = FakeKubernetes({f"{APPS}/control-plane-api": down, HPAS: down, USAGE: down})
    with pytest.raises(TransientError):
        await collect(client)


async def test_autoscaler_without_its_fields_is_dropped_and_the_others_are_read():
    """P1: of another program in the same namespace."""
    client = cluster()
    client.objects[HPAS].insert(0, {"metadata": {}})
    with counting() as losses:
        result = await collect(client)
    assert value(result.families, "controlcore_hpa_replicas_max", "control-plane-api") == 3
    assert result.failure is None
    assert losses.dropped[Loss.MALFORMED] == 1


async def test_deployment_without_a_selector_does_not_get_the_pods_of_all():
    whole = cluster().objects[f"{APPS}/control-plane-api"]
    client = cluster(**{f"{APPS}/control-plane-api": whole | {"spec": {"replicas": 2, "selector": {}}}})
    result = await collect(client)
    assert samples(result.families)[DESIRED] == {("control-plane-api",): 2.0}
    assert PODS not in client.selectors


async def test_no_cluster_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with WorkloadsCollector.open(WorkloadsSettings(), make_sources()):
            pass
