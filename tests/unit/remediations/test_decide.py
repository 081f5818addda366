"""The decision: its order, its reasons, and what holds for every input."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvariantBroken
from remediations.decide import ACTIONS, GUARDS, decide, judge, operation_id
from remediations.guards import GuardSpec
from remediations.model import (
    Act,
    Budgets,
    Fact,
    Facts,
    GuardOutcome,
    History,
    Hold,
    HoldReason,
    NotNeeded,
    Pause,
    Target,
)
from tests.fakes.decisions import (
    API,
    LABELS,
    NOW,
    a_past_action,
    a_policy_set,
    a_remediation,
    a_request,
    a_workload,
    an_alert,
    an_autoscaler,
    facts,
    restart_policy,
    scale_policy,
    unknown,
)

ORDER = (
    "kill_switch",
    "expiry",
    "identity",
    "allow_list",
    "condition",
    "dependency",
    "budget",
    "cooldown",
    "target_busy",
    "witnesses",
    "target",
    "owner",
    "disruption",
    "drop_tables",
)
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
"""Each guard's objection, in the order in which they must be heard (the condition settles, so it has its own tests)."""


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
    assert tuple(spec.name for spec in GUARDS) == ORDER


@pytest.mark.parametrize("number", range(len(TROUBLES)), ids=[reason.value for reason, _ in TROUBLES])
def test_first_objection_of_several_is_the_reason(number):
    decision = decide_with(TROUBLES[number:])
    assert isinstance(decision, Hold)
    assert decision.reason is TROUBLES[number][0]


def test_hold_names_every_guard_asked_up_to_it():
    decision = decide_with(TROUBLES[4:])
    assert [outcome.guard for outcome in decision.guards] == list(ORDER[:6])
    assert [outcome.reason for outcome in decision.guards] == [None] * 5 + [HoldReason.DEPENDENCY_DOWN]


def test_act_carries_the_plan_and_every_guard():
    decision = decide_with(())
    assert isinstance(decision, Act)
    assert decision.plan.target == API
    assert [outcome.guard for outcome in decision.guards] == list(ORDER)


def test_condition_that_is_gone_needs_nothing():
    gone = facts(condition=Fact(False, "q"), dependencies={"postgres": DOWN})
    decision = decide(a_remediation(), restart_policy(), a_policy_set(), gone, History(), NOW)
    assert isinstance(decision, NotNeeded)
    assert decision.guards[-1].guard == "condition"


def test_hold_says_until_when_asking_is_pointless():
    decision = decide_with(TROUBLES[6:7])
    assert decision.until == NOW - 1 + 900


def test_refusal_of_the_action_is_a_hold_with_every_guard():
    policy = scale_policy(parameters={"max_replicas_cap": 10})
    decision = decide(a_remediation(policy="scale-api"), policy, a_policy_set(), facts(), History(), NOW)
    assert isinstance(decision, Hold)
    assert decision.reason is HoldReason.AUTOSCALER_AT_CAP
    assert [outcome.guard for outcome in decision.guards] == [*ORDER, "plan"]


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


# --- what holds for every input

PROBLEMS = st.sampled_from(["", "timeout", "missing: not found", "x" * 300])


def fact_of(values):
    """A fact that may be unknown."""
    return st.one_of(st.builds(Fact, values, st.just("s")), st.builds(Fact, st.none(), st.just("s"), PROBLEMS))


