"""The chart on a real API server: every object is accepted, and the Roles give what they should and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from remediations.core.policies.reader import parse_policies
from remediations.shipped import read_policies
from tests.fakes.chart import EXAMPLES, OPERATOR, read_example
from tools.chart import Manifest, find_object, render
from tools.servers.kubernetes.client import ApiError

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster

FULL_PATH = Path(__file__).parent / "full.values.yaml"
FULL = read_example(FULL_PATH)
SMALL: dict[str, Any] = {"remediator": {"tokenSecret": {"name": "webhook"}}}
OBSERVING: dict[str, Any] = {
    "remediator": {
        **SMALL["remediator"],
        "policies": {
            policy.name: {"mode": "observe"} for policy in parse_policies(read_policies(), "shipped").policies
        },
    }
}
MARK = {"metadata": {"annotations": {"controlcore.io/operation-id": "test"}}}

Install = Callable[[dict[str, Any]], list[Manifest]]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def installed(cluster: Cluster, namespace: str) -> Install:
    """Applies the chart's ServiceAccounts, Roles and RoleBindings, and the product's objects that they are about."""

    def install(values: dict[str, Any]) -> list[Manifest]:
        objects = render(values, "controlcore", namespace)
        rights = [item for item in objects if item["kind"] in {"ServiceAccount", "Role", "RoleBinding"}]
        cluster.apply(rights)
        cluster.apply([_deployment(name, namespace) for name in ("control-plane-api", "other")])
        cluster.apply([_autoscaler(name, namespace) for name in ("control-plane-api-hpa", "other-hpa")])
        return objects

    return install


@pytest.mark.parametrize("path", [FULL_PATH, *EXAMPLES], ids=lambda path: path.name)
def test_every_object_passes_the_api_servers_dry_run(cluster: Cluster, namespace: str, path: Path) -> None:
    """Server-side dry run: schema, defaulting and admission, everything but storing."""
    values = read_example(path)
    values["controlcore"] = {**values.get("controlcore", {}), "namespace": namespace}
    for policy in values.get("remediator", {}).get("policies", {}).values():
        for target in policy.get("targets", ()):
            target["namespace"] = target["namespace"].replace("controlcore", namespace)
    cluster_objects = [
        item
        for item in render(values, "controlcore", namespace)
        if item["metadata"].get("namespace") != "edge" and not item["apiVersion"].startswith(OPERATOR)
    ]
    answers = cluster.apply(cluster_objects, is_dry_run=True)
    assert len(answers) == len(cluster_objects)


def test_objects_for_another_namespace_stay_there(cluster: Cluster, namespace: str) -> None:
    foreign = [item for item in render(FULL, "controlcore", namespace) if item["metadata"].get("namespace") == "edge"]
    assert {item["kind"] for item in foreign} == {"Role", "RoleBinding"}
    for item in foreign:
        item["metadata"]["namespace"] = namespace
    assert len(cluster.apply(foreign, is_dry_run=True)) == len(foreign)


@pytest.mark.parametrize("part", ["exporter", "remediator"])
def test_pods_are_admitted_where_pod_security_is_restricted(
    cluster: Cluster, namespace: str, part: str, installed: Install
) -> None:
    objects = installed(SMALL)
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    cluster.client.patch(f"/api/v1/namespaces/{namespace}", restricted)
    template = find_object(objects, "Deployment", f"controlcore-{part}")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {**template["metadata"], "name": "tried", "namespace": namespace}
    (admitted,) = cluster.apply([pod], is_dry_run=True)
    assert admitted["spec"]["serviceAccountName"] == f"controlcore-{part}"
    pod["spec"] = {**pod["spec"], "securityContext": {}}
    with pytest.raises(ApiError, match="PodSecurity"):
        cluster.apply([pod], is_dry_run=True)


def test_the_exporter_reads_what_its_collectors_need_and_nothing_else(
    cluster: Cluster,
    namespace: str,
    installed: Install,
) -> None:
    installed(SMALL)
    client = cluster.client_for(namespace, "controlcore-exporter")
    apps, autoscaling, core = _places(namespace)
    client.get(f"{apps}/control-plane-api")
    client.items(autoscaling)
    client.items(f"{core}/pods")
    for path in (
        f"{apps}/other",
        apps,
        f"{autoscaling}/control-plane-api-hpa",
        f"{core}/secrets",
        f"{core}/configmaps",
    ):
        _refused(lambda path=path: client.get(path))
    _refused(lambda: client.get("/api/v1/namespaces/default/pods"))
    _refused(lambda: client.patch(f"{apps}/control-plane-api", MARK))


def test_the_remediator_changes_the_named_objects_and_no_others(
    cluster: Cluster,
    namespace: str,
    installed: Install,
) -> None:
    installed(SMALL)
    client = cluster.client_for(namespace, "controlcore-remediator")
    apps, autoscaling, core = _places(namespace)
    client.patch(f"{apps}/control-plane-api?dryRun=All", MARK)
    client.patch(f"{autoscaling}/control-plane-api-hpa", MARK)
    client.patch(f"{apps}/control-plane-api/scale?dryRun=All", {"spec": {"replicas": 2}})
    # The kind is not there, and that is what the answer says: not that looking is forbidden.
    keda = f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects"
    with pytest.raises(ApiError) as caught:
        client.items(keda)
    assert caught.value.code == 404
    _refused(lambda: client.get(f"{keda}/other"))
    for path in (autoscaling, f"{core}/pods", f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"):
        client.items(path)
    for path in (f"{apps}/other", f"{autoscaling}/other-hpa", f"{apps}/other/scale"):
        _refused(lambda path=path: client.patch(path, MARK))
    for path in (apps, f"{core}/secrets", f"{core}/configmaps", f"{core}/secrets/webhook"):
        _refused(lambda path=path: client.get(path))
    _refused(lambda: client.delete(f"{apps}/control-plane-api"))
    _refused(lambda: client.post(f"{core}/pods", {"metadata": {"name": "x"}}))


def test_where_every_policy_observes_nothing_can_be_written(
    cluster: Cluster,
    namespace: str,
    installed: Install,
) -> None:
    installed(OBSERVING)
    client = cluster.client_for(namespace, "controlcore-remediator")
    apps, autoscaling, _ = _places(namespace)
    client.get(f"{apps}/control-plane-api")
    _refused(lambda: client.patch(f"{apps}/control-plane-api?dryRun=All", MARK))
    _refused(lambda: client.patch(f"{autoscaling}/control-plane-api-hpa?dryRun=All", MARK))
    _refused(lambda: client.patch(f"{apps}/control-plane-api/scale?dryRun=All", {"spec": {"replicas": 2}}))


def _places(namespace: str) -> tuple[str, str, str]:
    """Collections: Deployments, HorizontalPodAutoscalers, and the core group's root."""
    return (
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
        f"/api/v1/namespaces/{namespace}",
    )


def _refused(call: Any) -> None:
    with pytest.raises(ApiError) as caught:
        call()
    assert caught.value.code == 403


def _deployment(name: str, namespace: str) -> Manifest:
    labels = {"app": name}
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "10m"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _autoscaler(name: str, namespace: str) -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name.removesuffix("-hpa")}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2},
    }
