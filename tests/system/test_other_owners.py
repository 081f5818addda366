"""Objects with another owner, which undoes every write, so that neither side ever wins. On a real API server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.fakes.waiting import POLL_SECONDS
from tests.system.keda import path_of, scaled_object
from tests.system.stage import OPERATION, Stage, deliver, newest, wait_closed, wait_held

pytestmark = pytest.mark.timeout(240)


def scaling(stage: Stage, **changes: Any) -> dict[str, Any]:
    """A policy that scales instead of restarting."""
    policy = stage.policy(action="scale_workload", parameters={"max_replicas_cap": 6, "step": 2}, **changes)
    del policy["witnesses"]
    return policy


@contextmanager
def owner_of(stage: Stage, path: str, put_back: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Iterator[None]:
    """An owner of the object: reads it continuously and patches what `put_back` says."""
    is_over = threading.Event()

    def own() -> None:
        while not is_over.wait(POLL_SECONDS):
            patch = put_back(stage.cluster.client.get(path))
            if patch is not None:
                stage.cluster.client.patch(path, patch)

    thread = threading.Thread(target=own)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def lose_a_fight(remediator: RunningRemediator) -> None:
    """One write, taken back; the next alert finds the breaker open."""
    deliver(remediator)
    assert wait_closed(remediator) == "failed"
    assert newest(remediator) == ("failed", "reverted")
    assert remediator.post({**an_alert(1), "status": "resolved"}) == 200
    deliver(remediator)
    wait_held(remediator, "breaker_open")
    page = remediator.ask("GET", "/metrics")[1]
    assert 'outcome="reverted",remediation="restart-api"} 1.0' in page


def test_replicas_that_somebody_else_delivers_are_not_touched(stage: Stage) -> None:
    stage.deploy()
    before = stage.generation()
    with stage.remediator(scaling(stage)) as remediator:
        deliver(remediator)
        wait_held(remediator, "owned_by_other")
        assert stage.generation() == before


def test_replicas_put_back_by_their_owner_open_the_breaker(stage: Stage) -> None:
    """The policy consents to the owner; one lost write is enough."""
    stage.deploy()

    def put_back(found: dict[str, Any]) -> dict[str, Any] | None:
        return {"spec": {"replicas": 3}} if found["spec"]["replicas"] != 3 else None

    policy = scaling(stage, accept=["replicas_owner"])
    with owner_of(stage, stage.path(), put_back), stage.remediator(policy) as remediator:
        lose_a_fight(remediator)
        assert stage.front.statuses.count(("PATCH", 200)) == 1


def test_template_without_annotations_put_back_by_its_owner_opens_the_breaker(stage: Stage) -> None:
    """The template has no annotations at all: the first one creates the map, and its owner removes it again."""
    stage.deploy()

    def put_back(found: dict[str, Any]) -> dict[str, Any] | None:
        template = found["spec"]["template"]["metadata"]
        return {"spec": {"template": {"metadata": {"annotations": None}}}} if template.get("annotations") else None

    assert "annotations" not in stage.read()["spec"]["template"]["metadata"]
    with owner_of(stage, stage.path(), put_back), stage.remediator() as remediator:
        lose_a_fight(remediator)
        assert stage.front.statuses.count(("PATCH", 200)) == 1


def test_template_without_annotations_is_restarted_once(stage: Stage) -> None:
    stage.deploy()
    before = stage.breaks()
    with stage.remediator() as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
        (identifier,) = remediator.read("SELECT id FROM remediation")[0]
        assert stage.generation() == before + 1
        assert stage.read()["spec"]["template"]["metadata"]["annotations"] == {OPERATION: identifier}


@pytest.mark.usefixtures("keda")
def test_keda_is_asked_at_its_scaled_object_and_its_answer_is_respected(stage: Stage) -> None:
    stage.deploy()
    stage.cluster.apply([scaled_object(stage)])
    path = path_of(stage)
    before = stage.generation()
    stage.watch.answers["well"] = 1.0
    with stage.remediator(scaling(stage)) as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
        found = stage.cluster.client.get(path)
        (identifier,) = remediator.read("SELECT id FROM remediation")[0]
        assert found["spec"]["maxReplicaCount"] == 5
        assert found["metadata"]["annotations"][OPERATION] == identifier
        assert stage.generation() == before, "spec.replicas is KEDA's"

        def put_back(found: dict[str, Any]) -> dict[str, Any] | None:
            return {"spec": {"minReplicaCount": 1}} if found["spec"]["minReplicaCount"] != 1 else None

        # Below its maximum now, so the next one raises the minimum.
        assert remediator.post({**an_alert(1), "status": "resolved"}) == 200
        with owner_of(stage, path, put_back):
            lose_a_fight(remediator)
