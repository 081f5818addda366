"""The plan of a scale-up: one absolute bound of the autoscaler, within the cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core.action import ActionInput
from remediations.core.actions.scale_workload import plan
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import ActionFacts, Fact, Facts
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import API, a_scaled_object, an_autoscaler, facts, unknown, with_scaled_objects


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
        "metadata": {
            "uid": "uid-2",
            "resourceVersion": "52",
            "annotations": mark | {"controlcore.io/raised-maxReplicas": "10..12"},
        },
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


def test_more_than_one_autoscaler_has_no_plan():
    assert answer(an_autoscaler(), an_autoscaler()).reason is HoldReason.OWNER_UNKNOWN


def keda(*autoscalers, **scaled_object) -> Facts:
    return facts(autoscalers=Fact(autoscalers, "hpa"), sights=with_scaled_objects(a_scaled_object(**scaled_object)))


def ask(known: Facts, **parameters: int) -> Plan | GuardOutcome:
    return plan(ActionInput(API, {"max_replicas_cap": 14, "step": 2} | parameters, known, "op-1"))


def test_keda_is_patched_at_the_scaled_object_and_not_at_its_autoscaler():
    made = ask(keda(an_autoscaler(owner="ScaledObject/control-plane-api")))
    assert isinstance(made, Plan)
    (step,) = made.steps
    mark = {ANNOTATION_OPERATION: "op-1"}
    assert (step.path, step.patch) == (
        "/apis/keda.sh/v1alpha1/namespaces/control-core/scaledobjects/control-plane-api",
        "merge",
    )
    assert step.body == {
        "metadata": {
            "uid": "uid-3",
            "resourceVersion": "63",
            "annotations": mark | {"controlcore.io/raised-maxReplicaCount": "10..12"},
        },
        "spec": {"maxReplicaCount": 12},
    }
    assert step.done_if == mark
    assert made.expected == {
        "effect": "scaled_object",
        "uid": "uid-3",
        "scaled_object": "control-plane-api",
        "maxReplicaCount": 12,
        "operation_id": "op-1",
    }


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (keda(an_autoscaler(current=4, desired=4)), {"minReplicaCount": 6}),
        (keda(minimum=None, maximum=None), {"minReplicaCount": 5}),
        (keda(an_autoscaler(current=1, desired=1), minimum=None, maximum=None), {"minReplicaCount": 3}),
    ],
)
def test_bounds_that_a_scaled_object_leaves_out_are_kedas(known, expected):
    assert spec_of(ask(known)) == expected


def test_without_autoscaler_the_scale_is_set_to_an_absolute_number():
    made = ask(facts(autoscalers=Fact((), "hpa")))
    assert isinstance(made, Plan)
    (step,) = made.steps
    assert step.path == "/apis/apps/v1/namespaces/control-core/deployments/control-plane-api/scale"
    assert step.body == {"metadata": {"uid": "uid-1", "resourceVersion": "41"}, "spec": {"replicas": 5}}
    assert step.done_if == {}
    assert (made.prior, made.expected) == (
        {"replicas": 3},
        {"effect": "replicas", "uid": "uid-1", "replicas": 5},
    )
    assert made.summary == "raise replicas of Deployment control-core/control-plane-api from 3 to 5"


def test_deployment_at_the_cap_has_no_plan():
    refusal = ask(facts(autoscalers=Fact((), "hpa")), max_replicas_cap=3)
    assert refusal.reason is HoldReason.AUTOSCALER_AT_CAP
    assert "Deployment control-plane-api has 3 replicas" in refusal.detail


@pytest.mark.parametrize("lost", [{"workload": unknown()}, {"sights": ActionFacts()}])
def test_what_was_not_looked_at_has_no_plan(lost):
    assert ask(facts(autoscalers=Fact((), "hpa"), **lost)).reason is HoldReason.OWNER_UNKNOWN


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


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("8..10", "8..12"),  # raised from 8 to 10 by us, and by nobody else since
        ("6..8", "10..12"),  # somebody set 10 since: that is the number before
        ("x..10", "10..12"),
        ("8", "10..12"),
    ],
)
def test_second_raise_remembers_the_number_before_the_first(note: str, expected: str):
    """L1: the admission policy lets a number fall to the one before the dots, and no further."""
    made = answer(an_autoscaler(annotations={"controlcore.io/raised-maxReplicas": note}))
    assert isinstance(made, Plan)
    assert made.steps[0].body["metadata"]["annotations"]["controlcore.io/raised-maxReplicas"] == expected
