"""Undoes a scale-up, if the number has not been changed since."""

from __future__ import annotations

from remediations.core.action import ActionInput, Effect, action, refuses, settles
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Facts, Need
from remediations.core.model.names import ANNOTATION_OPERATION, FIELD_MANAGER
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason, Settled
from remediations.core.model.replica_owner import RIGHTS, FieldChange, Owner, OwnerKind, find_owner, plan_change
from remediations.core.model.undo import Revert

LEAST_REPLICAS = 1
"""No number is set below this, even if KEDA may scale to zero."""


@action(
    kinds=("Deployment",),
    effects=frozenset({Effect.PATCHES_WORKLOAD, Effect.SETS_REPLICAS, Effect.REMOVES_PODS}),
    refusals=frozenset({HoldReason.OWNER_UNKNOWN}),
    rbac=RIGHTS,
    needs=frozenset({Need.SCALED_OBJECTS, Need.TAKING_BACK}),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Sets the number back to what it was before the scale-up, as an absolute number and never below 1.

    It acts only while the object carries our operation id (a Deployment: our field manager) and exactly the number that
    was set. Otherwise another user or program has changed the number, and the remediation closes. It has no undo; if
    the fault returns, its alert fires again.
    """
    taking = request.facts.taking_back
    if taking is None:
        return refuses(HoldReason.OWNER_UNKNOWN, "the journal does not say what is to be undone")
    owner = find_owner(request.facts)
    if isinstance(owner, str):
        return refuses(HoldReason.OWNER_UNKNOWN, owner)
    changed = _find_change(owner, taking, request.facts)
    if changed:
        return settles(changed, Settled.CHANGED_SINCE)
    changes = tuple(FieldChange(item.field, item.after, max(LEAST_REPLICAS, item.before)) for item in taking.changes)
    return plan_change("revert_scale", request.target, owner, changes, request.operation_id)


def _find_change(owner: Owner, taking: Revert, facts: Facts) -> str:
    """What another user or program has changed since the scale-up, as text; empty if nothing."""
    for item in taking.changes:
        if owner.uid != item.owner or item.field not in owner.numbers:
            return f"{owner.kind} {owner.name or 'of the target'} owns the replicas now, but did not then"
        if owner.numbers[item.field] != item.after:
            return f"{item.field} is {owner.numbers[item.field]}, not the {item.after} that was set"
    if owner.kind is OwnerKind.DEPLOYMENT:
        workload = facts.workload.value
        owners = () if workload is None else (*workload.replicas_managers, *workload.replicas_scalers)
        others = [name for name in dict.fromkeys(owners) if name != FIELD_MANAGER]
        return f"{', '.join(others)} set the replicas since" if others else ""
    mark = owner.annotations.get(ANNOTATION_OPERATION)
    return (
        ""
        if mark in taking.marks
        else f"{owner.name} carries {f'the operation id {mark}' if mark else 'no operation id'}"
    )
