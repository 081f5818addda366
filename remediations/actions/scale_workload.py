"""Gives a workload more replicas, through whatever owns their number."""

from __future__ import annotations

from remediations.actions import ActionInput, Effect, Parameter, action, refuses
from remediations.decision import GuardOutcome, Plan
from remediations.document import Range
from remediations.owners import LEAST, MOST, Change, Owner, OwnerKind, find_owner, plan_change
from remediations.reasons import HoldReason
from remediations.sights import Need


@action(
    kinds=("Deployment",),
    effects=frozenset({Effect.PATCHES_WORKLOAD, Effect.STARTS_PODS, Effect.SETS_REPLICAS}),
    refusals=frozenset({HoldReason.OWNER_UNKNOWN, HoldReason.AUTOSCALER_AT_CAP}),
    rbac=(
        "get apps/deployments",
        "get apps/deployments/scale",
        "patch apps/deployments/scale",
        "list autoscaling/horizontalpodautoscalers",
        "get autoscaling/horizontalpodautoscalers",
        "patch autoscaling/horizontalpodautoscalers",
        "list keda.sh/scaledobjects",
        "get keda.sh/scaledobjects",
        "patch keda.sh/scaledobjects",
        "get core/configmaps",
    ),
    parameters=(
        Parameter(
            "max_replicas_cap",
            Range(1, 1000),
            "Never more replicas than this, whatever happens. Count the database connections that each replica opens.",
        ),
        Parameter("step", Range(1, 100), "Replicas added by one action.", 2),
    ),
    needs=frozenset({Need.SCALED_OBJECTS}),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Raises the maximum of an autoscaler that stands at it, else its minimum; without an autoscaler the replicas.

    With KEDA the bounds are the ScaledObject's, else the HorizontalPodAutoscaler's; spec.replicas is only written where
    neither exists, because they would undo the write within seconds. The number is absolute and never 0.
    """
    owner = find_owner(request.facts)
    if isinstance(owner, str):
        return refuses(HoldReason.OWNER_UNKNOWN, owner)
    cap = int(request.parameters["max_replicas_cap"])
    change = _choose(owner, int(request.parameters["step"]), cap)
    if change is None:
        allowed = f"{owner.least} to {owner.most}" if owner.least != owner.most else str(owner.most)
        words = f"{owner.kind} {owner.name or request.target.name} has {allowed} replicas and the cap is {cap}"
        return refuses(HoldReason.AUTOSCALER_AT_CAP, words)
    return plan_change("scale_workload", request.target, owner, change, request.operation_id)


def _choose(owner: Owner, step: int, cap: int) -> Change | None:
    """The number to raise, or None when the cap leaves no room."""
    if owner.kind is OwnerKind.DEPLOYMENT or owner.wanted >= owner.most:
        change = Change(MOST[owner.kind], owner.most, min(owner.most + step, cap))
    else:
        running = max(owner.least, owner.running, owner.wanted)
        change = Change(LEAST[owner.kind], owner.least, min(running + step, owner.most, cap))
    return change if change.after > change.before else None
