from __future__ import annotations

import pytest

from exporter.collectors.kubernetes.rollout_objects import (
    STATES,
    RestartCount,
    read_inactive,
    read_rollout,
    read_waiting,
    rollout_series,
)


def deployment(*counts, generation=2, reason=None, **spec):
    """Updated, all and available replicas, all 3 unless given; the controller has seen generation 2."""
    conditions = [{"type": "Progressing", "status": "True", "reason": reason}] if reason else []
    names = ("updatedReplicas", "replicas", "availableReplicas")
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": 3, **spec},
        "status": {
            "observedGeneration": 2,
            "conditions": conditions,
            **dict(zip(names, counts or (3, 3, 3), strict=True)),
        },
    }


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (deployment(), "complete"),
        (deployment(generation=3), "progressing"),
        (deployment(1, 3, 3), "progressing"),
        (deployment(3, 4, 3), "progressing"),
        (deployment(3, 3, 2), "progressing"),
        (deployment(3, 3, 2, reason="ProgressDeadlineExceeded"), "stalled"),
        (deployment(1, 3, 3, paused=True), "paused"),
        (deployment(0, 0, 0, replicas=0), "complete"),
        ({"metadata": {}, "spec": {}, "status": {}}, None),
        ({"metadata": {}, "spec": {}}, None),
    ],
)
def test_rollout_is_judged_as_kubectl_does(found, state):
    assert read_rollout(found) == state


def test_state_set_has_one_state():
    series = rollout_series({"api": "stalled"})
    assert {state for (_, state), is_it in series.items() if is_it} == {"stalled"}
    assert {state for _, state in series} == set(STATES)


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ([], None),
        ([{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}], None),
        ([{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}], "no_resource_metric"),
        ([{"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}], "disabled"),
        ([{"type": "ScalingActive", "status": "False", "reason": "made up"}], "other"),
        ([{"type": "ScalingActive", "status": "False"}], "other"),
        ([{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale"}], None),
    ],
)
def test_reason_of_an_inactive_autoscaler_is_of_a_closed_set(conditions, reason):
    assert read_inactive({"status": {"conditions": conditions}}) == reason


def pod(uid, restarts, waiting=None, **extra):
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    statuses = [{"name": "c", "restartCount": restarts, "state": state}]
    return {"metadata": {"uid": uid}, "status": {"containerStatuses": statuses, **extra}}


def test_waiting_containers_are_counted_by_reason():
    pods = [pod("a", 5, "CrashLoopBackOff"), pod("b", 0, "ErrImagePull"), pod("c", 0, "something new"), pod("d", 0)]
    assert read_waiting(pods) == {"crash_loop": 1, "image_pull": 1, "config": 0, "creating": 0, "other": 1}


def restarts(*looks):
    count = RestartCount()
    totals = []
    for pods in looks:
        count.update("api", pods)
        totals.append(count.counter.values[("api",)])
    return totals


def test_restarts_before_the_first_look_are_not_counted_and_later_ones_are():
    assert restarts([pod("a", 7)], [pod("a", 7)], [pod("a", 9)]) == [0, 0, 2]


def test_pod_that_is_replaced_is_no_restart_and_takes_nothing_away():
    assert restarts([pod("a", 7), pod("b", 1)], [pod("b", 2), pod("c", 0)], [pod("b", 2), pod("c", 1)]) == [0, 1, 2]


def test_count_that_falls_is_no_restart():
    assert restarts([pod("a", 7)], [pod("a", 3)], [pod("a", 4)]) == [0, 0, 1]


def test_pod_that_cannot_be_read_for_a_while_has_restarted_no_more_than_it_did():
    """P1: its number is not taken for 0 meanwhile."""
    bad = [pod("a", "rubbish"), pod("b", 1)]
    assert restarts([pod("a", 7), pod("b", 0)], bad, bad, [pod("a", 8), pod("b", 1)]) == [0, 1, 1, 2]


def test_pod_without_a_status_counts_nothing():
    assert restarts([{"metadata": {"uid": "a"}}], [pod("a", 1)]) == [0, 1]
