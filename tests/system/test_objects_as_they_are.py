"""How a real API server shows pauses, owners and pods that have ended or are on a dead node."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.waiting import wait_for
from tests.system.keda import path_of, scaled_object
from tests.system.stage import NAME, Stage, deliver, kinds, newest, wait_closed, wait_held
from tests.system.test_other_owners import scaling

pytestmark = pytest.mark.timeout(240)
OLD = "2020-01-01T00:00:00Z"


@pytest.mark.usefixtures("keda")
@pytest.mark.parametrize("name", ["paused-scale-out", "paused", "paused-replicas"])
def test_pause_of_keda_is_honoured(stage: Stage, name: str) -> None:
    """R7: maxReplicaCount went from 3 to 5 although scaling out was paused."""
    stage.deploy()
    paused = scaled_object(stage)
    paused["metadata"]["annotations"] = {f"autoscaling.keda.sh/{name}": "3" if name.endswith("replicas") else "true"}
    stage.cluster.apply([paused])
    with stage.remediator(scaling(stage)) as remediator:
        deliver(remediator)
        wait_held(remediator, "workload_paused")
        assert kinds(remediator, "intent") == 0
    assert stage.cluster.client.get(path_of(stage))["spec"]["maxReplicaCount"] == 3


def leave_evicted_pod(stage: Stage) -> None:
    """A pod of the Deployment that was evicted long ago stays in the list, as kubelet leaves it."""
    labels = {"app": NAME}
    spec = {"containers": [{"name": "api", "image": "api:1"}], "schedulerName": "nobody"}
    client, place = stage.cluster.client, f"/api/v1/namespaces/{stage.namespace}/pods"
    client.post(place, {"metadata": {"name": "evicted", "labels": labels}, "spec": spec})
    status = {"phase": "Failed", "reason": "Evicted", "startTime": OLD}
    client.patch(f"{place}/evicted/status", {"status": status})


def test_evicted_pod_that_was_left_behind_holds_no_restart(stage: Stage) -> None:
    """R8: it is older than the configuration, and reads nothing of it any more."""
    configuration = {"metadata": {"name": "settings", "namespace": stage.namespace}, "data": {"level": "info"}}
    stage.cluster.client.post(f"/api/v1/namespaces/{stage.namespace}/configmaps", configuration)
    container = {"name": "api", "image": "api:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}
    stage.deploy(template={"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container]}})
    leave_evicted_pod(stage)
    stage.allow_reading("configmaps", name="settings")
    before = stage.breaks()
    with stage.remediator() as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
    assert stage.generation() == before + 1


def test_eviction_on_a_dead_node_is_proven_although_the_pod_stays_terminating(stage: Stage) -> None:
    """R9: no kubelet reports that its containers have ended, so the pod is listed until the node is removed."""
    stage.deploy()
    client, place = stage.cluster.client, f"/api/v1/namespaces/{stage.namespace}/pods"
    sick = min(client.items(f"{place}?labelSelector=app%3D{NAME}"), key=lambda pod: str(pod["metadata"]["name"]))
    path = f"{place}/{sick['metadata']['name']}"
    client.patch(path, {"metadata": {"finalizers": ["controlcore.test/dead-node"]}})
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": OLD}
    client.patch(f"{path}/status", {"status": {"conditions": [condition]}})
    stage.cluster.wait_for(stage.path(), lambda found: found["status"].get("readyReplicas") == 2)

    def is_well() -> float:
        return float(stage.read()["status"].get("readyReplicas") == 3)

    stage.watch.answers |= {"fault": lambda: 1.0 - is_well(), "well": is_well}
    policy = stage.policy(action="evict_pod", witnesses=[])
    try:
        with stage.remediator(policy) as remediator:
            deliver(remediator)
            assert wait_closed(remediator) == "succeeded"
        assert client.get(path)["metadata"]["deletionTimestamp"]
    finally:
        client.patch(path, {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("manager", ["kube-controller-manager", "k3s", "kubelite"])
def test_number_left_by_an_autoscaler_that_is_gone_belongs_to_nobody(stage: Stage, manager: str) -> None:
    """R13: only the name of the program that ran the controllers differs."""
    stage.deploy()
    before: dict[str, Any] = stage.read()
    stage.cluster.client.patch(f"{stage.path()}/scale?fieldManager={manager}", {"spec": {"replicas": 4}})
    stage.cluster.wait_rolled_out(stage.namespace, NAME)
    wait_for(lambda: stage.read()["status"].get("readyReplicas") == 4)
    assert stage.read()["metadata"]["generation"] > before["metadata"]["generation"]
    stage.watch.answers["well"] = 1.0
    with stage.remediator(scaling(stage)) as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded", newest(remediator)
    assert stage.read()["spec"]["replicas"] == 6
