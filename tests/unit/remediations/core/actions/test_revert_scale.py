"""The plan of a revert: the number before, unless another program changed it since."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from remediations.core.action import ActionInput
from remediations.core.actions.revert_scale import plan
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import ActionFacts, Fact, Facts
from remediations.core.model.names import ANNOTATION_OPERATION, FIELD_MANAGER
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason, Settled
from remediations.core.model.undo import Revert, Undo
from tests.fakes.decisions import API, a_scaled_object, a_workload, an_autoscaler, facts, unknown, with_scaled_objects

UNDO = Undo("uid-2", "maxReplicas", 10, 12, "fits", ("workloads",), 1800.0, 14400.0)
OURS = {ANNOTATION_OPERATION: "op-1"}
RAISED = an_autoscaler(maximum=12, annotations=OURS)


def known(*changes: Undo, **more: Any) -> Facts:
    taking = Revert(changes or (UNDO,), ("op-1", "op-2"), 0.0)
    return facts(**({"autoscalers": Fact((RAISED,), "hpa"), "taking_back": taking} | more))


def ask(found: Facts) -> Plan | GuardOutcome:
    return plan(ActionInput(API, {}, found, "op-9"))


def test_bound_is_set_to_what_it_was_on_the_very_object():
    made = ask(known())
    assert isinstance(made, Plan)
    (step,) = made.steps
    assert step.body == {
        "metadata": {
            "uid": "uid-2",
            "resourceVersion": "52",
            "annotations": {ANNOTATION_OPERATION: "op-9", "controlcore.io/raised-maxReplicas": None},
        },
        "spec": {"maxReplicas": 10},
    }
    assert (made.expected["effect"], made.expected["maxReplicas"], made.undo) == ("autoscaler", 10, None)
    assert made.summary.startswith("lower maxReplicas of HorizontalPodAutoscaler")
    assert made.summary.endswith("from 12 to 10")


def test_both_bounds_are_lowered_in_one_patch():
    least = replace(UNDO, field="minReplicas", before=2, after=5)
    made = ask(known(UNDO, least, autoscalers=Fact((replace(RAISED, minimum=5),), "hpa")))
    assert isinstance(made, Plan)
    assert made.steps[0].body["spec"] == {"maxReplicas": 10, "minReplicas": 2}


def test_number_before_is_never_set_below_one():
    """KEDA may scale to zero; we do not."""
    undo = replace(UNDO, owner="uid-3", field="minReplicaCount", before=0, after=2)
    found = known(undo, sights=with_scaled_objects(a_scaled_object(minimum=2, annotations=OURS)))
    made = ask(replace(found, autoscalers=Fact((), "hpa")))
    assert isinstance(made, Plan)
    assert made.steps[0].body["spec"] == {"minReplicaCount": 1}


SCALED = replace(UNDO, owner="uid-1", field="replicas", before=3, after=5)


def alone(**workload: Any) -> Facts:
    workload = {"replicas_desired": 5, "replicas_managers": (FIELD_MANAGER,)} | workload
    return known(SCALED, autoscalers=Fact((), "hpa"), workload=Fact(a_workload(**workload), "w"))


def test_deployment_without_autoscaler_goes_back_by_its_scale():
    made = ask(alone())
    assert isinstance(made, Plan)
    assert made.steps[0].path.endswith("/scale")
    assert made.steps[0].body["spec"] == {"replicas": 3}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (known(autoscalers=Fact((replace(RAISED, maximum=15),), "hpa")), "maxReplicas is 15, not the 12"),
        (known(autoscalers=Fact((replace(RAISED, maximum=10),), "hpa")), "maxReplicas is 10, not the 12"),
        (known(autoscalers=Fact((replace(RAISED, uid="uid-9"),), "hpa")), "owns the replicas now"),
        (known(autoscalers=Fact((replace(RAISED, annotations={}),), "hpa")), "no operation id"),
        (known(autoscalers=Fact((replace(RAISED, annotations={ANNOTATION_OPERATION: "x"}),), "hpa")), "operation id x"),
        (known(autoscalers=Fact((), "hpa")), "Deployment of the target owns the replicas now"),
        (alone(replicas_desired=4), "replicas is 4, not the 5"),
        (alone(replicas_managers=("kubectl-scale",)), "kubectl-scale set the replicas since"),
        (alone(replicas_scalers=(FIELD_MANAGER, "kubectl")), "kubectl set the replicas since"),
        (alone(uid="uid-9"), "owns the replicas now"),
    ],
)
def test_what_somebody_else_has_changed_is_left_alone(found, words):
    answer = ask(found)
    assert isinstance(answer, GuardOutcome)
    assert (answer.is_settled, answer.settled) == (True, Settled.CHANGED_SINCE)
    assert words in answer.detail


@pytest.mark.parametrize(
    "found",
    [
        replace(known(), taking_back=None),
        known(autoscalers=unknown()),
        known(sights=ActionFacts()),
        known(workload=unknown()),
        known(autoscalers=Fact((RAISED, RAISED), "hpa")),
    ],
)
def test_what_is_not_known_has_no_plan(found):
    assert ask(found).reason is HoldReason.OWNER_UNKNOWN
