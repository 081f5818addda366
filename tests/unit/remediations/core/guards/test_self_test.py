from __future__ import annotations

import pytest

from remediations.core.decide import GUARDS, judge
from remediations.core.model.alert import Mode, Target
from remediations.core.model.decision import Act, Hold
from remediations.core.model.facts import Approval, Fact, History
from remediations.core.model.reasons import HoldReason
from remediations.core.model.stored import plan_hash, resource_version
from remediations.core.policies.policy import Policy, Query
from tests.fakes.decisions import NOW, a_request, ask, facts, restart_policy, unknown

TOO_WIDE = facts(self_test=Fact(False, "dry runs", "the API server does not refuse deletion of a pod"))
CALLING = Policy(
    "update-policies",
    "trigger_policy_update",
    (Target("control-core", "OpalClient", "opal"),),
    Query("stale", ("opal",)),
    Query("fresh", ("opal",)),
    mode=Mode.AUTO,
    parameters={"url": "http://opal:7000"},
)


def test_unknown_holds_with_the_reason_why():
    outcome = ask("self_test", facts=facts(self_test=unknown("timeout: nobody answered")))
    assert outcome.reason is HoldReason.SELF_TEST_UNKNOWN
    assert "timeout: nobody answered" in outcome.detail


def test_limited_rights_pass():
    assert (ask("self_test").reason, ask("self_test").detail) == (None, "")


def test_rights_that_are_too_wide_pass_here_and_wait_for_a_person():
    outcome = ask("self_test", facts=TOO_WIDE)
    assert outcome.reason is None
    assert "waits for approval" in outcome.detail


def test_downgraded_plan_is_proposed_under_a_reason_of_its_own():
    decision = judge(a_request(facts=TOO_WIDE), GUARDS)
    assert isinstance(decision, Hold)
    assert decision.reason is HoldReason.SELF_TEST_FAILED
    assert "the API server does not refuse deletion of a pod" in decision.detail
    assert decision.proposal is not None


def test_downgraded_plan_that_was_approved_is_carried_out():
    plan = judge(a_request(), GUARDS).plan
    yes = Approval("0001", plan_hash(plan), resource_version(plan), "sam", NOW - 10, NOW + 1)
    assert isinstance(judge(a_request(facts=TOO_WIDE, history=History(approval=yes)), GUARDS), Act)


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.DRY_RUN, Mode.APPROVE])
def test_other_modes_need_no_proof(mode: Mode):
    assert ask("self_test", policy=restart_policy(mode=mode), facts=facts(self_test=unknown())).reason is None


def test_calls_need_no_proof():
    assert ask("self_test", policy=CALLING, facts=facts(self_test=unknown())).reason is None
    assert ask("approval", policy=CALLING, facts=TOO_WIDE).reason is None
