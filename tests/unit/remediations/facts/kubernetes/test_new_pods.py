"""R5: what quotas, LimitRanges and missing objects say of new pods."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.errors import PermanentError, Reason
from remediations.core.model.cluster import NewPods
from remediations.facts.kubernetes.new_pods import read_new_pods
from remediations.facts.kubernetes.reader import ClusterReader
from tests.fakes.kubernetes import NAMESPACE, FakeCluster, a_deployment

CORE = f"/api/v1/namespaces/{NAMESPACE}"


def cluster(**objects: dict[str, Any]) -> FakeCluster:
    """`quota` or `limits` by their kind; everything else by its path."""
    paths = {"quota": f"{CORE}/resourcequotas/q", "limits": f"{CORE}/limitranges/l"}
    return FakeCluster(
        {
            paths.get(name, name): each | {"metadata": {"name": name.rsplit("/", 1)[-1]}}
            for name, each in objects.items()
        }
    )


def quota(hard: dict[str, Any], used: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


def limits(**item: Any) -> dict[str, Any]:
    return {"spec": {"limits": [{"type": "Container", **item}]}}


async def read(api: FakeCluster, resources: dict[str, Any] | None = None, /, **spec: Any) -> NewPods:
    document = a_deployment(ready=3, **({} if resources is None else {"resources": resources}))
    document["spec"]["template"]["spec"] |= spec
    return await read_new_pods(ClusterReader(api, 1.0), NAMESPACE, document)


GIVEN = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


async def test_namespace_without_limits_takes_new_pods():
    assert await read(cluster()) == NewPods()


@pytest.mark.parametrize(
    ("hard", "used", "refused", "crowded"),
    [
        ({"pods": "4"}, {"pods": "3"}, False, False),
        ({"pods": "3"}, {"pods": "3"}, False, True),
        ({"pods": "2"}, {"pods": "3"}, True, False),
        ({"requests.cpu": "400m"}, {"requests.cpu": "300m"}, False, False),
        ({"requests.cpu": "350m"}, {"requests.cpu": "0.3"}, False, True),
        ({"cpu": "300m"}, {"cpu": "300m"}, False, True),
        ({"limits.memory": "3Gi"}, {"limits.memory": "3221225473"}, True, False),
        ({"requests.ephemeral-storage": "1Gi", "ephemeral-storage": "1Gi"}, {}, False, False),
        ({"requests.nvidia.com/gpu": "0"}, {"requests.nvidia.com/gpu": "0"}, False, False),
        ({"services": "0", "count/deployments.apps": "1"}, {"services": "5"}, False, False),
    ],
)
async def test_quota_says_whether_there_is_room(hard, used, refused, crowded):
    found = await read(cluster(quota=quota(hard, used)), GIVEN)
    assert (bool(found.refusals), bool(found.crowded)) == (refused, crowded)


async def test_quota_that_wants_a_number_of_every_container_refuses_one_without():
    hard = {"limits.cpu": "10"}
    assert (await read(cluster(quota=quota(hard, {})), {})).refusals == (
        "ResourceQuota quota requires limits.cpu of every container",
    )
    filled = cluster(quota=quota(hard, {}), limits=limits(default={"cpu": "1"}))
    assert await read(filled, {}) == NewPods()


async def test_resources_of_the_whole_pod_are_told_and_not_judged():
    """Then the containers need not name any, so a missing one is not refused."""
    refusing = cluster(quota=quota({"limits.cpu": "1"}, {}), limits=limits(max={"cpu": "1"}))
    found = await read(refusing, {}, resources={"limits": {"cpu": "1"}})
    assert (found.refusals, found.crowded, len(found.unread)) == ((), (), 1)


async def test_quota_with_scopes_is_told_and_not_judged():
    found = await read(cluster(quota=quota({"pods": "0"}, {"pods": "3"}, scopes=["BestEffort"])))
    assert (found.refusals, found.crowded, len(found.unread)) == ((), (), 1)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"max": {"cpu": "2"}}, None),
        ({"max": {"cpu": "500m"}}, "requests 1 of cpu, at most 0.5"),
        ({"max": {"ephemeral-storage": "1Gi"}}, "no limit of ephemeral-storage"),
        ({"min": {"memory": "2Gi"}}, "at least 2147483648 is needed"),
        ({"min": {"memory": "1Mi"}}, None),
        ({"maxLimitRequestRatio": {"cpu": "4"}}, "limit over request of cpu"),
        ({"maxLimitRequestRatio": {"cpu": "10"}}, None),
        ({"type": "Pod", "max": {"cpu": "500m"}}, "the pod requests 1 of cpu"),
        ({"type": "Pod", "max": {"ephemeral-storage": "1Gi"}}, "the pod has no limit of ephemeral-storage"),
        ({"type": "Pod", "min": {"ephemeral-storage": "1Gi"}}, "the pod has no request of ephemeral-storage"),
        ({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, None),
    ],
)
async def test_limit_range_says_what_a_container_may_have(item, words):
    found = (await read(cluster(limits=limits(**item)), GIVEN)).refusals
    assert (found == ()) if words is None else words in found[0]


NAMED = {
    "serviceAccountName": ("ServiceAccount gone does not exist", f"{CORE}/serviceaccounts/gone"),
    "priorityClassName": (
        "PriorityClass gone does not exist", "/apis/scheduling.k8s.io/v1/priorityclasses/gone"
    ),
    "runtimeClassName": ("RuntimeClass gone does not exist", "/apis/node.k8s.io/v1/runtimeclasses/gone"),
}  # fmt: skip


@pytest.mark.parametrize("key", NAMED)
async def test_object_that_the_template_names_must_exist(key):
    words, path = NAMED[key]
    assert (await read(cluster(), **{key: "gone"})).refusals == (words,)
    assert await read(cluster(**{path: {}}), **{key: "gone"}) == NewPods()


async def test_default_account_is_not_asked_for():
    """Its controller makes it again whenever it is gone."""
    assert await read(cluster(), serviceAccountName="default") == NewPods()


async def test_what_may_not_be_read_is_told_and_does_not_hold():
    def forbid(_verb: str, _path: str) -> None:
        raise PermanentError(Reason.PERMISSION, "HTTP status 403")

    found = await read(FakeCluster(before=forbid), serviceAccountName="api", priorityClassName="high")
    assert (found.refusals, found.crowded) == ((), ())
    assert sorted(found.unread) == [
        "PriorityClass high: permission", "ServiceAccount api: permission", "limitranges: permission",
        "resourcequotas: permission",
    ]  # fmt: skip


async def test_controller_that_is_refused_pods_now_says_so():
    document = a_deployment(ready=3)
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    document["status"]["conditions"] = [failure]
    found = await read_new_pods(ClusterReader(cluster(), 1.0), NAMESPACE, document)
    assert found.refusals == ("ReplicaFailure (FailedCreate): exceeded quota",)
