from __future__ import annotations

import pytest

from remediations.core.model.alert import Target
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.policy import Rung, at_rung
from tests.fakes.decisions import API, a_policy_set, a_remediation, ask, restart_policy


@pytest.mark.parametrize(
    "target",
    [
        Target("kube-system", "Deployment", "control-plane-api"),
        Target("control-core", "Deployment", "coredns"),
        Target("control-core", "StatefulSet", "control-plane-api"),
        Target("control-core", "Deployment", "control-plane-api/../coredns"),
        Target("control-core", "Deployment", "c\u043entrol-plane-api"),
        Target("", "", ""),
    ],
)
def test_object_outside_the_list_is_not_allowed(target):
    outcome = ask("allow_list", remediation=a_remediation(target=target))
    assert outcome.reason is HoldReason.NOT_ALLOWED
    assert API.key in outcome.detail


def test_listed_object_passes():
    assert ask("allow_list").reason is None


def test_second_of_two_listed_objects_passes():
    other = Target("control-core", "Deployment", "bouncer")
    policy = restart_policy(targets=(API, other))
    assert ask("allow_list", policy=policy, remediation=a_remediation(target=other)).reason is None


def test_kind_that_the_action_does_not_know_is_not_allowed():
    target = Target("control-core", "StatefulSet", "postgres")
    policy = restart_policy(targets=(target,))
    assert ask("allow_list", policy=policy, remediation=a_remediation(target=target)).reason is HoldReason.NOT_ALLOWED


def test_object_of_another_rung_is_not_what_is_due():
    other = Target("control-core", "Deployment", "bouncer")
    whole = restart_policy(ladder=(Rung("restart_workload", targets=(other,)),))
    outcome = ask("allow_list", policy=at_rung(whole, 1), policy_set=a_policy_set(whole))
    assert outcome.reason is HoldReason.OTHER_RUNG
    assert other.key in outcome.detail
    elsewhere = a_remediation(target=Target("x", "Deployment", "y"))
    outcome = ask("allow_list", policy=at_rung(whole, 1), policy_set=a_policy_set(whole), remediation=elsewhere)
    assert outcome.reason is HoldReason.NOT_ALLOWED
