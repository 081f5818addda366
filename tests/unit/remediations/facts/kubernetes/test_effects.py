"""Whether an eviction helped, as the cluster shows it."""

from __future__ import annotations

from typing import Any

import pytest

from remediations.core.model.plan import Plan
from remediations.facts.kubernetes.effects import read_effect
from remediations.facts.kubernetes.reader import ClusterReader
from tests.fakes.decisions import API
from tests.fakes.kubernetes import DEPLOYMENT, NAME, PODS, FakeCluster, a_cluster

POD = f"{PODS}/{NAME}-1"
EVICTION = Plan(
    "evict_pod", API, "op-1", "evicts", (), {},
    {"effect": "pod_gone", "uid": "uid-1", "pod": f"{NAME}-1", "pod_uid": "uid-pod-1"},
)  # fmt: skip


def a_cluster_after(*, metadata: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> FakeCluster:
    """Every pod of the Deployment is there again; the evicted one is still listed."""
    cluster = a_cluster(ready=3)
    cluster.objects[POD]["metadata"] |= metadata or {}
    cluster.objects[POD]["status"] |= status or {}
    return cluster


async def is_complete(cluster: FakeCluster) -> bool:
    return (await read_effect(ClusterReader(cluster, 1.0), EVICTION)).is_complete


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"deletionTimestamp": "2023-11-14T22:00:00Z"}},
        {"metadata": {"deletionTimestamp": "2023-11-14T22:00:00Z"}, "status": {"phase": "Running"}},
        {"status": {"phase": "Failed", "reason": "Evicted"}},
    ],
    ids=["terminating", "terminating-on-a-dead-node", "over"],
)
async def test_pod_that_is_on_its_way_out_is_replaced_once_the_others_are_there(changes):
    """R9: on a dead node the pod stays Terminating; three such evictions opened the breaker."""
    assert await is_complete(a_cluster_after(**changes)) is True


async def test_pod_that_is_on_its_way_out_is_not_replaced_before_the_others_are_there():
    cluster = a_cluster_after(metadata={"deletionTimestamp": "2023-11-14T22:00:00Z"})
    cluster.objects[DEPLOYMENT]["status"]["availableReplicas"] = 2
    assert await is_complete(cluster) is False


async def test_pod_that_is_still_there_is_not_replaced():
    assert await is_complete(a_cluster_after()) is False


async def test_pod_that_is_gone_is_replaced():
    cluster = a_cluster_after()
    del cluster.objects[POD]
    assert await is_complete(cluster) is True
