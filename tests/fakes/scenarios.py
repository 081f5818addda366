"""Situations with the one right decision: for each guard one in which it alone objects, and what must pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remediations.model import Budgets, Fact, History, HoldReason, Pause, Target
from tests.fakes.decisions import (
    NOW,
    a_past_action,
    a_remediation,
    a_workload,
    an_alert,
    an_autoscaler,
    facts,
    scale_policy,
    unknown,
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
    Scenario(
        "no autoscaler",
        HoldReason.OWNER_UNKNOWN,
        changes={"policy": scale_policy(), "facts": facts(autoscalers=Fact((), "hpa"))},
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
)
