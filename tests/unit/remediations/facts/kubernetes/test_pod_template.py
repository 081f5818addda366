"""The changes that a restart would bring, and recent changes by others, from the API server."""

from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason
from chassis.kubernetes.paths import replica_sets_path
from remediations.core.model.cluster import ObjectChange, Pods, TemplateSource
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.facts.kubernetes.pod_template import (
    read_changes,
    read_pods,
    read_sources,
    references,
    surge,
    unavailable,
    unpinned_images,
)
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import read_object_changes, read_template
from tests.fakes.decisions import API
from tests.fakes.kubernetes import DEPLOYMENT, NAMESPACE, FakeCluster, a_cluster

DIGEST = "sha256:" + "a" * 64
NOON, ONE = 1_763_899_200.0, 1_763_902_800.0
"""2025-11-23T12:00:00Z and an hour later."""


def entry(manager: str, time: str = "2025-11-23T12:00:00Z", **more):
    return {"manager": manager, "time": time, "fieldsV1": {"f:spec": {"f:template": {}, ".": {}}}, **more}


def test_changes_of_others_are_found_newest_first():
    fields = [entry("kubectl"), entry("helm", "2025-11-23T13:00:00Z"), entry("kubectl", subresource="scale")]
    changes = read_changes({"metadata": {"managedFields": fields}})
    assert changes == (
        ObjectChange("helm", "spec.template", ONE),
        ObjectChange("kubectl", "spec.template", NOON),
        ObjectChange("kubectl", "scale", NOON),
    )


@pytest.mark.parametrize(
    "found",
    [
        entry("controlcore-remediator"),
        entry("kube-controller-manager"),
        entry("kubelet", subresource="status"),
        {"manager": "old"},
    ],
)
def test_our_own_writes_and_controllers_are_nobodys_work(found):
    assert read_changes({"metadata": {"managedFields": [found]}}) == ()


def test_controllers_of_any_name_are_nobodys_work():
    """R13: k3s and kubelite run the controllers in a program of another name."""
    status = entry("k3s", subresource="status", fieldsV1={"f:status": {"f:observedGeneration": {}}})
    fields = [status, entry("k3s"), entry("k3s", subresource="scale"), entry("kubectl", subresource="scale")]
    assert [change.who for change in read_changes({"metadata": {"managedFields": fields}})] == ["kubectl"]


def test_change_without_known_fields_is_one_of_the_object():
    assert read_changes({"metadata": {"managedFields": [entry("x", fieldsV1=None)]}})[0].what == "the object"
    assert read_changes({"metadata": {"managedFields": [entry("x", fieldsV1={"f:data": None})]}})[0].what == "data"


def test_object_without_field_managers_says_nothing():
    assert read_changes({"metadata": {}}) is None


def a_replica_set(name: str, time: str, mark: str | None = None, owner: str = "uid-1"):
    annotations = None if mark is None else {ANNOTATION_OPERATION: mark}
    return {
        "metadata": {"name": name, "creationTimestamp": time, "ownerReferences": [{"uid": owner}]},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }


async def test_without_field_managers_the_rollouts_of_others_are_the_changes():
    cluster = a_cluster()
    del cluster.objects[DEPLOYMENT]["metadata"]["managedFields"]
    place = replica_sets_path(NAMESPACE)
    for item in (
        a_replica_set("first", "2025-11-23T10:00:00Z"),
        a_replica_set("ours", "2025-11-23T11:00:00Z", "0001"),
        a_replica_set("theirs", "2025-11-23T12:00:00Z", "0001"),
        a_replica_set("other", "2025-11-23T13:00:00Z", owner="uid-9"),
    ):
        cluster.objects[f"{place}/{item['metadata']['name']}"] = item
    changes = await read_object_changes(ClusterReader(cluster, 1.0), API)
    assert [change.who for change in changes] == ["ReplicaSet theirs", "ReplicaSet first"]
    assert changes[0].at == NOON


@pytest.mark.parametrize(
    ("container", "is_unpinned"),
    [
        ({"image": "api"}, True),
        ({"image": "registry:5000/api"}, True),
        ({"image": "api:latest"}, True),
        ({"image": "api:1.2"}, False),
        ({"image": "api:1.2", "imagePullPolicy": "Always"}, True),
        ({"image": "api:latest", "imagePullPolicy": "IfNotPresent"}, False),
        ({"image": f"api:1.2@{DIGEST}", "imagePullPolicy": "Always"}, False),
    ],
)
def test_image_is_unpinned_when_a_tag_is_pulled_anew(container, is_unpinned):
    template = {"spec": {"containers": [{"name": "api", **container}]}}
    assert bool(unpinned_images(template)) is is_unpinned


