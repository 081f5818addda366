"""The admission policy on a real API server: what the remediator's Role allows, in this form and in no other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.fakes.chart import rendered
from tests.fakes.waiting import wait_for
from tests.integration.helm.admission_objects import (
    IDENTITY,
    MARK,
    QUERY,
    SICK,
    STRATEGIC,
    a_bound,
    a_cron_job,
    a_job,
    a_pod,
    an_event,
    an_eviction,
    autoscaler_at,
    chart_values,
    deployment_at,
    forged_events,
    forged_jobs,
    is_refused,
    jobs_at,
    pods_at,
)
from tools.chart import Manifest, find_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.servers.kubernetes.client import KubernetesClient
    from tools.servers.kubernetes.cluster import Cluster

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


pytestmark = pytest.mark.timeout(120)


def test_what_the_actions_write_is_admitted(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    marked = {"metadata": {"annotations": MARK}}
    remediator.patch(deployment_at(namespace), {**marked, "spec": {"template": marked}}, STRATEGIC)
    remediator.patch(autoscaler_at(namespace), a_bound("maxReplicas", 12, "10..12"))
    remediator.patch(autoscaler_at(namespace), a_bound("minReplicas", 3, "2..3"))
    remediator.patch(autoscaler_at(namespace), a_bound("minReplicas", 5, "2..5"))
    remediator.patch(autoscaler_at(namespace), a_bound("minReplicas", 3, "2..3"))
    remediator.patch(autoscaler_at(namespace), a_bound("minReplicas", 2, None))
    scale = f"{deployment_at(namespace)}/scale"
    cluster.client.patch(scale, {"spec": {"replicas": 5}})
    remediator.patch(f"{scale}?dryRun=All", {"spec": {"replicas": 12}})
    remediator.patch(f"{scale}?dryRun=All", {"spec": {"replicas": 4}})
    remediator.post(f"{jobs_at(namespace)}?dryRun=All", a_job(cluster, namespace))
    pod = cluster.client.post(pods_at(namespace), a_pod())
    remediator.post(f"{pods_at(namespace)}/{SICK}/eviction?dryRun=All", an_eviction(pod["metadata"]["uid"]))
    remediator.post(f"/api/v1/namespaces/{namespace}/events?dryRun=All", an_event(namespace))


def test_every_other_change_is_refused(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    """S1, M1, M2, L1, L2: each of these the Role alone would let pass."""
    api = cluster.client.post(pods_at(namespace), a_pod())
    others = ("postgresql-0", "control-plane-api-db-x2x2x")
    strangers = {
        name: cluster.client.post(pods_at(namespace), {**a_pod(), "metadata": {"name": name}}) for name in others
    }
    cluster.client.patch(f"{deployment_at(namespace)}/scale", {"spec": {"replicas": 5}})
    template = {"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "another"}]}}}}
    deployments = (
        template,
        {"spec": {"template": {"metadata": {"finalizers": ["controlcore.io/never"]}}}},
        {"spec": {"template": {"metadata": {"annotations": {"team": "other"}}}}},
        {"spec": {"template": {"metadata": {"annotations": {"team": None}}}}},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}},
        {"metadata": {"annotations": {"controlcore.io/raised-replicas": "1..2"}}},
    )
    autoscalers = (
        a_bound("maxReplicas", 13, "10..13"),
        a_bound("minReplicas", 13, "2..13") | {"spec": {"minReplicas": 13, "maxReplicas": 13}},
        a_bound("maxReplicas", 11, None),
        a_bound("maxReplicas", 11, "2..11"),
        a_bound("maxReplicas", 9, None),
        a_bound("maxReplicas", 9, "1..9"),
        a_bound("minReplicas", 1, None),
        {"metadata": {"annotations": {"controlcore.io/raised-maxReplicas": "1..10"}}},
        {"metadata": {"annotations": {"other": "x"}}},
    )
    evict = f"{pods_at(namespace)}/{SICK}/eviction"
    by_uid = an_eviction(api["metadata"]["uid"])
    at_once = {**by_uid, "deleteOptions": {**by_uid["deleteOptions"], "gracePeriodSeconds": 0}}
    attempts = [("PATCH", deployment_at(namespace), body) for body in deployments]
    attempts += [("PATCH", autoscaler_at(namespace), body) for body in autoscalers]
    attempts += [
        ("PATCH", f"{deployment_at(namespace)}/scale", {"spec": {"replicas": number}}) for number in (0, 3, 13)
    ]
    attempts += [("POST", evict, an_eviction(None)), ("POST", evict, at_once)]
    attempts += [
        ("POST", f"{pods_at(namespace)}/{name}/eviction", an_eviction(pod["metadata"]["uid"], name))
        for name, pod in strangers.items()
    ]
    attempts += [("POST", jobs_at(namespace), body) for body in forged_jobs(a_job(cluster, namespace))]
    attempts += [("POST", f"/api/v1/namespaces/{namespace}/events", body) for body in forged_events(namespace)]
    passed = [body for verb, path, body in attempts if not is_refused(remediator, verb, f"{path}?dryRun=All", body)]
    assert passed == []


def test_job_of_a_named_cron_job_that_is_gone_is_refused(
    cluster: Cluster, namespace: str, remediator: KubernetesClient
) -> None:
    """S1: without the CronJob there is nothing to compare with, whatever other CronJobs there are."""
    job = a_job(cluster, namespace)
    cron_jobs = f"/apis/batch/v1/namespaces/{namespace}/cronjobs"
    cluster.client.post(cron_jobs, {**a_cron_job(namespace), "metadata": {"name": "other"}})
    cluster.client.delete(f"{cron_jobs}/dump")
    wait_for(
        lambda: is_refused(remediator, "POST", f"{jobs_at(namespace)}?dryRun=All", job),
        describe=lambda: "a Job without its CronJob is admitted",
    )


@pytest.fixture
def scaled_object(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The address of a ScaledObject; its kind is removed again, because other tests have none."""
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
    remediator.patch(scaled_object, a_bound("maxReplicaCount", 12, "10..12"))
    remediator.patch(scaled_object, a_bound("minReplicaCount", 3, "2..3"))
    bodies = (
        a_bound("maxReplicaCount", 13, "10..13"),
        a_bound("maxReplicaCount", 9, None),
        a_bound("minReplicaCount", 1, None),
        {"status": {"conditions": []}},
        {"spec": {"minReplicaCount": 0}},
        {"spec": {"triggers": []}},
        {"spec": {"scaleTargetRef": {"name": "other"}}},
        {"spec": {"cooldownPeriod": 1}},
        {"spec": {"maxReplicaCount": None}},
        {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}},
    )
    assert [body for body in bodies if not is_refused(remediator, "PATCH", f"{scaled_object}?dryRun=All", body)] == []


