"""Nobody fights the controller that owns the object."""

from __future__ import annotations

from collections.abc import Sequence

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.cluster import Autoscaler, ScaledObject, Workload
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.names import FIELD_MANAGER
from remediations.core.model.reasons import HoldReason
from remediations.core.model.replica_owner import OwnerKind
from remediations.core.policies.limits import Consent


@guard(
    order=1100,
    reasons=frozenset(
        {
            HoldReason.OWNER_UNKNOWN,
            HoldReason.OWNED_BY_OTHER,
            HoldReason.AUTOSCALER_BLIND,
            HoldReason.WORKLOAD_PAUSED,
        }
    ),
)
def check(request: GuardInput) -> GuardOutcome:
    """Holds what another controller would undo, and what would scale by an autoscaler that cannot see.

    A Deployment or HPA with a controlling ownerReference is regenerated from its owner (an operator, a ScaledObject).
    Which object owns the number of replicas stands in `remediations.core.model.replica_owner`.
    """
    workload = request.facts.workload.value
    if workload is not None and workload.owner:
        return holds(HoldReason.OWNED_BY_OTHER, f"{workload.owner} owns the Deployment and would undo the change")
    if not request.has(Effect.SETS_REPLICAS):
        return PASSED
    return _judge_known(request, workload)


def _judge_known(request: GuardInput, workload: Workload | None) -> GuardOutcome:
    """The answer once both kinds of autoscaler are known."""
    autoscalers, scaled = request.facts.autoscalers, request.facts.sights.scaled_objects
    if autoscalers.value is None:
        return holds(HoldReason.OWNER_UNKNOWN, autoscalers.problem)
    if scaled is None or scaled.value is None:
        return holds(HoldReason.OWNER_UNKNOWN, "the ScaledObjects were not looked at" if not scaled else scaled.problem)
    crowd = _find_crowd(autoscalers.value, scaled.value)
    if crowd:
        return holds(HoldReason.OWNED_BY_OTHER, crowd)
    autoscaler = next(iter(autoscalers.value), None)
    paused = _find_pause(request, workload, [*scaled.value, *autoscalers.value])
    if paused:
        return holds(HoldReason.WORKLOAD_PAUSED, paused)
    if scaled.value:
        return _judge_scaled_object(scaled.value[0], autoscaler)
    return _judge_autoscaler(autoscaler) if autoscaler is not None else _judge_workload(request, workload)


def _find_crowd(autoscalers: Sequence[Autoscaler], scaled: Sequence[ScaledObject]) -> str:
    """In words that more than one object owns the replicas; empty when at most one does."""
    for kind, names in (
        (OwnerKind.AUTOSCALER, [item.name for item in autoscalers]),
        (OwnerKind.SCALED_OBJECT, [item.name for item in scaled]),
    ):
        if len(names) > 1:
            return f"several {kind}s name the target: {', '.join(names)}"
    if scaled and autoscalers and autoscalers[0].owner != f"{OwnerKind.SCALED_OBJECT}/{scaled[0].name}":
        return f"ScaledObject {scaled[0].name} and HorizontalPodAutoscaler {autoscalers[0].name} both own the replicas"
    return ""


def _find_pause(request: GuardInput, workload: Workload | None, owners: Sequence[ScaledObject | Autoscaler]) -> str:
    """In words what a person has switched off in the direction of this action; empty when nothing is.

    An action that gives a workload more pods must be able to add some, one that takes them back to let some go.
    """
    if workload is not None and workload.replicas_desired <= 0:
        return "the Deployment is scaled to zero: somebody wants no pods"
    for found in owners:
        if isinstance(found, ScaledObject) and found.is_paused:
            return f"somebody has paused ScaledObject {found.name}"
        if found.is_in_paused and request.has(Effect.REMOVES_PODS):
            return f"somebody has paused scaling in of {type(found).__name__} {found.name}"
        if found.is_out_paused and not request.has(Effect.REMOVES_PODS):
            return f"somebody has paused scaling out of {type(found).__name__} {found.name}"
    return ""


def _judge_scaled_object(found: ScaledObject, autoscaler: Autoscaler | None) -> GuardOutcome:
    """The answer for a ScaledObject, with the autoscaler that KEDA makes from it, once it has."""
    if autoscaler is None:
        if found.is_ready is True:
            return PASSED
        return holds(HoldReason.AUTOSCALER_BLIND, f"KEDA does not follow ScaledObject {found.name} (Ready is not True)")
    return _judge_sight(autoscaler)


def _judge_autoscaler(found: Autoscaler) -> GuardOutcome:
    """The answer for the one autoscaler that owns the replicas."""
    if found.owner:
        return holds(HoldReason.OWNED_BY_OTHER, f"{found.owner} owns {found.name} and would undo the change")
    return _judge_sight(found)


def _judge_sight(found: Autoscaler) -> GuardOutcome:
    """Whether the autoscaler sees the metrics that it scales by."""
    if found.is_active is True:
        return PASSED
    state = "False" if found.is_active is False else "unknown"
    return holds(HoldReason.AUTOSCALER_BLIND, f"ScalingActive of {found.name} is {state}: it sees no metrics")


def _judge_workload(request: GuardInput, found: Workload | None) -> GuardOutcome:
    """The answer for a Deployment without autoscaler: whoever delivers its number would deliver it again."""
    if found is None or Consent.REPLICAS_OWNER in request.policy.accept:
        return PASSED
    managers = [name for name in found.replicas_managers if name != FIELD_MANAGER]
    if managers:
        return holds(HoldReason.OWNED_BY_OTHER, f"{', '.join(managers)} set spec.replicas and may set it back")
    if found.delivered_by:
        return holds(HoldReason.OWNED_BY_OTHER, f"{found.delivered_by} delivers the Deployment and may set it back")
    return PASSED
