"""The plan of a restart: one patch that can be sent twice and names the object that was judged."""

from __future__ import annotations

import pytest

from remediations.core.action import ActionInput
from remediations.core.actions.restart_workload import plan
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import API, a_workload, facts, unknown


def planned(operation_id: str = "op-1", **changes) -> Plan:
    chosen = facts(workload=Fact(a_workload(**changes), "w"))
    made = plan(ActionInput(API, {}, chosen, operation_id))
    assert isinstance(made, Plan)
    return made


def test_plan_is_one_strategic_patch_of_the_deployment():
    made = planned()
    (step,) = made.steps
    assert (step.path, step.patch) == (
        "/apis/apps/v1/namespaces/control-core/deployments/control-plane-api",
        "strategic",
    )
    assert (made.action, made.target, made.operation_id) == ("restart_workload", API, "op-1")
    assert "control-core/control-plane-api" in made.summary


def test_patch_names_the_judged_object_and_the_operation_in_both_places_and_nothing_else():
    (step,) = planned().steps
    mark = {ANNOTATION_OPERATION: "op-1"}
    assert step.body == {
        "metadata": {"uid": "uid-1", "resourceVersion": "41", "annotations": mark},
        "spec": {"template": {"metadata": {"annotations": mark}}},
    }
    assert step.done_if == mark


def test_plan_of_the_same_operation_is_the_same():
    assert planned() == planned()


def test_plan_of_another_operation_writes_another_value():
    assert planned("op-2").steps[0].body["spec"] != planned("op-1").steps[0].body["spec"]


def test_plan_on_a_restarted_object_changes_nothing_in_the_template():
    """A replay would write the existing values, so the controller sees no new template."""
    done = {ANNOTATION_OPERATION: "op-1"}
    again = planned(annotations=done, template_annotations=done)
    assert again.steps[0].body["spec"]["template"]["metadata"]["annotations"] == done


def test_prior_state_remembers_the_last_operation():
    earlier = {ANNOTATION_OPERATION: "op-0"}
    assert planned().prior == {"template_operation_id": None, "operation_id": None}
    assert planned(annotations=earlier, template_annotations=earlier).prior == {
        "template_operation_id": "op-0",
        "operation_id": "op-0",
    }


def test_expected_state_names_the_object_and_the_template():
    assert planned().expected == {
        "effect": "rollout",
        "uid": "uid-1",
        "template_operation_id": "op-1",
        "operation_id": "op-1",
    }


@pytest.mark.parametrize(
    ("changes", "budgets"),
    [
        ({"replicas_ready": 3, "unavailable": 1}, ["control-plane-api"]),
        ({"replicas_ready": 3, "strategy": "Recreate"}, ["control-plane-api"]),
        ({"replicas_ready": 3, "unavailable": 0}, None),
        ({"replicas_ready": 0, "unavailable": 1}, None),
    ],
    ids=["one-may-go", "recreate", "none-may-go", "none-ready"],
)
def test_plan_names_the_budgets_that_it_uses(changes, budgets):
    """R2: the next decision must know what `disruptionsAllowed` does not show yet."""
    assert planned(**changes).expected.get("budgets") == budgets


def test_unknown_workload_has_no_plan():
    refusal = plan(ActionInput(API, {}, facts(workload=unknown("timeout")), "op-1"))
    assert isinstance(refusal, GuardOutcome)
    assert (refusal.reason, refusal.detail) == (HoldReason.TARGET_UNKNOWN, "timeout")
