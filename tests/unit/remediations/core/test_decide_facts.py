"""Every fact that there is: no decision acts without one that its action needs, and each is needed by some action."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core.decide import ACTIONS, GUARDS, judge
from remediations.core.guard import GuardInput
from remediations.core.model.decision import Act, Hold
from remediations.core.model.facts import ActionFacts, Facts
from remediations.core.verdict import CALLED
from remediations.facts.kubernetes.effects import ASKED
from tests.fakes.decisions import unknown
from tests.fakes.scenario_files import Situation, requests_of

POLICIES = {
    "restart_workload": "restart-api",
    "scale_workload": "scale-api",
    "evict_pod": "evict-bouncer",
    "trigger_policy_update": "update-policies",
    "clear_bouncer_cache": "clear-bouncer-cache",
    "terminate_idle_sessions": "end-idle-transactions",
    "run_backup_job": "run-backup",
}
"""A shipped policy of each action that one names."""
UNSHIPPED = "restart-api"
"""Stands in for the policy of an action that no shipped policy names; the action then has its default parameters."""
UNNAMED = frozenset({"revert_scale"})
"""No policy names it: it follows a scaling by itself, and has its own tests."""
ALWAYS = frozenset({"condition", "dependencies", "start", "mutes", "custom"})
PODS = ALWAYS | {"workload", "has_orchestrator", "changes", "template", "pods", "locks", "self_test"}
NEEDED = {
    "restart_workload": PODS | {"witnesses", "budgets", "connection_limit"},
    "scale_workload": PODS | {"autoscalers", "connection_limit", "sights.scaled_objects"},
    "evict_pod": PODS | {"budgets", "sights.pods"},
    "trigger_policy_update": ALWAYS,
    "clear_bouncer_cache": ALWAYS,
    "terminate_idle_sessions": ALWAYS | {"sights.idle_sessions"},
    "run_backup_job": ALWAYS | {"sights.cron_job", "self_test"},
}
"""Action → the facts without which it is held."""
VERIFIED = ASKED | {"rollout", "autoscaler", CALLED}
"""The effects that remediations/facts/observation.py reads and remediations/core/verdict.py judges."""
EMPTY = {"dependencies": {}, "witnesses": {}, "locks": {}, "custom": {}, "has_orchestrator": False}
"""The unknown value of fields that are not a Fact."""
TOLD = frozenset({"pauses", "sights", "taking_back"})
"""Pauses come from the journal, whose failure decides nothing; action facts are tested one by one; no policy
reverts.
"""
NAMES = (
    *(item.name for item in fields(Facts) if item.name not in TOLD),
    *(f"sights.{item.name}" for item in fields(ActionFacts)),
)


def a_favourable_request(action: str) -> GuardInput:
    """Everything is known and allows the action, and the policy uses every kind of requirement."""
    facts: dict[str, Any] = {
        "locks": {"backup": False},
        "custom": {"volume": False},
        "autoscaler": {"minimum": 2, "maximum": 3, "current": 3, "desired": 3},
        "template": {"sources": [{"name": "Secret/db", "age": 900000}]},
    }
    if action == "restart_workload":
        facts["workload"] = {"replicas_ready": 3, "replicas_available": 3, "unavailable": 1}
    told = {
        "labels": {"remediation": POLICIES.get(action, UNSHIPPED)},
        "set": {"locks": ["backup"]},
        "policy": {"guards": ["volume"]},
        "facts": facts,
    }
    (request,) = requests_of(Situation(action, "act", told))
    if action not in POLICIES:
        policy = replace(request.policy, action=action, parameters=ACTIONS[action].defaults)
        request = replace(request, policy=policy, action=ACTIONS[action])
    if "Deployment" not in ACTIONS[action].kinds:
        lost = replace(request.facts, workload=unknown("missing: x"), changes=unknown("missing: x"))
        request = replace(request, facts=lost)
    return request


REQUESTS = {action: a_favourable_request(action) for action in NEEDED}


def without(request: GuardInput, *names: str) -> GuardInput:
    """The request with these facts unknown."""
    facts = request.facts
    for name in names:
        _, is_sight, sight = name.partition(".")
        if is_sight:
            facts = replace(facts, sights=replace(facts.sights, **{sight: unknown()}))
        else:
            facts = replace(facts, **{name: EMPTY.get(name, unknown())})
    return replace(request, facts=facts)


@pytest.mark.parametrize("action", sorted(NEEDED))
def test_needed_facts_are_exactly_these(action: str) -> None:
    """Each fact removed alone: a needed one holds, and an unused one changes nothing."""
    request = REQUESTS[action]
    whole = judge(request, GUARDS)
    assert isinstance(whole, Act)
    for name in NAMES:
        decision = judge(without(request, name), GUARDS)
        if name in NEEDED[action]:
            assert isinstance(decision, Hold), f"{action} acts without {name}, which NEEDED says it needs"
        else:
            assert isinstance(decision, Act), f"{action} is held without {name}: is that a fact for NEEDED? {decision}"
            assert decision.plan == whole.plan


@pytest.mark.parametrize("action", sorted(NEEDED))
def test_effect_of_the_plan_can_be_verified(action: str) -> None:
    """An effect that nothing reads is never complete: every such repair would end as unverified."""
    decision = judge(REQUESTS[action], GUARDS)
    assert isinstance(decision, Act)
    effect = decision.plan.expected["effect"]
    assert effect in VERIFIED, f"read {effect!r} in remediations/facts/kubernetes/effects.py, and add it to ASKED"


def test_every_fact_is_needed_by_some_action() -> None:
    """A field of Facts whose absence no decision notices would be a fact without a guard."""
    assert set().union(*NEEDED.values()) == set(NAMES), "say in NEEDED which actions are held without a new fact"
    assert NEEDED.keys() == ACTIONS.keys() - UNNAMED, "say in NEEDED without which facts a new action is held"
    assert POLICIES.keys() <= NEEDED.keys()


@given(st.sampled_from(sorted(NEEDED)), st.sets(st.sampled_from(NAMES), min_size=1))
def test_no_missing_facts_together_ever_act(action: str, lost: set[str]) -> None:
    """Two unknowns never make up for each other."""
    decision = judge(without(REQUESTS[action], *sorted(lost)), GUARDS)
    assert isinstance(decision, Act) is lost.isdisjoint(NEEDED[action])


@given(st.sampled_from(sorted(NEEDED)), st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(GUARDS)))
def test_more_guards_never_act_more_whatever_is_missing(action: str, lost: set[str], removed: set[Any]) -> None:
    request = without(REQUESTS[action], *sorted(lost))
    fewer = [spec for spec in GUARDS if spec not in removed]
    if isinstance(judge(request, GUARDS), Act):
        assert isinstance(judge(request, fewer), Act)


@given(st.sampled_from(sorted(NEEDED)), st.sets(st.sampled_from(NAMES)))
def test_same_input_gives_the_same_output_whatever_is_missing(action: str, lost: set[str]) -> None:
    request = without(REQUESTS[action], *sorted(lost))
    assert judge(request, GUARDS) == judge(request, GUARDS)
