"""Gives a workload more replicas, through the object that owns their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from remediations.core.action import NEW_POD_READS, ActionInput, Effect, action, refuses
from remediations.core.fields import Count, PolicySection, Range
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Need
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.replica_owner import (
    LEAST,
    MOST,
    RIGHTS,
    FieldChange,
    Owner,
    OwnerKind,
    find_owner,
    plan_change,
)
from remediations.core.model.undo import Undo
from remediations.core.queries import Collectors, Promql


@dataclass(frozen=True, slots=True)
class ScaleParameters(PolicySection):
    """The action's settings."""

    max_replicas_cap: Count
    """The maximum number of replicas that this action may set. Count the database connections that each replica
    opens."""
    step: Annotated[int, Range(1, 100)] = 2
    """Replicas added by one action."""
    revert_if: Promql = ""
    """PromQL that is true while the load is low enough for the number before: `$old` is that number, `$new` the one
    that was set. Only then is a scale-up undone. Without it, the number stays.
    """
    revert_collectors: Collectors = ()
    """Exporter collectors behind it."""
    revert_after_seconds: Annotated[int, Range(0, 86400)] = 1800
    """How long after the write it is undone. 0: only if it did not help, and then at once."""
    revert_give_up_seconds: Annotated[int, Range(1, 86400)] = 14400
    """How long it is tried from then on while something holds it; then it expires and the number stays. Must be longer
    than `retry_seconds`."""


@action(
    kinds=("Deployment",),
    effects=frozenset({Effect.PATCHES_WORKLOAD, Effect.STARTS_PODS, Effect.SETS_REPLICAS}),
    refusals=frozenset({HoldReason.OWNER_UNKNOWN, HoldReason.AUTOSCALER_AT_CAP, HoldReason.CONDITION_UNKNOWN}),
    rbac=(*RIGHTS, "get core/configmaps", *NEW_POD_READS),
    parameters=ScaleParameters,
    needs=frozenset({Need.SCALED_OBJECTS}),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Raises the maximum of an autoscaler that is at its maximum, else its minimum; without an autoscaler the replicas.

    With KEDA the bounds are those of the ScaledObject, else of the HorizontalPodAutoscaler. spec.replicas is written
    only if neither exists, because they would undo the write within seconds. The number is absolute and never 0.

    Undo: the action `revert_scale`, if the policy's `revert_if` says when the load is low enough for the number before.
    """
    owner = find_owner(request.facts)
    if isinstance(owner, str):
        return refuses(HoldReason.OWNER_UNKNOWN, owner)
    if request.parameters.get("revert_if") and not request.parameters.get("revert_collectors"):
        return refuses(HoldReason.CONDITION_UNKNOWN, "`revert_if` needs `revert_collectors`")
    cap = int(request.parameters["max_replicas_cap"])
    change = _choose(owner, int(request.parameters["step"]), cap)
    if change is None:
        allowed = f"{owner.least} to {owner.most}" if owner.least != owner.most else str(owner.most)
        words = f"{owner.kind} {owner.name or request.target.name} has {allowed} replicas and the cap is {cap}"
        return refuses(HoldReason.AUTOSCALER_AT_CAP, words)
    made = plan_change("scale_workload", request.target, owner, (change,), request.operation_id)
    return replace(made, undo=_undo(request.parameters, owner, change))


def _undo(parameters: Mapping[str, Any], owner: Owner, change: FieldChange) -> Undo | None:
    """What takes the change back; None without `revert_if`: fewer pods are safe only where the load is known to fit."""
    if not parameters.get("revert_if"):
        return None
    return Undo(
        owner=owner.uid,
        field=change.field,
        before=change.before,
        after=change.after,
        promql=str(parameters["revert_if"]),
        collectors=tuple(parameters["revert_collectors"]),
        after_seconds=float(parameters["revert_after_seconds"]),
        give_up_seconds=float(parameters["revert_give_up_seconds"]),
    )


def _choose(owner: Owner, step: int, cap: int) -> FieldChange | None:
    """The number to raise, or None when the cap leaves no room."""
    if owner.kind is OwnerKind.DEPLOYMENT or owner.wanted >= owner.most:
        change = FieldChange(MOST[owner.kind], owner.most, min(owner.most + step, cap))
    else:
        running = max(owner.least, owner.running, owner.wanted)
        change = FieldChange(LEAST[owner.kind], owner.least, min(running + step, owner.most, cap))
    return change if change.after > change.before else None
