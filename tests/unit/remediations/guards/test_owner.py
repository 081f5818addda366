from __future__ import annotations

import pytest

from remediations.model import Fact
from remediations.reasons import HoldReason
from tests.fakes.decisions import a_workload, an_autoscaler, ask, facts, restart_policy, scale_policy, unknown


def scaled(*autoscalers):
    return {"policy": scale_policy(), "facts": facts(autoscalers=Fact(autoscalers, "hpa"))}


def test_active_autoscaler_of_its_own_passes():
    assert ask("owner", **scaled(an_autoscaler())).reason is None


@pytest.mark.parametrize("is_active", [False, None])
def test_autoscaler_without_metrics_is_blind(is_active):
    assert ask("owner", **scaled(an_autoscaler(is_active=is_active))).reason is HoldReason.AUTOSCALER_BLIND


def test_autoscaler_made_by_a_scaled_object_is_owned_by_other():
    outcome = ask("owner", **scaled(an_autoscaler(owner="ScaledObject/api")))
    assert outcome.reason is HoldReason.OWNED_BY_OTHER
    assert "ScaledObject/api" in outcome.detail


def test_two_autoscalers_are_owned_by_other():
    outcome = ask("owner", **scaled(an_autoscaler(), an_autoscaler(name="second")))
    assert outcome.reason is HoldReason.OWNED_BY_OTHER


def test_no_autoscaler_leaves_the_owner_unknown():
    assert ask("owner", **scaled()).reason is HoldReason.OWNER_UNKNOWN


def test_autoscalers_that_cannot_be_read_leave_the_owner_unknown():
    outcome = ask("owner", policy=scale_policy(), facts=facts(autoscalers=unknown("permission")))
    assert (outcome.reason, outcome.detail) == (HoldReason.OWNER_UNKNOWN, "permission")


@pytest.mark.parametrize("policy", [restart_policy(), scale_policy()], ids=lambda policy: policy.action)
def test_deployment_of_an_operator_is_owned_by_other(policy):
    owned = facts(workload=Fact(a_workload(owner="ControlCore/main"), "w"))
    assert ask("owner", policy=policy, facts=owned).reason is HoldReason.OWNED_BY_OTHER


def test_restart_does_not_ask_for_autoscalers():
    assert ask("owner", facts=facts(autoscalers=unknown())).reason is None


def test_unknown_workload_is_left_to_the_guards_that_need_it():
    assert ask("owner", facts=facts(workload=unknown())).reason is None
