"""What holds of every decision, whatever is known and whatever an alert says."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from remediations.core.codec import to_data, to_json
from remediations.core.decide import GUARDS, judge
from remediations.core.model.alert import Target
from remediations.core.model.cluster import Budgets, ObjectChange, Template
from remediations.core.model.decision import Act, Hold
from remediations.core.model.facts import Fact, Facts, History, Pause, ProcessStart
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import (
    API,
    LABELS,
    NOW,
    a_past_action,
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

UNKNOWN = (unknown(), unknown("missing: not found"), unknown(""))
"""Every choice below begins with the value that allows acting: it appears as often as all the others together."""


def one_of(favourable, *others):
    """The favourable value half of the time, one of the others in the other half."""
    return st.sampled_from((favourable,) * max(1, len(others)) + others)


def truth(*, favourable: bool = True):
    return one_of(Fact(favourable, "s"), Fact(not favourable, "s"), *UNKNOWN)


def seen(value):
    return Fact(value, "s")


ALL_READY = {"replicas_ready": 3, "replicas_available": 3}
WORKLOADS = one_of(
    seen(a_workload()),
    *UNKNOWN,
    *(
        seen(a_workload(**changes))
        for changes in (
            ALL_READY,
            ALL_READY | {"strategy": "Recreate"},
            ALL_READY | {"drop_tables": True},
            {"drop_tables": True},
            {"drop_tables": None},
            {"is_paused": True},
            {"owner": "X/y"},
            {"replicas_ready": 1},
            {"replicas_updated": 1},
            {"replicas_total": 4},
            {"observed_generation": 2},
            {"replicas_desired": 0, "replicas_updated": 0, "replicas_total": 0},
        )
    ),
)
AUTOSCALERS = one_of(
    seen((an_autoscaler(),)),
    *UNKNOWN,
    *(
        seen(several)
        for several in (
            (),
            (an_autoscaler(), an_autoscaler(name="second")),
            (an_autoscaler(is_active=False),),
            (an_autoscaler(is_active=None),),
            (an_autoscaler(owner="ScaledObject/x"),),
            (an_autoscaler(maximum=14, current=14, desired=14),),
            (an_autoscaler(current=4, desired=4),),
        )
    ),
)
HISTORIES = one_of(
    History(),
    History(in_flight=("7",)),
    History(attempts=2),
    *(
        History(tuple(a_past_action(written_at=NOW - age, **changes) for age in ages))
        for ages in ((-50,), (10,), (899,), (900,), (1000, 2000), (1000, 3600), (60, 70, 80, 90, 99))
        for changes in ({}, {"policy": "scale-api"}, {"remediation": "0001"}, {"target": Target("x", "y", "z")})
    ),
)
BUDGETS = one_of(seen(Budgets({"api": 1})), seen(Budgets({"api": 0})), seen(Budgets({})), *UNKNOWN)
PAUSES = one_of((), (Pause("p", "o", "r", None),), (Pause("p", "o", "r", NOW + 1),), (Pause("p", "o", "r", NOW - 1),))
TARGETS = one_of(API, Target("control-core", "Deployment", "bouncer"), Target("x", "StatefulSet", "y"))
POLICIES = st.sampled_from(
    (restart_policy(), scale_policy(), restart_policy(dependencies=("postgres", "redis")), restart_policy(witnesses=()))
)


@st.composite
def requests(draw):
    """Any situation, each part of it favourable or not."""
    policy = draw(POLICIES)
    remediation = a_remediation(
        policy=policy.name,
        target=draw(TARGETS),
        alert=an_alert(labels=draw(one_of(LABELS, {"cluster": "other"}, {}))),
        created_at=NOW - draw(one_of(5, -100, 899, 900, 90000)),
    )
    return a_request(
        policy=policy,
        remediation=remediation,
        history=draw(HISTORIES),
        facts=facts(
            condition=draw(truth()),
            dependencies=draw(one_of({"postgres": seen(True), "redis": seen(True)}, {})) | {"postgres": draw(truth())},
            witnesses={"pods": draw(truth()), "health": draw(truth(favourable=False))},
            workload=draw(WORKLOADS),
            has_orchestrator=draw(one_of(True, False)),
            autoscalers=draw(AUTOSCALERS),
            budgets=draw(BUDGETS),
            pauses=draw(PAUSES),
            start=draw(one_of(seen(ProcessStart(NOW - 60, 5.0)), seen(ProcessStart(NOW - 60, 5000.0)), *UNKNOWN)),
            mutes=draw(one_of(seen(()), seen(("silence 1",)), *UNKNOWN)),
            changes=draw(one_of(seen(()), seen((ObjectChange("kubectl", "spec", NOW - 60),)), *UNKNOWN)),
            template=draw(one_of(seen(Template()), seen(Template(("api: api:latest",))), *UNKNOWN)),
            self_test=draw(truth()),
        ),
    )


REQUESTS = requests()
ALWAYS = ("condition", "dependencies", "workload", "start", "mutes", "changes", "template", "self_test")
NEEDED = {"restart_workload": (*ALWAYS, "witnesses"), "scale_workload": (*ALWAYS, "autoscalers")}
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
    assert to_json(to_data(decision))
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
    """Removing any non-empty part of an action's needs ends in a Hold."""
    assert isinstance(judge(request, GUARDS), Act)
    needed = NEEDED[request.policy.action]
    lost = data.draw(st.sets(st.sampled_from(needed), min_size=1))
    missing = {name: {} if name in {"dependencies", "witnesses"} else unknown() for name in lost}
    assert isinstance(judge(replace(request, facts=replace(request.facts, **missing)), GUARDS), Hold)


@given(REQUESTS, st.data())
def test_forgetting_a_fact_never_turns_a_hold_into_an_act(request, data):
    name = data.draw(st.sampled_from([item.name for item in fields(Facts) if item.name != "pauses"]))
    forgotten = {"dependencies": {}, "witnesses": {}, "locks": {}, "custom": {}, "has_orchestrator": False}.get(
        name, unknown()
    )
    if not isinstance(judge(request, GUARDS), Act):
        later = judge(replace(request, facts=replace(request.facts, **{name: forgotten})), GUARDS)
        assert not isinstance(later, Act)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20)), st.text(max_size=20), st.text(max_size=20))
def test_nothing_an_alert_says_reaches_a_plan(labels, namespace, name):
    """With hostile labels the target is outside the list, or the plan is the policy's own."""
    remediation = a_remediation(alert=an_alert(labels=LABELS | labels), target=Target(namespace, "Deployment", name))
    decision = judge(a_request(remediation=remediation), GUARDS)
    assert not isinstance(decision, Act)
    ours = a_remediation(alert=an_alert(labels=labels | LABELS))
    assert judge(a_request(remediation=ours), GUARDS).plan == judge(a_request(), GUARDS).plan
