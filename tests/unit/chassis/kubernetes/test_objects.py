from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason
from chassis.kubernetes.objects import condition_of, find_condition, is_ready, reading


def pod(*, ready="True", phase="Running", **metadata):
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready, "reason": "why"}]
    return {"metadata": metadata, "status": {"phase": phase, "conditions": conditions}}


@pytest.mark.parametrize(("status", "expected"), [("True", True), ("False", False), ("Unknown", None), ("x", None)])
def test_condition_is_true_false_or_unknown(status, expected):
    assert condition_of(pod(ready=status), "Ready") is expected


@pytest.mark.parametrize("item", [{}, {"status": None}, {"status": {"conditions": None}}, pod()])
def test_condition_that_is_absent_is_unknown(item):
    assert (condition_of(item, "Complete"), find_condition(item, "Complete")) == (None, {})


def test_condition_is_found_whole():
    assert find_condition(pod(), "Ready") == {"type": "Ready", "status": "True", "reason": "why"}


def test_condition_without_a_type_is_malformed():
    with pytest.raises(PermanentError) as caught, reading("Pod"):
        condition_of({"status": {"conditions": [{"status": "True"}]}}, "Ready")
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (pod(), True),
        (pod(ready="False"), False),
        (pod(ready="Unknown"), False),
        (pod(phase="Succeeded"), False),
        (pod(phase="Failed"), False),
        (pod(deletionTimestamp="2026-01-01T00:00:00Z"), False),
        ({"metadata": {}}, False),
    ],
)
def test_pod_serves_while_it_is_ready_and_stays(item, expected):
    assert is_ready(item) is expected
