"""Situations with the one right decision: for each guard one in which it alone objects, and what must pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remediations.circumstances import Change, Pods, ProcessStart, Source, Template
from remediations.limits import ConnectionBudget, CustomGuard, HoldIf
from remediations.model import Fact, History, Mode, Pause, Target
from remediations.policy import Query
from remediations.policy_model import Rung
from remediations.reasons import HoldReason
from remediations.sights import Sights
from remediations.states import State
from remediations.workload import Budgets
from tests.fakes.decisions import (
    NOW,
    a_past_action,
    a_policy_set,
    a_remediation,
    a_scaled_object,
    a_workload,
    an_alert,
    an_autoscaler,
    facts,
    frozen,
    restart_policy,
    scale_policy,
    unknown,
    with_scaled_objects,
)

ACT, NOT_NEEDED = "act", "not_needed"


@dataclass(frozen=True)
class Scenario:
    """What differs from a restart that nothing speaks against, and what must be decided."""

    name: str
    expected: HoldReason | str
    sole_objector: str = ""
    """The guard without which this would be acted on."""
    changes: Mapping[str, Any] = field(default_factory=dict)


def workload(**changes: Any) -> dict[str, Any]:
    return {"facts": facts(workload=Fact(a_workload(**changes), "w"))}


def scaling(*autoscalers: Any, **changes: Any) -> dict[str, Any]:
    chosen = facts(autoscalers=Fact(autoscalers or (an_autoscaler(),), "hpa"))
    return {"policy": scale_policy(**changes), "facts": chosen}


SCENARIOS = (
    Scenario("api hangs in every pod", ACT),
    Scenario("cpu saturated at the maximum", ACT, changes=scaling()),
    Scenario(
        "every pod ready and the budget allows it",
        ACT,
        changes=workload(replicas_ready=3, replicas_available=3),
    ),
    Scenario(
        "somebody pressed the kill switch",
        HoldReason.KILL_SWITCH,
        "kill_switch",
        {"facts": facts(pauses=(Pause("stop", "sam", "audit", None),))},
    ),
    Scenario(
        "alert of yesterday",
        HoldReason.EXPIRED,
        "expiry",
        {"remediation": a_remediation(created_at=NOW - 86400)},
    ),
    Scenario(
        "same names in the other cluster",
        HoldReason.FOREIGN_TARGET,
        "identity",
        {"remediation": a_remediation(alert=an_alert(labels={"cluster": "other"}))},
    ),
    Scenario(
        "its own repairs fail",
        HoldReason.ITSELF,
        "itself",
        {"remediation": a_remediation(alert=an_alert(labels={"cluster": "demo", "job": "controlcore-remediator"}))},
    ),
    Scenario(
        "label points at another workload",
        HoldReason.NOT_ALLOWED,
        "allow_list",
        {"remediation": a_remediation(target=Target("kube-system", "Deployment", "coredns"))},
    ),
    Scenario("fault is over", NOT_NEEDED, "condition", {"facts": facts(condition=Fact(False, "q"))}),
    Scenario("prometheus is gone", HoldReason.CONDITION_UNKNOWN, "condition", {"facts": facts(condition=unknown())}),
    Scenario(
        "database is frozen and the api waits for it",
        HoldReason.DEPENDENCY_DOWN,
        "dependency",
        {"facts": facts(dependencies={"postgres": Fact(False, "q")})},
    ),
    Scenario(
        "database is frozen and nobody knows about the api",
        HoldReason.DEPENDENCY_DOWN,
        changes={"facts": facts(condition=unknown(), dependencies={"postgres": Fact(False, "q")})},
    ),
    Scenario(
        "database was frozen and the api is well again",
        NOT_NEEDED,
        changes={"facts": facts(condition=Fact(False, "q"), dependencies={"postgres": Fact(False, "q")})},
    ),
    Scenario(
        "nobody knows about the database",
        HoldReason.DEPENDENCY_UNKNOWN,
        "dependency",
        {"facts": facts(dependencies={})},
    ),
    Scenario(
        "two repairs in this hour",
        HoldReason.BUDGET_SPENT,
        "budget",
        {"history": History((a_past_action(written_at=NOW - 1000), a_past_action(written_at=NOW - 2000)))},
    ),
    Scenario(
        "repaired ten minutes ago",
        HoldReason.COOLDOWN,
        "cooldown",
        {"history": History((a_past_action(written_at=NOW - 600),))},
    ),
    Scenario(
        "another repair is under way", HoldReason.TARGET_BUSY, "target_busy", {"history": History(in_flight=("7",))}
    ),
    Scenario(
        "exporter is cut off from a healthy api",
        HoldReason.WITNESSES_DISAGREE,
        "witnesses",
        {"facts": facts(witnesses={"pods": Fact(False, "w"), "health": Fact(False, "w")})},
    ),
    Scenario("no second opinion", HoldReason.WITNESS_MISSING, "witnesses", {"facts": facts(witnesses={})}),
    Scenario("compose", HoldReason.NO_ORCHESTRATOR, "target", {"facts": facts(has_orchestrator=False)}),
    Scenario("deployment is gone", HoldReason.TARGET_MISSING, changes={"facts": facts(workload=unknown("missing: x"))}),
    Scenario("cluster is hung", HoldReason.TARGET_UNKNOWN, changes={"facts": facts(workload=unknown("timeout"))}),
    Scenario("autoscaler sees nothing", HoldReason.AUTOSCALER_BLIND, "owner", scaling(an_autoscaler(is_active=False))),
    Scenario(
        "keda owns the autoscaler", HoldReason.OWNED_BY_OTHER, "owner", scaling(an_autoscaler(owner="ScaledObject/x"))
    ),
    Scenario("operator owns the deployment", HoldReason.OWNED_BY_OTHER, "owner", workload(owner="ControlCore/main")),
    Scenario("no autoscaler", ACT, changes={"policy": scale_policy(), "facts": facts(autoscalers=Fact((), "hpa"))}),
    Scenario(
        "argo sets the replicas and there is no autoscaler",
        HoldReason.OWNED_BY_OTHER,
        "owner",
        {
            "policy": scale_policy(),
            "facts": facts(
                autoscalers=Fact((), "hpa"), workload=Fact(a_workload(replicas_managers=("argocd-controller",)), "w")
            ),
        },
    ),
    Scenario(
        "keda scales it",
        ACT,
        changes={
            "policy": scale_policy(),
            "facts": facts(
                autoscalers=Fact((an_autoscaler(owner="ScaledObject/control-plane-api"),), "hpa"),
                sights=with_scaled_objects(a_scaled_object()),
            ),
        },
    ),
    Scenario(
        "keda cannot be asked",
        HoldReason.OWNER_UNKNOWN,
        changes={"policy": scale_policy(), "facts": facts(sights=Sights(scaled_objects=unknown("permission")))},
    ),
    Scenario(
        "autoscaler stands at the cap",
        HoldReason.AUTOSCALER_AT_CAP,
        changes=scaling(parameters={"max_replicas_cap": 10}),
    ),
    Scenario(
        "one of three pods is ready",
        HoldReason.PARTIALLY_READY,
        "disruption",
        workload(replicas_ready=1, replicas_available=1),
    ),
    Scenario("a rollout is running", HoldReason.ROLLOUT_RUNNING, "disruption", workload(replicas_updated=1)),
    Scenario("somebody paused the deployment", HoldReason.WORKLOAD_PAUSED, "disruption", workload(is_paused=True)),
    Scenario(
        "disruption budget is used up",
        HoldReason.DISRUPTION_BUDGET,
        "disruption",
        {
            "facts": facts(
                workload=Fact(a_workload(replicas_ready=3, replicas_available=3), "w"),
                budgets=Fact(Budgets({"api": 0}), "pdb"),
            )
        },
    ),
    Scenario("new pods would drop the tables", HoldReason.DROP_TABLES, "drop_tables", workload(drop_tables=True)),
    Scenario("template cannot be read", HoldReason.TEMPLATE_UNREADABLE, "drop_tables", workload(drop_tables=None)),
    Scenario(
        "six hours of downtime",
        HoldReason.COLD_START,
        "cold_start",
        {"facts": facts(start=Fact(ProcessStart(NOW - 10, 21600.0), "journal"))},
    ),
    Scenario("nobody knows since when we run", HoldReason.COLD_START, "cold_start", {"facts": facts(start=unknown())}),
    Scenario(
        "sale of the year", HoldReason.FREEZE_WINDOW, "freeze_window", {"policy_set": a_policy_set(freeze=(frozen(),))}
    ),
    Scenario(
        "silenced after the webhook",
        HoldReason.SILENCED,
        "silenced",
        {"facts": facts(mutes=Fact(("silence 1 by sam: deploy",), "am"))},
    ),
    Scenario("alertmanager is gone", HoldReason.SILENCE_UNKNOWN, "silenced", {"facts": facts(mutes=unknown())}),
    Scenario(
        "somebody keeps their hands on it",
        HoldReason.HANDS_OFF,
        "hands_off",
        workload(annotations={"controlcore.io/hands-off": "true"}),
    ),
    Scenario(
        "a rollout by a person five minutes ago",
        HoldReason.HUMAN_ACTIVE,
        "human_active",
        {
            "facts": facts(changes=Fact((Change("kubectl", "spec.template", NOW - 1200),), "fields")),
        },
    ),
    Scenario(
        "the alert began two minutes after a change",
        HoldReason.RECENT_CHANGE,
        "recent_change",
        {
            "remediation": a_remediation(alert=an_alert(starts_at="2023-11-14T20:00:00Z")),
            "facts": facts(changes=Fact((Change("kubectl", "spec.template", NOW - 8120),), "fields")),
        },
    ),
    Scenario(
        "sixty alerts in a minute",
        HoldReason.STORM,
        "storm",
        {"history": History(arrivals=tuple(NOW - 400 - number for number in range(60)))},
    ),
    Scenario(
        "three restarts without proof",
        HoldReason.BREAKER_OPEN,
        "breaker",
        {
            "history": History(
                tuple(a_past_action(written_at=NOW - age, state=State.FAILED) for age in (4000, 6000, 8000))
            )
        },
    ),
    Scenario(
        "nothing on the ladder helped",
        HoldReason.LADDER_EXHAUSTED,
        "ladder",
        {
            "policy": restart_policy(ladder=(Rung("restart_workload"),)),
            "history": History(tuple(a_past_action(written_at=NOW - age, state=State.FAILED) for age in (4000, 6000))),
        },
    ),
    Scenario(
        "a secret was rotated since the pods started",
        HoldReason.CONFIGURATION_CHANGED,
        "configuration",
        {"facts": facts(template=Fact(Template(sources=(Source("Secret/db", NOW - 60),)), "t"))},
    ),
    Scenario(
        "a secret cannot be read",
        HoldReason.CONFIGURATION_UNKNOWN,
        "configuration",
        {"facts": facts(template=Fact(Template(sources=(Source("Secret/db", None, "permission"),)), "t"))},
    ),
    Scenario(
        "the image is whatever latest means today",
        HoldReason.IMAGE_UNPINNED,
        "image",
        {"facts": facts(template=Fact(Template(("api: api:latest",)), "t"))},
    ),
    Scenario(
        "a backup is running",
        HoldReason.LOCKED,
        "locks",
        {"policy_set": a_policy_set(locks={"backup": Query("b")}), "facts": facts(locks={"backup": Fact(True, "b")})},
    ),
    Scenario(
        "nobody knows about the recovery",
        HoldReason.LOCK_UNKNOWN,
        "locks",
        {"policy_set": a_policy_set(locks={"recovery": Query("r")})},
    ),
    Scenario(
        "the new pods would take the last connections",
        HoldReason.CONNECTION_BUDGET,
        "connections",
        {
            **workload(surge=1),
            "policy": restart_policy(connections=ConnectionBudget(15, "limit", ("postgres",))),
            "facts": facts(
                workload=Fact(a_workload(replicas_desired=4, replicas_updated=4, replicas_total=4, surge=1), "w"),
                pods=Fact(Pods(NOW - 900, terminating=1), "pods"),
            ),
        },
    ),
    Scenario(
        "the volume is nearly full",
        HoldReason.CUSTOM,
        "custom",
        {
            "policy": restart_policy(guards=(CustomGuard("volume", "full", HoldIf.NONEMPTY, "no room"),)),
            "facts": facts(custom={"volume": Fact(True, "full")}),
        },
    ),
    Scenario(
        "the API server did not say whether it limits us",
        HoldReason.SELF_TEST_UNKNOWN,
        "self_test",
        {"facts": facts(self_test=unknown())},
    ),
    Scenario(
        "the API server does not limit us",
        HoldReason.SELF_TEST_FAILED,
        "approval",
        {"facts": facts(self_test=Fact(False, "dry runs", "patch of another Deployment"))},
    ),
    Scenario("nobody has approved yet", HoldReason.APPROVAL, "approval", {"policy": restart_policy(mode=Mode.APPROVE)}),
)
