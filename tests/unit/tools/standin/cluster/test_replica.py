"""A replica's reads from its pod, and writes to it."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tools.standin.cluster.components import API
from tools.standin.cluster.pod_state import component_of, environment_of
from tools.standin.cluster.replica import Hooks, Launch, Replica, address_of, build_status, cpu_seconds


def make_pod(**status: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "api-1", "uid": "u-1", "namespace": "n", "labels": {"app": "control-plane-api"}},
        "spec": {"containers": [{"name": "api", "env": [{"name": "CC_DROP_TABLES", "value": "true"}, {"name": "X"}]}]},
        "status": {"phase": "Running", "podIP": "127.77.0.9", **status},
    }


def make_replica(pod: dict[str, Any]) -> Replica:
    async def nothing(*_: object) -> None:
        return None

    return Replica(pod, "127.77.0.9", Launch(API, ()), Hooks(nothing, nothing, None))  # type: ignore[arg-type]


def test_running_pod_has_its_address() -> None:
    assert address_of(make_pod()) == "127.77.0.9"


def test_pending_pod_has_no_address() -> None:
    assert address_of(make_pod(phase="Pending")) is None


def test_pod_being_deleted_has_no_address() -> None:
    pod = make_pod()
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert address_of(pod) is None


def test_pod_without_address_has_none() -> None:
    assert address_of(make_pod(podIP="")) is None


def test_component_comes_from_the_app_label() -> None:
    pod = make_pod()
    assert component_of(pod) is API
    pod["metadata"]["labels"] = {"app": "somebody-elses"}
    assert component_of(pod) is None


def test_environment_is_the_first_containers() -> None:
    assert environment_of(make_pod()) == {"CC_DROP_TABLES": "true", "X": ""}


@pytest.mark.parametrize(("is_ready", "status"), [(True, "True"), (False, "False")])
def test_probe_result_becomes_both_conditions(is_ready: bool, status: str) -> None:  # noqa: FBT001
    replica = make_replica(make_pod(containerStatuses=[{"name": "api", "ready": True, "restartCount": 0}]))
    replica.is_ready = is_ready
    written: Any = build_status(replica, None)
    assert {each["type"]: each["status"] for each in written["conditions"]} == {
        "Ready": status,
        "ContainersReady": status,
    }
    assert written["containerStatuses"] == [{"name": "api", "ready": is_ready, "restartCount": 0}]


def test_container_that_was_seen_before_it_began_runs_now() -> None:
    waiting = {"name": "api", "started": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    replica = make_replica(make_pod(startTime="2026-01-01T00:00:00Z", containerStatuses=[waiting]))
    (container,) = build_status(replica, None)["containerStatuses"]  # type: ignore[misc]
    assert (container["started"], container["state"]) == (True, {"running": {"startedAt": "2026-01-01T00:00:00Z"}})


def test_process_that_keeps_ending_is_a_crash_loop_in_the_pods_status() -> None:
    replica = make_replica(make_pod(containerStatuses=[{"name": "api", "state": {"running": {}}}]))
    replica.restarts = 2
    (container,) = build_status(replica, "CrashLoopBackOff")["containerStatuses"]  # type: ignore[misc]
    assert container["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    assert container["restartCount"] == 2


def test_usage_is_unknown_before_two_samples() -> None:
    replica = make_replica(make_pod())
    replica.samples.append((10.0, 1.0))
    assert replica.usage_millicores() is None
    replica.samples.append((12.0, 1.1))
    assert replica.usage_millicores() == pytest.approx(50.0)


def test_cpu_of_a_process_is_its_own_clock() -> None:
    before = cpu_seconds(os.getpid())
    ends_at = time.process_time() + 0.05
    while time.process_time() < ends_at:
        sum(range(1000))
    after = cpu_seconds(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before >= 0.05


def test_cpu_of_a_process_that_is_gone_is_unknown() -> None:
    assert cpu_seconds(2**22 - 3) is None