TRUTH = fact_of(st.booleans())
SMALL = st.integers(0, 5)
WORKLOADS = st.builds(
    a_workload,
    generation=SMALL,
    observed_generation=SMALL,
    is_paused=st.booleans(),
    replicas_desired=SMALL,
    replicas_updated=SMALL,
    replicas_ready=SMALL,
    replicas_available=SMALL,
    replicas_total=SMALL,
    owner=st.sampled_from(["", "X/y"]),
    strategy=st.sampled_from(["RollingUpdate", "Recreate"]),
    drop_tables=st.sampled_from([True, False, None]),
)
AUTOSCALERS = st.builds(
    an_autoscaler,
    minimum=SMALL,
    maximum=SMALL,
    current=SMALL,
    desired=SMALL,
    is_active=st.sampled_from([True, False, None]),
    owner=st.sampled_from(["", "ScaledObject/x"]),
)
NAMES = st.sampled_from(["postgres", "redis"])
FACTS = st.builds(
    Facts,
    condition=TRUTH,
    dependencies=st.dictionaries(NAMES, TRUTH),
    witnesses=st.dictionaries(st.sampled_from(["pods", "health"]), TRUTH),
    workload=fact_of(WORKLOADS),
    has_orchestrator=st.booleans(),
    autoscalers=fact_of(st.lists(AUTOSCALERS, max_size=2).map(tuple)),
    budgets=fact_of(st.builds(Budgets, st.dictionaries(st.just("api"), SMALL))),
    pauses=st.lists(
        st.builds(Pause, st.just("p"), st.just("o"), st.just("r"), st.none() | st.floats(NOW - 9, NOW + 9)), max_size=1
    ).map(tuple),
)
TARGETS = st.sampled_from([API, Target("control-core", "Deployment", "bouncer"), Target("x", "StatefulSet", "y")])
AGES = st.floats(-100, 90000)
HISTORIES = st.builds(
    History,
    actions=st.lists(
        st.builds(
            lambda age, target, policy, name: a_past_action(
                written_at=NOW - age, target=target, policy=policy, remediation=name
            ),
            AGES,
            TARGETS,
            st.sampled_from(["restart-api", "scale-api"]),
            st.sampled_from(["0001", "0002"]),
        ),
        max_size=4,
    ).map(tuple),
    in_flight=st.sampled_from([(), ("7",)]),
    attempts=st.integers(0, 3),
)
REQUESTS = st.builds(
    lambda policy, chosen, past, target, labels, age: a_request(
        policy=policy,
        facts=chosen,
        history=past,
        remediation=a_remediation(
            policy=policy.name, target=target, alert=an_alert(labels=labels), created_at=NOW - age
        ),
    ),
    st.sampled_from([restart_policy(), scale_policy(), restart_policy(dependencies=("postgres", "redis"))]),
    FACTS,
    HISTORIES,
    TARGETS,
    st.sampled_from([LABELS, {"cluster": "other"}, {}]),
    AGES,
)
NEEDED = {
    "restart_workload": ("condition", "dependencies", "witnesses", "workload"),
    "scale_workload": ("condition", "dependencies", "workload", "autoscalers"),
}
FAVOURABLE = st.sampled_from(
    [
        a_request(),
        a_request(policy=scale_policy()),
        a_request(facts=facts(workload=Fact(a_workload(replicas_ready=3, replicas_available=3), "w"))),
    ]
)


@given(REQUESTS)
def test_same_input_gives_the_same_output(request):
    assert judge(request, GUARDS) == judge(request, GUARDS)


@given(REQUESTS)
def test_every_decision_ends_in_a_plan_or_in_a_reason_of_the_closed_set(request):
    decision = judge(request, GUARDS)
    json.dumps(asdict(decision), default=dict)
    if isinstance(decision, Hold):
        assert decision.reason in HoldReason
        assert decision.guards[-1].reason is decision.reason
    elif isinstance(decision, Act):
        assert request.facts.condition.value is True
        assert decision.plan.target in request.policy.targets
        assert all(outcome.reason is None for outcome in decision.guards)
    else:
        assert request.facts.condition.value is False


@given(REQUESTS, st.sets(st.sampled_from(GUARDS)))
def test_more_guards_never_act_more(request, removed):
    fewer = [spec for spec in GUARDS if spec not in removed]
    if isinstance(judge(request, GUARDS), Act):
        assert isinstance(judge(request, fewer), Act)


@given(FAVOURABLE, st.data())
def test_no_missing_fact_ever_acts(request, data):
    """Any non-empty part of what an action needs, taken away, ends in a Hold."""
    assert isinstance(judge(request, GUARDS), Act)
    needed = NEEDED[request.policy.action]
    lost = data.draw(st.sets(st.sampled_from(needed), min_size=1))
    missing = {name: {} if name in {"dependencies", "witnesses"} else unknown() for name in lost}
    assert isinstance(judge(replace(request, facts=replace(request.facts, **missing)), GUARDS), Hold)


@given(REQUESTS, st.data())
def test_forgetting_a_fact_never_turns_a_hold_into_an_act(request, data):
    name = data.draw(st.sampled_from([item.name for item in fields(Facts) if item.name != "pauses"]))
    forgotten = {"dependencies": {}, "witnesses": {}, "has_orchestrator": False}.get(name, unknown())
    if not isinstance(judge(request, GUARDS), Act):
        later = judge(replace(request, facts=replace(request.facts, **{name: forgotten})), GUARDS)
        assert not isinstance(later, Act)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20)), st.text(max_size=20), st.text(max_size=20))
def test_nothing_an_alert_says_reaches_a_plan(labels, namespace, name):
    """With hostile labels the target is outside the list, or the plan is the one that the policy's own words give."""
    remediation = a_remediation(alert=an_alert(labels=LABELS | labels), target=Target(namespace, "Deployment", name))
    decision = judge(a_request(remediation=remediation), GUARDS)
    assert not isinstance(decision, Act)
    ours = a_remediation(alert=an_alert(labels=labels | LABELS))
    assert judge(a_request(remediation=ours), GUARDS).plan == judge(a_request(), GUARDS).plan
