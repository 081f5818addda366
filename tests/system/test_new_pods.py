"""R5: a restart into a namespace that would refuse the new pods stops none of the old ones. On a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.waiting import wait_for
from tests.system.stage import NAME, Stage, deliver, kinds, wait_closed, wait_held
from tools.chart import REMEDIATOR

pytestmark = pytest.mark.timeout(240)
ONE_GOES = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
LABEL = "pod-security.kubernetes.io"
CONTAINER = {"name": "api", "image": "api:1", "resources": {"requests": {"cpu": "100m"}}}


def deploy(stage: Stage, **spec: Any) -> int:
    """Four pods, of which one may go before its successor comes, and a fault that lasts; the generation."""
    template = {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [CONTAINER], **spec}}
    stage.deploy(replicas=4, strategy=ONE_GOES, template=template)
    return stage.breaks()


def label(stage: Stage, **levels: str) -> None:
    labels = {f"{LABEL}/{mode}": level for mode, level in levels.items()}
    stage.cluster.client.patch(f"/api/v1/namespaces/{stage.namespace}", {"metadata": {"labels": labels}})


def post(stage: Stage, plural: str, name: str, **content: Any) -> str:
    """Makes an object of the core group in the namespace; its path."""
    place = f"/api/v1/namespaces/{stage.namespace}/{plural}"
    stage.cluster.client.post(place, {"metadata": {"name": name, "namespace": stage.namespace}, **content})
    return f"{place}/{name}"


def assert_refused(stage: Stage, before: int, words: str, reason: str = "pods_refused") -> None:
    """The restart is held, says why, and no pod has gone."""
    with stage.remediator() as remediator:
        deliver(remediator)
        wait_held(remediator, reason)
        told = remediator.read("SELECT data FROM record WHERE kind = 'decision' ORDER BY number DESC LIMIT 1")
        assert words in str(told[0][0])
        assert ("PATCH", 200) not in stage.front.statuses
    found = stage.read()
    assert (found["metadata"]["generation"], found["status"]["readyReplicas"]) == (before, 4)


def test_pod_security_that_came_after_the_pods_holds(stage: Stage) -> None:
    before = deploy(stage)
    label(stage, enforce="restricted")
    assert_refused(stage, before, "would violate PodSecurity")


@pytest.mark.parametrize(
    "levels",
    [{"warn": "restricted"}, {"warn": "restricted", "enforce": "baseline"}, {"enforce": "baseline"}],
    ids=["warned-only", "less-is-enforced", "kept"],
)
def test_pod_security_that_only_warns_does_not_hold(stage: Stage, levels: dict[str, str]) -> None:
    before = deploy(stage)
    label(stage, **levels)
    with stage.remediator() as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
    assert stage.generation() == before + 1


def test_what_is_enforced_is_found_behind_a_stricter_warning(stage: Stage) -> None:
    before = deploy(stage, hostNetwork=True)
    label(stage, warn="restricted", enforce="baseline")
    assert_refused(stage, before, "would violate PodSecurity")


def test_pod_security_that_warns_of_less_than_it_enforces_holds(stage: Stage) -> None:
    before = deploy(stage)
    label(stage, enforce="restricted", warn="baseline")
    assert_refused(stage, before, "warns only of baseline:latest", "pods_unknown")


def test_service_account_that_is_gone_holds(stage: Stage) -> None:
    path = post(stage, "serviceaccounts", "api")
    before = deploy(stage, serviceAccountName="api")
    stage.cluster.client.delete(path)
    stage.cluster.client.wait_gone(path)
    assert_refused(stage, before, "ServiceAccount api does not exist")


def test_quota_that_was_lowered_holds(stage: Stage) -> None:
    before = deploy(stage)
    path = post(stage, "resourcequotas", "less", spec={"hard": {"pods": "3"}})
    stage.cluster.wait_for(path, lambda found: found.get("status", {}).get("used", {}).get("pods") == "4")
    assert_refused(stage, before, "4 of 3 pods are used")


def test_quota_without_room_does_not_hold_where_a_pod_goes_first(stage: Stage) -> None:
    before = deploy(stage)
    path = post(stage, "resourcequotas", "full", spec={"hard": {"pods": "4"}})
    stage.cluster.wait_for(path, lambda found: found.get("status", {}).get("used", {}).get("pods") == "4")
    with stage.remediator() as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
    assert stage.generation() == before + 1


def test_quota_without_room_holds_where_a_pod_is_added_first(stage: Stage) -> None:
    deploy(stage)
    path = post(stage, "resourcequotas", "full", spec={"hard": {"pods": "4"}})
    stage.cluster.wait_for(path, lambda found: found.get("status", {}).get("used", {}).get("pods") == "4")
    more = {"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}}
    stage.cluster.client.patch(stage.path(), more)
    wait_for(lambda: stage.read()["status"]["observedGeneration"] == stage.generation())
    assert_refused(stage, stage.breaks(), "4 of 4 pods are used")


def test_limit_range_that_came_after_the_pods_holds(stage: Stage) -> None:
    before = deploy(stage)
    post(stage, "limitranges", "small", spec={"limits": [{"type": "Container", "min": {"cpu": "200m"}}]})
    assert_refused(stage, before, "at least 0.2 is needed")


@pytest.fixture
def priority(stage: Stage) -> Iterator[str]:
    """The path of a PriorityClass of this test's own."""
    place, name = "/apis/scheduling.k8s.io/v1/priorityclasses", f"of-{stage.namespace}"
    stage.cluster.client.post(place, {"metadata": {"name": name}, "value": 1})
    yield f"{place}/{name}"
    stage.cluster.client.delete(f"{place}/{name}")


def test_priority_class_that_is_gone_holds_where_it_may_be_read(stage: Stage, priority: str) -> None:
    before = deploy(stage, priorityClassName=priority.rsplit("/", 1)[1])
    stage.cluster.client.delete(priority)
    group, name = "rbac.authorization.k8s.io", f"priorities-{stage.namespace}"
    rule = {"apiGroups": ["scheduling.k8s.io"], "resources": ["priorityclasses"], "verbs": ["get"]}
    account = {"kind": "ServiceAccount", "name": REMEDIATOR, "namespace": stage.namespace}
    version, metadata = f"{group}/v1", {"name": name}
    base = {"apiVersion": version, "metadata": metadata}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    stage.cluster.apply([{**base, "kind": "ClusterRole", "rules": [rule]}])
    stage.cluster.apply([{**base, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [account]}])
    try:
        assert_refused(stage, before, "does not exist")
    finally:
        for plural in ("clusterrolebindings", "clusterroles"):
            stage.cluster.client.delete(f"/apis/{version}/{plural}/{name}")


def test_priority_class_that_may_not_be_read_is_told_and_does_not_hold(stage: Stage, priority: str) -> None:
    before = deploy(stage, priorityClassName=priority.rsplit("/", 1)[1])
    with stage.remediator() as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
        told = remediator.read("SELECT data FROM record WHERE kind = 'decision' ORDER BY number")
        assert f"PriorityClass of-{stage.namespace}: permission" in str(told[0][0])
        assert kinds(remediator, "intent") == 1
    assert stage.generation() == before + 1
