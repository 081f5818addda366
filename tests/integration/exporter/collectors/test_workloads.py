from __future__ import annotations

import pytest

from chassis.errors import Reason
from chassis.kubernetes.client import KubernetesClient
from exporter.collectors.kubernetes.workloads import WorkloadsCollector, WorkloadsSettings
from exporter.settings import ExporterSettings, KubernetesSettings
from tests.fakes.sources import make_sources, samples, value
from tests.integration.exporter.collectors.accounts import ACCOUNT, account_for

API = "control-plane-api"
RATIO, CPU, AT_MAX = "controlcore_workload_cpu_usage_ratio", "cpu_usage_percent", "controlcore_hpa_at_max"
REPLICAS, ROLLOUT = "controlcore_deployment_replicas_", "controlcore_deployment_rollout_state"
ACTIVE, LIMITED = "controlcore_hpa_scaling_active", "controlcore_hpa_scaling_limited"


def workload(namespace, resources):
    labels = {"app": API}
    container = {"name": "api", "image": "registry.invalid/api:1", "resources": resources}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": API},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }


def autoscaler(namespace):
    target = {"type": "Utilization", "averageUtilization": 70}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": namespace, "name": "api-hpa"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": API},
            "minReplicas": 2,
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


@pytest.fixture
def deployed(cluster, namespace):
    """The API's Deployment with two running replicas, and an account that has the declared rights."""
    resources = {"limits": {"cpu": "500m"}, "requests": {"cpu": "250m"}}
    cluster.apply([workload(namespace, resources), *account_for(namespace, WorkloadsCollector)])
    cluster.wait_rolled_out(namespace, API)
    return namespace


async def collect(cluster, namespace, *workloads):
    place = KubernetesSettings(namespace=namespace, workloads=workloads or (API,))
    async with KubernetesClient.opened(cluster.kubeconfig_for(namespace, ACCOUNT)) as client:
        sources = make_sources(ExporterSettings(kubernetes=place), kubernetes=client)
        async with WorkloadsCollector.open(WorkloadsSettings(), sources) as collector:
            return await collector.collect()


def pod_names(cluster, namespace):
    return [item["metadata"]["name"] for item in cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")]


async def test_cluster_without_a_metrics_server_shows_replicas_and_no_usage(cluster, deployed):
    result = await collect(cluster, deployed)
    names = samples(result.families)
    assert {
        name.removeprefix(REPLICAS): values[(API,)] for name, values in names.items() if name.startswith(REPLICAS)
    } == {"desired": 2, "available": 2, "ready": 2, "updated": 2}
    assert not {CPU, RATIO} & set(names)
    assert value(result.families, ROLLOUT, API, "complete") == 1
    assert set(names["controlcore_containers_waiting"].values()) == {0.0}
    assert result.failure is None


async def test_paused_rollout_and_restarted_container_are_seen(cluster, deployed):
    name = pod_names(cluster, deployed)[0]
    path = f"/api/v1/namespaces/{deployed}/pods/{name}"
    place = KubernetesSettings(namespace=deployed, workloads=(API,))
    async with KubernetesClient.opened(cluster.kubeconfig_for(deployed, ACCOUNT)) as client:
        sources = make_sources(ExporterSettings(kubernetes=place), kubernetes=client)
        async with WorkloadsCollector.open(WorkloadsSettings(), sources) as collector:
            before = await collector.collect()
            statuses = cluster.client.get(path)["status"]["containerStatuses"]
            waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
            statuses = [{**item, "restartCount": 3, "state": waiting, "ready": False} for item in statuses]
            cluster.client.patch(f"{path}/status", {"status": {"containerStatuses": statuses}})
            deployment = f"/apis/apps/v1/namespaces/{deployed}/deployments/{API}"
            cluster.client.patch(deployment, {"spec": {"paused": True}})
            after = await collector.collect()
    restarts = "controlcore_container_restarts_total"
    assert (value(before.families, restarts, API), value(after.families, restarts, API)) == (0, 3)
    assert value(after.families, "controlcore_containers_waiting", API, "crash_loop") == 1
    assert (value(after.families, ROLLOUT, API, "complete"), value(after.families, ROLLOUT, API, "paused")) == (0, 1)


async def test_busiest_replica_is_measured_against_its_limit(cluster, deployed, metrics_api):
    first, second = pod_names(cluster, deployed)
    metrics_api.set_usage(deployed, {first: 100, second: 450})
    families = (await collect(cluster, deployed)).families
    assert value(families, RATIO, API, "limit") == pytest.approx(0.9)
    assert value(families, CPU) == pytest.approx(90)
    assert value(families, "controlcore_workload_cpu_usage_cores", API) == pytest.approx(0.55)


async def test_autoscaler_that_cannot_see_usage_is_not_active(cluster, deployed):
    cluster.apply([autoscaler(deployed)])
    path = f"/apis/autoscaling/v2/namespaces/{deployed}/horizontalpodautoscalers/api-hpa"
    cluster.wait_for(path, lambda found: _condition(found, "ScalingActive") == "False")
    families = (await collect(cluster, deployed)).families
    assert value(families, ACTIVE, API) == 0
    assert value(families, "controlcore_hpa_scaling_inactive", API, "no_resource_metric") == 1
    assert (value(families, "controlcore_hpa_replicas_max", API), value(families, AT_MAX, API)) == (3, None)


async def test_autoscaler_at_its_maximum_is_seen(cluster, deployed, metrics_api):
    cluster.apply([autoscaler(deployed)])
    path = f"/apis/autoscaling/v2/namespaces/{deployed}/horizontalpodautoscalers/api-hpa"

    def is_at_maximum(found):
        metrics_api.set_usage(deployed, dict.fromkeys(pod_names(cluster, deployed), 475))
        return found.get("status", {}).get("desiredReplicas") == 3 and _condition(found, "ScalingLimited") == "True"

    cluster.wait_for(path, is_at_maximum, 90.0)
    families = (await collect(cluster, deployed)).families
    assert (value(families, AT_MAX, API), value(families, ACTIVE, API), value(families, LIMITED, API)) == (1, 1, 1)
    assert value(families, CPU) == pytest.approx(95)


async def test_missing_deployment_is_named_and_the_other_is_known(cluster, deployed):
    result = await collect(cluster, deployed, API, "typo")
    assert samples(result.families)["controlcore_deployment_replicas_ready"] == {(API,): 2.0}
    assert result.failure.reason is Reason.MISSING


async def test_account_without_the_declared_rights_is_a_permission_failure(cluster, deployed):
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{deployed}/rolebindings/{ACCOUNT}"
    cluster.client.delete(role)
    with pytest.raises(Exception, match="403") as caught:
        await collect(cluster, deployed)
    assert caught.value.reason is Reason.PERMISSION


def _condition(autoscaler_object, kind):
    conditions = autoscaler_object.get("status", {}).get("conditions", [])
    return next((item["status"] for item in conditions if item["type"] == kind), None)
