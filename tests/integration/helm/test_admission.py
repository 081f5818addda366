"""The admission policy on a real API server: what the remediator's Role allows, in this form and in no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.chart import rendered
from tests.fakes.waiting import wait_for
from tools.chart import Manifest, find_object, render
from tools.servers.kubernetes_client import MERGE_PATCH, ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.servers.kubernetes import Cluster
    from tools.servers.kubernetes_client import KubernetesClient

QUERY = {"promql": "up", "collectors": ["api"]}
KINDS = {"ServiceAccount", "Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
MARK = {"controlcore.io/operation-id": "r-1"}
STRATEGIC = "application/strategic-merge-patch+json"
KEDA: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "names": {"kind": "ScaledObject", "plural": "scaledobjects"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}
REFUSED = 422
"""Invalid, which an admission policy answers; a missing right would be 403."""

pytestmark = pytest.mark.timeout(120)


def _values(namespace: str) -> dict[str, Any]:
    def policy(action: str, kind: str, name: str) -> dict[str, Any]:
        target = {"namespace": namespace, "kind": kind, "name": name}
        # Evictions and Jobs are granted only to a policy that may act.
        return {"mode": "approve", "action": action, "condition": QUERY, "verify": QUERY, "targets": [target]}

    more = {
        "evict": policy("evict_pod", "Deployment", "control-plane-api"),
        "backup": policy("run_backup_job", "CronJob", "dump"),
    }
    return {"exporter": {"enabled": False}, "remediator": {"tokenSecret": {"name": "webhook"}, "policies": more}}


@pytest.fixture
def remediator(cluster: Cluster, namespace: str) -> Iterator[KubernetesClient]:
    """A client with the remediator's rights, once the policy is in force (a binding takes a moment)."""
    objects = [item for item in render(_values(namespace), "controlcore", namespace) if item["kind"] in KINDS]
    cluster.apply([*objects, _deployment(namespace), _autoscaler(namespace)])
    client = cluster.client_for(namespace, "controlcore-remediator")
    wait_for(
        lambda: _is_refused(client, "PATCH", f"{_apps(namespace)}?dryRun=All", {"spec": {"paused": True}}),
        describe=lambda: "the policy never came into force",
    )
    yield client
    for item in objects:
        if "namespace" not in item["metadata"]:
            cluster.client.delete(cluster.client.path_of(item))


def test_what_the_actions_write_is_admitted(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    marked = {"metadata": {"annotations": MARK}}
    remediator.patch(_apps(namespace), {**marked, "spec": {"template": marked}}, STRATEGIC)
    remediator.patch(_scaling(namespace), {**marked, "spec": {"maxReplicas": 12}})
    remediator.patch(_scaling(namespace), {**marked, "spec": {"minReplicas": 3}})
    remediator.patch(f"{_apps(namespace)}/scale?dryRun=All", {"spec": {"replicas": 12}})
    remediator.post(f"/apis/batch/v1/namespaces/{namespace}/jobs?dryRun=All", _job("dump"))
    pod = cluster.client.post(f"/api/v1/namespaces/{namespace}/pods", _pod())
    remediator.post(f"{_pods(namespace)}/sick/eviction?dryRun=All", _eviction(pod["metadata"]["uid"]))


def test_every_other_change_is_refused(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    """Each of these the Role alone would let pass."""
    cluster.client.post(f"/api/v1/namespaces/{namespace}/pods", _pod())
    container = {"name": "api", "image": "another"}
    template = {"spec": {"template": {"spec": {"containers": [container]}}}}
    deployments = (
        {"spec": {"replicas": 5}},
        {"spec": {"paused": True}},
        {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}},
        template,
        {"spec": {"template": {"metadata": {"annotations": {"team": "other"}}}}},
        {"spec": {"template": {"metadata": {"annotations": {"team": None}}}}},
        {"spec": {"template": {"metadata": {"labels": {"version": "green"}}}}},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}},
        {"metadata": {"labels": {"app": "other"}}},
        {"metadata": {"finalizers": ["controlcore.io/never"]}},
    )
    autoscalers = (
        {"spec": {"maxReplicas": 13}},
        {"spec": {"minReplicas": 13, "maxReplicas": 13}},
        {"spec": {"scaleTargetRef": {"name": "other"}}},
        {"spec": {"metrics": None}},
        {"metadata": {"annotations": {"other": "x"}}},
    )
    attempts = [("PATCH", _apps(namespace), body) for body in deployments]
    attempts += [("PATCH", _scaling(namespace), body) for body in autoscalers]
    attempts += [("PATCH", f"{_apps(namespace)}/scale", {"spec": {"replicas": number}}) for number in (0, 13)]
    attempts += [("POST", f"{_pods(namespace)}/sick/eviction", _eviction(None))]
    attempts += [("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", _job(owner)) for owner in ("other", None)]
    passed = [body for verb, path, body in attempts if not _is_refused(remediator, verb, f"{path}?dryRun=All", body)]
    assert passed == []