TEMPLATE = {
    "spec": {
        "initContainers": [
            {"name": "wait", "image": "wait:1", "envFrom": [{"secretRef": {"name": "a", "optional": True}}]}
        ],
        "containers": [
            {
                "name": "api",
                "image": "api:1",
                "env": [
                    {"name": "X", "value": "1"},
                    {"name": "Y", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}},
                    {"name": "Z", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "d"}}],
            }
        ],
        "volumes": [
            {"name": "1", "emptyDir": {}},
            {"name": "2", "configMap": {"name": "e"}},
            {"name": "3", "secret": {"secretName": "f"}},
            {"name": "4", "projected": {"sources": [{"secret": {"name": "g"}}, {"downwardAPI": {}}]}},
        ],
    }
}


def test_every_way_of_referring_to_a_configuration_is_seen():
    assert sorted(f"{kind[0]}{name}" for kind, name, _ in references(TEMPLATE)) == [
        "Cc",
        "Cd",
        "Ce",
        "Sa",
        "Sb",
        "Sf",
        "Sg",
    ]


async def test_sources_tell_when_they_changed_or_why_nobody_knows():
    cluster = a_cluster()
    core = f"/api/v1/namespaces/{NAMESPACE}"
    cluster.objects[f"{core}/configmaps/c"] = {
        "metadata": {"creationTimestamp": "2025-11-23T12:00:00Z", "managedFields": [{"time": "2025-11-23T13:00:00Z"}]}
    }
    cluster.objects[f"{core}/configmaps/d"] = {"metadata": {"creationTimestamp": "2025-11-23T12:00:00Z"}}
    cluster.objects[f"{core}/configmaps/e"] = {"metadata": {}}

    def refuse(_verb: str, path: str) -> None:
        if path.endswith("/f"):
            raise PermanentError(Reason.PERMISSION, "403")

    cluster.before = refuse
    found = {source.name: source for source in await read_sources(ClusterReader(cluster, 1.0), NAMESPACE, TEMPLATE)}
    assert found["ConfigMap/c"].changed_at == ONE
    assert found["ConfigMap/d"].changed_at == NOON
    assert found["ConfigMap/e"] == TemplateSource("ConfigMap/e", None, "its age is unknown")
    assert found["Secret/f"] == TemplateSource("Secret/f", None, "permission")
    assert found["Secret/b"].problem == "missing"
    assert "Secret/a" not in found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replicas": 3}, 1),
        ({"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}, 3),
        ({"replicas": 3, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}}, 2),
        ({"replicas": 3, "strategy": {"type": "Recreate"}}, 0),
    ],
)
def test_surge_is_what_the_controller_may_add(spec, expected):
    assert surge(spec) == expected


@pytest.mark.parametrize(
    ("replicas", "rolling", "expected"),
    [
        (3, None, 0),
        (4, None, 1),
        (3, {"maxUnavailable": "100%", "maxSurge": 0}, 3),
        (3, {"maxUnavailable": 3, "maxSurge": 0}, 3),
        (3, {"maxUnavailable": 7}, 3),
        (3, {"maxUnavailable": "34%", "maxSurge": 0}, 1),
        (3, {"maxUnavailable": "33%", "maxSurge": "0%"}, 1),
        (3, {"maxUnavailable": "33%"}, 0),
        (3, {"maxUnavailable": "0%", "maxSurge": 1}, 0),
        (1, {"maxUnavailable": 1, "maxSurge": 0}, 1),
        (1, {"maxUnavailable": "99%"}, 0),
        (0, {"maxUnavailable": 1}, 0),
    ],
)
def test_unavailable_is_what_the_controller_may_stop(replicas, rolling, expected):
    """R2: percentages are rounded down; 1 when nothing may be stopped and nothing added."""
    strategy = {} if rolling is None else {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    assert unavailable({"replicas": replicas, **strategy}) == expected


def test_pods_tell_the_oldest_start_and_who_is_leaving():
    items = [
        {"metadata": {}, "status": {"startTime": "2025-11-23T13:00:00Z"}},
        {"metadata": {}, "status": {"startTime": "2025-11-23T12:00:00Z"}},
        {"metadata": {}},
        {"metadata": {"deletionTimestamp": "2025-11-23T13:00:00Z"}, "status": {"startTime": "2025-11-23T11:00:00Z"}},
    ]
    assert read_pods(items) == Pods(NOON, 1)
    assert read_pods(()) == Pods(None, 0)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_pod_that_is_over_is_no_pod(phase):
    """R8: an evicted pod stays in the list, and was older than every change of a configuration."""
    over = {"metadata": {}, "status": {"startTime": "2025-11-01T12:00:00Z", "phase": phase, "reason": "Evicted"}}
    ending = {"metadata": {"deletionTimestamp": "2025-11-01T12:00:00Z"}, "status": {"phase": phase}}
    running = {"metadata": {}, "status": {"startTime": "2025-11-23T12:00:00Z", "phase": "Running"}}
    assert read_pods([over, ending, running]) == Pods(NOON, 0)
    assert read_pods([over]) == Pods(None, 0)


async def test_shape_that_is_unexpected_is_malformed():
    with pytest.raises(PermanentError, match="unexpected shape"):
        await read_template(ClusterReader(FakeCluster({DEPLOYMENT: {"spec": {}}}), 1.0), API)
