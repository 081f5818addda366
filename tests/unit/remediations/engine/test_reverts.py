"""When a scale-up that has been judged is taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remediations.core.action import ActionInput
from remediations.core.actions.scale_workload import plan
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Outcome, Verdict
from remediations.core.policies.policy import Rung
from remediations.engine.reverts import follow_up, revert_names
from tests.fakes.decisions import API, NOW, a_policy_set, a_remediation, facts, restart_policy, scale_policy

PARAMETERS = {
    "max_replicas_cap": 14,
    "step": 2,
    "revert_if": "fits",
    "revert_collectors": ("workloads",),
    "revert_after_seconds": 1800,
    "revert_give_up_seconds": 3600,
}
SCALED = plan(ActionInput(API, PARAMETERS, facts(), "0001"))
assert isinstance(SCALED, Plan)
ORIGIN = a_remediation(policy="scale-api", written_at=NOW - 100)


@pytest.mark.parametrize(
    ("judged", "due_in"),
    [
        (Verdict(Outcome.SUCCEEDED, ""), 1700),
        (Verdict(Outcome.UNVERIFIED, ""), 1700),
        (Verdict(Outcome.FAILED, ""), 0),
        (Verdict(Outcome.FAILED, "", is_reverted=True), None),
    ],
    ids=["helped", "nobody knows", "did not help", "somebody else took it back"],
)
def test_revert_is_due_when_its_time_is_over_or_at_once_or_never(judged, due_in):
    found = follow_up(ORIGIN, SCALED, judged, NOW)
    assert (None if found is None else found.due_at - NOW) == due_in


def test_revert_of_old_is_due_now_and_carries_the_alert_of_its_origin():
    found = follow_up(replace(ORIGIN, written_at=NOW - 7200), SCALED, Verdict(Outcome.SUCCEEDED, ""), NOW)
    assert found is not None
    assert (found.due_at, found.match.policy) == (NOW, "scale-api:revert")
    assert (found.match.alert.labels, found.match.alert.fingerprint) == (ORIGIN.alert.labels, ORIGIN.id)


def test_what_has_no_undo_has_no_revert():
    assert follow_up(ORIGIN, replace(SCALED, undo=None), Verdict(Outcome.FAILED, ""), NOW) is None


def test_revert_follows_from_every_policy_that_scales_and_from_no_other():
    ladder = restart_policy(name="by-ladder", ladder=(Rung("scale_workload"),))
    policies = a_policy_set(scale_policy(), restart_policy(), ladder)
    assert revert_names(policies.policies) == ["scale-api:revert", "by-ladder:revert"]
    found = policies.named("scale-api:revert")
    assert found is not None
    assert (found.action, found.condition, found.ladder) == ("revert_scale", scale_policy().condition, ())
    assert policies.named("nobody:revert") is None
