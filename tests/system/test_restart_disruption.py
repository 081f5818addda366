"""R2: how many ready pods a restart stops, counted on a real API server with a real Deployment controller."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.stage import NAME, Stage, deliver, kinds, wait_closed, wait_held

pytestmark = pytest.mark.timeout(240)
LOOK_SECONDS = 0.02


def rolling(most: int | str, surge: int | str) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most, "maxSurge": surge}}


def protect(stage: Stage, allowed: int, **budget: Any) -> None:
    """A PodDisruptionBudget for the Deployment's pods; returns when its controller has counted them."""
    spec = {**budget, "selector": {"matchLabels": {"app": NAME}}}
    metadata = {"name": NAME, "namespace": stage.namespace}
    stage.cluster.apply(
        [{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}]
    )
    path = f"/apis/policy/v1/namespaces/{stage.namespace}/poddisruptionbudgets/{NAME}"
    stage.cluster.wait_for(path, lambda found: found.get("status", {}).get("disruptionsAllowed") == allowed)


def count_ready(stage: Stage) -> int:
    """Pods that are Ready and not on their way out."""
    pods = stage.cluster.client.items(f"/api/v1/namespaces/{stage.namespace}/pods?labelSelector=app%3D{NAME}")
    there = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    conditions = [each for pod in there for each in pod["status"].get("conditions", ())]
    return sum(1 for each in conditions if (each["type"], each["status"]) == ("Ready", "True"))


@contextmanager
def counted(stage: Stage) -> Iterator[list[int]]:
    """The numbers of ready pods that were seen meanwhile."""
    seen: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(LOOK_SECONDS):
            seen.append(count_ready(stage))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    ("replicas", "strategy", "budget"),
    [
        (3, rolling("100%", 0), {"allowed": 1, "minAvailable": 2}),
        (3, rolling(3, 0), None),
        (3, rolling(2, 1), {"allowed": 1, "minAvailable": 2}),
        (3, rolling("34%", 0), {"allowed": 0, "maxUnavailable": 0}),
        (1, rolling(1, 0), None),
        (1, rolling("50%", 0), None),
        (2, {"type": "Recreate"}, None),
    ],
    ids=["all", "all-without-budget", "two-of-three", "one-and-none-allowed", "one-of-one", "rounded-up", "recreate"],
)
def test_restart_that_would_stop_too_many_ready_pods_is_held(
    stage: Stage, replicas: int, strategy: dict[str, Any], budget: dict[str, Any] | None
) -> None:
    """R2: nothing is written, and every pod stays ready."""
    stage.deploy(replicas=replicas, strategy=strategy)
    if budget is not None:
        protect(stage, **budget)
    before = stage.breaks()
    with counted(stage) as seen, stage.remediator() as remediator:
        deliver(remediator)
        wait_held(remediator, "disruption_budget")
        assert kinds(remediator, "intent") == 0
    assert stage.generation() == before
    assert set(seen) == {replicas}


@pytest.mark.parametrize(
    ("replicas", "strategy", "budget", "least"),
    [
        (3, rolling("25%", "25%"), {"allowed": 0, "minAvailable": 3}, 3),
        (3, rolling(1, 0), {"allowed": 1, "minAvailable": 2}, 2),
        (4, rolling("50%", 0), {"allowed": 2, "maxUnavailable": 2}, 2),
        (1, rolling(0, 1), {"allowed": 0, "minAvailable": 1}, 1),
    ],
    ids=["none", "one-of-three", "two-of-four", "only-replica-after-its-successor"],
)
def test_restart_leaves_as_many_ready_pods_as_the_budget_asks_for(
    stage: Stage, replicas: int, strategy: dict[str, Any], budget: dict[str, Any], least: int
) -> None:
    """R2: the pods are replaced, and never are fewer ready than the strategy and the budget say."""
    stage.deploy(replicas=replicas, strategy=strategy)
    protect(stage, **budget)
    before = stage.breaks()
    with counted(stage) as seen, stage.remediator() as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
    assert stage.generation() == before + 1
    assert len(seen) > 0
    assert min(seen) >= least
