"""The plan of a scale-up: one absolute bound of the autoscaler, within the cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.actions import ActionInput
from remediations.actions.scale_workload import plan
from remediations.decision import GuardOutcome, Plan
from remediations.model import ANNOTATION_OPERATION, Fact
from remediations.reasons import HoldReason
from tests.fakes.decisions import API, an_autoscaler, facts, unknown


def answer(*autoscalers, cap: int = 14, step: int = 2) -> Plan | GuardOutcome:
    chosen = facts(autoscalers=Fact(autoscalers, "hpa"))
    return plan(ActionInput(API, {"max_replicas_cap": cap, "step": step}, chosen, "op-1"))


def spec_of(made: Plan | GuardOutcome):
    assert isinstance(made, Plan)
    return made.steps[0].body["spec"]


def test_patch_names_the_judged_autoscaler_the_operation_and_one_bound():
    made = answer(an_autoscaler())
    assert isinstance(made, Plan)
    (step,) = made.steps
    mark = {ANNOTATION_OPERATION: "op-1"}
    assert (step.path, step.patch) == (
        "/apis/autoscaling/v2/namespaces/control-core/horizontalpodautoscalers/control-plane-api",
        "merge",
    )
    assert step.body == {
        "metadata": {"uid": "uid-2", "resourceVersion": "52", "annotations": mark},
        "spec": {"maxReplicas": 12},
    }
    assert step.done_if == mark
    assert made.prior == {"autoscaler": "control-plane-api", "maxReplicas": 10, "operation_id": None}
    assert made.expected == {
        "effect": "autoscaler",
        "uid": "uid-2",
        "autoscaler": "control-plane-api",
        "maxReplicas": 12,
        "operation_id": "op-1",
    }
    assert made.summary.endswith("from 10 to 12")


@pytest.mark.parametrize(
    ("autoscaler", "cap", "step", "expected"),
    [
        (an_autoscaler(), 14, 2, {"maxReplicas": 12}),
        (an_autoscaler(), 11, 5, {"maxReplicas": 11}),
        (an_autoscaler(current=8), 14, 2, {"maxReplicas": 12}),
        (an_autoscaler(current=4, desired=4), 14, 2, {"minReplicas": 6}),
        (an_autoscaler(current=4, desired=5), 14, 2, {"minReplicas": 7}),
        (an_autoscaler(current=9, desired=9), 14, 5, {"minReplicas": 10}),
        (an_autoscaler(current=3, desired=3), 4, 5, {"minReplicas": 4}),
        (an_autoscaler(current=0, desired=0), 14, 2, {"minReplicas": 5}),
    ],
)
def test_bound_that_helps_is_raised_by_one_step_within_the_cap(autoscaler, cap, step, expected):
    assert spec_of(answer(autoscaler, cap=cap, step=step)) == expected


@pytest.mark.parametrize(
    ("autoscaler", "cap"),
    [
        (an_autoscaler(), 10),
        (an_autoscaler(), 5),
        (an_autoscaler(current=4, desired=4), 3),
        (an_autoscaler(minimum=10, maximum=10, current=9, desired=9), 10),
    ],
)
def test_autoscaler_without_room_is_at_its_cap(autoscaler, cap):
    refusal = answer(autoscaler, cap=cap)
    assert isinstance(refusal, GuardOutcome)
    assert refusal.reason is HoldReason.AUTOSCALER_AT_CAP
    assert str(cap) in refusal.detail


@pytest.mark.parametrize("autoscalers", [(), (an_autoscaler(), an_autoscaler())])
def test_anything_but_one_autoscaler_has_no_plan(autoscalers):
    assert answer(*autoscalers).reason is HoldReason.OWNER_UNKNOWN


def test_unknown_autoscalers_have_no_plan():
    refusal = plan(ActionInput(API, {"max_replicas_cap": 14, "step": 2}, facts(autoscalers=unknown()), "op-1"))
    assert refusal.reason is HoldReason.OWNER_UNKNOWN


SMALL = st.integers(0, 30)


@given(SMALL, SMALL, SMALL, SMALL, st.integers(1, 30), st.integers(1, 10))
def test_bound_only_ever_rises_and_never_beyond_the_cap_or_the_maximum(minimum, maximum, current, desired, cap, step):
    autoscaler = an_autoscaler(minimum=minimum, maximum=maximum, current=current, desired=desired)
    made = answer(autoscaler, cap=cap, step=step)
    if isinstance(made, Plan):
        ((bound, value),) = spec_of(made).items()
        before = {"minReplicas": minimum, "maxReplicas": maximum}[bound]
        assert before < value <= cap
        assert bound == "maxReplicas" or value <= maximum
        assert bound == "minReplicas" or value <= before + step
