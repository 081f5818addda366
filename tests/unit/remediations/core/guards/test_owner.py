from __future__ import annotations

from dataclasses import replace

import pytest

from remediations.core.model.facts import ActionFacts, Fact
from remediations.core.model.names import FIELD_MANAGER
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Consent
from remediations.core.policies.policy import as_revert
from tests.fakes.decisions import (
    a_scaled_object,
    a_workload,
    an_autoscaler,
    ask,
    facts,
    restart_policy,
    scale_policy,
    unknown,
    with_scaled_objects,
)


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


def alone(**workload):
    """A Deployment that no autoscaler names."""
    return facts(autoscalers=Fact((), "hpa"), workload=Fact(a_workload(**workload), "w"))


def test_deployment_without_autoscaler_passes_when_nobody_sets_its_replicas():
    assert ask("owner", policy=scale_policy(), facts=alone()).reason is None
    assert ask("owner", policy=scale_policy(), facts=alone(replicas_managers=(FIELD_MANAGER,))).reason is None


@pytest.mark.parametrize(
    ("workload", "named"),
    [
        ({"replicas_managers": ("argocd-controller", FIELD_MANAGER)}, "argocd-controller set spec.replicas"),
        ({"delivered_by": "Flux"}, "Flux delivers"),
    ],
)
def test_whoever_delivers_the_replicas_owns_them_unless_the_policy_consents(workload, named):
    outcome = ask("owner", policy=scale_policy(), facts=alone(**workload))
    assert outcome.reason is HoldReason.OWNED_BY_OTHER
    assert outcome.detail.startswith(named)
    consenting = scale_policy(accept=frozenset({Consent.REPLICAS_OWNER}))
    assert ask("owner", policy=consenting, facts=alone(**workload)).reason is None


def test_delivered_deployment_with_an_autoscaler_passes():
    """The number that we change is the autoscaler's then."""
    delivered = facts(workload=Fact(a_workload(replicas_managers=("argocd-controller",)), "w"))
    assert ask("owner", policy=scale_policy(), facts=delivered).reason is None


def test_workload_at_zero_replicas_is_paused():
    assert ask("owner", policy=scale_policy(), facts=alone(replicas_desired=0)).reason is HoldReason.WORKLOAD_PAUSED


def keda(scaled_object, *autoscalers):
    return facts(autoscalers=Fact(autoscalers, "hpa"), sights=with_scaled_objects(scaled_object))


GENERATED = an_autoscaler(name="keda-hpa-api", owner="ScaledObject/control-plane-api")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (keda(a_scaled_object(), GENERATED), None),
        (keda(a_scaled_object()), None),
        (keda(a_scaled_object(is_ready=None)), HoldReason.AUTOSCALER_BLIND),
        (keda(a_scaled_object(is_ready=False)), HoldReason.AUTOSCALER_BLIND),
        (keda(a_scaled_object(), replace(GENERATED, is_active=False)), HoldReason.AUTOSCALER_BLIND),
        (keda(a_scaled_object(is_paused=True), GENERATED), HoldReason.WORKLOAD_PAUSED),
        (keda(a_scaled_object(is_out_paused=True), GENERATED), HoldReason.WORKLOAD_PAUSED),
        (keda(a_scaled_object(is_in_paused=True), GENERATED), None),
        (keda(a_scaled_object(), replace(GENERATED, is_out_paused=True)), HoldReason.WORKLOAD_PAUSED),
        (facts(autoscalers=Fact((an_autoscaler(is_out_paused=True),), "hpa")), HoldReason.WORKLOAD_PAUSED),
        (keda(a_scaled_object(), an_autoscaler()), HoldReason.OWNED_BY_OTHER),
        (keda(a_scaled_object(name="other"), GENERATED), HoldReason.OWNED_BY_OTHER),
        (facts(sights=with_scaled_objects(a_scaled_object(), a_scaled_object(name="b"))), HoldReason.OWNED_BY_OTHER),
        (facts(sights=ActionFacts()), HoldReason.OWNER_UNKNOWN),
        (facts(sights=ActionFacts(scaled_objects=unknown("permission"))), HoldReason.OWNER_UNKNOWN),
    ],
    ids=[
        "its autoscaler sees",
        "no autoscaler yet, and KEDA follows it",
        "no autoscaler, and KEDA has not said",
        "no autoscaler, and KEDA cannot",
        "its autoscaler is blind",
        "paused by a person",
        "scaling out paused (R7)",
        "scaling in paused, which does not matter now (R7)",
        "its autoscaler may not scale up (R7)",
        "an autoscaler that may not scale up (R7)",
        "an autoscaler of somebody else beside it",
        "the autoscaler of another one beside it",
        "two of them",
        "not read",
        "not allowed to look",
    ],
)
def test_scaled_object_owns_the_replicas_when_it_can_and_alone(found, reason):
    assert ask("owner", policy=scale_policy(), facts=found).reason is reason


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (keda(a_scaled_object(is_in_paused=True), GENERATED), HoldReason.WORKLOAD_PAUSED),
        (keda(a_scaled_object(is_out_paused=True), GENERATED), None),
        (facts(autoscalers=Fact((an_autoscaler(is_in_paused=True),), "hpa")), HoldReason.WORKLOAD_PAUSED),
        (keda(a_scaled_object(is_paused=True), GENERATED), HoldReason.WORKLOAD_PAUSED),
    ],
)
def test_revert_is_held_by_what_pauses_scaling_in(found, reason):
    """R7: the other direction of the same switch."""
    assert ask("owner", policy=as_revert(scale_policy()), facts=found).reason is reason


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
