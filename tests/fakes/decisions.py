"""Values of the decision core for tests: a healthy default of each, to be changed in one place at a time."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any
from zoneinfo import ZoneInfo

from remediations.core.decide import ACTIONS, GUARDS
from remediations.core.guard import GuardInput
from remediations.core.model.acts import Actor, ActSource
from remediations.core.model.alert import Alert, Mode, Target
from remediations.core.model.cluster import Autoscaler, Budgets, Pods, ScaledObject, Template, Workload
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import ActionFacts, Fact, Facts, History, PastAction, ProcessStart
from remediations.core.model.remediation import Remediation, State
from remediations.core.policies.matchers import Matcher, MatchType
from remediations.core.policies.policy import Policy, PolicySet, Query, Witness, WitnessKind
from remediations.core.policies.time_windows import Window

NOW = 1_700_000_000.0
API = Target("control-core", "Deployment", "control-plane-api")
SAM = Actor(ActSource.USER, "sam", address="10.0.0.7")
LABELS = {"alertname": "ControlCoreApiDown", "cluster": "demo", "remediation": "restart-api"}


def an_alert(**changes: Any) -> Alert:
    return replace(Alert("f00", "ControlCoreApiDown", True, LABELS), **changes)


def a_remediation(**changes: Any) -> Remediation:
    values = {
        "id": "0001",
        "policy": "restart-api",
        "target": API,
        "state": State.CLAIMED,
        "alert": an_alert(),
        "created_at": NOW - 5,
        "updated_at": NOW - 5,
        "fence": 1,
        "lease_until": NOW + 10,
        "next_at": NOW - 5,
    }
    return Remediation(**(values | changes))


def restart_policy(**changes: Any) -> Policy:
    values = {
        "name": "restart-api",
        "action": "restart_workload",
        "targets": (API,),
        "condition": Query("controlcore_api_up == bool 0", ("api",)),
        "verify": Query("controlcore_api_up == bool 1", ("api",)),
        "mode": Mode.AUTO,
        "witnesses": (
            Witness("pods", WitnessKind.PODS_READY),
            Witness("health", WitnessKind.HTTP, "http://api/health"),
        ),
        "dependencies": ("postgres",),
    }
    return Policy(**(values | changes))


def scale_policy(**changes: Any) -> Policy:
    values = {
        "name": "scale-api",
        "action": "scale_workload",
        "targets": (API,),
        "condition": Query("controlcore_cpu_saturated", ("workloads",)),
        "verify": Query("controlcore_cpu_relieved", ("workloads",)),
        "mode": Mode.AUTO,
        "parameters": {"max_replicas_cap": 14, "step": 2},
        "dependencies": ("postgres",),
    }
    return Policy(**(values | changes))


def a_policy_set(*policies: Policy, **changes: Any) -> PolicySet:
    values = {
        "policies": policies or (restart_policy(), scale_policy()),
        "identity": (Matcher("cluster", MatchType.EQUAL, "demo"),),
        "dependencies": {"postgres": Query("controlcore_postgres_up == bool 1", ("postgres_canary",))},
    }
    return PolicySet(**(values | changes))


def a_workload(**changes: Any) -> Workload:
    """A Deployment of three pods, none of which is ready, with no rollout running."""
    values = {
        "uid": "uid-1",
        "resource_version": "41",
        "generation": 3,
        "observed_generation": 3,
        "is_paused": False,
        "replicas_desired": 3,
        "replicas_updated": 3,
        "replicas_ready": 0,
        "replicas_available": 0,
        "replicas_total": 3,
        "drop_tables": False,
        "unavailable": 0,
    }
    return Workload(**(values | changes))


def an_autoscaler(**changes: Any) -> Autoscaler:
    """The guide's autoscaler, 3 to 10 replicas, standing at its maximum."""
    values = {
        "name": "control-plane-api",
        "uid": "uid-2",
        "resource_version": "52",
        "minimum": 3,
        "maximum": 10,
        "current": 10,
        "desired": 10,
        "is_active": True,
        "is_limited": True,
    }
    return Autoscaler(**(values | changes))


def a_scaled_object(**changes: Any) -> ScaledObject:
    """A ScaledObject of 3 to 10 replicas that KEDA follows."""
    values = {
        "name": "control-plane-api",
        "uid": "uid-3",
        "resource_version": "63",
        "minimum": 3,
        "maximum": 10,
        "is_paused": False,
        "is_ready": True,
    }
    return ScaledObject(**(values | changes))


def with_scaled_objects(*found: ScaledObject) -> ActionFacts:
    """KEDA is installed and has these for the target."""
    return ActionFacts(scaled_objects=Fact(found, "/apis/keda.sh/v1alpha1/…"))


UNUSED = frozenset({"pauses", "locks", "custom", "taking_back"})
"""Facts without a healthy value: there are none of them unless a test says so."""


def facts(**changes: Any) -> Facts:
    """Everything is known and allows acting."""
    values = {
        "condition": Fact(True, "controlcore_api_up == bool 0", collected_at=NOW - 2),
        "dependencies": {"postgres": Fact(True, "controlcore_postgres_up == bool 1", collected_at=NOW - 2)},
        "witnesses": {"pods": Fact(True, "pods"), "health": Fact(True, "http://api/health")},
        "workload": Fact(a_workload(), "/apis/apps/v1/…"),
        "has_orchestrator": True,
        "autoscalers": Fact((an_autoscaler(),), "/apis/autoscaling/v2/…"),
        "budgets": Fact(Budgets({"control-plane-api": 1}), "/apis/policy/v1/…"),
        "start": Fact(ProcessStart(NOW - 3600, 5.0), "journal"),
        "mutes": Fact((), "http://alertmanager/api/v2"),
        "changes": Fact((), "metadata.managedFields"),
        "template": Fact(Template(), "spec.template"),
        "pods": Fact(Pods(NOW - 86400), "/api/v1/…/pods"),
        "sights": ActionFacts(scaled_objects=Fact((), "/apis/keda.sh/v1alpha1/…")),
        "connection_limit": Fact(100.0, "controlcore_postgres_connections_limit"),
        "self_test": Fact(True, "dry runs"),
    }
    lacking = {item.name for item in fields(Facts)} - values.keys() - UNUSED
    assert not lacking, f"facts() in tests/fakes/decisions.py lacks the healthy value of {lacking}"
    return Facts(**(values | changes))


def frozen(**changes: Any) -> Window:
    """A window that is open now."""
    return replace(Window("sale", ZoneInfo("Europe/Berlin"), begins_at=NOW - 60, ends_at=NOW + 60), **changes)


def a_past_action(**changes: Any) -> PastAction:
    return replace(
        PastAction("0000", "restart-api", API, "restart_workload", NOW - 7200, State.SUCCEEDED),
        **changes,
    )


def unknown(problem: str = "nobody answered") -> Fact[Any]:
    return Fact(None, "somewhere", problem)


def a_request(**changes: Any) -> GuardInput:
    """Input of guards: a restart without any objection."""
    policy = changes.pop("policy", restart_policy())
    values = {
        "remediation": a_remediation(policy=policy.name),
        "policy": policy,
        "policy_set": a_policy_set(),
        "action": ACTIONS[policy.action],
        "facts": facts(),
        "history": History(),
        "now": NOW,
    }
    return GuardInput(**(values | changes))


def ask(name: str, **changes: Any) -> GuardOutcome:
    """One guard's answer."""
    (spec,) = [spec for spec in GUARDS if spec.name == name]
    return spec.evaluate(a_request(**changes))
