"""The cluster of the test bench is a real Kubernetes: rollouts, rights, validation, metrics, autoscaling."""

from __future__ import annotations

import socket

import pytest

from tests.fakes.waiting import wait_for
from tools.servers.kubernetes.client import ApiError, Manifest
from tools.servers.kubernetes.cluster import MARKER_PATH, use_existing_cluster
from tools.servers.process import ServerError

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
        - name: web
          image: web:1
          resources: {{requests: {{cpu: 100m}}}}
"""
AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: {namespace}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  minReplicas: 3
  maxReplicas: 5
  metrics:
    - type: Resource
      resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 70}}}}
"""


def test_cluster_rolls_out_and_restarts(cluster, namespace):
    cluster.apply(DEPLOYMENT.format(namespace=namespace))
    cluster.wait_rolled_out(namespace, "web")
    before = _pods(cluster, namespace)

    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    cluster.client.patch(path, {"spec": {"template": {"metadata": {"annotations": {"restarted": "once"}}}}})
    cluster.wait_rolled_out(namespace, "web")

    after = _pods(cluster, namespace)
    assert len(before) == len(after) == 3
    assert before.isdisjoint(after)


def test_cluster_pod_addresses_can_be_bound(cluster, namespace):
    cluster.apply(DEPLOYMENT.format(namespace=namespace))
    cluster.wait_rolled_out(namespace, "web")
    addresses = [pod["status"]["podIP"] for pod in cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")]
    assert len(set(addresses)) == 3
    for address in addresses:
        with socket.create_server((address, 0)):
            pass


def test_cluster_service_account_has_only_the_rights_of_its_role(cluster, namespace):
    cluster.apply(
        f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: reader, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reader, namespace: {namespace}}}
rules: [{{apiGroups: [""], resources: [pods], verbs: [list]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: reader, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}}
subjects: [{{kind: ServiceAccount, name: reader, namespace: {namespace}}}]
"""
    )
    client = cluster.client_for(namespace, "reader")
    wait_for(lambda: _is_allowed(client, f"/api/v1/namespaces/{namespace}/pods"), 5.0)
    with pytest.raises(ApiError, match="403 Forbidden"):
        client.get(f"/api/v1/namespaces/{namespace}/secrets")
    kubeconfig = cluster.kubeconfig_for(namespace, "reader")
    assert "token" in kubeconfig.read_text()
    assert kubeconfig.stat().st_mode & 0o077 == 0


def test_cluster_dry_run_validates_and_stores_nothing(cluster, namespace):
    text = DEPLOYMENT.format(namespace=namespace)
    cluster.apply(text, is_dry_run=True)
    assert cluster.client.items(f"/apis/apps/v1/namespaces/{namespace}/deployments") == []
    with pytest.raises(ApiError, match="replicaz"):
        cluster.apply(text.replace("replicas", "replicaz"), is_dry_run=True)


def test_cluster_without_the_marker_is_not_used(cluster, tmp_path):
    """A kubeconfig may be anybody's production: only the marker object makes a cluster ours."""
    cluster.client.delete(MARKER_PATH)
    with pytest.raises(ServerError, match="controlcore-test-cluster"):
        use_existing_cluster(cluster.kubeconfig_path, tmp_path)

    cluster.client.post(MARKER_PATH.rpartition("/")[0], {"metadata": {"name": "controlcore-test-cluster"}})
    assert use_existing_cluster(cluster.kubeconfig_path, tmp_path).server == cluster.server
    cluster.client.delete(MARKER_PATH)


def test_hpa_scales_to_its_maximum_and_says_so(cluster, namespace, metrics_api):
    """95 % of the request against a target of 70 %: first more replicas, then ScalingLimited at the maximum."""
    cluster.apply(DEPLOYMENT.format(namespace=namespace))
    cluster.wait_rolled_out(namespace, "web")
    cluster.apply(AUTOSCALER.format(namespace=namespace))
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/web"

    def is_at_maximum(autoscaler: Manifest) -> bool:
        pods = cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")
        names = [pod["metadata"]["name"] for pod in pods]
        metrics_api.set_usage(namespace, dict.fromkeys(names, 95.0))
        return _condition(autoscaler, "ScalingLimited") == ("True", "TooManyReplicas")

    autoscaler = cluster.wait_for(path, is_at_maximum, 60.0)
    assert autoscaler["status"]["desiredReplicas"] == 5
    assert _condition(autoscaler, "ScalingActive")[0] == "True"
    cluster.wait_for(
        f"/apis/apps/v1/namespaces/{namespace}/deployments/web", lambda d: d["status"].get("readyReplicas") == 5
    )


def test_metrics_are_selected_by_label_and_absent_when_unknown(cluster, namespace, metrics_api):
    for name in ("web", "idle"):
        cluster.apply(DEPLOYMENT.format(namespace=namespace).replace("web", name))
        cluster.wait_rolled_out(namespace, name)
    pods = cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")
    web = sorted(pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"]["app"] == "web")
    idle = sorted({pod["metadata"]["name"] for pod in pods} - set(web))
    metrics_api.set_usage(namespace, {web[0]: 250.0, web[1]: 0.0, idle[0]: 70.0})

    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
    figures = {
        found["metadata"]["name"]: found["containers"][0]["usage"]["cpu"]
        for found in cluster.client.items(f"{path}?labelSelector=app%3Dweb")
    }
    assert figures == {web[0]: "250000000n", web[1]: "0n"}
    assert len(cluster.client.items(path)) == 3
    with pytest.raises(ApiError, match="404 NotFound"):
        cluster.client.get(f"{path}/{web[2]}")


def _pods(cluster, namespace: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")}


def _condition(autoscaler: Manifest, kind: str) -> tuple[str, str] | None:
    for condition in autoscaler.get("status", {}).get("conditions", []):
        if condition["type"] == kind:
            return condition["status"], condition["reason"]
    return None


def _is_allowed(client, path: str) -> bool:
    """The authorizer learns of a new binding a moment after it is stored."""
    try:
        client.get(path)
    except ApiError as error:
        if error.code != 403:
            raise
        return False
    return True
