"""The decision: its order and its reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chassis.errors import InvariantBroken
from remediations.core.decide import ACTIONS, GUARDS, decide, judge, operation_id
from remediations.core.guard import GuardSpec
from remediations.core.model.alert import Target
from remediations.core.model.decision import Act, GuardOutcome, Hold, NotNeeded
from remediations.core.model.facts import Fact, History, Pause
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import (
    API,
    NOW,
    a_past_action,
    a_policy_set,
    a_remediation,
    a_request,
    a_workload,
    an_alert,
    facts,
    restart_policy,
    scale_policy,
)

ORDER = (
    "kill_switch",
    "expiry",
    "condition_gone",
    "identity",
    "cold_start",
    "freeze_window",
    "silenced",
    "hands_off",
    "human_active",
    "recent_change",
    "itself",
    "allow_list",
    "condition",
    "dependency",
    "storm",
    "breaker",
    "ladder",
    "budget",
    "cooldown",
    "target_busy",
    "witnesses",
    "target",
    "owner",
    "disruption",
    "new_pods",
    "drop_tables",
    "configuration",
    "image",
    "locks",
    "connections",
    "custom",
    "self_test",
    "approval",
)
"""The order that was reviewed: a new guard is added here, in its place."""
NAMES = tuple(spec.name for spec in GUARDS)
DOWN: Fact[bool] = Fact(False, "up")
TROUBLES = (
    (HoldReason.KILL_SWITCH, {"facts": {"pauses": (Pause("stop", "sam", "audit", None),)}}),
    (HoldReason.EXPIRED, {"remediation": {"created_at": NOW - 86400}}),
    (HoldReason.FOREIGN_TARGET, {"remediation": {"alert": an_alert(labels={})}}),
    (HoldReason.NOT_ALLOWED, {"remediation": {"target": Target("x", "Deployment", "y")}}),
    (HoldReason.DEPENDENCY_DOWN, {"facts": {"dependencies": {"postgres": DOWN}}}),
    (HoldReason.BUDGET_SPENT, {"history": {"attempts": 2}}),
    (HoldReason.COOLDOWN, {"history": {"actions": (a_past_action(written_at=NOW - 1),)}}),
    (HoldReason.TARGET_BUSY, {"history": {"in_flight": ("7",)}}),
    (HoldReason.WITNESS_MISSING, {"facts": {"witnesses": {}}}),
    (HoldReason.NO_ORCHESTRATOR, {"facts": {"has_orchestrator": False}}),
    (HoldReason.OWNED_BY_OTHER, {"workload": {"owner": "X/y"}}),
    (HoldReason.PARTIALLY_READY, {"workload": {"replicas_ready": 1}}),
    (HoldReason.DROP_TABLES, {"workload": {"drop_tables": True}}),
)
"""Each guard's objection, in the order of the guards (the condition settles, so it has its own tests)."""


def decide_with(troubles):
    parts: dict[str, dict] = {"facts": {}, "remediation": {}, "history": {}, "workload": {}}
    for _, changes in troubles:
        for name, values in changes.items():
            parts[name] |= values
    parts["facts"].setdefault("workload", Fact(a_workload(**parts["workload"]), "w"))
    return decide(
        a_remediation(**parts["remediation"]),
        restart_policy(),
        a_policy_set(),
        facts(**parts["facts"]),
        History(**parts["history"]),
        NOW,
    )


def test_guards_are_asked_in_the_fixed_order():
    assert NAMES == ORDER, "a guard is new or has moved: if its place is right, change ORDER in this file"


@pytest.mark.parametrize("number", range(len(TROUBLES)), ids=[reason.value for reason, _ in TROUBLES])
def test_first_objection_of_several_is_the_reason(number):
    decision = decide_with(TROUBLES[number:])
    assert isinstance(decision, Hold)
    assert decision.reason is TROUBLES[number][0]


def test_hold_names_every_guard_asked_up_to_it():
    decision = decide_with(TROUBLES[4:])
    assert [outcome.guard for outcome in decision.guards] == list(NAMES[: NAMES.index("dependency") + 1])
    assert [outcome.reason for outcome in decision.guards] == [None] * NAMES.index("dependency") + [
        HoldReason.DEPENDENCY_DOWN
    ]


def test_act_carries_the_plan_and_every_guard():
    decision = decide_with(())
    assert isinstance(decision, Act)
    assert decision.plan.target == API
    assert [outcome.guard for outcome in decision.guards] == list(NAMES)


def test_condition_that_is_gone_needs_nothing():
    gone = facts(condition=Fact(False, "q"), dependencies={"postgres": DOWN})
    decision = decide(a_remediation(), restart_policy(), a_policy_set(), gone, History(), NOW)
    assert isinstance(decision, NotNeeded)
    assert decision.guards[-1].guard == "condition_gone"


def test_hold_says_until_when_asking_is_pointless():
    decision = decide_with(TROUBLES[6:7])
    assert decision.until == NOW - 1 + 900


def test_refusal_of_the_action_is_a_hold_with_every_guard():
    policy = scale_policy(parameters={"max_replicas_cap": 10})
    decision = decide(a_remediation(policy="scale-api"), policy, a_policy_set(), facts(), History(), NOW)
    assert isinstance(decision, Hold)
    assert decision.reason is HoldReason.AUTOSCALER_AT_CAP
    assert [outcome.guard for outcome in decision.guards] == [*NAMES, "plan"]


def test_policy_without_a_step_uses_the_default_of_the_action():
    decision = decide(
        a_remediation(), scale_policy(parameters={"max_replicas_cap": 99}), a_policy_set(), facts(), History(), NOW
    )
    assert decision.plan.steps[0].body["spec"] == {"maxReplicas": 12}


def test_action_that_does_not_exist_breaks_an_invariant():
    with pytest.raises(InvariantBroken, match="format_disk"):
        decide(a_remediation(), restart_policy(action="format_disk"), a_policy_set(), facts(), History(), NOW)


def test_guard_with_an_undeclared_reason_breaks_an_invariant():
    rogue = GuardSpec("rogue", 1, frozenset(), lambda _: GuardOutcome("", HoldReason.CUSTOM, "x"))
    with pytest.raises(InvariantBroken, match="rogue"):
        judge(a_request(), [rogue])


def test_action_with_an_undeclared_refusal_breaks_an_invariant():
    rogue = replace(ACTIONS["restart_workload"], plan=lambda _: GuardOutcome("", HoldReason.CUSTOM, "x"))
    with pytest.raises(InvariantBroken, match="restart_workload"):
        judge(a_request(action=rogue), ())


@pytest.mark.parametrize(("stored", "expected"), [(None, "0001"), ("earlier", "earlier")])
def test_one_remediation_has_one_operation_id(stored, expected):
    assert operation_id(a_remediation(operation_id=stored)) == expected


def test_every_reason_of_a_guard_or_action_is_from_the_closed_set_and_described():
    for spec in (*GUARDS, *ACTIONS.values()):
        assert spec.doc
    reasons = frozenset().union(*(spec.reasons for spec in GUARDS), *(spec.refusals for spec in ACTIONS.values()))
    assert reasons <= set(HoldReason)
