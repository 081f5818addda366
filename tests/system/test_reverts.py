"""A scale-up by /scale and its revert, on a real API server: once, and only while the number is still ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.faulty_proxy import Fault
from tests.fakes.running_remediator import RunningRemediator
from tests.fakes.waiting import wait_for
from tests.system.keda import path_of, scaled_object
from tests.system.stage import NAME, OPEN_STATES, Stage, deliver, kinds, newest, wait_closed, wait_held
from tools.slowness import scaled

if TYPE_CHECKING:
    from tools.servers.kubernetes.metrics_api import MetricsApi

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def busy(stage: Stage) -> Stage:
    """Three pods that are saturated; more of them help, and the load does not fit three any more."""
    stage.deploy()
    stage.watch.answers |= {"fault": lambda: float(replicas(stage) == 3), "well": 1.0, "load * 5 / 3": 0.0}
    return stage


def scaling(stage: Stage, after_seconds: float = 1, **changes: Any) -> dict[str, Any]:
    """A policy that scales by two and reverts it when the load allows."""
    parameters = {
        "max_replicas_cap": 6,
        "step": 2,
        "revert_if": "load * $new / $old",
        "revert_collectors": ["workloads"],
        "revert_after_seconds": after_seconds,
        "revert_give_up_seconds": 60,
    }
    policy = stage.policy(action="scale_workload", parameters=parameters, accept=["replicas_owner"], **changes)
    del policy["witnesses"]
    return policy


def replicas(stage: Stage) -> int:
    return int(stage.read()["spec"]["replicas"])


def ended(remediator: RunningRemediator) -> list[tuple[str, str, str]]:
    """Policy, state and reason of every remediation, oldest first, once all of them have closed."""
    question = "SELECT policy, state, reason FROM remediation ORDER BY id"
    wait_for(lambda: not OPEN_STATES & {row[1] for row in remediator.read(question)})
    return [(str(row[0]), str(row[1]), str(row[2])) for row in remediator.read(question)]


def test_scale_whose_answer_was_lost_is_not_made_again(busy: Stage) -> None:
    """Killed after the API server has stored the number and before the journal has; /scale has no mark."""
    busy.front.fail(Fault.LOST, {"PATCH"})
    before = busy.generation()
    with busy.remediator(scaling(busy, after_seconds=0)) as remediator:
        deliver(remediator)
        assert busy.front.arrived.wait(scaled(30))
        remediator.kill()
        busy.front.heal()
        busy.front.release()
        remediator.start()
        assert wait_closed(remediator) == "succeeded"
        assert (replicas(busy), busy.generation()) == (5, before + 1)
        assert busy.front.statuses.count(("PATCH", 200)) == 1


def test_scale_up_is_taken_back_once_the_load_fits_and_survives_a_kill(busy: Stage) -> None:
    with busy.remediator(scaling(busy)) as remediator:
        deliver(remediator)
        wait_held(remediator, "load_too_high")
        assert replicas(busy) == 5
        remediator.kill()
        busy.watch.answers["load * 5 / 3"] = 1.0
        busy.watch.answers["fault"] = 0.0
        remediator.start()
        assert ended(remediator) == [
            ("restart-api", "succeeded", "succeeded"),
            ("restart-api:revert", "succeeded", "succeeded"),
        ]
        assert (replicas(busy), kinds(remediator, "intent")) == (3, 2)


def test_number_that_somebody_else_has_set_since_is_left_alone(busy: Stage) -> None:
    with busy.remediator(scaling(busy)) as remediator:
        deliver(remediator)
        wait_held(remediator, "load_too_high")
        busy.cluster.client.patch(f"{busy.path()}/scale", {"spec": {"replicas": 4}})
        busy.watch.answers["load * 5 / 3"] = 1.0
        wait_for(lambda: newest(remediator) == ("not_needed", "changed_since"))
        assert (replicas(busy), kinds(remediator, "intent")) == (4, 1)


def test_scale_up_that_did_not_help_is_taken_back_at_once(busy: Stage) -> None:
    busy.watch.answers |= {"fault": 1.0, "well": 0.0, "load * 5 / 3": 1.0}
    with busy.remediator(scaling(busy, after_seconds=3600, verify_timeout_seconds=2)) as remediator:
        deliver(remediator)
        wait_for(lambda: replicas(busy) == 5)
        wait_for(lambda: replicas(busy) == 3)
        assert ended(remediator)[0] == ("restart-api", "failed", "failed")
        (detail,) = remediator.read("SELECT json_extract(data, '$.detail') FROM record WHERE kind = 'scheduled'")[0]
        assert detail.endswith("it did not help")


@pytest.mark.usefixtures("keda")
def test_maximum_of_a_scaled_object_is_taken_back_where_it_was_raised(busy: Stage) -> None:
    busy.cluster.apply([scaled_object(busy)])
    place, before = path_of(busy), busy.generation()
    busy.watch.answers |= {"fault": lambda: float(maximum(busy, place) == 3)}
    with busy.remediator(scaling(busy)) as remediator:
        deliver(remediator)
        wait_held(remediator, "load_too_high")
        assert maximum(busy, place) == 5
        busy.watch.answers["load * 5 / 3"] = 1.0
        assert ended(remediator)[1] == ("restart-api:revert", "succeeded", "succeeded")
        assert (maximum(busy, place), busy.generation()) == (3, before), "spec.replicas is KEDA's"


def test_maximum_of_an_autoscaler_is_taken_back_unless_somebody_has_set_it_since(
    busy: Stage, metrics_api: MetricsApi
) -> None:
    """A real controller scales by it, so the usage is kept high until it stands at its maximum."""
    busy.cluster.apply([autoscaler(busy)])
    place = f"/apis/autoscaling/v2/namespaces/{busy.namespace}/horizontalpodautoscalers/{NAME}"

    def is_at_maximum(found: dict[str, Any]) -> bool:
        pods = busy.cluster.client.items(f"/api/v1/namespaces/{busy.namespace}/pods")
        metrics_api.set_usage(busy.namespace, {pod["metadata"]["name"]: 95 for pod in pods})
        return bool(found.get("status", {}).get("desiredReplicas") == found["spec"]["maxReplicas"])

    busy.cluster.wait_for(place, is_at_maximum, 90.0)
    busy.watch.answers |= {"fault": lambda: float(maximum(busy, place) == 3)}
    with busy.remediator(scaling(busy)) as remediator:
        deliver(remediator)
        wait_held(remediator, "load_too_high")
        assert maximum(busy, place) == 5
        busy.cluster.client.patch(place, {"spec": {"maxReplicas": 6}})
        busy.watch.answers["load * 5 / 3"] = 1.0
        wait_for(lambda: newest(remediator) == ("not_needed", "changed_since"))
        assert (maximum(busy, place), kinds(remediator, "intent")) == (6, 1)


def maximum(stage: Stage, place: str) -> int:
    """The upper bound of the autoscaler or ScaledObject there."""
    spec = stage.cluster.client.get(place)["spec"]
    return int(spec.get("maxReplicas") or spec["maxReplicaCount"])


def autoscaler(stage: Stage) -> dict[str, Any]:
    """One to three pods, by CPU."""
    target = {"type": "Utilization", "averageUtilization": 70}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": stage.namespace, "name": NAME},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