def test_others_are_not_concerned(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    del remediator
    cluster.client.patch(f"{deployment_at(namespace)}?dryRun=All", {"spec": {"paused": True}})


@pytest.mark.parametrize(
    ("kube_version", "is_wanted", "expected"),
    [
        ("1.29.9", True, []),
        (
            "1.30.0",
            True,
            ["controlcore-remediator.controlcore", "controlcore-remediator.controlcore.controlcore.postgres-backup"],
        ),
        ("1.31.0", False, []),
    ],
)
def test_the_policy_is_there_from_1_30_and_unless_switched_off(
    kube_version: str, *, is_wanted: bool, expected: list[str]
) -> None:
    values = {"remediator": {"tokenSecret": {"name": "webhook"}, "admissionPolicy": is_wanted}}
    found = rendered(values, kube_version)
    names = [item["metadata"]["name"] for item in found if item["kind"] == "ValidatingAdmissionPolicy"]
    assert names == expected


def test_caps_and_jobs_are_those_of_the_policies() -> None:
    policy = find_object(
        rendered(chart_values("controlcore")), "ValidatingAdmissionPolicy", "controlcore-remediator.controlcore"
    )
    variables = {item["name"]: item["expression"] for item in policy["spec"]["variables"]}
    caps = {
        f"controlcore/{name}{suffix}": 12
        for name in ("control-plane-api", "controlcore-bouncer")
        for suffix in ("", "-hpa")
    }
    assert json.loads(variables["caps"]) == caps
    assert json.loads(variables["floors"]) == {"controlcore/control-plane-api": 4}
    (jobs,) = (item for item in policy["spec"]["validations"] if "Jobs" in item["message"])
    assert '["controlcore/postgres-backup", "controlcore/dump"]' in jobs["expression"]


HASH = "5d4f8c7b9b"
"""A pod-template-hash: ten decimal digits at most, in the alphabet of the API server."""


LONGEST_WHOLE = 50
"""Longest Deployment name for which seven characters of the hash are never cut."""


@pytest.mark.parametrize("hashed", [HASH, HASH[:8]])
@pytest.mark.parametrize("name", ["api", "api.v2", *("a" * length for length in (46, 47, 50, 56, 57, 58, 63))])
def test_pods_of_a_target_are_told_from_those_of_its_siblings(name: str, hashed: str) -> None:
    """M2: pods of what is called like the target with more behind it are another's, however long the name is.

    The API server cuts the name of a pod before the suffix.
    """
    pattern = _pod_pattern(name)
    assert re.fullmatch(pattern, f"edge/{_pod_of(f'{name}-{hashed}')}")
    siblings = ("-db", "-bcdf", f"-db-{hashed}", f"2-{hashed}")
    for other in ("postgresql", *(f"{name}{more}" for more in siblings)):
        if len(name) <= LONGEST_WHOLE or not other.startswith(name):
            assert not re.fullmatch(pattern, f"edge/{_pod_of(other)}"), other
    assert not re.fullmatch(pattern, f"other/{_pod_of(f'{name}-{hashed}')}")


def _pod_of(owner: str) -> str:
    """The name that the API server gives a pod of this ReplicaSet or DaemonSet (metadata.generateName)."""
    return f"{owner}-"[:58] + "x2x2x"


def _pod_pattern(name: str) -> str:
    """The reference for evictions of this Deployment's pods."""
    more = {"evict": {"mode": "approve", "action": "evict_pod", "condition": QUERY, "verify": QUERY,
                      "targets": [{"namespace": "edge", "kind": "Deployment", "name": name}]}}  # fmt: skip
    found = rendered({"remediator": {"tokenSecret": {"name": "webhook"}, "identity": IDENTITY, "policies": more}})
    policy = find_object(found, "ValidatingAdmissionPolicy", "controlcore-remediator.controlcore")
    (pods,) = (item["expression"] for item in policy["spec"]["validations"] if "evicts" in item["message"])
    pattern = re.search(r'matches\("([^"]+)"\)', pods)
    assert pattern is not None
    return pattern[1]


def _is_established(definition: Manifest) -> bool:
    # The server writes null before it has processed a new definition.
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
