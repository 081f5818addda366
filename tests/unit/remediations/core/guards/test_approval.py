from __future__ import annotations

from dataclasses import replace

import pytest

from remediations.core.decide import GUARDS, judge
from remediations.core.model.alert import Mode
from remediations.core.model.decision import Act, Hold
from remediations.core.model.facts import Approval, Fact, History
from remediations.core.model.reasons import HoldReason
from remediations.core.model.stored import plan_hash, resource_version
from tests.fakes.decisions import NOW, a_request, a_workload, ask, facts, restart_policy, scale_policy

POLICY = restart_policy(mode=Mode.APPROVE)
PLAN = judge(a_request(), GUARDS).plan
YES = Approval("0001", plan_hash(PLAN), resource_version(PLAN), "sam", NOW - 10, NOW + 1)


def answered(approval: Approval | None, **changes):
    return ask("approval", policy=POLICY, history=History(approval=approval), **changes)


def test_approved_plan_passes_and_says_by_whom():
    outcome = answered(YES)
    assert (outcome.reason, outcome.detail) == (None, "approved by sam")


@pytest.mark.parametrize(
    ("approval", "words"),
    [
        (None, "waits for approval"),
        (replace(YES, remediation="0002"), "waits for approval"),
        (replace(YES, expires_at=NOW), "has expired"),
        (replace(YES, plan_hash="0"), "approved another plan"),
        (replace(YES, resource_version="40"), "the object changed"),
    ],
)
def test_no_answer_or_one_to_something_else_holds(approval, words):
    outcome = answered(approval)
    assert outcome.reason is HoldReason.APPROVAL
    assert words in outcome.detail


@pytest.mark.parametrize("changes", [{}, {"plan_hash": "0"}, {"expires_at": NOW}])
def test_plan_that_a_person_rejected_is_held_as_rejected_and_still_proposed(changes):
    """With the reason `approval` it would seem to wait for an answer."""
    no = replace(YES, is_approved=False, **changes)
    outcome = answered(no)
    assert (outcome.reason, outcome.detail.split(";")[0]) == (HoldReason.REJECTED, "rejected by sam")
    decision = judge(a_request(policy=POLICY, history=History(approval=no)), GUARDS)
    assert isinstance(decision, Hold)
    assert (decision.reason, decision.proposal) == (HoldReason.REJECTED, PLAN)


def test_object_that_changed_needs_a_new_approval():
    moved = facts(workload=Fact(a_workload(resource_version="42"), "w"))
    assert "the object changed" in answered(YES, facts=moved).detail


def test_other_modes_need_no_approval():
    assert ask("approval").reason is None


def test_action_without_a_plan_has_nothing_to_approve():
    policy = scale_policy(mode=Mode.APPROVE, parameters={"max_replicas_cap": 1})
    assert ask("approval", policy=policy).reason is None


def test_approved_plan_is_decided_as_act():
    assert isinstance(judge(a_request(policy=POLICY, history=History(approval=YES)), GUARDS), Act)