@pytest.fixture
def scaled_object(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The address of a ScaledObject; its kind is taken away again, because other tests have none."""
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{KEDA['metadata']['name']}"
    cluster.apply([KEDA])
    cluster.wait_for(definition, _is_established)
    spec = {"scaleTargetRef": {"name": "control-plane-api"}, "minReplicaCount": 2, "maxReplicaCount": 10}
    path = f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects"
    made = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "control-plane-api"}}
    cluster.client.post(path, {**made, "spec": {**spec, "triggers": [{"type": "cpu"}]}})
    yield f"{path}/control-plane-api"
    cluster.client.delete(definition)
    cluster.client.wait_gone(definition)


def test_a_scaled_object_keeps_to_the_cap(scaled_object: str, remediator: KubernetesClient) -> None:
    remediator.patch(scaled_object, {"metadata": {"annotations": MARK}, "spec": {"maxReplicaCount": 12}})
    remediator.patch(scaled_object, {"metadata": {"annotations": MARK}, "spec": {"minReplicaCount": 3}})
    bodies = (
        {"spec": {"maxReplicaCount": 13}},
        {"spec": {"minReplicaCount": 0}},
        {"spec": {"triggers": []}},
        {"spec": {"scaleTargetRef": {"name": "other"}}},
        {"spec": {"cooldownPeriod": 1}},
        {"spec": {"maxReplicaCount": None}},
        {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}},
    )
    assert [body for body in bodies if not _is_refused(remediator, "PATCH", f"{scaled_object}?dryRun=All", body)] == []


def test_others_are_not_concerned(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    del remediator
    cluster.client.patch(f"{_apps(namespace)}?dryRun=All", {"spec": {"paused": True}})


@pytest.mark.parametrize(
    ("kube_version", "is_wanted", "expected"), [("1.29.9", True, 0), ("1.30.0", True, 1), ("1.31.0", False, 0)]
)
def test_the_policy_is_there_from_1_30_and_unless_switched_off(
    kube_version: str, *, is_wanted: bool, expected: int
) -> None:
    values = {"remediator": {"tokenSecret": {"name": "webhook"}, "admissionPolicy": is_wanted}}
    found = [item for item in rendered(values, kube_version) if item["kind"] == "ValidatingAdmissionPolicy"]
    assert len(found) == expected


def test_caps_and_jobs_are_those_of_the_policies() -> None:
    policy = find_object(
        rendered(_values("controlcore")), "ValidatingAdmissionPolicy", "controlcore-remediator.controlcore"
    )
    variables = {item["name"]: item["expression"] for item in policy["spec"]["variables"]}
    caps = {
        f"controlcore/{name}{suffix}": 12
        for name in ("control-plane-api", "controlcore-bouncer")
        for suffix in ("", "-hpa")
    }
    assert json.loads(variables["caps"]) == caps
    assert '["controlcore/postgres-backup","controlcore/dump"]' in policy["spec"]["validations"][-1]["expression"]


def _is_refused(client: KubernetesClient, verb: str, path: str, body: Manifest) -> bool:
    """Whether the admission policy refuses; any other refusal is an error of the test."""
    kind = STRATEGIC if "deployments" in path and "/scale" not in path else MERGE_PATCH
    try:
        if verb == "POST":
            client.post(path, body)
        else:
            client.patch(path, body, kind)
    except ApiError as error:
        if error.code != REFUSED or "ValidatingAdmissionPolicy" not in error.message:
            raise
        return True
    return False


def _is_established(definition: Manifest) -> bool:
    # The server writes null before it has looked at a new definition.
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def _apps(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/control-plane-api"


def _scaling(namespace: str) -> str:
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/control-plane-api-hpa"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _deployment(namespace: str) -> Manifest:
    labels = {"app": "control-plane-api"}
    template = {"metadata": {"labels": labels, "annotations": {"team": "identity"}}, "spec": _pod()["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "control-plane-api", "namespace": namespace, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def _autoscaler(namespace: str) -> Manifest:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "control-plane-api"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "control-plane-api-hpa", "namespace": namespace},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 2,
            "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }


def _pod() -> Manifest:
    return {"metadata": {"name": "sick"}, "spec": {"containers": [{"name": "api", "image": "none"}]}}


def _eviction(uid: str | None) -> Manifest:
    options = {} if uid is None else {"deleteOptions": {"preconditions": {"uid": uid}}}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "sick"}, **options}


def _job(owner: str | None) -> Manifest:
    owners = [] if owner is None else [{"apiVersion": "batch/v1", "kind": "CronJob", "name": owner, "uid": "u"}]
    spec = {"restartPolicy": "Never", "containers": [{"name": "dump", "image": "none"}]}
    return {"metadata": {"name": "made", "ownerReferences": owners}, "spec": {"template": {"spec": spec}}}
