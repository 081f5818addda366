"""A plan survives the journal, and people can read it."""

from __future__ import annotations

import json

import pytest

from remediations.core import decide
from remediations.core.model.decision import Act
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Fact
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import Plan
from remediations.core.model.stored import describe_difference, plan_from_data, plan_hash, plan_to_data
from tests.fakes.decisions import a_request, a_workload, facts, scale_policy


def plan_of(**changes) -> Plan:
    decision = decide.judge(a_request(**changes), decide.GUARDS)
    assert isinstance(decision, Act)
    return decision.plan


@pytest.mark.parametrize("plan", [plan_of(), plan_of(policy=scale_policy())], ids=["restart", "scale"])
def test_plan_is_the_same_after_json(plan):
    assert plan_from_data(json.loads(json.dumps(plan_to_data(plan))), "0001") == plan


def test_hash_is_that_of_commit_c65e67b():
    """An approval that was given before an upgrade still names the plan."""
    assert plan_hash(plan_of()) == "6ea41157611f3bf05c9ca3e2cb559017a7e5f5c2b0f13cf84694711e7c1d088b"


def test_data_shares_nothing_with_the_plan():
    plan = plan_of()
    data = plan_to_data(plan)
    data["steps"][0]["body"]["metadata"]["uid"] = "changed"
    data["prior"]["operation_id"] = "changed"
    assert plan == plan_of()


@pytest.mark.parametrize("damage", ["steps", "target", "expected"])
def test_plan_with_a_part_missing_cannot_be_read(damage):
    data = plan_to_data(plan_of())
    del data[damage]
    with pytest.raises(JournalError, match="remediation 0001: plan"):
        plan_from_data(data, "0001")


@pytest.mark.parametrize("steps", [5, [None], [{"path": "p"}]])
def test_plan_with_broken_steps_cannot_be_read(steps):
    with pytest.raises(JournalError, match="remediation 0001: plan"):
        plan_from_data(plan_to_data(plan_of()) | {"steps": steps}, "0001")


def test_difference_of_a_scale_up_shows_the_number_before_and_after():
    text = describe_difference(plan_of(policy=scale_policy()))
    assert text.splitlines() == [
        "raise maxReplicas of HorizontalPodAutoscaler control-core/control-plane-api from 10 to 12",
        "  PATCH /apis/autoscaling/v2/namespaces/control-core/horizontalpodautoscalers/control-plane-api (merge)",
        '    if metadata.uid = "uid-2"',
        '    if metadata.resourceVersion = "52"',
        f'    + metadata.annotations.{ANNOTATION_OPERATION} = "0001"',
        '    + metadata.annotations.controlcore.io/raised-maxReplicas = "10..12"',
        "    - spec.maxReplicas = 10",
        "    + spec.maxReplicas = 12",
    ]


def test_difference_of_a_restart_shows_the_operation_that_is_replaced():
    earlier = {ANNOTATION_OPERATION: "0000"}
    workload = a_workload(template_annotations=earlier)
    text = describe_difference(plan_of(facts=facts(workload=Fact(workload, "w"))))
    assert f'    + metadata.annotations.{ANNOTATION_OPERATION} = "0001"' in text
    assert f'    - spec.template.metadata.annotations.{ANNOTATION_OPERATION} = "0000"' in text
    assert f'    + spec.template.metadata.annotations.{ANNOTATION_OPERATION} = "0001"' in text
